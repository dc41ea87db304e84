"""Images that are only shown to who asks for them: nothing is written, not even their layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from nixbridge.destinations.catalogue import Catalogue, repository_of
from nixbridge.destinations.destination import Access, BlobState, LayerSource, UnwrittenLayer
from nixbridge.destinations.serving import ListenAddress
from nixbridge.destinations.staging import Delivery
from nixbridge.image import Image
from nixbridge.oci import Descriptor, ImageReference
from nixbridge.packing import PackedLayer


class ServedWriter(Delivery):
    """Takes an image that is to be served: of its layers, only the digests are wanted.

    `state` is what it says of a layer that it can serve.
    """

    state = BlobState.THERE

    @property
    def publishes_by_renaming(self) -> bool:
        """No: an engine can refuse."""
        return False

    @property
    def takes_layers_side_by_side(self) -> bool:
        """Yes: they go nowhere."""
        return True

    def find_blob(self, _blob: Descriptor) -> BlobState:
        """Say that it need not be written: what is known can be made when it is asked for."""
        return self.state

    def reuse_layer(self, layer: PackedLayer) -> None:
        """Do nothing."""

    def begin_layer(self, size_bytes: int | None) -> UnwrittenLayer:  # noqa: ARG002
        """Begin a layer that is packed to learn its digest."""
        return UnwrittenLayer(self.state)

    def close(self) -> None:
        """Do nothing: nothing was written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """A registry of ours as a destination: what is delivered is in its catalogue.

    A digest reference is only the image's part of it, as the port is not known before it listens.
    """

    listen: ListenAddress
    catalogue: Catalogue = field(default_factory=Catalogue)

    @property
    def takes_compressed_layers(self) -> bool:
        """Whether layers may be compressed; they are, each time they are asked for."""
        return True

    @property
    def default_compression(self) -> str:
        """None, as most who ask are on this machine."""
        return "none"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `ADDRESS:PORT`.

        Raises `InputError`.
        """
        return cls(listen=ListenAddress.parse(text))

    def open(self, *, default_reference: str, access: Access) -> ServingWriter:  # noqa: ARG002
        """Begin a delivery.

        Raises `InputError`: the image has a name that it cannot be served by.
        """
        return ServingWriter(self.catalogue, ImageReference.parse(default_reference))


class ServingWriter(ServedWriter):
    """One delivery."""

    def __init__(self, catalogue: Catalogue, reference: ImageReference) -> None:
        self._catalogue = catalogue
        self._reference = reference

    def commit(self, image: Image, layers: LayerSource) -> str:
        """Show the image, return its digest reference.

        Raises `InputError`: there is another of its name.
        """
        repository, tag = repository_of(self._reference), str(self._reference.tag)
        self._catalogue.add(repository, tag, image, layers)
        return f"{repository}:{tag}@{image.digest}"
