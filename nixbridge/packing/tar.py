"""Write a `LayerTree` as a tar, and hash it on the way.

What is in the tar is decided in `tree.py`, the headers are `header.py`; what becomes of the bytes
is `pack.py`. Memory does not grow with the files: bytes are gathered in a few buffers of 1 MiB that
are used in turn. While one is hashed in a thread (`hashlib` lets go of the interpreter's lock) and
given to the sink, the next is filled.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

from nixbridge.errors import PackError
from nixbridge.oci import DiffId
from nixbridge.packing.header import END_OF_ARCHIVE, REGULAR, padding
from nixbridge.packing.packed_layer import Sink
from nixbridge.packing.tree import Entry, LayerTree, unreadable

_BUFFER_BYTES: Final = 1 << 20
_BUFFER_COUNT: Final = 4
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW


class Observer(Protocol):
    """Sees the files of a layer while they are packed, so that nobody has to read them again."""

    def begin(self, entry: Entry) -> None:
        """See that an entry begins, in the order of the tar."""

    def contents(self, data: bytes | memoryview, /) -> None:
        """See some of the entry's contents, which may be overwritten after the call returns."""


def write_tar(tree: LayerTree, sink: Sink, *, observer: Observer | None = None) -> DiffId:
    """Write the tar to `sink`, `tree.tar_size_bytes` bytes of it, and return its digest.

    Raises `PackError`: a file is unreadable, or has not the size it had when the tree was made.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="hash") as thread:
        stream = _Stream(sink, thread)
        for entry in tree.entries():
            if observer is not None:
                observer.begin(entry)
            stream.append(entry.header())
            if entry.kind != REGULAR:
                continue
            if entry.data is None:
                _append_file(stream, entry, observer)
            else:
                if observer is not None:
                    observer.contents(entry.data)
                stream.append(entry.data)
            stream.append(padding(entry.size_bytes))
        stream.append(END_OF_ARCHIVE)
        return stream.finish()


class _Stream:
    """Bytes on their way to a hash and a sink."""

    def __init__(self, sink: Sink, thread: ThreadPoolExecutor) -> None:
        self._sink = sink
        self._thread = thread
        self._hash = hashlib.sha256()
        self._buffers = [memoryview(bytearray(_BUFFER_BYTES)) for _ in range(_BUFFER_COUNT)]
        # What still has to happen before the buffer of the same number may be used again.
        self._hashing: list[Future[None] | None] = [None] * _BUFFER_COUNT
        self._number = 0
        self._filled_bytes = 0

    def append(self, data: bytes) -> None:
        """Take all of `data`."""
        begin = self._filled_bytes
        end = begin + len(data)
        if end < _BUFFER_BYTES:
            self._buffers[self._number][begin:end] = data
            self._filled_bytes = end
            return
        rest = memoryview(data)
        while rest:
            free = self.free()
            count = min(len(free), len(rest))
            free[:count] = rest[:count]
            self.advance(count)
            rest = rest[count:]

    def free(self) -> memoryview:
        """Return the part of the buffer that may be filled next; tell `advance` how far it was."""
        return self._buffers[self._number][self._filled_bytes :]

    def advance(self, count_bytes: int) -> None:
        """Take what was put into `free()`."""
        self._filled_bytes += count_bytes
        if self._filled_bytes == _BUFFER_BYTES:
            self._flush()

    def finish(self) -> DiffId:
        """Pass on what is left, and return the digest of everything."""
        self._flush()
        for hashing in self._hashing:
            if hashing is not None:
                hashing.result()
        return DiffId.from_hex(self._hash.hexdigest())

    def _flush(self) -> None:
        full = self._buffers[self._number][: self._filled_bytes]
        self._hashing[self._number] = self._thread.submit(self._hash.update, full)
        self._sink.write(full)
        self._number = (self._number + 1) % _BUFFER_COUNT
        self._filled_bytes = 0
        hashing = self._hashing[self._number]
        if hashing is not None:
            hashing.result()


def _append_file(stream: _Stream, entry: Entry, observer: Observer | None) -> None:
    # Only the reading stands inside `try`: an error of the sink is not the file's.
    try:
        descriptor = os.open(entry.place(), _OPEN_FLAGS)
    except OSError as error:
        raise unreadable(entry, error) from error
    try:
        left_bytes = entry.size_bytes
        while True:
            # One byte more than there should be, to see a file that has grown.
            free = stream.free()[: left_bytes + 1]
            try:
                count = os.readv(descriptor, (free,))
            except OSError as error:
                raise unreadable(entry, error) from error
            if count > left_bytes:
                raise _changed(entry)
            if observer is not None:
                observer.contents(free[:count])
            stream.advance(count)
            left_bytes -= count
            if count < len(free):
                break
    finally:
        os.close(descriptor)
    if left_bytes:
        raise _changed(entry)


def _changed(entry: Entry) -> PackError:
    return PackError(
        f"{entry.describe_origin()} changed while it was packed: "
        f"it should have {entry.size_bytes} bytes",
        hint="a store path never changes; check it with `nix store verify`",
    )
