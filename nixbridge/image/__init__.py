"""Assemble packed layers into an image: config, manifest, and the Nix database."""

from __future__ import annotations

from nixbridge.image.base_image import BaseImage, BaseLayer, read_base_image
from nixbridge.image.image import Image
from nixbridge.image.manifest import assemble
from nixbridge.image.nix_database import nix_database_tree

__all__ = [
    "BaseImage",
    "BaseLayer",
    "Image",
    "assemble",
    "nix_database_tree",
    "read_base_image",
]
