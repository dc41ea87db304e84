"""Decide which store path goes into which layer. Pure functions, one module a strategy."""

from __future__ import annotations

from nixbridge.layering.plan import LayerPlan, PlannedLayer, PlannedPath

__all__ = ["LayerPlan", "PlannedLayer", "PlannedPath"]
