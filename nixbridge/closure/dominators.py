"""`DominatorTree`: what each path of a closure brings into it that nothing else does.

Pure. A path *dominates* another if every way from the roots to the other leads through it: without
the one, the other would not be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from nixbridge.closure.graph import ClosureGraph
from nixbridge.closure.store_path import StorePath


@dataclass(frozen=True, slots=True)
class DominatorTree:
    """The tree of the paths that the roots reach; those that depend on no other one lie at its top.

    `parents` has the nearest path that each depends on, None at the top, referrers first.
    """

    parents: Mapping[StorePath, StorePath | None]

    @classmethod
    def of(cls, graph: ClosureGraph, roots: Iterable[StorePath]) -> Self:
        """Make the tree of what `roots` reach; each root is there of its own accord.

        Raises `PlanError`: a root is not in the graph.
        """
        tops = set(roots)
        reached = graph.closure_of(tops)
        order = reached.references_first()[::-1]
        rank = {path: at for at, path in enumerate(order)}
        parents: dict[StorePath, StorePath | None] = {}
        # In this order all that refers to a path is done before it.
        meeting: dict[StorePath, StorePath | None] = dict.fromkeys(tops)
        for path in order:
            parents[path] = meeting[path]
            for reference in reached[path].references:
                if reference == path:
                    continue
                if reference in meeting:
                    meeting[reference] = _meet(path, meeting[reference], parents, rank)
                else:
                    meeting[reference] = path
        return cls(parents)

    def dominated_by(self, path: StorePath) -> tuple[StorePath, ...]:
        """Return what would not be there without `path`, sorted; itself included."""
        found = {path}
        for other, parent in self.parents.items():
            if parent in found:
                found.add(other)
        return tuple(sorted(found))

    def dominated_size_bytes(self, graph: ClosureGraph) -> Mapping[StorePath, int]:
        """Return the NAR size of what would not be there without each path."""
        sizes = {path: graph[path].nar_size_bytes for path in self.parents}
        for path, parent in reversed(list(self.parents.items())):
            if parent is not None:
                sizes[parent] += sizes[path]
        return sizes


def _meet(
    one: StorePath | None,
    other: StorePath | None,
    parents: Mapping[StorePath, StorePath | None],
    rank: Mapping[StorePath, int],
) -> StorePath | None:
    """Return the lowest path of the tree that both depend on, or are; None is the top."""
    while one != other:
        if one is None or other is None:
            return None
        if rank[one] > rank[other]:
            one = parents[one]
        else:
            other = parents[other]
    return one
