"""What a destination is: the interface that ours and anybody's implement (entry points).

The layers of an image come in order, each as a stream of bytes whose digest is not known (nor its
length, where it is being compressed); then comes the image that names them. So a layer is read
once, and nothing but the destination is written. A layer that is known already is only named where
the destination has its blob. Nothing appears under its final name before `commit`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Protocol, Self

from nixbridge.errors import DestinationError
from nixbridge.image import Image
from nixbridge.oci import BlobDigest, Descriptor
from nixbridge.packing import PackedLayer, Sink, Warn


class BlobPlaces(Protocol):
    """Where blobs were seen before, to mount them from; only a memory, which never fails."""

    def repositories(self, registry: str, digest: BlobDigest) -> tuple[str, ...]:
        """Return the repositories of `registry` that had the blob, the last seen first."""

    def remember_places(
        self, registry: str, repository: str, digests: Iterable[BlobDigest]
    ) -> None:
        """Keep in mind that `repository` has these blobs."""


def unheard(message: str, hint: str | None = None) -> None:
    """Take a warning that nobody wants to hear."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """How a place is reached; without arguments, as files are.

    `environment` is the process's: where credentials lie, `DOCKER_HOST` and the like.
    `credentials` is `USER[:PASSWORD]`, which is shown to nobody. TLS is verified unless
    `verifies_tls` is False; where that is None, `registries.conf` may say so. `option_prefix` is
    what the verb's options for this begin with, for hints to name them.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    credentials: str | None = field(default=None, repr=False)
    verifies_tls: bool | None = None
    certificates: Path | None = None
    warn: Warn = unheard
    places: BlobPlaces | None = None
    option_prefix: str = "--"

    @property
    def must_verify_tls(self) -> bool:
        """Whether TLS must be spoken, by somebody who is trusted."""
        return self.verifies_tls is not False


class BlobState(StrEnum):
    """Whether a destination has a blob, and since when: `MOUNTED` is since it was asked.

    `PULLABLE` it has or will pull during `commit`, when it says which of the two.
    """

    ABSENT = "absent"
    THERE = "there"
    MOUNTED = "mounted"
    PULLABLE = "pullable"


class LayerLostError(Exception):
    """What was written of a layer is lost, and may be written again; `error` says why.

    The delivery goes on: it packs the layer once more, for this destination only, and raises
    `error` if that comes to nothing as well. Whoever raises it has waited as long as it should.
    """

    def __init__(self, error: DestinationError) -> None:
        super().__init__(error.message)
        self.error = error


class UnreachableError(DestinationError):
    """Nobody answers where a place is said to be, or not as such a place does; or it is blocked.

    Whatever else is asked there will fail as well, after as long a wait.
    """


class LayerSink(Sink, Protocol):
    """One layer on its way: bytes, then `finish`; both may raise `LayerLostError`."""

    def finish(self, layer: PackedLayer) -> None:
        """Take the digests of the bytes that were written; called once, after the last byte."""


@dataclass(frozen=True, slots=True)
class UnwrittenLayer:
    """A layer that goes nowhere, as only its digest is wanted: it does not count as sent.

    `state` is what the destination has of it from now on.
    """

    state: BlobState

    def write(self, data: bytes | memoryview, /) -> None:
        """Drop `data`."""

    def finish(self, layer: PackedLayer) -> None:
        """Do nothing."""


class LayerSource(Protocol):
    """The layers of an image that is delivered, for who cannot say before which it will need."""

    def write_layer(self, layer: PackedLayer, sink: Sink) -> None:
        """Make the blob of a layer once more; may be called in several threads at the same time.

        Raises `PackError`, `InputError`; `IntegrityError`: it has not the digest that it should.
        """


class ImageWriter(Protocol):
    """One delivery. Leaving it without `commit` removes everything that it wrote.

    Where it takes layers side by side, `find_blob` and `reuse_layer` may be called in any thread.
    """

    def find_blob(self, blob: Descriptor) -> BlobState:
        """Return whether the blob is there, whole, so that its layer need not be written.

        Where it can be had without being sent, it is there afterwards, and was `MOUNTED`.

        Raises `DestinationError`.
        """

    def reuse_layer(self, layer: PackedLayer) -> None:
        """Take a layer whose blob is there, as `find_blob` said."""

    @property
    def takes_layers_side_by_side(self) -> bool:
        """Whether a layer may begin, in any thread, before the one begun last is finished."""

    @property
    def publishes_by_renaming(self) -> bool:
        """Whether `commit` hardly ever fails, as all that it does is on this machine's disk.

        Of several destinations, such are published last: what fails, fails before them.
        """

    def begin_layer(self, size_bytes: int | None) -> LayerSink:
        """Begin the next layer, of `size_bytes` bytes; None is not known yet.

        Raises `DestinationError`.
        """

    def give_up(self) -> None:
        """Let what other threads do here end soon, by any error: the delivery has failed."""

    def commit(self, image: Image, layers: LayerSource) -> str:
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


@contextlib.contextmanager
def giving_up(*writers: ImageWriter) -> Iterator[None]:
    """Give `writers` up when the body raises, an interrupt included.

    To be left before threads are waited for that write to them or ask them.
    """
    try:
        yield
    except BaseException:
        for writer in writers:
            writer.give_up()
        raise


class Destination(Protocol):
    """A place to deliver to, parsed from what stands behind its transport's name and colon."""

    @property
    def takes_compressed_layers(self) -> bool:
        """Whether layers may be compressed while they are written."""

    @property
    def default_compression(self) -> str:
        """What `--compression` is where the user gives none, for example `none` or `gzip`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `text`, for example `out:tag` of `oci:out:tag`; touches nothing.

        Raises `InputError`.
        """

    def open(self, *, default_reference: str, access: Access) -> ImageWriter:
        """Begin a delivery; `default_reference` is the image's own `name:tag`.

        Raises `DestinationError`.
        """
