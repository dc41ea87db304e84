"""The image description: the bridge between Nix and Python."""

from __future__ import annotations

from nixbridge.description.description import (
    DESCRIPTION_VERSION,
    ImageDescription,
    LayerDescription,
    NixDatabaseRequest,
    Perm,
)

__all__ = [
    "DESCRIPTION_VERSION",
    "ImageDescription",
    "LayerDescription",
    "NixDatabaseRequest",
    "Perm",
]
