"""`plan_layers`: from an image description to the plan of its layers.

Decides what is to be placed in each layer; how it is grouped is the strategy's. No path that an
earlier layer holds with the same options comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.description import ImageDescription, LayerDescription
from nixbridge.errors import PlanError
from nixbridge.layering.cost_model import CostModel
from nixbridge.layering.options import PlanOptions
from nixbridge.layering.plan import MOST_LAYERS, LayerPlan, PlannedLayer, PlannedPath
from nixbridge.layering.stability import PreviousPlan, Repacking, stable_groups
from nixbridge.layering.strategy import LayerTask, PathGroup, Strategy, find_strategy
from nixbridge.layering.weights import weigh_paths
from nixbridge.layering.words import name_paths

# What nix2container does stays as it is.
_N2C_STRATEGY: Final = "popularity"


def plan_layers(
    description: ImageDescription,
    options: PlanOptions | None = None,
    *,
    base_layer_count: int = 0,
    strategy_of: Callable[[str], Strategy] = find_strategy,
) -> LayerPlan:
    """Plan the layers of an image, from bottom to top; those without a path are left out.

    The image's own part gets as many layers as may be and as there is room for, besides the
    `base_layer_count` of the image that it builds upon. A plan that the description holds is
    followed, unless the options say what to keep.

    Raises `PlanError`: a layer is asked for what is not in its closure, there is no room for all
    layers, or a strategy made a plan that is not one. Raises `InputError`: a strategy does not
    exist, or the plan to follow is of another image.
    """
    options = options or PlanOptions()
    model = cost_model_of(description, options)
    previous = options.previous or _followed(description)
    layers: list[PlannedLayer] = []
    repackings: list[Repacking] = []
    room = _Room(
        base_count=base_layer_count,
        database_count=0 if description.nix_database is None else 1,
        left_count=options.leave_layers,
    )
    for part in plan_parts(description, options):
        if part.is_own:
            part = room.for_own_part(part, len(layers))  # noqa: PLW2901 - with less room
        strategy = strategy_of(part.layer.strategy)
        if previous is None:
            groups = strategy(part.task)
        else:
            groups, repacking = stable_groups(part.task, previous, strategy, model)
            previous = previous.without(groups)
            repackings += [] if repacking is None else [repacking]
        _check(part.layer, groups, part.wanted)
        if part.layer.strategy != _N2C_STRATEGY:
            groups = _with_root_files_together(groups, part.wanted)
        for group in groups:
            paths = tuple(one for path in sorted(group.paths) for one in part.wanted[path])
            layers.append(
                PlannedLayer(
                    paths=paths,
                    reason=_reason(part.layer, group, paths, is_only=len(groups) == 1),
                    history=part.layer.history,
                    change_probability=model.probability(group.paths),
                )
            )
    room.check(len(layers))
    database = description.nix_database
    if database is not None:
        database = replace(database, is_n2c_exact=description.is_n2c_exact)
    return LayerPlan(layers=tuple(layers), nix_database=database, repackings=tuple(repackings))


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanPart:
    """What is to be placed for one layer of the description: each path in one or two ways.

    The image's own part is its last.
    """

    layer: LayerDescription
    is_own: bool
    task: LayerTask
    wanted: Mapping[StorePath, tuple[PlannedPath, ...]]


def plan_parts(description: ImageDescription, options: PlanOptions) -> Iterator[PlanPart]:
    """Yield the parts that an image is planned in, from bottom to top; none is without a path.

    Raises `PlanError`: a layer is asked for what is not in its closure.
    """
    weights = _weights(description, options)
    placed: set[PlannedPath] = set()
    layers = _with_options(description.layers, options)
    for number, layer in enumerate(layers, 1):
        closure = description.closure.closure_of((*layer.roots, *layer.copy_to_root))
        wanted = _wanted_paths(layer, closure, is_n2c_exact=description.is_n2c_exact)
        new = {
            path: kept
            for path, planned in wanted.items()
            if (kept := tuple(one for one in planned if one not in placed))
        }
        if not new:
            continue
        task = LayerTask(
            graph=_without(closure, layer.ignore),
            candidates=new.keys(),
            max_layers=layer.max_layers,
            weights={path: weights[path] for path in closure.infos},
        )
        yield PlanPart(layer=layer, is_own=number == len(layers), task=task, wanted=new)
        placed.update(one for planned in new.values() for one in planned)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Room:
    """How many layers a runtime takes, and which of them are no layers of the plan."""

    base_count: int
    database_count: int
    left_count: int

    def for_own_part(self, part: PlanPart, explicit_count: int) -> PlanPart:
        """Return the image's own part, planned last, with no more layers than there is room for.

        Raises `PlanError`: there is room for none.
        """
        room = self._most(explicit_count)
        if room < 1:
            raise self._refusal(explicit_count, "and those of its own")
        if 1 <= part.task.max_layers <= room or len(part.wanted) <= room:
            return part
        return replace(
            part,
            layer=replace(part.layer, max_layers=room),
            task=replace(part.task, max_layers=room),
        )

    def check(self, layer_count: int) -> None:
        """Refuse more layers than there is room for.

        Raises `PlanError`.
        """
        if self._most(layer_count) < 0:
            raise self._refusal(layer_count, "in all")

    def _most(self, layer_count: int) -> int:
        taken = self.base_count + self.database_count + self.left_count
        return MOST_LAYERS - taken - layer_count

    def _refusal(self, explicit_count: int, rest: str) -> PlanError:
        counts = [
            f"{self.base_count} of the base image" if self.base_count else "",
            f"{explicit_count} explicit",
            "1 for the Nix database" if self.database_count else "",
        ]
        most = MOST_LAYERS - self.left_count
        left = f", and {self.left_count} are to be left" if self.left_count else ""
        return PlanError(
            f"the image needs too many layers: {', '.join(filter(None, counts))} {rest}, where a "
            f"runtime takes {MOST_LAYERS}{left}",
            hint=f"let explicit layers be fewer, so that all are {most} at the most",
        )


def _followed(description: ImageDescription) -> PreviousPlan | None:
    if description.plan is None:
        return None
    followed = description.plan.follow(description.name, description.closure)
    return PreviousPlan(layers=followed.layers, is_followed=True)


def cost_model_of(description: ImageDescription, options: PlanOptions) -> CostModel:
    """Return what an update of the image costs, with the weights that are given or learned."""
    return CostModel(description.closure, _weights(description, options))


def _weights(description: ImageDescription, options: PlanOptions) -> dict[StorePath, float]:
    said = (options.weights, description.weights)
    return weigh_paths(description.closure.infos, said, options.learned)


def _with_options(
    layers: tuple[LayerDescription, ...], options: PlanOptions
) -> tuple[LayerDescription, ...]:
    """Return the layers with the last, the image's own part, as `options` have it."""
    if not layers:
        return layers
    own = layers[-1]
    own = replace(
        own,
        strategy=own.strategy if options.strategy is None else options.strategy,
        max_layers=own.max_layers if options.max_layers is None else options.max_layers,
    )
    return (*layers[:-1], own)


