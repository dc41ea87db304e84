"""`describe_closure`: the image description of plain store paths, which nobody wrote."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.description.description import ImageDescription, LayerDescription
from nixbridge.oci import Platform

# What nix2container writes when it is not told: no clock may come into an image.
_CREATED: Final = "0001-01-01T00:00:00Z"
# As in `nix/default.nix`, and as a spec has it.
_STRATEGY: Final = "update-cost"
_MAX_LAYERS: Final = 40


def describe_closure(
    graph: ClosureGraph, roots: Sequence[StorePath], *, name: str, tag: str, platform: Platform
) -> ImageDescription:
    """Describe an image of `roots` and all that they need, which starts nothing by itself.

    Raises `PlanError`: a root is not in `graph`.
    """
    return ImageDescription(
        name=name,
        tag=tag,
        platform=platform,
        created=_CREATED,
        config=MappingProxyType({}),
        annotations=MappingProxyType({}),
        layers=(
            LayerDescription(
                roots=tuple(roots),
                max_layers=_MAX_LAYERS,
                strategy=_STRATEGY,
                history=MappingProxyType({"created_by": "nixbridge"}),
            ),
        ),
        nix_database=None,
        closure=graph.closure_of(roots),
    )
