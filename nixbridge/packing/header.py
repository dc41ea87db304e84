"""The headers of a tar, byte for byte as Go's `archive/tar` writes them.

Pure functions from facts to bytes; what is in a tar is `tree.py`, writing one is `tar.py`. USTAR is
used where it can hold the facts, else a PAX extended header stands before. Layers must have the
bytes that nix2container makes, so where the formats leave a choice it is Go's, and comments say so.
All times are 1 s after the epoch, all sizes are bytes.

https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple
from zlib import adler32

BLOCK_BYTES: Final = 512
END_OF_ARCHIVE: Final = bytes(2 * BLOCK_BYTES)

Kind = Literal[b"0", b"2", b"5"]
REGULAR: Final = b"0"
SYMLINK: Final = b"2"
DIRECTORY: Final = b"5"

_NAME_BYTES: Final = 100
_PREFIX_BYTES: Final = 155
_OWNER_NAME_BYTES: Final = 32
# One digit of each field is left to the NUL that ends it.
_OCTAL_SIZE_LIMIT: Final = 8**11
_OCTAL_ID_LIMIT: Final = 8**7

_LAST_ASCII: Final = 0x7F

_CHECKSUM_OF_SPACES: Final = 8 * ord(" ")
_MAGIC: Final = b"ustar\x0000"
_NO_DEVICE: Final = b"0000000\0" * 2


class Owner(NamedTuple):
    """Who owns a file in the image: root, if nothing is said."""

    uid: int = 0
    gid: int = 0
    uname: str = "root"
    gname: str = "root"


ROOT: Final = Owner()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stamp:
    """A kind, mode and owner, and what the headers of all such files share."""

    kind: Kind
    mode: int
    owner: Owner
    ids: bytes
    # From the kind to the end, where there is neither a link's target nor a prefix.
    tail: bytes
    owner_names: bytes
    checksum: int
    pax_records: tuple[tuple[bytes, bytes], ...]


@lru_cache(maxsize=1024)
def stamp_of(kind: Kind, mode: int, owner: Owner) -> Stamp:
    """Return the stamp of such files."""
    records: list[tuple[bytes, bytes]] = []
    ids = b"%07o\0" % mode
    for key, number in ((b"uid", owner.uid), (b"gid", owner.gid)):
        if not 0 <= number < _OCTAL_ID_LIMIT:
            records.append((key, b"%d" % number))
            number = 0  # noqa: PLW2901 - what does not fit is written as zero
        ids += b"%07o\0" % number
    owner_names = b""
    for key, name in ((b"uname", owner.uname), (b"gname", owner.gname)):
        text = name.encode("utf-8", "surrogateescape")
        if len(text) > _OWNER_NAME_BYTES or not text.isascii():
            records.append((key, text))
        owner_names += _best_effort(text, _OWNER_NAME_BYTES).ljust(_OWNER_NAME_BYTES, b"\0")
    tail = _tail(kind, b"", owner_names, b"")
    return Stamp(
        kind=kind,
        mode=mode,
        owner=owner,
        ids=ids,
        tail=tail,
        owner_names=owner_names,
        checksum=sum(ids) + _CHECKSUM_OF_SPACES + sum(tail),
        pax_records=tuple(records),
    )


# All files of a directory have the same prefix.
@lru_cache(maxsize=64)
def _tail(kind: Kind, link_target: bytes, owner_names: bytes, prefix: bytes) -> bytes:
    return b"%b%b%b%b%b%b" % (
        kind,
        link_target.ljust(_NAME_BYTES, b"\0"),
        _MAGIC,
        owner_names,
        _NO_DEVICE,
        prefix.ljust(_PREFIX_BYTES + 12, b"\0"),
    )


def header(name: bytes, stamp: Stamp, size_bytes: int = 0, link_target: bytes = b"") -> bytes:
    """Return the header of one file, with its PAX extended header before it where one is needed."""
    extended = prefix = b""
    if not _fits_one_block(name, stamp, size_bytes, link_target):
        # A name is split only where nothing else asks for an extended header.
        split = _split(name) if _fits_one_block(b"", stamp, size_bytes, link_target) else None
        if split is not None:
            prefix, name = split
        else:
            records = _pax_records(name, stamp, size_bytes, link_target)
            extended = _extended_header(name, records)
            name = _best_effort(name, _NAME_BYTES)
            link_target = _best_effort(link_target, _NAME_BYTES)
            size_bytes = size_bytes if size_bytes < _OCTAL_SIZE_LIMIT else 0
    tail = stamp.tail
    # The size and the time.
    numbers = b"%011o\x0000000000001\x00" % size_bytes
    varying = name + numbers
    if link_target or prefix:
        tail = _tail(stamp.kind, link_target, stamp.owner_names, prefix)
        varying += link_target + prefix
    # The low half of Adler-32 is one more than the sum of the bytes, as long as that stays below
    # 65521, which 379 bytes of ASCII do; and it is many times faster than `sum`.
    checksum = stamp.checksum + (adler32(varying) & 0xFFFF) - 1
    return extended + _pack(name, stamp.ids, numbers, _checksum_field(checksum), tail)


# A file's fields, up to the kind; then the rest, of which nothing mostly differs between files.
_pack: Final = struct.Struct("100s 24s 24s 8s 356s").pack


@lru_cache(maxsize=8192)
def _checksum_field(checksum: int) -> bytes:
    return b"%06o\0 " % checksum


def header_size_bytes(
    name: bytes, stamp: Stamp, size_bytes: int = 0, link_target: bytes = b""
) -> int:
    """Return the length of what `header` returns, mostly without making it."""
    if _fits_one_block(name, stamp, size_bytes, link_target):
        return BLOCK_BYTES
    return len(header(name, stamp, size_bytes, link_target))


def file_header(name: str, size_bytes: int) -> bytes:
    """Return the header of a regular file of root's with mode 0644."""
    return header(name.encode(), stamp_of(REGULAR, 0o644, ROOT), size_bytes)


