"""Assemble packed layers into an image: config, manifest, and the Nix database."""

from __future__ import annotations

from nixbridge.image.image import Image
from nixbridge.image.manifest import assemble

__all__ = ["Image", "assemble"]
