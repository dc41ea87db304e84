"""Decide which store path goes into which layer. Pure functions, one module a strategy."""

from __future__ import annotations

from nixbridge.layering.comparison import PlanCosts, compare_strategies, plan_floor_bytes
from nixbridge.layering.cost_model import CostModel
from nixbridge.layering.family import plan_family
from nixbridge.layering.history import Release, learn_weights
from nixbridge.layering.options import PlanOptions
from nixbridge.layering.plan import (
    MOST_LAYERS,
    NIX_DATABASE_REASON,
    LayerPlan,
    PlannedLayer,
    PlannedPath,
)
from nixbridge.layering.plan_file import plan_file_text
from nixbridge.layering.planner import cost_model_of, plan_layers
from nixbridge.layering.stability import (
    REPACK_WITHIN_UPDATES,
    PreviousPlan,
    Repacking,
    stable_groups,
)
from nixbridge.layering.strategy import LayerTask, PathGroup, Strategy, find_strategy

__all__ = [
    "MOST_LAYERS",
    "NIX_DATABASE_REASON",
    "REPACK_WITHIN_UPDATES",
    "CostModel",
    "LayerPlan",
    "LayerTask",
    "PathGroup",
    "PlanCosts",
    "PlanOptions",
    "PlannedLayer",
    "PlannedPath",
    "PreviousPlan",
    "Release",
    "Repacking",
    "Strategy",
    "compare_strategies",
    "cost_model_of",
    "find_strategy",
    "learn_weights",
    "plan_family",
    "plan_file_text",
    "plan_floor_bytes",
    "plan_layers",
    "stable_groups",
]