def header_of_unknown_size(name: str, size_bytes: int = 0) -> bytes:
    """Return a header as `file_header` does, but of a length that does not depend on the size.

    So room can be left for it before the size is known.
    """
    extended = _extended_header(name.encode(), [(b"size", b"%d" % size_bytes)])
    return extended + file_header(name, size_bytes if size_bytes < _OCTAL_SIZE_LIMIT else 0)


def padding(size_bytes: int) -> bytes:
    """Return the zeros that fill the last block of a file of `size_bytes` bytes."""
    return bytes(-size_bytes % BLOCK_BYTES)


def _fits_one_block(name: bytes, stamp: Stamp, size_bytes: int, link_target: bytes) -> bool:
    """Return whether the plain fields hold all as it is, as they nearly always do."""
    return (
        len(name) <= _NAME_BYTES
        and len(link_target) <= _NAME_BYTES
        and size_bytes < _OCTAL_SIZE_LIMIT
        and not stamp.pax_records
        and name.isascii()
        and link_target.isascii()
    )


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Return the prefix and name that USTAR keeps `name` in, or None where it cannot.

    Like Go, cut at the last slash that leaves a prefix of at most 155 bytes, nowhere else.
    """
    if len(name) <= _NAME_BYTES or not name.isascii():
        return None
    cut = name.rfind(b"/", 0, _PREFIX_BYTES + 1)
    if cut <= 0 or not 0 < len(name) - cut - 1 <= _NAME_BYTES:
        return None
    return name[:cut], name[cut + 1 :]


def _pax_records(
    name: bytes, stamp: Stamp, size_bytes: int, link_target: bytes
) -> list[tuple[bytes, bytes]]:
    """Return what plain fields cannot hold; like Go, with a name that could be split."""
    records = list(stamp.pax_records)
    for key, text in ((b"path", name), (b"linkpath", link_target)):
        if len(text) > _NAME_BYTES or not text.isascii():
            records.append((key, text))
    if size_bytes >= _OCTAL_SIZE_LIMIT:
        records.append((b"size", b"%d" % size_bytes))
    return sorted(records)


def _extended_header(name: bytes, records: list[tuple[bytes, bytes]]) -> bytes:
    data = b"".join(_pax_record(key, value) for key, value in records)
    directory, slash, base_name = name.rpartition(b"/")
    alias = directory + slash + b"PaxHeaders.0/" + base_name
    alias = _only_ascii(alias)[:_NAME_BYTES].rstrip(b"/")
    # Unlike all other headers, Go leaves times, owner names and devices of this one empty.
    before = alias.ljust(_NAME_BYTES, b"\0") + b"0000000\0" * 3 + b"%011o\0" % len(data)
    before += b"00000000000\0"
    after = b"x" + bytes(_NAME_BYTES) + _MAGIC
    checksum = sum(before) + sum(after) + _CHECKSUM_OF_SPACES
    block = (before + b"%06o\0 " % checksum + after).ljust(BLOCK_BYTES, b"\0")
    return block + data + padding(len(data))


def _pax_record(key: bytes, value: bytes) -> bytes:
    # The length at the front counts its own digits.
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + len(b"%d" % len(rest))
    length = len(rest) + len(b"%d" % length)
    return b"%d%b" % (length, rest)


def _best_effort(text: bytes, width_bytes: int) -> bytes:
    """Return what a plain field shows of a text that stands in a PAX record.

    Like Go, never end in a slash by cutting: some readers take such a file for a directory.
    """
    text = _only_ascii(text)
    cut = text[:width_bytes]
    if len(text) > width_bytes and cut.endswith(b"/"):
        # Of several slashes Go replaces the first, which is enough.
        end = len(cut.rstrip(b"/"))
        cut = cut[:end] + b"\0" + cut[end + 1 :]
    return cut


def _only_ascii(text: bytes) -> bytes:
    return text if text.isascii() else bytes(byte for byte in text if byte <= _LAST_ASCII)
