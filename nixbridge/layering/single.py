"""The strategy `single`: one layer with everything."""

from __future__ import annotations

from nixbridge.layering.strategy import LayerTask, PathGroup


def single(task: LayerTask) -> tuple[PathGroup, ...]:
    """Put all candidates into one layer."""
    return (PathGroup(paths=tuple(sorted(task.candidates)), reason="everything in one layer"),)
