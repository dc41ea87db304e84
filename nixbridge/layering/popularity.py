"""The strategy `popularity`: nix2container's, order for order, so that layers stay the same.

A path's popularity is 1 plus that of everything that refers to it, that is, the number of ways
down through the graph that end in it. The most popular paths get a layer each, the rest share one.
"""

from __future__ import annotations

from collections import Counter

from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.layering.strategy import LayerTask, PathGroup


def popularity(task: LayerTask) -> tuple[PathGroup, ...]:
    """Give the `max_layers` - 1 most popular candidates a layer each, and the rest the last one."""
    max_layers = task.max_layers
    ordered = [path for path in paths_by_popularity(task.graph) if path in task.candidates]
    alone = ordered if max_layers < 1 or len(ordered) <= max_layers else ordered[: max_layers - 1]
    referrers = Counter(
        reference for info in task.graph for reference in info.references if reference != info.path
    )
    groups = [PathGroup(paths=(path,), reason=_reason(referrers[path])) for path in alone]
    rest = ordered[len(alone) :]
    if rest:
        groups.append(
            PathGroup(paths=tuple(sorted(rest)), reason=f"the {len(rest)} least popular paths")
        )
    return tuple(groups)


def paths_by_popularity(graph: ClosureGraph) -> list[StorePath]:
    """Return all paths of the graph, the most popular first.

    Ties go to the path that comes *last* when the sorted paths are read, each followed by its
    sorted references. That is what nix2container does; any other rule would make other layers.
    """
    numbers: dict[StorePath, int] = {}
    for info in graph:
        for path in (info.path, *info.references):
            numbers.setdefault(path, len(numbers))
    # Numbers of ways grow exponentially with the depth of the graph. Where nix2container's 64 bits
    # would overflow, ours do not.
    scores = dict.fromkeys(numbers, 1)
    for path in reversed(graph.references_first()):
        for reference in graph[path].references:
            if reference != path:
                scores[reference] += scores[path]
    return sorted(numbers, key=lambda path: (scores[path], numbers[path]), reverse=True)


def _reason(referrer_count: int) -> str:
    if referrer_count == 0:
        return "alone: no path refers to it"
    if referrer_count == 1:
        return "popular: 1 path refers to it"
    return f"popular: {referrer_count} paths refer to it"
