"""How the blob of a layer is made of its tar: by gzip, by zstd, or (None) not at all; and back.

What a compressor makes depends on the library, its version and the level: together they are its
`identity`, which is recorded with each layer. So there is no falling back from one library to
another. The libraries are imported when they are asked for, as most runs need neither.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, Any, Final, Protocol, cast

from nixbridge.errors import InputError, near_miss_hint
from nixbridge.oci import MEDIA_TYPE_LAYER_GZIP, MEDIA_TYPE_LAYER_ZSTD, BlobDigest
from nixbridge.packing.packed_layer import Sink

# What ISA-L makes depends on where its input is cut, so the cuts are always at the same places.
_BLOCK_BYTES: Final = 1 << 20
# How many blocks may wait while one is compressed.
_WAITING_BLOCKS: Final = 2
# zlib's word for "with a header of gzip's, which has no time and no name in it".
_GZIP_WINDOW_BITS: Final = 31

_NONE: Final = "none"


class Compressor(Protocol):
    """One stream on its way, as in Python's `zlib`."""

    def compress(self, data: bytes | bytearray, /) -> bytes:
        """Take `data`, return what is ready."""

    def flush(self) -> bytes:
        """Return the rest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compression:
    """A compressor with its level; `identity` says in words what the bytes depend on."""

    name: str
    level: int
    identity: str
    media_type: str
    begin: Callable[[], Compressor]

    @classmethod
    def parse(cls, text: str) -> Compression | None:
        """Read `gzip`, `zstd:19` or the like; `none` is None.

        Raises `InputError`: there is no such compressor or level, or its library is not here.
        """
        name, colon, level_text = text.partition(":")
        if name == _NONE and not colon:
            return None
        kind = _KINDS.get(name)
        if kind is None:
            raise InputError(
                f"`{name}` is no compression that we know",
                hint=near_miss_hint(name, (_NONE, *_KINDS)),
            )
        levels, level, load = kind
        if colon:
            known = {str(number): number for number in levels}
            if level_text not in known:
                raise InputError(
                    f"`{name}` has no level `{level_text}`",
                    hint=f"`{name}:{levels[0]}` is the fastest, `{name}:{levels[-1]}` the smallest",
                )
            level = known[level_text]
        return load(level)

    @classmethod
    def of_identity(cls, identity: str | None) -> Compression | None:
        """Return the compressor of that identity; None is none.

        Raises `InputError`: it is not here, at least not in that version.
        """
        if identity is None:
            return None
        level = identity.rpartition(" ")[2]
        for name in _KINDS:
            with contextlib.suppress(InputError):
                compression = cls.parse(f"{name}:{level}")
                if compression is not None and compression.identity == identity:
                    return compression
        raise InputError(f"the compressor `{identity}` is not installed")


def _isal(level: int) -> Compression:
    try:
        import isal  # noqa: PLC0415 - see the module's docstring
        from isal import isal_zlib  # noqa: PLC0415
    except ImportError as error:
        raise _missing(
            "gzip", "isal", "or use `zlib`, which is slower and makes other bytes"
        ) from (error)
    return Compression(
        name="gzip",
        level=level,
        identity=f"isal {isal.__version__} (ISA-L {isal.ISAL_VERSION}), level {level}",
        media_type=MEDIA_TYPE_LAYER_GZIP,
        begin=lambda: isal_zlib.compressobj(level, wbits=_GZIP_WINDOW_BITS),
    )


def _zlib(level: int) -> Compression:
    return Compression(
        name="zlib",
        level=level,
        # Not the version of the header that Python was built with: zlib-ng can stand in for zlib.
        identity=f"zlib {zlib.ZLIB_RUNTIME_VERSION}, level {level}",
        media_type=MEDIA_TYPE_LAYER_GZIP,
        begin=lambda: zlib.compressobj(level, wbits=_GZIP_WINDOW_BITS),
    )


def _zstd(level: int) -> Compression:
    zstandard = _zstandard("or use `gzip`")
    version = ".".join(str(number) for number in zstandard.ZSTD_VERSION)
    return Compression(
        name="zstd",
        level=level,
        identity=f"zstandard {zstandard.__version__} (zstd {version}), level {level}",
        media_type=MEDIA_TYPE_LAYER_ZSTD,
        # Streams of one `ZstdCompressor` share its state, so each gets one of its own.
        begin=lambda: _zstd_stream(zstandard, level),
    )


def _zstandard(otherwise: str) -> Any:
    try:
        import zstandard  # noqa: PLC0415 - see the module's docstring
    except ImportError as error:
        raise _missing("zstd", "zstandard", otherwise) from error
    return zstandard


def _zstd_stream(zstandard: Any, level: int) -> Compressor:
    stream: Compressor = zstandard.ZstdCompressor(level=level).compressobj()
    return stream


def _missing(name: str, library: str, otherwise: str) -> InputError:
    return InputError(
        f"`{name}` needs the Python library `{library}`, which is not installed",
        hint=f"install `{library}`, {otherwise}",
    )


# The levels, the one that is taken where none is named, and the library. ISA-L's level 2 is as fast
# as 1 and smaller; for the others, what their makers take.
_KINDS: Final[Mapping[str, tuple[range, int, Callable[[int], Compression]]]] = MappingProxyType(
    {
        "gzip": (range(4), 2, _isal),
        "zlib": (range(1, 10), 6, _zlib),
        "zstd": (range(1, 23), 3, _zstd),
    }
)


class CompressingSink:
    """Takes a tar, and gives its compressed bytes to a sink; compresses in a thread of `thread`.

    `thread` has one worker, so that blocks stay in order. An error of the sink comes out of a
    later `write`, or of `finish`.
    """

    def __init__(self, compression: Compression, sink: Sink, thread: ThreadPoolExecutor) -> None:
        self._compressor = compression.begin()
        self._sink = sink
        self._thread = thread
        self._waiting: deque[Future[None]] = deque()
        self._block = bytearray()
        self._hash = hashlib.sha256()
        self._size_bytes = 0

    def write(self, data: bytes | memoryview, /) -> None:
        """Take all of `data`."""
        rest = memoryview(data).cast("B")
        while rest:
            part = rest[: _BLOCK_BYTES - len(self._block)]
            self._block += part
            rest = rest[len(part) :]
            if len(self._block) == _BLOCK_BYTES:
                self._submit()

    def finish(self) -> tuple[BlobDigest, int]:
        """Give the sink what is left; return the digest and size of all that it got."""
        self._submit()
        while self._waiting:
            self._waiting.popleft().result()
        self._pass_on(self._compressor.flush())
        return BlobDigest.from_hex(self._hash.hexdigest()), self._size_bytes

    def _submit(self) -> None:
        block, self._block = self._block, bytearray()
        self._waiting.append(self._thread.submit(self._compress, block))
        if len(self._waiting) > _WAITING_BLOCKS:
            self._waiting.popleft().result()

    def _compress(self, block: bytearray) -> None:
        self._pass_on(self._compressor.compress(block))

    def _pass_on(self, data: bytes) -> None:
        if data:
            self._hash.update(data)
            self._size_bytes += len(data)
            self._sink.write(data)


class Blob(Protocol):
    """What a blob is read from, from its begin to its end."""

    def read(self, size_bytes: int, /) -> bytes:
        """Return some bytes, none at the end."""


def decompress(blob: Blob, media_type: str) -> Iterator[bytes]:
    """Yield the tar that `blob` holds, a little at a time.

    Raises `ValueError`: it is damaged. Raises `OSError`. Raises `InputError`: the library that
    reads such blobs is not here.
    """
    tar: Blob = blob
    damage: tuple[type[Exception], ...] = ()
    if media_type == MEDIA_TYPE_LAYER_GZIP:
        tar = cast("Blob", gzip.GzipFile(fileobj=cast("IO[bytes]", blob), mode="rb"))
        damage = (EOFError, gzip.BadGzipFile, zlib.error)
    elif media_type == MEDIA_TYPE_LAYER_ZSTD:
        zstandard = _zstandard("or build upon another image")
        tar = zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True)
        damage = (zstandard.ZstdError,)
    try:
        while chunk := tar.read(_BLOCK_BYTES):
            yield chunk
    except damage as error:
        raise ValueError(str(error)) from error
