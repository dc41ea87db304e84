"""Greedy merging: from a layer a path to as few as there may be, each merge the cheapest there is.

A strategy's inner part (`update_cost.py`). Layers are numbers here, those of the single paths
first, in the order in which the paths are given, which so breaks ties.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.layering.cost_model import CostModel

# Up to so many layers all pairs are looked at; above, only neighbours: layers whose closures weigh
# nearly the same, so many on either side, and the heaviest of those that are referred to.
_ALL_PAIRS: Final = 300
_NEAR: Final = 8
_NEAR_WITH_MANY_WEIGHTS: Final = 3
_LINKS: Final = 4

# What a merge adds to the cost, the layer, and the one that it is merged with.
_Merge: TypeAlias = tuple[int, int, int]


def merge_greedily(
    model: CostModel, graph: ClosureGraph, paths: Sequence[StorePath], max_groups: int
) -> list[list[StorePath]]:
    """Return `paths` in at most `max_groups` groups, which is 1 at least."""
    layers = _Layers(model, graph, paths)
    if len(paths) > _ALL_PAIRS:
        neighbours = _Neighbours(model, layers, graph, paths)
        _merge(layers, neighbours, max(max_groups, _ALL_PAIRS))
    _merge(layers, _AllPairs(layers), max_groups)
    return [[paths[number] for number in layers.members[layer]] for layer in layers.alive]


class _Layers:
    """The layers on the way. Merged ones have the higher numbers."""

    def __init__(self, model: CostModel, graph: ClosureGraph, paths: Sequence[StorePath]) -> None:
        self._weigh = model.weigh
        self.sizes = [graph[path].nar_size_bytes for path in paths]
        self.closures = [model.closure_of(path) for path in paths]
        self.weights = [model.weigh(bits) for bits in self.closures]
        self.members = [[number] for number in range(len(paths))]
        # In the order in which they came to be.
        self.alive = dict.fromkeys(range(len(paths)))
        # Where the paths of a layer that was merged are now.
        self._merged_into: dict[int, int] = {}

    def find(self, layer: int) -> int:
        """Return the layer that has taken up `layer`."""
        while (into := self._merged_into.get(layer)) is not None:
            further = self._merged_into.get(into)
            if further is None:
                return into
            self._merged_into[layer] = further  # the next search has half the way
            layer = into
        return layer

    def cheapest(self, layer: int, others: Iterable[int]) -> _Merge | None:
        """Return the merge of `layer` that adds least to the cost; with the first of equal ones.

        Each of two layers then changes whenever the other does. What that costs at least is known
        from their weights, and mostly is too much already.
        """
        weigh, sizes, closures, weights = self._weigh, self.sizes, self.closures, self.weights
        size, closure, weight = sizes[layer], closures[layer], weights[layer]
        at_least = [
            (
                size * (weights[other] - weight)
                if weights[other] > weight
                else sizes[other] * (weight - weights[other]),
                other,
            )
            for other in others
        ]
        at_least.sort()
        found: tuple[int, int] | None = None
        for least, other in at_least:
            if found is not None and least > found[0]:
                break
            shared = weigh(closure & closures[other])
            added = size * (weights[other] - shared) + sizes[other] * (weight - shared)
            if found is None or (added, other) < found:
                found = added, other
        return None if found is None else (found[0], layer, found[1])

    def merge(self, layer: int, other: int) -> int:
        """Make one layer of two."""
        new = len(self.sizes)
        for each in (layer, other):
            del self.alive[each]
            self._merged_into[each] = new
        self.sizes.append(self.sizes[layer] + self.sizes[other])
        self.closures.append(self.closures[layer] | self.closures[other])
        self.weights.append(self._weigh(self.closures[new]))
        self.members.append(self.members[layer] + self.members[other])
        self.alive[new] = None
        return new


class _AllPairs:
    """Every layer may be merged with every other."""

    def __init__(self, layers: _Layers) -> None:
        self._layers = layers
        self._first_new = len(layers.sizes)

    def of(self, layer: int) -> Iterable[int]:
        """Return those that no other layer tries with this one: of a new layer, all older ones."""
        alive = self._layers.alive
        if layer >= self._first_new:
            return [other for other in alive if other < layer]
        return [other for other in alive if layer < other < self._first_new]

    def merged(self, layer: int, other: int, new: int) -> None:
        pass


class _Neighbours:
    """Each layer may be merged with those that are like it, or that it refers to."""

    def __init__(
        self, model: CostModel, layers: _Layers, graph: ClosureGraph, paths: Sequence[StorePath]
    ) -> None:
        self._near = _NEAR_WITH_MANY_WEIGHTS if model.has_many_weights else _NEAR
        self._layers = layers
        self._line = sorted(map(self._place, layers.alive))
        self._first_new = len(paths)
        numbers = {path: number for number, path in enumerate(paths)}
        self._links = [
            self._heaviest(
                {numbers[other] for other in graph[path].references if other in numbers} - {number}
            )
            for number, path in enumerate(paths)
        ]

    def of(self, layer: int) -> Iterable[int]:
        """Return those near a layer: of a single path only the heavier ones, the others try it."""
        at = bisect_left(self._line, self._place(layer))
        first = at if layer < self._first_new else max(0, at - self._near)
        near = self._line[first : at + self._near + 1]
        others = {place[2] for place in near} | {*map(self._layers.find, self._links[layer])}
        others.discard(layer)
        return sorted(others)

    def merged(self, layer: int, other: int, new: int) -> None:
        for each in (layer, other):
            del self._line[bisect_left(self._line, self._place(each))]
        place = self._place(new)
        self._line.insert(bisect_left(self._line, place), place)
        links = {self._layers.find(link) for each in (layer, other) for link in self._links[each]}
        self._links.append(self._heaviest(links - {new}))

    def _place(self, layer: int) -> tuple[int, int, int]:
        return self._layers.weights[layer], self._layers.closures[layer], layer

    def _heaviest(self, layers: Iterable[int]) -> list[int]:
        weights = self._layers.weights
        return sorted(layers, key=lambda layer: (-weights[layer], layer))[:_LINKS]


def _merge(layers: _Layers, neighbours: _AllPairs | _Neighbours, max_groups: int) -> None:
    """Merge until there are no more than `max_groups` layers, the cheapest first."""
    heap = [
        merge
        for layer in layers.alive
        if (merge := layers.cheapest(layer, neighbours.of(layer))) is not None
    ]
    heapq.heapify(heap)
    while len(layers.alive) > max_groups:
        _, layer, other = heapq.heappop(heap)
        if layer not in layers.alive:
            continue
        if other in layers.alive:
            new = layers.merge(layer, other)
            neighbours.merged(layer, other, new)
            layer = new
        # Else its cheapest partner is gone, and all others cost more.
        merge = layers.cheapest(layer, neighbours.of(layer))
        if merge is not None:
            heapq.heappush(heap, merge)
