"""The strategy `auto`: nixpkgs' idea, large paths with what they need, and apart what they share.

The largest paths are looked at one by one. Each other path belongs to those of them that need it,
not counting what is needed through another of them, and paths that belong to the same are a layer.
As many are looked at as give no more layers than there may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nixbridge.closure import StorePath
from nixbridge.layering.cost_model import CostModel
from nixbridge.layering.strategy import LayerTask, PathGroup
from nixbridge.layering.words import name_paths


def auto(task: LayerTask) -> tuple[PathGroup, ...]:
    """Give each set of large paths that need the same paths a layer with these."""
    large = _largest_first(task)
    return CostModel(task.graph, task.weights).seldom_first(
        PathGroup(paths=tuple(sorted(paths)), reason=_reason(large, owners))
        for owners, paths in group_by_large_paths(task).items()
    )


def group_by_large_paths(task: LayerTask) -> Mapping[int, Sequence[StorePath]]:
    """Return the candidates by the large paths that need them.

    These are a set of bits, the lowest for the largest candidate.
    """
    large = _largest_first(task)
    users_first = task.graph.references_first()[::-1]
    # To look at one more never makes fewer groups, and mostly makes more.
    low, high = 0, len(large)
    if task.max_layers >= 1:
        high = min(high, task.max_layers)
    groups = _group(task, users_first, large[:low])
    while low < high:
        middle = (low + high + 1) // 2
        found = _group(task, users_first, large[:middle])
        if task.max_layers < 1 or len(found) <= task.max_layers:
            low, groups = middle, found
        else:
            high = middle - 1
    return groups


def _largest_first(task: LayerTask) -> list[StorePath]:
    def place(path: StorePath) -> tuple[int, str, StorePath]:
        return -task.graph[path].nar_size_bytes, path.name, path

    return sorted(task.candidates, key=place)


def _group(
    task: LayerTask, users_first: Sequence[StorePath], large: Sequence[StorePath]
) -> Mapping[int, list[StorePath]]:
    own = {path: 1 << number for number, path in enumerate(large)}
    needed_by = dict.fromkeys(users_first, 0)
    groups: dict[int, list[StorePath]] = {}
    for path in users_first:
        owners = own.get(path, needed_by[path])
        for reference in task.graph[path].references:
            if reference != path:
                needed_by[reference] |= owners
        if path in task.candidates:
            groups.setdefault(owners, []).append(path)
    return groups


def _reason(large: Sequence[StorePath], owners: int) -> str:
    paths = [path for number, path in enumerate(large) if owners >> number & 1]
    if not paths:
        return "what no large path needs"
    if len(paths) == 1:
        return f"{paths[0].name} and what only it needs"
    return f"what {name_paths(paths)} need"
