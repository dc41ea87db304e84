"""A small image with real tars as layers, and its delivery; shared by the destinations' tests."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nixbridge.closure import ClosureGraph
from nixbridge.description import ImageDescription
from nixbridge.destinations import Access, Destination, parse_destination
from nixbridge.image import Image, assemble
from nixbridge.oci import MEDIA_TYPE_LAYER_TAR, BlobDigest, Descriptor, DiffId, Platform
from nixbridge.packing import PackedLayer, Sink


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def packed(tar: bytes) -> PackedLayer:
    hexdigest = hashlib.sha256(tar).hexdigest()
    return PackedLayer(
        descriptor=Descriptor(
            media_type=MEDIA_TYPE_LAYER_TAR,
            digest=BlobDigest.from_hex(hexdigest),
            size_bytes=len(tar),
        ),
        diff_id=DiffId.from_hex(hexdigest),
        tar_size_bytes=len(tar),
        paths=(),
        reason="sample",
        history={"created_by": "a test"},
    )


class NoLayers:
    """For destinations that were given all layers before."""

    def write_layer(self, layer: PackedLayer, sink: Sink) -> None:
        raise AssertionError((layer, sink))


@dataclass(frozen=True)
class Sample:
    """An image whose layers are `tars`, from bottom to top."""

    tars: tuple[bytes, ...]

    @property
    def image(self) -> Image:
        description = ImageDescription(
            name="shop",
            tag="1",
            platform=Platform(architecture="amd64"),
            created="1970-01-01T00:00:01Z",
            config={"Cmd": ("/bin/shop",), "Env": ("A=<&>",), "Labels": {"b": "2", "a": "1"}},
            annotations={"org.example.note": "sample"},
            layers=(),
            nix_database=None,
            closure=ClosureGraph.of([]),
        )
        return assemble(description, [packed(tar) for tar in self.tars])

    def deliver(self, destination: Destination | str, access: Access | None = None) -> str:
        if isinstance(destination, str):
            destination = parse_destination(destination)
        with destination.open(default_reference="shop:1", access=access or Access()) as writer:
            for tar in self.tars:
                sink = writer.begin_layer(len(tar))
                # In two parts, the second from a buffer that changes afterwards.
                sink.write(tar[:700])
                buffer = bytearray(tar[700:])
                sink.write(memoryview(buffer))
                buffer[:] = bytes(len(buffer))
                sink.finish(packed(tar))
            return writer.commit(self.image, NoLayers())

    def interrupt(self, destination: Destination | str, *, layers: int) -> None:
        """Deliver so many layers and half of one more, and raise `Interrupted`."""
        if isinstance(destination, str):
            destination = parse_destination(destination)
        with destination.open(default_reference="shop:1", access=Access()) as writer:
            for tar in self.tars[:layers]:
                sink = writer.begin_layer(len(tar))
                sink.write(tar)
                sink.finish(packed(tar))
            writer.begin_layer(10_000).write(b"half")
            raise Interrupted


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The test stopped a delivery."""


# The second and the last are the same: a layer may come twice.
SAMPLE = Sample(
    (
        tar_of({"bin/shop": b"#!/bin/sh\n", "etc/empty": b""}),
        tar_of({"twice": b"2"}),
        tar_of({f"many/{number}": b"x" * number * 100 for number in range(40)}),
        tar_of({"twice": b"2"}),
    )
)
OTHER = Sample((tar_of({"other": b"1"}),))
EMPTY = Sample(())

# A program for tests that kill it or take its room: delivers the sample, with a line before it.
PROGRAM = """
import os, resource, signal, sys
sys.path.insert(0, {tests!r})
from destinations.sample_image import SAMPLE
from nixbridge.destinations import staging
{preparation}
print(SAMPLE.deliver({destination!r}))
"""


def program(destination: str, preparation: str) -> str:
    """Return the program's text."""
    return PROGRAM.format(
        tests=str(Path(__file__).parent.parent),
        destination=destination,
        preparation=preparation,
    )


def files_below(directory: Path) -> dict[str, bytes]:
    """Return everything below `directory` by its name; a directory has an empty value."""
    return {
        str(path.relative_to(directory)): b"" if path.is_dir() else path.read_bytes()
        for path in sorted(directory.rglob("*"))
    }


def modes_below(directory: Path, paths: Sequence[str]) -> list[str]:
    return [f"{(directory / path).stat().st_mode:o}" for path in paths]
