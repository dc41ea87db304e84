"""Write a `LayerTree` as a tar, and hash it on the way.

What is in the tar is decided in `tree.py`, the headers are `header.py`; what becomes of the bytes
is `pack.py`. Memory does not grow with the files: they are read straight into a few buffers of
1 MiB that are used in turn. While one is hashed in a thread (`hashlib` lets go of the interpreter's
lock) and given to the sink, the next is filled; on a machine with one processor a thread would only
be in the way. In a worker (`workers.py`) the parent does both.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

from nixbridge.errors import PackError
from nixbridge.oci import DiffId
from nixbridge.packing.entry import Entry, unreadable
from nixbridge.packing.header import BLOCK_BYTES, END_OF_ARCHIVE, REGULAR, header, padding
from nixbridge.packing.packed_layer import Sink
from nixbridge.packing.tree import LayerTree

BUFFER_BYTES: Final = 1 << 20
BUFFER_COUNT: Final = 4
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW
# Files up to this size are read as a whole, and put into the buffer together with their header.
_SMALL_BYTES: Final = 32 << 10
# Of so many blocks: write a header and contents, and fill the last block with zeros.
_write_blocks: Final = tuple(
    struct.Struct(f"{BLOCK_BYTES}s {blocks * BLOCK_BYTES}s").pack_into
    for blocks in range(_SMALL_BYTES // BLOCK_BYTES + 1)
)


class Observer(Protocol):
    """Sees the files of a layer while they are packed, so that nobody has to read them again."""

    def begin(self, entry: Entry) -> None:
        """See that an entry begins, in the order of the tar."""

    def contents(self, data: bytes | memoryview, /) -> None:
        """See some of the entry's contents, which may be overwritten after the call returns."""

    def finish(self) -> None:
        """See that this was all."""


def write_tar(tree: LayerTree, sink: Sink, *, observer: Observer | None = None) -> DiffId:
    """Write the tar to `sink`, `tree.tar_size_bytes` bytes of it, and return its digest.

    Raises `PackError`: a file is unreadable, or has not the size it had when the tree was made.
    """
    with _hashing_thread() as thread:
        stream = _HashedStream(sink, thread)
        fill(stream, tree, observer)
        return stream.finish()


def _hashing_thread() -> AbstractContextManager[ThreadPoolExecutor | None]:
    if processor_count() == 1:
        return nullcontext()
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="hash")


def processor_count() -> int:
    """Return how many processors we may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Stream(ABC):
    """Bytes on their way, in buffers that are used in turn, as parts of `memory`."""

    def __init__(self, memory: memoryview) -> None:
        self._buffers = split_buffers(memory)
        self._number = 0
        self._buffer = self._buffers[0]
        self._filled_bytes = 0

    @abstractmethod
    def pass_on(self, number: int, filled_bytes: int) -> None:
        """Use what the buffer of that number is filled with; may return before that is done."""

    @abstractmethod
    def wait_for(self, number: int) -> None:
        """Return when the buffer of that number may be filled."""

    def append(self, data: bytes) -> None:
        """Take all of `data`."""
        begin = self._filled_bytes
        end = begin + len(data)
        if end < BUFFER_BYTES:
            self._buffer[begin:end] = data
            self._filled_bytes = end
            return
        rest = memoryview(data)
        while rest:
            free = self.free()
            count = min(len(free), len(rest))
            free[:count] = rest[:count]
            self.advance(count)
            rest = rest[count:]

    def append_member(self, head: bytes, data: bytes) -> None:
        """Take a header and the contents that belong to it, and fill their last block."""
        blocks = -(-len(data) // BLOCK_BYTES)
        begin = self._filled_bytes
        end = begin + (1 + blocks) * BLOCK_BYTES
        if end < BUFFER_BYTES and len(head) == BLOCK_BYTES and blocks < len(_write_blocks):
            _write_blocks[blocks](self._buffer, begin, head, data)
            self._filled_bytes = end
        else:
            for part in (head, data, padding(len(data))):
                self.append(part)

    def free(self) -> memoryview:
        """Return the part of the buffer that may be filled next; tell `advance` how far it was."""
        return self._buffer[self._filled_bytes :]

    def advance(self, count_bytes: int) -> None:
        """Take what was put into `free()`."""
        self._filled_bytes += count_bytes
        if self._filled_bytes == BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Pass on what is there."""
        self.pass_on(self._number, self._filled_bytes)
        self._number = (self._number + 1) % len(self._buffers)
        self._filled_bytes = 0
        self._buffer = self._buffers[self._number]
        self.wait_for(self._number)


