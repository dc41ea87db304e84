"""`CostModel`: the bytes that an update sends again, on average; and the strategy for the fewest.

In Nix a change of one path changes every path that refers to it, so a layer changes when any path
of its closure does. An update is taken to be one change: of which path, the weights tell. Weights
are counted in whole numbers of a small unit, so that sums are exact and in no order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from nixbridge.closure import ClosureGraph, StorePath

# The smallest step between weights is one in so many.
_UNITS: Final = 1024


class CostModel:
    """What changes together in a closure, and what layers of its paths cost.

    A set of paths is a whole number here, one bit a path, so that closures are united and weighed
    fast. Paths that `weights` leaves out weigh 1.
    """

    __slots__ = ("_closures", "_graph", "_planes", "_total")

    def __init__(self, graph: ClosureGraph, weights: Mapping[StorePath, float]) -> None:
        self._graph = graph
        self._closures: dict[StorePath, int] = {}
        planes: dict[int, int] = {}
        for number, path in enumerate(graph.references_first()):
            bits = 1 << number
            units = max(1, round(weights.get(path, 1.0) * _UNITS))
            for plane in range(units.bit_length()):
                if units >> plane & 1:
                    planes[plane] = planes.get(plane, 0) | bits
            for reference in graph[path].references:
                if reference != path:
                    bits |= self._closures[reference]
            self._closures[path] = bits
        self._planes = tuple((plane, planes[plane]) for plane in sorted(planes))
        self._total = self.weigh((1 << len(graph)) - 1)

    def closure_bits(self, paths: Iterable[StorePath]) -> int:
        """Return the set of all that `paths` refer to, themselves included."""
        bits = 0
        for path in paths:
            bits |= self._closures[path]
        return bits

    def weigh(self, bits: int) -> int:
        """Return the weight of a set of paths, in small units."""
        return sum((bits & members).bit_count() << plane for plane, members in self._planes)

    def probability(self, paths: Iterable[StorePath]) -> float:
        """Return how likely an update changes any of `paths`."""
        if not self._total:
            return 0.0
        return self.weigh(self.closure_bits(paths)) / self._total

    def expected_bytes(self, groups: Iterable[Iterable[StorePath]]) -> float:
        """Return the bytes of an update, on average, with a layer for each group of paths."""
        cost = 0
        for group in groups:
            paths = tuple(group)
            size_bytes = sum(self._graph[path].nar_size_bytes for path in paths)
            cost += size_bytes * self.weigh(self.closure_bits(paths))
        return cost / self._total if self._total else 0.0

    def floor_bytes(self, paths: Iterable[StorePath]) -> float:
        """Return the same with a layer for each path, which no plan can beat."""
        return self.expected_bytes((path,) for path in paths)
