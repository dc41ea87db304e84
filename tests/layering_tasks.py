"""Closures and tasks for strategies, written down in a few letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from nixbridge.closure import ClosureGraph, NarHash, PathInfo, StorePath
from nixbridge.layering import LayerTask, PathGroup


def path_of(name: str) -> StorePath:
    return StorePath(f"/nix/store/{'0' * 32}-{name}")


def paths_of(names: str) -> tuple[StorePath, ...]:
    return tuple(path_of(name) for name in names.split())


def graph_of(references: Mapping[str, str], sizes: Mapping[str, int] | None = None) -> ClosureGraph:
    """Make a graph of names and the names that they refer to; sizes are 1 unless given."""
    return ClosureGraph.of(
        PathInfo(
            path=path_of(name),
            nar_hash=NarHash("0" * 64),
            nar_size_bytes=(sizes or {}).get(name, 1),
            references=tuple(sorted(paths_of(refers_to))),
        )
        for name, refers_to in references.items()
    )


def task_of(
    graph: ClosureGraph,
    max_layers: int,
    *,
    candidates: AbstractSet[StorePath] | None = None,
    weights: Mapping[StorePath, float] | None = None,
) -> LayerTask:
    """Ask for layers of the whole graph, unless candidates are given."""
    return LayerTask(
        graph=graph,
        candidates=graph.infos.keys() if candidates is None else candidates,
        max_layers=max_layers,
        weights=dict.fromkeys(graph.infos, 1.0) if weights is None else weights,
    )


def names(groups: Iterable[PathGroup]) -> list[str]:
    """Say what is in each group."""
    return [" ".join(path.name for path in group.paths) for group in groups]
