"""See a delivered image as a container of it does: its files, and commands run in it."""

from __future__ import annotations

from nixbridge.containers.container import (
    ENGINES,
    Bubblewrap,
    Container,
    Podman,
    Ran,
    open_container,
)
from nixbridge.containers.files import ImageFile, LayerFiles, layer_blobs, merge, read_layers

__all__ = [
    "ENGINES",
    "Bubblewrap",
    "Container",
    "ImageFile",
    "LayerFiles",
    "Podman",
    "Ran",
    "layer_blobs",
    "merge",
    "open_container",
    "read_layers",
]
