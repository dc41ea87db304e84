"""`PackedLayer`: a layer whose bytes are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from nixbridge.closure import StorePath
from nixbridge.oci import BlobDigest, Descriptor, DiffId


class Sink(Protocol):
    """What a layer's bytes are written to: a file, a hash, an archive under way."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take all of `data`, which may be overwritten after the call returns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerBytes:
    """What is known of a layer's bytes: of its tar, and of the blob that is made of it."""

    diff_id: DiffId
    tar_size_bytes: int
    blob_digest: BlobDigest
    blob_size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedLayer:
    """A layer as it was written: its blob, the digest of its tar, and what it holds.

    `paths` are the store paths in it (none for the Nix database), `reason` says in words why it
    is a layer, `history` are the keys of its OCI history entry.
    """

    descriptor: Descriptor
    diff_id: DiffId
    tar_size_bytes: int
    paths: tuple[StorePath, ...]
    reason: str
    history: Mapping[str, str]
