"""The strategy `single`: one layer with everything."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.layering.strategy import PathGroup


def single(
    graph: ClosureGraph,  # noqa: ARG001 - what every strategy is given
    candidates: AbstractSet[StorePath],
    max_layers: int,  # noqa: ARG001
) -> tuple[PathGroup, ...]:
    """Put all candidates into one layer."""
    return (PathGroup(paths=tuple(sorted(candidates)), reason="everything in one layer"),)
