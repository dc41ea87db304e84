"""`CostModel`: the bytes that an update sends again, on average.

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

_FEW_PLANES: Final = 2


class CostModel:
    """What changes together in a closure, and what layers of its paths cost.

    A set of paths is a whole number here, one bit a path, so that closures are united and weighed
    fast. Paths that `weights` leaves out weigh 1.
    """

    __slots__ = ("_closures", "_graph", "_is_even", "_planes", "total_weight")

    def __init__(self, graph: ClosureGraph, weights: Mapping[StorePath, float]) -> None:
        self._graph = graph
        self._closures: dict[StorePath, int] = {}
        members: dict[int, list[int]] = {}
        for number, path in enumerate(graph.references_first()):
            bits = 1 << number
            units = max(1, round(weights.get(path, 1.0) * _UNITS))
            members.setdefault(units, []).append(number)
            for reference in graph[path].references:
                if reference != path:
                    bits |= self._closures[reference]
            self._closures[path] = bits
        self._planes = _planes(members, len(graph))
        # Every bit counts the same.
        self._is_even = len(members) == 1 and len(self._planes) == 1
        self.total_weight = self.weigh((1 << len(graph)) - 1)

    @property
    def has_many_weights(self) -> bool:
        """Whether to weigh takes several times as long as where all paths weigh the same."""
        return len(self._planes) > _FEW_PLANES

    def closure_of(self, path: StorePath) -> int:
        """Return the set of all that `path` refers to, itself included."""
        return self._closures[path]

    def closure_bits(self, paths: Iterable[StorePath]) -> int:
        """Return the set of all that `paths` refer to, themselves included."""
        bits = 0
        for path in paths:
            bits |= self._closures[path]
        return bits

    def own_bits(self, paths: Iterable[StorePath]) -> int:
        """Return the set of `paths` themselves."""
        bits = 0
        for path in paths:
            # A path comes after all that it refers to.
            bits |= 1 << (self._closures[path].bit_length() - 1)
        return bits

    def size_bytes(self, paths: Iterable[StorePath]) -> int:
        """Return the sum of the NAR sizes of `paths`."""
        return sum(self._graph[path].nar_size_bytes for path in paths)

    def weigh(self, bits: int) -> int:
        """Return the weight of a set of paths, in small units."""
        if self._is_even:
            return bits.bit_count() << self._planes[0][0]
        weight = 0
        for plane, members in self._planes:
            weight += (bits & members).bit_count() << plane
        return weight

    def probability(self, paths: Iterable[StorePath]) -> float:
        """Return how likely an update changes any of `paths`."""
        if not self.total_weight:
            return 0.0
        return self.weigh(self.closure_bits(paths)) / self.total_weight

    def expected_bytes(self, groups: Iterable[Iterable[StorePath]]) -> float:
        """Return the bytes of an update, on average, with a layer for each group of paths."""
        cost = 0
        for group in groups:
            paths = tuple(group)
            cost += self.size_bytes(paths) * self.weigh(self.closure_bits(paths))
        return cost / self.total_weight if self.total_weight else 0.0

    def floor_bytes(self, paths: Iterable[StorePath]) -> float:
        """Return the same with a layer for each path, which no plan can beat."""
        return self.expected_bytes((path,) for path in paths)

    def expected_pull_bytes(self, groups: Iterable[Iterable[StorePath]]) -> float:
        """Return the same, by an engine that reuses layers only from the bottom.

        It pulls what lies above a change again. `groups` come from bottom to top.
        """
        cost = closure = 0
        for group in groups:
            paths = tuple(group)
            closure |= self.closure_bits(paths)
            cost += self.size_bytes(paths) * self.weigh(closure)
        return cost / self.total_weight if self.total_weight else 0.0


def _planes(members: Mapping[int, list[int]], bit_count: int) -> tuple[tuple[int, int], ...]:
    """Return, for each power of two that weights are made of, the set of paths that have it.

    `members` are the numbers of the paths of each weight. There are few planes where there are few
    weights, and one where all are equal.
    """
    planes: dict[int, bytearray] = {}
    for units, numbers in members.items():
        for plane in range(units.bit_length()):
            if units >> plane & 1:
                bits = planes.setdefault(plane, bytearray(bit_count // 8 + 1))
                for number in numbers:
                    bits[number // 8] |= 1 << number % 8
    return tuple((plane, int.from_bytes(planes[plane], "little")) for plane in sorted(planes))
