"""Improve a partition by moving single paths between its groups, while that lowers the cost.

A strategy's inner part (`update_cost.py`): greedy merging never takes a path out of a group again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.layering.cost_model import CostModel

# So many tries to move a path into another group are a matter of a second. Of a large closure only
# the largest paths are tried: those are what the cost is made of.
_TRIES: Final = 200_000
_ROUNDS: Final = 4


def move_paths(
    model: CostModel,
    graph: ClosureGraph,
    groups: Iterable[Sequence[StorePath]],
    max_groups: int,
) -> list[tuple[StorePath, ...]]:
    """Return the paths of `groups` in at most `max_groups` groups that cost as much or less."""
    layers = [_Layer(model) for _ in range(max_groups)]
    paths = [
        _Path(path, graph[path].nar_size_bytes, model, layer)
        for layer, group in zip(layers, groups, strict=False)
        for path in group
    ]
    by_size = sorted(paths, key=lambda path: (-path.size_bytes, path.path.name, path.path))
    tried = by_size[: max(1, _TRIES // _ROUNDS // len(layers))]
    _fill(layers, paths)
    for _ in range(_TRIES // len(tried) // len(layers)):
        _settle(layers, paths)
        moves = [_move(path, layers) for path in tried]
        if not any(moves):
            break
    _settle(layers, paths)
    return [tuple(path.path for path in layer.paths) for layer in layers if layer.paths]


class _Path:
    """A path, what it refers to, how often it changes, and the layer that it is in."""

    __slots__ = ("closure", "layer", "path", "size_bytes", "weight")

    def __init__(self, path: StorePath, size_bytes: int, model: CostModel, layer: _Layer) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self.closure = model.closure_of(path)
        self.weight = model.weigh(self.closure)
        self.layer = layer


class _Layer:
    """A group of paths, and what it costs.

    While paths come and go, `closure` may hold more than it should, and the cost with it, until
    the layer is filled anew: to know better takes a look at each path.
    """

    __slots__ = ("_shared", "_size_bytes", "_weigh", "closure", "paths", "weight")

    def __init__(self, model: CostModel) -> None:
        self._weigh = model.weigh
        self.fill(())

    def fill(self, paths: Sequence[_Path]) -> None:
        """Have these paths and no others."""
        self.paths = paths
        self.closure = self._shared = self._size_bytes = 0
        for path in paths:
            self._add(path)
        self.weight = self._weigh(self.closure)

    def _add(self, path: _Path) -> None:
        # What the closures of two paths or more have in common.
        self._shared |= self.closure & path.closure
        self.closure |= path.closure
        self._size_bytes += path.size_bytes

    def add(self, path: _Path) -> None:
        """Have one path more."""
        self._add(path)
        self.weight = self._weigh(self.closure)

    def remove(self, path: _Path) -> None:
        """Have one path less."""
        self.closure ^= path.closure ^ (path.closure & self._shared)
        self._size_bytes -= path.size_bytes
        self.weight = self._weigh(self.closure)

    def saved_without(self, path: _Path) -> int:
        """Return how much less the layer would cost without one of its paths."""
        alone_weight = path.weight - self._weigh(path.closure & self._shared)
        return path.size_bytes * self.weight + (self._size_bytes - path.size_bytes) * alone_weight

    def added_with(self, path: _Path) -> int:
        """Return how much more the layer would cost with another path."""
        new_weight = path.weight - self._weigh(path.closure & self.closure)
        return path.size_bytes * self.weight + (self._size_bytes + path.size_bytes) * new_weight


def _fill(layers: Sequence[_Layer], paths: Iterable[_Path]) -> None:
    """Let each layer have the paths that are in it."""
    members: dict[_Layer, list[_Path]] = {layer: [] for layer in layers}
    for path in paths:
        members[path.layer].append(path)
    for layer in layers:
        layer.fill(members[layer])


def _settle(layers: Sequence[_Layer], paths: Sequence[_Path]) -> None:
    """Put each path into the layer that changes most seldom of those that change when it does.

    That makes no layer's closure larger, so it never costs more, and for all paths at once.
    """
    seldom_first = sorted(layers, key=lambda layer: layer.weight)
    weights = [layer.weight for layer in seldom_first]
    for path in paths:
        closure = path.closure
        # No layer below changes as often as the path.
        for layer in seldom_first[bisect_left(weights, path.weight) :]:
            if closure & layer.closure == closure:
                path.layer = layer
                break
    _fill(layers, paths)


def _move(path: _Path, layers: Sequence[_Layer]) -> bool:
    """Move a path to where it adds least, if that is less than it costs where it is."""
    here, size_bytes = path.layer, path.size_bytes
    least = here.saved_without(path)
    best = None
    for layer in layers:
        # Most layers change too often for a path that does not.
        if size_bytes * layer.weight < least and layer is not here:
            added = layer.added_with(path)
            if added < least:
                least, best = added, layer
    if best is None:
        return False
    here.remove(path)
    best.add(path)
    path.layer = best
    return True
