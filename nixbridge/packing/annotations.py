"""What a layer's descriptor says of it, so that who has only the manifest knows the layer.

    org.nixbridge.layer-key    what its bytes are a function of (the digest of its recipe)
    org.nixbridge.compression  the identity of its compressor, where there is one
    org.nixbridge.tar-size     the bytes of its tar, in decimal
    org.nixbridge.store-paths  a line for each store path in it, sorted: `PATH NARSIZE`

A store path is named whether it is in the store or its files are copied to the root; the Nix
database has none. What somebody else wrote is a claim: it is parsed here, and believed elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Self

from nixbridge.closure import StorePath
from nixbridge.errors import InputError
from nixbridge.packing.layer_recipe import LayerKey

_LAYER_KEY: Final = "org.nixbridge.layer-key"
_COMPRESSION: Final = "org.nixbridge.compression"
_TAR_SIZE: Final = "org.nixbridge.tar-size"
_STORE_PATHS: Final = "org.nixbridge.store-paths"
# More digits than any size that there will be.
_MOST_DIGITS: Final = 18


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerAnnotations:
    """The annotations of one layer; what they do not say is None, or empty.

    `nar_sizes_bytes` has the layer's store paths. A layer without a `key` is not made by its
    recipe alone, or not by nixbridge.
    """

    key: LayerKey | None = None
    compression_identity: str | None = None
    tar_size_bytes: int | None = None
    nar_sizes_bytes: Mapping[StorePath, int] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def parse(cls, annotations: Mapping[str, str]) -> Self:
        """Read the annotations of a descriptor; those of others are passed over.

        Raises `InputError`: one of ours is malformed.
        """
        key, tar_size = annotations.get(_LAYER_KEY), annotations.get(_TAR_SIZE)
        lines = annotations.get(_STORE_PATHS, "").splitlines()
        return cls(
            key=None if key is None else LayerKey(key),
            compression_identity=annotations.get(_COMPRESSION),
            tar_size_bytes=None if tar_size is None else _size(tar_size, _TAR_SIZE),
            nar_sizes_bytes=dict(_path_and_size(line) for line in lines),
        )

    def to_oci(self) -> dict[str, str]:
        """Return the annotations as a descriptor has them."""
        annotations = {}
        if self.key is not None:
            annotations[_LAYER_KEY] = str(self.key)
        if self.compression_identity is not None:
            annotations[_COMPRESSION] = self.compression_identity
        if self.tar_size_bytes is not None:
            annotations[_TAR_SIZE] = str(self.tar_size_bytes)
        if self.nar_sizes_bytes:
            annotations[_STORE_PATHS] = "\n".join(
                sorted(f"{path} {size}" for path, size in self.nar_sizes_bytes.items())
            )
        return annotations


def _path_and_size(line: str) -> tuple[StorePath, int]:
    path, _, size = line.partition(" ")
    return StorePath.parse(path), _size(size, _STORE_PATHS)


def _size(text: str, name: str) -> int:
    # `isdecimal` alone would let the digits of all scripts pass.
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise InputError(f"the annotation `{name}` has `{text}` where a number of bytes should be")
    return int(text)
