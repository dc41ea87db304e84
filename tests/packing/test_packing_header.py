"""Headers, judged by Go's `archive/tar` (frozen by `go_headers.go`) and by Python's `tarfile`."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from nixbridge.packing import END_OF_ARCHIVE, Owner, file_header, padding
from nixbridge.packing.header import (
    DIRECTORY,
    REGULAR,
    SYMLINK,
    Kind,
    header,
    header_of_unknown_size,
    stamp_of,
)

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("go_headers.json").read_text())
KINDS: dict[str, Kind] = {"0": REGULAR, "2": SYMLINK, "5": DIRECTORY}


def test_headers_are_those_that_go_writes() -> None:
    assert len(VECTORS) > 200
    different = []
    for vector in VECTORS:
        owner = Owner(
            vector["Uid"],
            vector["Gid"],
            bytes.fromhex(vector["Uname"]).decode(),
            bytes.fromhex(vector["Gname"]).decode(),
        )
        ours = header(
            bytes.fromhex(vector["Name"]),
            stamp_of(KINDS[vector["Kind"]], vector["Mode"], owner),
            vector["Size"],
            bytes.fromhex(vector["Link"]),
        )
        got = (len(ours), hashlib.sha256(ours).hexdigest())
        if got != (vector["HeaderBytes"], vector["HeaderSha256"]):
            different.append((vector, ours))
    assert different == []


def test_file_header_is_read_by_tarfile() -> None:
    for size_bytes in (0, 1, 511, 512, 513):
        data = b"x" * size_bytes
        archive = file_header("blobs/sha256/ab", size_bytes) + data + padding(size_bytes)
        assert len(archive) % 512 == 0
        with tarfile.open(fileobj=io.BytesIO(archive + END_OF_ARCHIVE)) as tar:
            (member,) = tar.getmembers()
            assert (member.name, member.size, member.mode) == ("blobs/sha256/ab", size_bytes, 0o644)
            assert (member.uid, member.gid, member.mtime) == (0, 0, 1)
            assert member.isreg()


def test_file_header_says_how_big_a_file_of_20_gib_is() -> None:
    archive = file_header("layer.tar", 20 << 30)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.next()
    assert member is not None
    assert member.size == 20 << 30


def test_a_header_of_unknown_size_is_as_long_for_any() -> None:
    sizes = (0, 5, (8 << 30) - 1, 8 << 30, 20 << 40)
    headers = [header_of_unknown_size("blobs/sha256/ab", size_bytes) for size_bytes in sizes]
    assert {len(each) for each in headers} == {len(header_of_unknown_size("blobs/sha256/cd"))}
    for size_bytes, each in zip(sizes, headers, strict=True):
        with tarfile.open(fileobj=io.BytesIO(each)) as tar:
            member = tar.next()
        assert member is not None
        assert (member.name, member.size, member.mode) == ("blobs/sha256/ab", size_bytes, 0o644)
