"""`Image`: manifest and config, whose bytes are made once and never serialised again."""

from __future__ import annotations

from dataclasses import dataclass

from nixbridge.oci import BlobDigest, Descriptor, Platform
from nixbridge.packing import PackedLayer


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """An assembled image; its layers are from bottom to top."""

    platform: Platform
    manifest_bytes: bytes
    config_bytes: bytes
    config: Descriptor
    layers: tuple[PackedLayer, ...]

    @property
    def digest(self) -> BlobDigest:
        """The digest of the manifest: the name of the image."""
        return BlobDigest.of(self.manifest_bytes)
