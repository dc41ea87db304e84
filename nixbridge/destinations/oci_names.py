"""What `oci:` and `oci-archive:` share: `PLACE[:NAME]`, and the two files that make a layout.

https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from nixbridge.errors import InputError
from nixbridge.image import Image
from nixbridge.oci import MEDIA_TYPE_INDEX, MEDIA_TYPE_MANIFEST, Descriptor

LAYOUT_FILE: Final = "oci-layout"
INDEX_FILE: Final = "index.json"
BLOBS_DIRECTORY: Final = "blobs/sha256"
LAYOUT_BYTES: Final = b'{"imageLayoutVersion":"1.0.0"}'

# https://github.com/opencontainers/image-spec/blob/v1.1.0/annotations.md#pre-defined-annotation-keys
REF_NAME: Final = "org.opencontainers.image.ref.name"
_COMPONENT: Final = r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*"
_REF_NAME: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")


def parse_place_and_name(transport: str, text: str) -> tuple[Path, str | None]:
    """Read `PLACE[:NAME]`; the first colon counts, so the name may have more and the place none.

    Raises `InputError`.
    """
    place, colon, name = text.partition(":")
    if not place:
        raise InputError(
            f"`{transport}:{text}` names no place", hint=f"write `{transport}:PLACE:TAG`"
        )
    if colon and not _REF_NAME.fullmatch(name):
        raise InputError(
            f"`{name}` in `{transport}:{text}` cannot name an image",
            hint="a path may not have a colon; behind it stands a tag such as `latest`",
        )
    return Path(place), name if colon else None


def index_entry(image: Image, name: str | None) -> dict[str, Any]:
    """Return the entry of `image` in an index."""
    manifest = Descriptor(
        media_type=MEDIA_TYPE_MANIFEST, digest=image.digest, size_bytes=len(image.manifest_bytes)
    )
    entry = manifest.to_json()
    entry["platform"] = {
        "architecture": image.platform.architecture,
        "os": image.platform.os,
    }
    if name is not None:
        entry["annotations"] = {REF_NAME: name}
    return entry


def new_index(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an index of `manifests`."""
    return {"schemaVersion": 2, "mediaType": MEDIA_TYPE_INDEX, "manifests": manifests}
