"""The strategy `one-per-path`: each store path is a layer, so an update sends what changed only."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.errors import PlanError
from nixbridge.layering.strategy import PathGroup


def one_per_path(
    graph: ClosureGraph, candidates: AbstractSet[StorePath], max_layers: int
) -> tuple[PathGroup, ...]:
    """Give each candidate a layer, below those of the paths that refer to it.

    Raises `PlanError`: there are more candidates than layers.
    """
    if 1 <= max_layers < len(candidates):
        raise PlanError(
            f"{len(candidates)} paths cannot have a layer each in {max_layers} layers",
            hint="allow more layers, or take the strategy `popularity`",
        )
    return tuple(
        PathGroup(paths=(path,), reason="a layer for each path")
        for path in graph.references_first()
        if path in candidates
    )
