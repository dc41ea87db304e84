"""`ClosureGraph`: a set of store paths that holds every reference of its members.

Pure, no I/O. Closed, and acyclic but for self-references; both are checked where it is made, so
everybody else may rely on them. Iteration is in the order of the paths' text, whatever the order
of the input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Self

from nixbridge.closure.path_info import PathInfo
from nixbridge.closure.store_path import StorePath
from nixbridge.errors import PlanError


@dataclass(frozen=True, slots=True)
class ClosureGraph:
    """A closed, acyclic set of `PathInfo`, sorted by path."""

    infos: Mapping[StorePath, PathInfo]
    # What `references_first` returned: it is asked for several times of a large graph.
    _order: list[StorePath] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, infos: Iterable[PathInfo]) -> Self:
        """Make the graph of `infos`; the same path may come twice if it says the same.

        Raises `PlanError`: a reference is missing, references form a cycle, or a path is
        described in two ways.
        """
        by_path: dict[StorePath, PathInfo] = {}
        for info in infos:
            known = by_path.setdefault(info.path, info)
            if _content(known) != _content(info):
                raise PlanError(f"the closure describes `{info.path}` in two different ways")
        for info in by_path.values():
            for reference in info.references:
                if reference not in by_path:
                    raise PlanError(
                        f"the closure is open: `{info.path}` refers to `{reference}`, "
                        "which is not in it",
                        hint="ask Nix for the whole closure: `nix path-info --recursive --json`",
                    )
        graph = cls(MappingProxyType({path: by_path[path] for path in sorted(by_path)}))
        graph._refuse_cycles()
        return graph

    def _refuse_cycles(self) -> None:
        try:
            self._sorter().prepare()
        except CycleError as error:
            # graphlib lists what is referred to before what refers to it.
            cycle = " → ".join(f"`{path.base_name}`" for path in reversed(error.args[1]))
            raise PlanError(f"the closure has a cycle of references: {cycle}") from error

    def _sorter(self) -> TopologicalSorter[StorePath]:
        return TopologicalSorter(
            {
                path: [reference for reference in info.references if reference != path]
                for path, info in self.infos.items()
            }
        )

    def __len__(self) -> int:
        return len(self.infos)

    def __iter__(self) -> Iterator[PathInfo]:
        return iter(self.infos.values())

    def __contains__(self, path: object) -> bool:
        return path in self.infos

    def __getitem__(self, path: StorePath) -> PathInfo:
        return self.infos[path]

    def closure_of(self, roots: Iterable[StorePath]) -> ClosureGraph:
        """Return the part of the graph that `roots` reach, themselves included.

        Raises `PlanError`: a root is not in the graph.
        """
        reached: set[StorePath] = set()
        waiting = list(roots)
        while waiting:
            path = waiting.pop()
            if path in reached:
                continue
            if path not in self.infos:
                raise PlanError(f"`{path}` is not in the closure")
            reached.add(path)
            waiting.extend(self.infos[path].references)
        if len(reached) == len(self):
            return self
        # A part that holds all that it reaches is closed and acyclic as the whole is.
        return ClosureGraph(
            MappingProxyType({path: info for path, info in self.infos.items() if path in reached})
        )

    def references_first(self) -> tuple[StorePath, ...]:
        """Return all paths, each after those that it refers to.

        By how many steps lead down from them, then by their names: hashes decide only where two
        paths have one name.
        """
        if not self._order:
            steps: dict[StorePath, int] = {}
            for path in self._sorter().static_order():
                below = [steps[other] for other in self.infos[path].references if other != path]
                steps[path] = 1 + max(below, default=0)
            self._order.extend(sorted(steps, key=lambda path: (steps[path], path.name, path)))
        return tuple(self._order)

    @property
    def closure_size_bytes(self) -> int:
        """The sum of the NAR sizes of all paths."""
        return sum(info.nar_size_bytes for info in self)


def _content(info: PathInfo) -> tuple[object, ...]:
    """Return what must be the same of a path everywhere; the deriver may differ."""
    return (info.nar_hash, info.nar_size_bytes, info.references)
