"""Write one layer to several destinations at once, and once more where it was lost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from nixbridge.destinations import (
    BlobState,
    ImageWriter,
    LayerLostError,
    LayerSink,
    UnwrittenLayer,
)
from nixbridge.errors import IntegrityError
from nixbridge.oci import BlobDigest
from nixbridge.packing import LayerBytes, PackedLayer, Sink


class MadeLayers:
    """How each layer can be made once more."""

    def __init__(self) -> None:
        self._make: dict[BlobDigest, Callable[[Sink], LayerBytes]] = {}

    def add(self, layer: PackedLayer, make: Callable[[Sink], LayerBytes]) -> None:
        """Take note of how a layer is made."""
        self._make[layer.descriptor.digest] = make

    def write_layer(self, layer: PackedLayer, sink: Sink) -> None:
        """Make the blob of a layer once more.

        Raises `PackError`, `InputError`; `IntegrityError`: it has not the digest that it should.
        """
        found = self._make[layer.descriptor.digest](sink)
        if found.blob_digest != layer.descriptor.digest:
            raise IntegrityError(
                f"a layer ({layer.reason}) should be `{layer.descriptor.digest}`, and packing it "
                f"gives `{found.blob_digest}`",
                hint="its files changed, or what was known of it was wrong: run it again with "
                "`--check-contents`",
            )


def _unheard(written_bytes: int) -> None:
    pass


class CountingSink:
    """A sink that counts what goes through, and tells how much it was so far."""

    def __init__(self, sink: Sink, tell: Callable[[int], None] = _unheard) -> None:
        self._sink = sink
        self._tell = tell
        self.written_bytes = 0

    def write(self, data: bytes | memoryview, /) -> None:
        """Hand on `data`."""
        self._sink.write(data)
        self.written_bytes += memoryview(data).nbytes
        self._tell(self.written_bytes)


class Tee:
    """A sink that hands what it gets to the sinks of `writers`, as long as they do not lose it.

    Writers are known by their number. `lost` has those that lost the layer, `sent_bytes` what each
    was sent; `unwritten` those that want no layer sent, and what they have of it instead.
    """

    def __init__(self, writers: Mapping[int, ImageWriter], size_bytes: int | None) -> None:
        self.lost: dict[int, LayerLostError] = {}
        self.sent_bytes = dict.fromkeys(writers, 0)
        self.unwritten: dict[int, BlobState] = {}
        self._sinks: dict[int, LayerSink] = {}
        for number, writer in writers.items():
            with self._noticing_loss(number):
                self._sinks[number] = sink = writer.begin_layer(size_bytes)
                if isinstance(sink, UnwrittenLayer):
                    self.unwritten[number] = sink.state

    def write(self, data: bytes | memoryview, /) -> None:
        """Hand on `data`."""
        size_bytes = memoryview(data).nbytes
        for number, sink in tuple(self._sinks.items()):
            with self._noticing_loss(number):
                if number not in self.unwritten:
                    self.sent_bytes[number] += size_bytes
                sink.write(data)

    def finish(self, layer: PackedLayer) -> None:
        """Finish the layer where it was not lost."""
        for number, sink in tuple(self._sinks.items()):
            with self._noticing_loss(number):
                sink.finish(layer)

    @contextlib.contextmanager
    def _noticing_loss(self, number: int) -> Iterator[None]:
        try:
            yield
        except LayerLostError as loss:
            self._sinks.pop(number, None)
            self.lost[number] = loss
