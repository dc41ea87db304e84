"""Assemble packed layers into an `Image`: its configuration and its manifest.

The bytes are made here, once; every digest is of these bytes, and nobody serialises them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nixbridge.description import ImageDescription
from nixbridge.image.base_image import BaseImage
from nixbridge.image.config import config_bytes
from nixbridge.image.image import Image
from nixbridge.oci import (
    MEDIA_TYPE_CONFIG,
    MEDIA_TYPE_MANIFEST,
    BlobDigest,
    Descriptor,
    json_bytes,
)
from nixbridge.packing import PackedLayer


def assemble(
    description: ImageDescription, layers: Sequence[PackedLayer], *, base: BaseImage | None = None
) -> Image:
    """Return the image of `description` that has `layers`, from bottom to top.

    Those of `base`, if there is one, are the first of them.
    https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md
    """
    config = config_bytes(description, layers, base)
    config_descriptor = Descriptor(
        media_type=MEDIA_TYPE_CONFIG, digest=BlobDigest.of(config), size_bytes=len(config)
    )
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPE_MANIFEST,
        "config": config_descriptor.to_json(),
        "layers": [
            _without_annotations(layer.descriptor).to_json()
            if description.is_n2c_exact
            else layer.descriptor.to_json()
            for layer in layers
        ],
    }
    if description.annotations and not description.is_n2c_exact:
        manifest["annotations"] = dict(sorted(description.annotations.items()))
    return Image(
        platform=description.platform,
        manifest_bytes=json_bytes(manifest),
        config_bytes=config,
        config=config_descriptor,
        layers=tuple(layers),
    )


def _without_annotations(descriptor: Descriptor) -> Descriptor:
    return replace(descriptor, annotations={})
