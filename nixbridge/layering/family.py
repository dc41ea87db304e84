"""Plan several images together, so that the layers of one are layers of the others, too.

Paths that the same images need are layers together; then each byte is in one layer of the family,
and the sum of its layers is the least there is. An image that may not have so many layers gives up
the smallest of what it shares, and has them in a layer of its own. How the paths of the same images
are split further is the strategy's; the layers go where they save most with an update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.description import ImageDescription, PreviousLayer
from nixbridge.layering.cost_model import CostModel
from nixbridge.layering.options import PlanOptions
from nixbridge.layering.plan import MOST_LAYERS, LayerPlan, PlannedPath
from nixbridge.layering.planner import PlanPart, plan_layers, plan_parts
from nixbridge.layering.stability import PreviousPlan
from nixbridge.layering.strategy import LayerTask, PathGroup, Strategy, find_strategy
from nixbridge.layering.weights import weigh_paths

FAMILY_STRATEGY: Final = "update-cost"

# A part of an image, by the image's name and the part's number.
Place: TypeAlias = tuple[str, int]
# A path with the options that it is packed with: where they differ, so do the layer's bytes.
_Item: TypeAlias = tuple[object, ...]


def plan_family(
    descriptions: Mapping[str, ImageDescription],
    options: PlanOptions | None = None,
    *,
    base_layer_counts: Mapping[str, int] | None = None,
    strategy_of: Callable[[str], Strategy] = find_strategy,
) -> dict[str, LayerPlan]:
    """Plan images together, each by its name; `options` are for all of them.

    Where they name no strategy it is `update-cost`, whatever the descriptions say.
    `base_layer_counts` tell how many layers the images have that they build upon.

    Raises `PlanError`, `InputError`: as `plan_layers`; or two images know different things of a
    store path.
    """
    options = options or PlanOptions()
    base_counts = base_layer_counts or {}
    graph = ClosureGraph.of(
        info for description in descriptions.values() for info in description.closure
    )
    parts = {
        (name, number): part
        for name in sorted(descriptions)
        for number, part in enumerate(plan_parts(descriptions[name], options))
    }
    family = _Family(
        graph=graph,
        weights=weigh_paths(
            graph.infos,
            (options.weights, *(descriptions[name].weights for name in sorted(descriptions))),
            options.learned,
        ),
        strategy=strategy_of(options.strategy or FAMILY_STRATEGY),
        budgets=_budgets(parts, descriptions, options, base_counts),
    )
    layers = _split(family, _shares(family, parts))
    plans = {}
    for name, description in descriptions.items():
        own = tuple(layer for place in parts if place[0] == name for layer in layers[place])
        previous = PreviousPlan(layers=own, is_followed=True)
        plans[name] = plan_layers(
            description,
            replace(options, previous=previous),
            base_layer_count=base_counts.get(name, 0),
            strategy_of=strategy_of,
        )
    return plans


@dataclass(frozen=True, kw_only=True, slots=True)
class _Family:
    """What all images have in common; `budgets` are how many layers their parts may have."""

    graph: ClosureGraph
    weights: Mapping[StorePath, float]
    strategy: Strategy
    budgets: Mapping[Place, int]

    def size_bytes(self, paths: Iterable[StorePath]) -> int:
        return sum(self.graph[path].nar_size_bytes for path in paths)


def _budgets(
    parts: Mapping[Place, PlanPart],
    descriptions: Mapping[str, ImageDescription],
    options: PlanOptions,
    base_counts: Mapping[str, int],
) -> dict[Place, int]:
    """Return how many layers each part may have; an image's own part, what the others leave."""
    budgets: dict[Place, int] = {}
    for (name, number), part in parts.items():
        most = part.layer.max_layers
        budget = min(most, len(part.wanted)) if most >= 1 else len(part.wanted)
        if part.is_own:
            below = sum(budgets[name, other] for other in range(number))
            database_count = 0 if descriptions[name].nix_database is None else 1
            taken = base_counts.get(name, 0) + below + database_count + options.leave_layers
            budget = max(1, min(budget, MOST_LAYERS - taken))
        budgets[name, number] = budget
    return budgets


