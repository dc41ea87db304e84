"""The strategy `one-per-path`: each store path is a layer, so an update sends what changed only."""

from __future__ import annotations

from nixbridge.errors import PlanError
from nixbridge.layering.cost_model import CostModel
from nixbridge.layering.ordering import order_groups
from nixbridge.layering.strategy import LayerTask, PathGroup


def one_per_path(task: LayerTask) -> tuple[PathGroup, ...]:
    """Give each candidate a layer, large ones that change seldom at the bottom.

    Raises `PlanError`: there are more candidates than layers.
    """
    if 1 <= task.max_layers < len(task.candidates):
        raise PlanError(
            f"{len(task.candidates)} paths cannot have a layer each in {task.max_layers} layers",
            hint="allow more layers, or take the strategy `update-cost`",
        )
    return order_groups(
        task,
        CostModel(task.graph, task.weights),
        (PathGroup(paths=(path,), reason="a layer for each path") for path in task.candidates),
    )
