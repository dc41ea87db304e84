"""Compressed layers: what they are, by which compressor, and that nothing else has a say."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import random
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_store import FakeStore, planned
from nixbridge.errors import InputError
from nixbridge.oci import BlobDigest
from nixbridge.packing import Compression, LayerTree, layer_tree, packed_layer, write_blob
from nixbridge.packing.compression import CompressingSink

KINDS = ["gzip", "gzip:0", "gzip:3", "zlib:1", "zlib", "zstd:1", "zstd", "zstd:19"]
FAST_KINDS = ["gzip", "zlib:1", "zstd:1"]


def parsed(text: str) -> Compression:
    compression = Compression.parse(text)
    assert compression is not None
    return compression


def compressible(size_bytes: int, seed: int = 1) -> bytes:
    words = [b"alpha ", b"beta\n", b"\0" * 300, random.Random(seed).randbytes(5000)]
    choose = random.Random(seed).choice
    parts: list[bytes] = []
    total = 0
    while total < size_bytes:
        parts.append(choose(words))
        total += len(parts[-1])
    return b"".join(parts)[:size_bytes]


def compress(
    compression: Compression, data: bytes, cuts: list[int]
) -> tuple[bytes, BlobDigest, int]:
    out = io.BytesIO()
    with ThreadPoolExecutor(max_workers=1) as thread:
        sink = CompressingSink(compression, out, thread)
        begin = 0
        for end in [*sorted(cuts), len(data)]:
            buffer = bytearray(data[begin:end])
            sink.write(memoryview(buffer))
            buffer[:] = b"\xff" * len(buffer)  # a buffer may be used again after the call
            begin = end
        digest, size_bytes = sink.finish()
    return out.getvalue(), digest, size_bytes


def test_none_is_no_compression() -> None:
    assert Compression.parse("none") is None


@pytest.mark.parametrize(
    ("text", "level", "media_type", "identity"),
    [
        ("gzip", 2, "+gzip", r"isal [\d.]+ \(ISA-L [\d.]+\), level 2"),
        ("gzip:0", 0, "+gzip", r"isal [\d.]+ \(ISA-L [\d.]+\), level 0"),
        ("zlib", 6, "+gzip", rf"zlib {re.escape(zlib.ZLIB_RUNTIME_VERSION)}, level 6"),
        ("zstd", 3, "+zstd", r"zstandard [\d.]+ \(zstd [\d.]+\), level 3"),
        ("zstd:19", 19, "+zstd", r"zstandard [\d.]+ \(zstd [\d.]+\), level 19"),
    ],
)
def test_parse(text: str, level: int, media_type: str, identity: str) -> None:
    compression = parsed(text)
    assert compression.level == level
    assert compression.media_type == f"application/vnd.oci.image.layer.v1.tar{media_type}"
    assert re.fullmatch(identity, compression.identity)
    again = Compression.of_identity(compression.identity)
    assert again is not None
    assert (again.name, again.level) == (compression.name, level)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("gizp", "`gizp` is no compression that we know", "did you mean `gzip`?"),
        (
            "lz4",
            "`lz4` is no compression that we know",
            "known here: `none`, `gzip`, `zlib`, `zstd`",
        ),
        (
            "none:1",
            "`none` is no compression that we know",
            "did you mean `none`?",
        ),
        (
            "gzip:9",
            "`gzip` has no level `9`",
            "`gzip:0` is the fastest, `gzip:3` the smallest",
        ),
        ("zstd:", "`zstd` has no level ``", "`zstd:1` is the fastest, `zstd:22` the smallest"),
        ("zlib:٣", "`zlib` has no level `٣`", "`zlib:1` is the fastest, `zlib:9` the smallest"),
    ],
)
def test_parse_refuses(text: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        Compression.parse(text)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("kind", "library", "hint"),
    [
        (
            "gzip",
            "isal",
            "install `isal`, or use `zlib`, which is slower and makes other bytes",
        ),
        ("zstd", "zstandard", "install `zstandard`, or use `gzip`"),
    ],
)
def test_a_missing_library_is_not_replaced_silently(
    monkeypatch: pytest.MonkeyPatch, kind: str, library: str, hint: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError) as caught:
        Compression.parse(kind)
    assert caught.value.message == (
        f"`{kind}` needs the Python library `{library}`, which is not installed"
    )
    assert caught.value.hint == hint


def test_an_identity_of_another_version_is_not_here() -> None:
    with pytest.raises(InputError, match="is not installed"):
        Compression.of_identity("zlib 0.9, level 6")


@pytest.mark.tools
@pytest.mark.parametrize("kind", KINDS)
def test_the_judges_read_it_back(kind: str, require_tool: Callable[[str], str]) -> None:
    data = compressible(3_500_000)
    compression = parsed(kind)
    blob, digest, size_bytes = compress(compression, data, [])
    assert (digest, size_bytes) == (BlobDigest.of(blob), len(blob))
    assert len(blob) < len(data)
    tool = require_tool("zstd" if compression.media_type.endswith("zstd") else "gzip")
    done = subprocess.run([tool, "-dc"], input=blob, capture_output=True, check=True)
    assert done.stdout == data


@pytest.mark.parametrize("kind", ["gzip", "zlib:1"])
def test_gzip_has_no_time_and_no_name(kind: str) -> None:
    blob, _, _ = compress(parsed(kind), b"x", [])
    # https://www.rfc-editor.org/rfc/rfc1952: magic, deflate, no flags (as for a name), no time
    assert blob[:8] == b"\x1f\x8b\x08\0" + bytes(4)
    assert gzip.decompress(blob) == b"x"


@pytest.mark.tools
@pytest.mark.parametrize("kind", FAST_KINDS)
def test_nothing_can_be_compressed(kind: str, require_tool: Callable[[str], str]) -> None:
    blob, digest, size_bytes = compress(parsed(kind), b"", [])
    assert (digest, size_bytes) == (BlobDigest.of(blob), len(blob))
    tool = require_tool("zstd" if kind.startswith("zstd") else "gzip")
    done = subprocess.run([tool, "-dc"], input=blob, capture_output=True, check=True)
    assert done.stdout == b""


DATA = compressible(2_700_000, seed=7)
WHOLE = {kind: compress(parsed(kind), DATA, []) for kind in FAST_KINDS}


@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from(FAST_KINDS),
    cuts=st.lists(st.integers(0, len(DATA)), max_size=30),
)
def test_the_same_however_the_bytes_come(kind: str, cuts: list[int]) -> None:
    """ISA-L makes other bytes of other pieces, so what comes is cut anew."""
    assert compress(parsed(kind), DATA, cuts) == WHOLE[kind]


@pytest.mark.parametrize("kind", FAST_KINDS)
def test_several_layers_at_the_same_time(kind: str) -> None:
    """Streams that are under way side by side, in threads of their own, share nothing."""
    compression = parsed(kind)
    outs = [io.BytesIO() for _ in range(4)]
    with contextlib.ExitStack() as stack:
        sinks = [
            CompressingSink(
                compression, out, stack.enter_context(ThreadPoolExecutor(max_workers=1))
            )
            for out in outs
        ]
        for begin in range(0, len(DATA), 100_000):
            for sink in sinks:
                sink.write(DATA[begin : begin + 100_000])
        found = [sink.finish() for sink in sinks]
    whole, digest, size_bytes = WHOLE[kind]
    assert found == [(digest, size_bytes)] * 4
    assert {out.getvalue() for out in outs} == {whole}


def sample_tree() -> LayerTree:
    tree = LayerTree()
    tree.add_directory("/etc")
    for number in range(300):
        tree.add_file_bytes(f"/etc/file-{number}", compressible(number * 40, seed=number))
    return tree


@pytest.mark.parametrize("kind", FAST_KINDS)
def test_a_packed_layer(kind: str) -> None:
    compression = parsed(kind)
    plain, squeezed = io.BytesIO(), io.BytesIO()
    tar = write_blob(sample_tree(), plain)
    known = write_blob(sample_tree(), squeezed, compression=compression)
    packed = packed_layer(known, compression=compression, reason="r")
    blob = squeezed.getvalue()
    assert packed.diff_id == tar.diff_id
    assert packed.diff_id.hex == hashlib.sha256(plain.getvalue()).hexdigest()
    assert packed.tar_size_bytes == tar.tar_size_bytes == len(plain.getvalue())
    assert packed.descriptor.digest == BlobDigest.of(blob)
    assert packed.descriptor.size_bytes == len(blob)
    assert packed.descriptor.media_type == compression.media_type
    assert packed.descriptor.annotations == {
        "org.nixbridge.compression": compression.identity,
        "org.nixbridge.tar-size": str(tar.tar_size_bytes),
    }


@pytest.mark.parametrize("kind", FAST_KINDS)
def test_a_full_disk_is_not_swallowed(kind: str) -> None:
    class FullDisk:
        def write(self, _data: bytes | memoryview, /) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_blob(sample_tree(), FullDisk(), compression=parsed(kind))


def test_a_planned_layer(tmp_path: Path) -> None:
    store = FakeStore(tmp_path)
    info = store.add("app", {"bin": {"app": (b"#!/bin/sh\n" * 1000, True)}})
    out = io.BytesIO()
    tree = layer_tree(planned(info), store.root)
    known = write_blob(tree, out, compression=parsed("gzip"))
    assert known.diff_id.hex == hashlib.sha256(gzip.decompress(out.getvalue())).hexdigest()


MEASURE = """
import os, sys
from pathlib import Path
sys.path[:0] = [sys.argv[2]]
from fake_store import FakeStore, planned
from nixbridge.packing import Compression, layer_tree, write_blob

class Nowhere:
    def write(self, data):
        pass

store = FakeStore(Path(sys.argv[1]))
info = store.add("big", {"small": (b"", False)})
place = store.place(info)
place.chmod(0o755)

with (place / "big").open("wb") as file:
    for _ in range(200):
        file.write(os.urandom(1 << 19) + bytes(1 << 19))
tree = layer_tree(planned(info), store.root)
known = write_blob(tree, Nowhere(), compression=Compression.parse(sys.argv[3]))
assert known.blob_size_bytes > 100 << 20, known
# Not getrusage, which counts what the process was before it became Python.
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_the_blob_is_never_held_whole(tmp_path: Path, kind: str) -> None:
    """Of 200 MB, 100 of which cannot be compressed, no more is in memory than a few blocks."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path, Path(__file__).parent.parent, kind],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) < 80 << 10
