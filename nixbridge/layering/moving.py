"""Improve a partition by moving single paths between its groups, while that lowers the cost.

A strategy's inner part (`update_cost.py`): greedy merging never takes a path out of a group again.
"""

from __future__ import annotations

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
    layers = [_Layer(model, graph, group) for group in groups]
    layers += [_Layer(model, graph, ()) for _ in range(max_groups - len(layers))]
    place = {path: layer for layer in layers for path in layer.paths}
    by_size = sorted(place, key=lambda path: (-graph[path].nar_size_bytes, path.name, path))
    tried = by_size[: max(1, _TRIES // _ROUNDS // len(layers))]
    for _ in range(_TRIES // len(tried) // len(layers)):
        _settle(model, layers, place)
        moves = [
            _move(path, graph[path].nar_size_bytes, model.closure_bits((path,)), place, layers)
            for path in tried
        ]
        if not any(moves):
            break
    _settle(model, layers, place)
    return [layer.paths for layer in layers if layer.paths]


class _Layer:
    """A group of paths, and what it costs.

    While paths come and go, `closure` may hold more than it should, and the cost with it, until
    the layer is filled anew: to know better takes a look at each path.
    """

    def __init__(self, model: CostModel, graph: ClosureGraph, paths: Iterable[StorePath]) -> None:
        self._model = model
        self._graph = graph
        self.fill(paths)

    def fill(self, paths: Iterable[StorePath]) -> None:
        """Have these paths and no others."""
        self.paths = tuple(paths)
        self.closure = self._shared = self._size_bytes = 0
        for path in self.paths:
            self._add(path)
        self.weight = self._model.weigh(self.closure)

    def _add(self, path: StorePath) -> None:
        bits = self._model.closure_bits((path,))
        # What the closures of two paths or more have in common.
        self._shared |= self.closure & bits
        self.closure |= bits
        self._size_bytes += self._graph[path].nar_size_bytes

    def add(self, path: StorePath) -> None:
        """Have one path more."""
        self._add(path)
        self.weight = self._model.weigh(self.closure)

    def remove(self, path: StorePath) -> None:
        """Have one path less."""
        self.closure &= ~self._alone(path)
        self._size_bytes -= self._graph[path].nar_size_bytes
        self.weight = self._model.weigh(self.closure)

    def _alone(self, path: StorePath) -> int:
        return self._model.closure_bits((path,)) & ~self._shared

    def saved_without(self, path: StorePath) -> int:
        """Return how much less the layer would cost without one of its paths."""
        alone = self._alone(path)
        weight = self._model.weigh(self.closure & ~alone) if alone else self.weight
        size_bytes = self._size_bytes - self._graph[path].nar_size_bytes
        return self._size_bytes * self.weight - size_bytes * weight

    def added_with(self, size_bytes: int, bits: int) -> int:
        """Return how much more the layer would cost with another path."""
        weight = self._model.weigh(self.closure | bits)
        return (self._size_bytes + size_bytes) * weight - self._size_bytes * self.weight


def _settle(model: CostModel, layers: Sequence[_Layer], place: dict[StorePath, _Layer]) -> None:
    """Put each path into the layer that changes most seldom of those that change when it does.

    That makes no layer's closure larger, so it never costs more, and for all paths at once.
    """
    seldom_first = sorted(layers, key=lambda layer: layer.weight)
    moved: dict[int, list[StorePath]] = {id(layer): [] for layer in layers}
    for path in place:
        bits = model.closure_bits((path,))
        place[path] = next(layer for layer in seldom_first if not bits & ~layer.closure)
        moved[id(place[path])].append(path)
    for layer in layers:
        layer.fill(moved[id(layer)])


def _move(
    path: StorePath,
    size_bytes: int,
    bits: int,
    place: dict[StorePath, _Layer],
    layers: Sequence[_Layer],
) -> bool:
    """Move a path to where it adds least, if that is less than it costs where it is."""
    here = place[path]
    least = here.saved_without(path)
    best = None
    for layer in layers:
        # Most layers change too often for a path that does not.
        if size_bytes * layer.weight < least and layer is not here:
            added = layer.added_with(size_bytes, bits)
            if added < least:
                least, best = added, layer
    if best is None:
        return False
    here.remove(path)
    best.add(path)
    place[path] = best
    return True
