"""Layers on their way to a registry, while they are being packed.

A small layer is kept until it is whole, and sent again when need be. A larger one is sent as it
comes, by a thread of its own, with little waiting between the two; when that breaks, the layer is
lost (`LayerLostError`), and the delivery packs it again. The requests are `registry_blobs.py`'s.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from nixbridge.destinations.destination import LayerLostError
from nixbridge.destinations.registry_blobs import RegistryBlobs
from nixbridge.destinations.registry_errors import RequestFailedError
from nixbridge.errors import IntegrityError
from nixbridge.packing import PackedLayer

# A layer of so many bytes is kept, and sent when it is whole.
SMALL_LAYER_BYTES: Final = 4 << 20
# What is sent of a larger one at a time, and how many of these may wait for a slow registry.
_PIECE_BYTES: Final = 1 << 18
_WAITING_PIECES: Final = 8
# How long the thread of an upload that was given up may take to end; then it is left alone.
_GIVE_UP_SECONDS: Final = 1.0


class _AbandonedError(Exception):
    """Nobody wants the upload any more."""


class _Pieces:
    """What a stream is made of: put in by the one who packs, taken out by the one who sends."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._is_whole = False
        self._is_abandoned = False
        self._is_unread = False

    def put(self, piece: bytes) -> bool:
        """Add a piece when there is room; return whether anybody reads any more."""
        with self._condition:
            while len(self._waiting) >= _WAITING_PIECES and not self._is_unread:
                self._condition.wait()
            self._waiting.append(piece)
            self._condition.notify_all()
            return not self._is_unread

    def end(self) -> None:
        """Say that there are no more."""
        with self._condition:
            self._is_whole = True
            self._condition.notify_all()

    def abandon(self) -> None:
        """Make the reader fail."""
        with self._condition:
            self._is_abandoned = True
            self._condition.notify_all()

    def leave_unread(self) -> None:
        """Say that nobody reads any more."""
        with self._condition:
            self._is_unread = True
            self._waiting.clear()
            self._condition.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._condition:
                while not self._waiting and not self._is_whole and not self._is_abandoned:
                    self._condition.wait()
                if self._is_abandoned:
                    raise _AbandonedError
                if not self._waiting:
                    return
                piece = self._waiting.popleft()
                self._condition.notify_all()
            yield piece


class _Stream:
    """One blob on its way in a thread of its own, from POST to the end of PATCH."""

    def __init__(self, blobs: RegistryBlobs) -> None:
        self._blobs = blobs
        self._pieces = _Pieces()
        self._failure: BaseException | None = None
        self.location = blobs.begin()
        # A daemon: what hangs in a connection must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name="upload", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.location = self._blobs.stream(self.location, iter(self._pieces))
        except BaseException as error:  # noqa: BLE001 - it is raised where bytes are written
            self._failure = error
        finally:
            self._pieces.leave_unread()

    def put(self, piece: bytes) -> None:
        """Send a piece.

        Raises what sending raised.
        """
        if not self._pieces.put(piece):
            self.join()

    def join(self) -> None:
        """Wait until all is sent, and answered.

        Raises what sending raised.
        """
        self._pieces.end()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def abandon(self, longest_seconds: float = _GIVE_UP_SECONDS) -> None:
        """Stop, and wait for that."""
        self._pieces.abandon()
        self._thread.join(longest_seconds)


@dataclass
class Losses:
    """How many streams were lost, one after the other: the more, the longer is the next wait."""

    count: int = 0


class RegistryLayerSink:
    """One layer on its way to a registry."""

    def __init__(
        self, blobs: RegistryBlobs, losses: Losses, *, finished: Callable[[PackedLayer], None]
    ) -> None:
        self._blobs = blobs
        self._losses = losses
        self._finished = finished
        self._kept = bytearray()
        self._written_bytes = 0
        self._stream: _Stream | None = None

    def write(self, data: bytes | memoryview, /) -> None:
        """Take `data`.

        Raises `DestinationError`, `LayerLostError`.
        """
        rest = memoryview(data).cast("B")
        self._written_bytes += rest.nbytes
        self._kept += rest
        with self._told():
            if self._stream is None:
                if len(self._kept) <= SMALL_LAYER_BYTES:
                    return
                self._stream = _Stream(self._blobs)
            self._pass_on(self._stream, least_bytes=_PIECE_BYTES)

    def _pass_on(self, stream: _Stream, *, least_bytes: int) -> None:
        """Send what is kept, unless it is too little to be worth it."""
        if len(self._kept) < least_bytes:
            return
        kept, self._kept = self._kept, bytearray()
        for at in range(0, len(kept), _PIECE_BYTES):
            stream.put(bytes(memoryview(kept)[at : at + _PIECE_BYTES]))

    def finish(self, layer: PackedLayer) -> None:
        """Make the blob of what was written.

        Raises `DestinationError`, `IntegrityError`, `LayerLostError`.
        """
        blob = layer.descriptor
        if blob.size_bytes != self._written_bytes:
            raise IntegrityError(
                f"layer `{blob.digest}` has {self._written_bytes} bytes and describes itself as "
                f"{blob.size_bytes}"
            )
        with self._told():
            if self._stream is None:
                self._blobs.send(blob, bytes(self._kept))
            else:
                self._pass_on(self._stream, least_bytes=1)
                self._stream.join()
                self._blobs.finish_stream(blob, self._stream.location)
        self._stream = None
        self._losses.count = 0
        self._finished(layer)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn a failure into what a delivery knows.

        Raises `DestinationError`, `LayerLostError`.
        """
        try:
            yield
        except RequestFailedError as failure:
            is_lost = self._stream is not None
            self.abandon()
            if is_lost:
                self._losses.count += 1
                if self._blobs.wait_after_loss(self._losses.count, failure):
                    raise LayerLostError(failure.error) from failure
            raise failure.error from failure
        except BaseException:
            self.abandon()
            raise

    def stop(self, longest_seconds: float) -> None:
        """Send no more, and wait so long until that is so; `abandon` is to be called after it."""
        if self._stream is not None:
            self._stream.abandon(longest_seconds)

    def abandon(self) -> None:
        """Give up what was written, if it is not finished."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abandon()
            self._blobs.cancel(stream.location)
