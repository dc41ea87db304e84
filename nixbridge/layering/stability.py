"""Plan layers so that those of an image that is out already are sent again as seldom as can be.

A layer of the previous image whose paths are all still wanted is kept as it is; the kept ones lie
at the bottom, in their old order, so that an engine that reuses a chain of layers from the bottom
reuses as long a chain as there is. Only a small one that changes often may be put above large new
ones, where such an engine pulls less from the next update on. All other paths (new ones, and those
of layers that lost some) must be sent anyway: the strategy groups them within what is left of the
budget. In the long run such a plan can become worse than one made from nothing, so all is packed
anew when that pays; the bound for it is `PreviousPlan.repack_within_updates`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from nixbridge.closure import StorePath
from nixbridge.description import PreviousLayer
from nixbridge.layering.cost_model import CostModel
from nixbridge.layering.strategy import LayerTask, PathGroup, Strategy

REPACK_WITHIN_UPDATES: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviousPlan:
    """The layers, from bottom to top, that a plan shall be stable against.

    All is packed anew where what that sends more now is earned back within
    `repack_within_updates` updates; 0 is only where it costs nothing. A plan that `is_followed` is
    a rule instead: never packed anew, and of a layer that lost paths the rest stays a layer.
    """

    layers: tuple[PreviousLayer, ...]
    repack_within_updates: int = REPACK_WITHIN_UPDATES
    is_followed: bool = False

    def without(self, groups: Iterable[PathGroup]) -> PreviousPlan:
        """Return what is left of the plan when it has given `groups` to a part of the image.

        A path can be in two layers, in the store and with its files at the root.
        """
        layers = list(self.layers)
        for group in groups:
            paths = frozenset(group.paths)
            for number, layer in enumerate(layers):
                if layer.paths == paths or (self.is_followed and paths <= layer.paths):
                    layers[number] = replace(layer, paths=layer.paths - paths)
                    break
        return replace(self, layers=tuple(layer for layer in layers if layer.paths))


@dataclass(frozen=True, kw_only=True, slots=True)
class Repacking:
    """What it costs to pack anew, in bytes sent more now, and saves with each update after it.

    Both are sums of NAR sizes; the saving is what is expected (`CostModel`).
    """

    cost_bytes: int
    saving_bytes: float
    is_done: bool


def stable_groups(
    task: LayerTask, previous: PreviousPlan, strategy: Strategy, model: CostModel
) -> tuple[tuple[PathGroup, ...], Repacking | None]:
    """Group a task's candidates, keeping what can be kept of `previous`.

    What it sends now is the least that any plan of so many layers sends. What it sends with an
    update is no more than what the strategy's own plan does, and the cost of packing anew divided
    by `repack_within_updates`. Where there is nothing to decide, no repacking is told of.

    Raises `PlanError`: the strategy cannot do the task.
    """
    kept = _kept_groups(task, previous)
    if previous.is_followed:
        return _extend(task, kept, strategy, _budget(task)), None
    fresh = strategy(task)
    if not kept:
        return fresh, None
    # Who asks for one layer of all (`single`) shall not get two.
    stable = _extend(task, kept, strategy, 1 if len(fresh) == 1 else _budget(task))
    stable = _with_lively_above(task, kept, stable, model)
    saving_bytes = _expected_bytes(model, stable) - _expected_bytes(model, fresh)
    if saving_bytes <= 0:
        return stable, None
    old = {layer.paths for layer in previous.layers}
    cost_bytes = _sent_bytes(task, fresh, old) - _sent_bytes(task, stable, old)
    is_done = cost_bytes <= saving_bytes * previous.repack_within_updates
    repacking = Repacking(cost_bytes=cost_bytes, saving_bytes=saving_bytes, is_done=is_done)
    return fresh if is_done else stable, repacking


def _budget(task: LayerTask) -> int:
    return task.max_layers if task.max_layers >= 1 else len(task.candidates)


def _kept_groups(task: LayerTask, previous: PreviousPlan) -> list[PathGroup]:
    left = set(task.candidates)
    groups = []
    for layer in previous.layers:
        paths = layer.paths & left if previous.is_followed else layer.paths
        if paths and paths <= left:
            groups.append(PathGroup(paths=tuple(sorted(paths)), reason=layer.reason))
            left -= paths
    return groups


def _extend(
    task: LayerTask, kept: Sequence[PathGroup], strategy: Strategy, budget: int
) -> tuple[PathGroup, ...]:
    """Put all candidates that `kept` lacks above it, in groups of the strategy's.

    Where there is no room for them, the smallest of `kept` are given up: so the least is sent.
    """
    groups = list(kept)
    new = set(task.candidates).difference(*(group.paths for group in groups))
    while len(groups) + bool(new) > budget:
        smallest = min(groups, key=lambda group: (_size_bytes(task, group), _names(group)))
        groups.remove(smallest)
        new.update(smallest.paths)
    if new:
        rest = replace(task, candidates=frozenset(new), max_layers=budget - len(groups))
        groups += strategy(rest)
    return tuple(groups)


def _with_lively_above(
    task: LayerTask,
    kept: Sequence[PathGroup],
    groups: Sequence[PathGroup],
    model: CostModel,
) -> tuple[PathGroup, ...]:
    """Put the topmost of the kept layers above the new ones, as long as that pays.

    An engine that reuses layers from the bottom only pulls a kept layer once more now, and later
    not all new ones whenever that layer changes. It must save more with the very next update, on
    average: chains that were are not broken for less.
    """
    below = [group for group in groups if group in kept]
    new = [group for group in groups if group not in kept]
    above: list[PathGroup] = []
    new_bytes = sum(_size_bytes(task, group) for group in new)
    new_paths = [path for group in new for path in group.paths]
    while below:
        size_bytes, paths = _size_bytes(task, below[-1]), below[-1].paths
        any_changes = model.probability((*paths, *new_paths))
        saving_bytes = (any_changes - model.probability(new_paths)) * new_bytes
        saving_bytes -= (any_changes - model.probability(paths)) * size_bytes
        if saving_bytes <= size_bytes:
            break
        above.insert(0, below.pop())
    return (*below, *new, *above)


def _names(group: PathGroup) -> list[tuple[str, StorePath]]:
    return sorted((path.name, path) for path in group.paths)


def _size_bytes(task: LayerTask, group: PathGroup) -> int:
    return sum(task.graph[path].nar_size_bytes for path in group.paths)


def _sent_bytes(
    task: LayerTask, groups: Iterable[PathGroup], old: set[frozenset[StorePath]]
) -> int:
    return sum(_size_bytes(task, group) for group in groups if frozenset(group.paths) not in old)


def _expected_bytes(model: CostModel, groups: Iterable[PathGroup]) -> float:
    return model.expected_bytes(group.paths for group in groups)
