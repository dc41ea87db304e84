"""Assemble packed layers into an image: config, manifest, and the Nix database."""

from __future__ import annotations

from nixbridge.image.image import Image
from nixbridge.image.manifest import assemble
from nixbridge.image.nix_database import nix_database_tree

__all__ = ["Image", "assemble", "nix_database_tree"]
