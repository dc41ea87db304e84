"""What a destination is: the interface that ours and anybody's implement (entry points).

The layers of an image come in order, each as a stream of bytes whose digest is not known (nor its
length, where it is being compressed); then comes the image that names them. So a layer is read
once, and nothing but the destination is written. A layer that is known already is only named where
the destination has its blob. Nothing appears under its final name before `commit`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from nixbridge.image import Image
from nixbridge.oci import Descriptor
from nixbridge.packing import PackedLayer, Sink


class LayerSink(Sink, Protocol):
    """One layer on its way: bytes, then `finish`."""

    def finish(self, layer: PackedLayer) -> None:
        """Take the digests of the bytes that were written; called once, after the last byte."""


class ImageWriter(Protocol):
    """One delivery. Leaving it without `commit` removes everything that it wrote."""

    def has_blob(self, blob: Descriptor) -> bool:
        """Return whether the blob is there, whole, so that its layer need not be written.

        Raises `DestinationError`.
        """

    def reuse_layer(self, layer: PackedLayer) -> None:
        """Take a layer whose blob is there, as `has_blob` said."""

    @property
    def takes_layers_side_by_side(self) -> bool:
        """Whether a layer may begin, in any thread, before the one begun last is finished."""

    def begin_layer(self, size_bytes: int | None) -> LayerSink:
        """Begin the next layer, of `size_bytes` bytes; None is not known yet.

        Raises `DestinationError`.
        """

    def commit(self, image: Image) -> str:
        """Write config and manifest, make the image visible, return its digest reference.

        Raises `DestinationError`.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Destination(Protocol):
    """A place to deliver to, parsed from what stands behind its transport's name and colon."""

    @property
    def takes_compressed_layers(self) -> bool:
        """Whether layers may be compressed while they are written."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `text`, for example `out:tag` of `oci:out:tag`; touches nothing.

        Raises `InputError`.
        """

    def open(self, *, default_reference: str) -> ImageWriter:
        """Begin a delivery; `default_reference` is the image's own `name:tag`.

        Raises `DestinationError`.
        """
