"""The strategy `auto`: nixpkgs' idea, large paths with what they need, and apart what they share.

The largest paths are looked at one by one. Each other path belongs to those of them that need it,
not counting what is needed through another of them, and paths that belong to the same are a layer.
As many are looked at as give no more layers than there may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nixbridge.closure import StorePath
from nixbridge.layering.cost_model import CostModel
from nixbridge.layering.ordering import order_groups
from nixbridge.layering.strategy import LayerTask, PathGroup
from nixbridge.layering.words import name_paths


def auto(task: LayerTask) -> tuple[PathGroup, ...]:
    """Give each set of large paths that need the same paths a layer with these."""
    large = _largest_first(task)
    return order_groups(
        task,
        CostModel(task.graph, task.weights),
        (
            PathGroup(paths=tuple(sorted(paths)), reason=_reason(large, owners))
            for owners, paths in group_by_large_paths(task).items()
        ),
    )


def group_by_large_paths(task: LayerTask) -> Mapping[int, Sequence[StorePath]]:
    """Return the candidates by the large paths that need them.

    These are a set of bits, the lowest for the largest candidate.
    """
    large = _largest_first(task)
    closure = _UsersFirst(task)
    # To look at one more never makes fewer groups, and mostly makes more.
    low, high = 0, len(large)
    if task.max_layers >= 1:
        high = min(high, task.max_layers)
    groups = closure.group(large[:low])
    while low < high:
        middle = (low + high + 1) // 2
        found = closure.group(large[:middle])
        if task.max_layers < 1 or len(found) <= task.max_layers:
            low, groups = middle, found
        else:
            high = middle - 1
    return groups


def _largest_first(task: LayerTask) -> list[StorePath]:
    def place(path: StorePath) -> tuple[int, str, StorePath]:
        return -task.graph[path].nar_size_bytes, path.name, path

    return sorted(task.candidates, key=place)


class _UsersFirst:
    """The closure with its paths as numbers, each before those that it refers to."""

    def __init__(self, task: LayerTask) -> None:
        self._paths = task.graph.references_first()[::-1]
        self._numbers = {path: number for number, path in enumerate(self._paths)}
        self._references = [
            [self._numbers[other] for other in task.graph[path].references if other != path]
            for path in self._paths
        ]
        self._is_candidate = [path in task.candidates for path in self._paths]

    def group(self, large: Sequence[StorePath]) -> Mapping[int, list[StorePath]]:
        """Return the candidates by those of `large` that need them."""
        own = {self._numbers[path]: 1 << bit for bit, path in enumerate(large)}
        needed_by = [0] * len(self._paths)
        groups: dict[int, list[StorePath]] = {}
        for number, path in enumerate(self._paths):
            owners = own.get(number, needed_by[number])
            for reference in self._references[number]:
                needed_by[reference] |= owners
            if self._is_candidate[number]:
                groups.setdefault(owners, []).append(path)
        return groups


def _reason(large: Sequence[StorePath], owners: int) -> str:
    paths = [path for number, path in enumerate(large) if owners >> number & 1]
    if not paths:
        return "what no large path needs"
    if len(paths) == 1:
        return f"{paths[0].name} and what only it needs"
    return f"what {name_paths(paths)} need"