def _wanted_paths(
    layer: LayerDescription, closure: ClosureGraph, *, is_n2c_exact: bool
) -> dict[StorePath, tuple[PlannedPath, ...]]:
    """Return all that belongs into the layer: each path of its closure, in one or two ways."""
    for perm in layer.perms:
        if perm.path not in closure and not is_n2c_exact:
            # nix2container ignores such a perm. Files that keep another mode than the one asked
            # for are no detail (think of a secret), so we do not.
            raise PlanError(
                f"perms are given for `{perm.path}`, which is not in the closure of the layer",
                hint="name a path of `deps` or `copyToRoot`, or of their closures",
            )
    referred_to = {
        reference
        for info in _without(closure, layer.ignore)
        for reference in info.references
        if reference != info.path
    }
    wanted: dict[StorePath, tuple[PlannedPath, ...]] = {}
    for info in closure:
        if info.path in layer.ignore:
            continue
        perms = tuple(perm for perm in layer.perms if perm.path == info.path)
        plain = PlannedPath(info=info, perms=perms)
        if info.path not in layer.copy_to_root:
            wanted[info.path] = (plain,)
            continue
        at_root = PlannedPath(info=info, copy_to_root=True, perms=perms)
        # nix2container puts a path that is copied to the root nowhere else, so that the image's
        # store is open where another path refers to it. The perms are meant for the files at the
        # root: with them the path in the store would not be what Nix knows of it.
        is_needed = info.path in referred_to or info.path in layer.roots
        is_needed = is_needed and not is_n2c_exact
        wanted[info.path] = (replace(plain, perms=()), at_root) if is_needed else (at_root,)
    return wanted


