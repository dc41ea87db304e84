"""Which images a registry of ours serves, under which names; nothing of HTTP is known here.

An image is found by its repository, and its tag or digest; a blob by the repository of an image
that has it, and nowhere else.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from nixbridge.destinations.destination import LayerSource
from nixbridge.destinations.repository import split_registry
from nixbridge.errors import InputError
from nixbridge.image import Image
from nixbridge.oci import BlobDigest, ImageReference
from nixbridge.packing import PackedLayer, Sink


class ServedBlob(Protocol):
    """A blob that can be made as often as it is asked for."""

    @property
    def digest(self) -> BlobDigest:
        """The digest of its bytes."""

    @property
    def size_bytes(self) -> int:
        """How many there are."""

    def write_to(self, sink: Sink) -> None:
        """Write all of it.

        Raises `PackError`, `InputError`; `IntegrityError`: it is not what it was.
        """


@dataclass(frozen=True, slots=True)
class _Bytes:
    """A blob in memory: an image's config."""

    digest: BlobDigest
    data: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def write_to(self, sink: Sink) -> None:
        sink.write(self.data)


@dataclass(frozen=True, slots=True)
class _Layer:
    """A blob that is packed anew."""

    layer: PackedLayer
    layers: LayerSource

    @property
    def digest(self) -> BlobDigest:
        return self.layer.descriptor.digest

    @property
    def size_bytes(self) -> int:
        return self.layer.descriptor.size_bytes

    def write_to(self, sink: Sink) -> None:
        self.layers.write_layer(self.layer, sink)


class Catalogue:
    """The images of a registry; one may be added while others are asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._images: dict[str, dict[str, Image]] = {}
        self._blobs: dict[str, dict[BlobDigest, ServedBlob]] = {}

    def add(self, repository: str, tag: str, image: Image, layers: LayerSource) -> None:
        """Serve an image as `repository:tag`.

        Raises `InputError`: there is another of that name.
        """
        with self._lock:
            images = self._images.setdefault(repository, {})
            if tag in images and images[tag].digest != image.digest:
                raise InputError(
                    f"two images would be served as `{repository}:{tag}`",
                    hint="give one of them another name or tag",
                )
            blobs = self._blobs.setdefault(repository, {})
            for layer in image.layers:
                blobs[layer.descriptor.digest] = _Layer(layer, layers)
            blobs[image.config.digest] = _Bytes(image.config.digest, image.config_bytes)
            images[tag] = image

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository, sorted; none: there is no such repository."""
        with self._lock:
            return sorted(self._images.get(repository, {}))

    def image(self, repository: str, name: str) -> Image | None:
        """Return the image of a tag or of a digest."""
        with self._lock:
            images = self._images.get(repository, {})
            return images.get(name) or next(
                (image for image in images.values() if str(image.digest) == name), None
            )

    def blob(self, repository: str, digest: BlobDigest) -> ServedBlob | None:
        """Return a blob of one of the repository's images."""
        with self._lock:
            return self._blobs.get(repository, {}).get(digest)


def repository_of(reference: ImageReference) -> str:
    """Return the repository that an image is served in: its name, without a registry's.

    `ghcr.io/me/app` is `me/app`: a registry's name may have a colon, and a path must not.
    """
    return split_registry(reference.name)[1]