def split_buffers(memory: memoryview) -> list[memoryview]:
    """Return the buffers that `memory` consists of."""
    return [memory[at : at + BUFFER_BYTES] for at in range(0, len(memory), BUFFER_BYTES)]


class _HashedStream(Stream):
    """Goes to a hash, in a thread where there is one, and to a sink."""

    def __init__(self, sink: Sink, thread: ThreadPoolExecutor | None) -> None:
        # Without a thread one buffer is enough, and stays in the processor's cache.
        count = 1 if thread is None else BUFFER_COUNT
        super().__init__(memoryview(bytearray(count * BUFFER_BYTES)))
        self._sink = sink
        self._thread = thread
        self._hash = hashlib.sha256()
        # What still has to happen before the buffer of the same number may be used again.
        self._hashing: list[Future[None] | None] = [None] * count

    def pass_on(self, number: int, filled_bytes: int) -> None:
        full = self._buffers[number][:filled_bytes]
        if self._thread is None:
            self._hash.update(full)
        else:
            self._hashing[number] = self._thread.submit(self._hash.update, full)
        self._sink.write(full)

    def wait_for(self, number: int) -> None:
        hashing = self._hashing[number]
        if hashing is not None:
            hashing.result()

    def finish(self) -> DiffId:
        """Return the digest of everything."""
        for number in range(len(self._buffers)):
            self.wait_for(number)
        return DiffId.from_hex(self._hash.hexdigest())


def fill(stream: Stream, tree: LayerTree, observer: Observer | None) -> None:
    """Put the tar into `stream`: this is where packing spends its time.

    Raises `PackError`, as `write_tar` does.
    """
    for entry in tree.entries():
        if observer is not None:
            observer.begin(entry)
        name, stamp, size_bytes, link_target, place, _, data, _ = entry
        head = header(name, stamp, size_bytes, link_target)
        if stamp.kind != REGULAR:
            data = b""
        elif data is None and size_bytes <= _SMALL_BYTES:
            try:
                data = _read(place, size_bytes)
            except OSError as error:
                raise unreadable(entry.describe_origin(), error) from error
            if len(data) != size_bytes:
                raise _changed(entry)
        if data is None:
            stream.append(head)
            _append_file(stream, entry, observer)
            stream.append(padding(size_bytes))
            continue
        if observer is not None:
            observer.contents(data)
        stream.append_member(head, data)
    stream.append(END_OF_ARCHIVE)
    stream.flush()
    if observer is not None:
        observer.finish()


def _read(place: bytes, size_bytes: int) -> bytes:
    descriptor = os.open(place, _OPEN_FLAGS)
    try:
        # One byte more than there should be, to see a file that has grown.
        return os.read(descriptor, size_bytes + 1)
    finally:
        os.close(descriptor)


def _append_file(stream: Stream, entry: Entry, observer: Observer | None) -> None:
    # Only the reading stands inside `try`: an error of the sink is not the file's.
    try:
        descriptor = os.open(entry.place, _OPEN_FLAGS)
    except OSError as error:
        raise unreadable(entry.describe_origin(), error) from error
    try:
        left_bytes = entry.size_bytes
        while True:
            # One byte more than there should be, to see a file that has grown.
            free = stream.free()[: left_bytes + 1]
            try:
                count = os.readv(descriptor, (free,))
            except OSError as error:
                raise unreadable(entry.describe_origin(), error) from error
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
