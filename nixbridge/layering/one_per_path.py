"""The strategy `one-per-path`: each store path is a layer, so an update sends what changed only."""

from __future__ import annotations

from nixbridge.errors import PlanError
from nixbridge.layering.strategy import LayerTask, PathGroup


def one_per_path(task: LayerTask) -> tuple[PathGroup, ...]:
    """Give each candidate a layer, below those of the paths that refer to it.

    Raises `PlanError`: there are more candidates than layers.
    """
    if 1 <= task.max_layers < len(task.candidates):
        raise PlanError(
            f"{len(task.candidates)} paths cannot have a layer each in {task.max_layers} layers",
            hint="allow more layers, or take the strategy `popularity`",
        )
    return tuple(
        PathGroup(paths=(path,), reason="a layer for each path")
        for path in task.graph.references_first()
        if path in task.candidates
    )
