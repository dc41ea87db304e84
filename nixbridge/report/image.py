"""An assembled image as a table and as a document."""

from __future__ import annotations

import json
from typing import Any, Final

from nixbridge.destinations.stored_image import StoredImage
from nixbridge.image import Image
from nixbridge.report.plan import name_paths
from nixbridge.report.table import format_count, format_size, format_table

IMAGE_DOCUMENT_VERSION: Final = 1


def image_table(image: Image) -> str:
    """List the layers of `image` from bottom to top: digest, size, paths, reason."""
    rows = [
        (
            str(number),
            layer.diff_id.hex[:12],
            format_size(layer.descriptor.size_bytes),
            str(len(layer.paths)),
            name_paths(layer.paths),
            layer.reason,
        )
        for number, layer in enumerate(image.layers, 1)
    ]
    table = format_table(
        ("LAYER", "DIFF ID", "SIZE", "PATHS", "HOLDS", "REASON"), rows, right=frozenset({0, 2, 3})
    )
    size_bytes = sum(layer.descriptor.size_bytes for layer in image.layers)
    return f"{table}\n{format_count(len(image.layers), 'layer')}, {format_size(size_bytes)}"


def image_document(image: Image) -> dict[str, Any]:
    """Return what an image is made of."""
    return {
        "version": IMAGE_DOCUMENT_VERSION,
        "digest": str(image.digest),
        "platform": str(image.platform),
        "layers": [
            {
                "digest": str(layer.descriptor.digest),
                "diffId": str(layer.diff_id),
                "sizeBytes": layer.descriptor.size_bytes,
                "tarSizeBytes": layer.tar_size_bytes,
                "reason": layer.reason,
                "paths": [str(path) for path in layer.paths],
            }
            for layer in image.layers
        ],
    }


def stored_image_text(image: StoredImage) -> str:
    """Show the config of a delivered image and its layers from bottom to top."""
    config = image.config.get("config") or {}
    facts = [
        ("reference", image.reference),
        ("digest", str(image.digest or "the format keeps none")),
        ("platform", f"{image.config.get('os')}/{image.config.get('architecture')}"),
        ("created", str(image.config.get("created"))),
        *((key, json.dumps(value, ensure_ascii=False)) for key, value in config.items()),
    ]
    width = max(len(name) for name, _ in facts)
    lines = [f"{name.ljust(width)}  {value}" for name, value in facts]
    rows = [
        (str(number), str(layer.diff_id), format_size(layer.size_bytes), layer.comment)
        for number, layer in enumerate(image.layers, 1)
    ]
    header = ("LAYER", "DIFF ID", "SIZE", "COMMENT")
    return "\n".join((*lines, format_table(header, rows, right=frozenset({0, 2}))))


def stored_image_document(image: StoredImage) -> dict[str, Any]:
    """Return what `inspect --json` prints."""
    return {
        "version": IMAGE_DOCUMENT_VERSION,
        "reference": image.reference,
        "digest": None if image.digest is None else str(image.digest),
        "config": dict(image.config),
        "annotations": dict(image.annotations),
        "layers": [
            {
                "digest": None if layer.digest is None else str(layer.digest),
                "diffId": str(layer.diff_id),
                "mediaType": layer.media_type,
                "sizeBytes": layer.size_bytes,
                "comment": layer.comment,
                "annotations": dict(layer.annotations),
            }
            for layer in image.layers
        ],
    }
