"""Decide which store path goes into which layer. Pure functions, one module a strategy."""

from __future__ import annotations

from nixbridge.layering.plan import NIX_DATABASE_REASON, LayerPlan, PlannedLayer, PlannedPath
from nixbridge.layering.planner import plan_layers
from nixbridge.layering.strategy import PathGroup, Strategy, find_strategy

__all__ = [
    "NIX_DATABASE_REASON",
    "LayerPlan",
    "PathGroup",
    "PlannedLayer",
    "PlannedPath",
    "Strategy",
    "find_strategy",
    "plan_layers",
]