def _without(closure: ClosureGraph, ignore: tuple[StorePath, ...]) -> ClosureGraph:
    """Return the closure as strategies see it: without the ignored paths and references to them."""
    if not ignore:
        return closure
    return ClosureGraph.of(
        replace(
            info,
            references=tuple(path for path in info.references if path not in ignore),
        )
        for info in closure
        if info.path not in ignore
    )


def _check(
    layer: LayerDescription,
    groups: tuple[PathGroup, ...],
    candidates: Mapping[StorePath, object],
) -> None:
    def refuse(what: str) -> PlanError:
        return PlanError(f"the strategy `{layer.strategy}` made a wrong plan: {what}")

    seen: set[StorePath] = set()
    for group in groups:
        if not group.paths:
            raise refuse("a layer is empty")
        for path in group.paths:
            if path not in candidates:
                raise refuse(f"`{path}` was not to be placed")
            if path in seen:
                raise refuse(f"`{path}` is placed twice")
            seen.add(path)
    for path in candidates:
        if path not in seen:
            raise refuse(f"`{path}` is not placed")
    if 1 <= layer.max_layers < len(groups):
        raise refuse(f"{len(groups)} layers, where {layer.max_layers} may be")


def _with_root_files_together(
    groups: tuple[PathGroup, ...], wanted: Mapping[StorePath, tuple[PlannedPath, ...]]
) -> tuple[PathGroup, ...]:
    """Return the groups with all paths whose files are put at the root in the topmost that has one.

    Two of them may have a file of one name: within a layer that is an error, and of two layers the
    upper one would hide the file of the other, and nobody would be told.
    """
    at_root = {path for path, planned in wanted.items() if any(one.copy_to_root for one in planned)}
    having = [number for number, group in enumerate(groups) if at_root.intersection(group.paths)]
    if len(having) <= 1:
        return groups
    together = []
    for number, group in enumerate(groups):
        paths = set(group.paths) - at_root
        if number == having[-1]:
            paths |= at_root
        if paths:
            together.append(replace(group, paths=tuple(sorted(paths))))
    return tuple(together)


def _reason(
    layer: LayerDescription, group: PathGroup, paths: tuple[PlannedPath, ...], *, is_only: bool
) -> str:
    reason = _own_words(layer) if is_only else group.reason
    at_root = [path.info.path for path in paths if path.copy_to_root]
    if not at_root:
        return reason
    files = f"files at / from {name_paths(at_root)}"
    if len(at_root) == len(paths):
        return files
    # The reason of a layer that is kept says so already.
    return reason if reason.endswith(files) else f"{reason}; {files}"


def _own_words(layer: LayerDescription) -> str:
    """Say what the user asked for; of a layer that holds it all the strategy knows less."""
    roots = [path for path in layer.roots if path not in layer.ignore]
    if roots:
        closures = "its closure" if len(roots) == 1 else "their closures"
        return f"explicit: {name_paths(roots)} and {closures}"
    if layer.copy_to_root:
        return "what the files at / refer to"
    return f"what {name_paths(layer.roots)} refers to"
