"""`reference_chains`: how the roots of a closure lead to one of its paths. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from nixbridge.closure.graph import ClosureGraph
from nixbridge.closure.store_path import StorePath


def referrers(graph: ClosureGraph) -> dict[StorePath, tuple[StorePath, ...]]:
    """Return what refers to each path but itself, sorted."""
    found: dict[StorePath, list[StorePath]] = {info.path: [] for info in graph}
    for info in graph:
        for reference in info.references:
            if reference != info.path:
                found[reference].append(info.path)
    return {path: tuple(paths) for path, paths in found.items()}


def reference_chains(
    graph: ClosureGraph, roots: Iterable[StorePath], path: StorePath
) -> tuple[tuple[StorePath, ...], ...]:
    """Return a shortest chain to `path` from each root that reaches it, the shortest first.

    Each path of a chain refers to the next one. Of several shortest ways, the one whose paths
    sort first is taken. A root that is `path` itself is a chain of one.
    """
    of = referrers(graph)
    next_paths: dict[StorePath, StorePath | None] = {path: None}
    edge = [path]
    while edge:
        reached: list[StorePath] = []
        for at in sorted(edge):
            for referrer in of[at]:
                if referrer not in next_paths:
                    next_paths[referrer] = at
                    reached.append(referrer)
        edge = reached
    chains = []
    for root in set(roots) & next_paths.keys():
        chain = [root]
        while (following := next_paths[chain[-1]]) is not None:
            chain.append(following)
        chains.append(tuple(chain))
    return tuple(sorted(chains, key=lambda chain: (len(chain), chain)))