def _item(path: StorePath, planned: tuple[PlannedPath, ...]) -> _Item:
    return (path, *((one.info.nar_hash, one.copy_to_root, one.perms) for one in planned))


def _shares(
    family: _Family, parts: Mapping[Place, PlanPart]
) -> dict[frozenset[Place], set[StorePath]]:
    """Return the paths that the same places need, by the places; as few as the budgets want."""
    needed: dict[_Item, tuple[StorePath, set[Place]]] = {}
    for place, part in parts.items():
        for path, planned in part.wanted.items():
            needed.setdefault(_item(path, planned), (path, set()))[1].add(place)
    shares: dict[frozenset[Place], set[StorePath]] = {}
    for path, users in needed.values():
        shares.setdefault(frozenset(users), set()).add(path)
    for place, budget in family.budgets.items():
        while sum(place in places for places in shares) > budget:
            given_up = min(
                (places for places in shares if place in places and len(places) > 1),
                key=lambda places: (family.size_bytes(shares[places]), sorted(places)),
            )
            paths = shares.pop(given_up)
            for places in (given_up - {place}, frozenset({place})):
                shares.setdefault(places, set()).update(paths)
    return shares


def _split(
    family: _Family, shares: Mapping[frozenset[Place], set[StorePath]]
) -> dict[Place, list[PreviousLayer]]:
    """Return the layers of each place: what most need lies at the bottom, for a chain in common."""
    split = _Split(family, shares)
    while split.grow():
        pass
    layers: dict[Place, list[PreviousLayer]] = {place: [] for place in family.budgets}
    for places in sorted(shares, key=lambda places: (-len(places), sorted(places))):
        groups = split.groups[places]
        for group in groups:
            reason = _reason(places, group, is_only=len(groups) == 1)
            layer = PreviousLayer(paths=frozenset(group.paths), reason=reason)
            for place in places:
                layers[place].append(layer)
    return layers


class _Split:
    """How each share is split into layers, `groups`: into one at first, then into more."""

    def __init__(self, family: _Family, shares: Mapping[frozenset[Place], set[StorePath]]) -> None:
        self._family = family
        self._shares = shares
        self._model = CostModel(family.graph, family.weights)
        self._known: dict[tuple[frozenset[Place], int], tuple[PathGroup, ...]] = {}
        self.groups = {places: self._grouped(places, 1) for places in sorted(shares, key=sorted)}

    def grow(self) -> bool:
        """Give more layers to the share where each saves most; False where none saves a byte."""
        best, best_saving = None, 0.0
        for places, groups in self.groups.items():
            room = min(self._spare(place) for place in places)
            more = min(len(groups), room, len(self._shares[places]) - len(groups))
            if more < 1:
                continue
            split = self._grouped(places, len(groups) + more)
            saving = (self._expected_bytes(groups) - self._expected_bytes(split)) / more
            if saving > best_saving:
                best, best_saving = (places, split), saving
        if best is not None:
            self.groups[best[0]] = best[1]
        return best is not None

    def _spare(self, place: Place) -> int:
        used = sum(len(groups) for places, groups in self.groups.items() if place in places)
        return self._family.budgets[place] - used

    def _grouped(self, places: frozenset[Place], max_layers: int) -> tuple[PathGroup, ...]:
        groups = self._known.get((places, max_layers))
        if groups is None:
            task = LayerTask(
                graph=self._family.graph,
                candidates=frozenset(self._shares[places]),
                max_layers=max_layers,
                weights=self._family.weights,
            )
            groups = self._known[places, max_layers] = self._family.strategy(task)
        return groups

    def _expected_bytes(self, groups: Iterable[PathGroup]) -> float:
        return self._model.expected_bytes(group.paths for group in groups)


def _reason(places: frozenset[Place], group: PathGroup, *, is_only: bool) -> str:
    names = sorted({name for name, _ in places})
    if len(names) == 1:
        return group.reason
    shared = f"shared by {', '.join(names)}"
    return shared if is_only else f"{shared}; {group.reason}"
