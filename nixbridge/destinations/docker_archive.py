"""`docker-archive:FILE[:REF]`: the tar that `docker load` and `podman load` read; `-` is a stream.

One pass: a layer's digest is not known when its bytes begin, so layers are named by their number
and `manifest.json` comes last. Its format is told by Docker alone:
https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md#combined-image-json--filesystem-changeset-format
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final, Self

from nixbridge.destinations.destination import Access, BlobState, LayerSource
from nixbridge.destinations.staging import (
    BlobSink,
    Delivery,
    FileOutput,
    Output,
    failing_at,
    write_all,
)
from nixbridge.destinations.stored_image import (
    ArchiveBlobs,
    StoredImage,
    inspect_docker_archive,
)
from nixbridge.errors import DestinationError, InputError
from nixbridge.image import Image
from nixbridge.oci import Descriptor, ImageReference, json_bytes
from nixbridge.packing import PackedLayer
from nixbridge.packing.header import END_OF_ARCHIVE, file_header, padding

_STANDARD_OUTPUT: Final = "-"


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerArchive:
    """An archive at `path`, or on standard output where that is None.

    The image in it is called `reference`, and by its own name where that is None; where it
    `is_unnamed`, the archive gives it no name at all, and who loads it must.
    """

    path: Path | None
    reference: ImageReference | None = None
    is_unnamed: bool = False

    @property
    def takes_compressed_layers(self) -> bool:
        """No: a layer's size stands before it, and on a pipe there is no going back."""
        return False

    @property
    def default_compression(self) -> str:
        """None, as there can be no other."""
        return "none"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `FILE`, `FILE:NAME`, `FILE:NAME:TAG`, or `FILE:` for an image without a name.

        Without a tag it is `latest`, as to Docker.

        Raises `InputError`.
        """
        file, colon, name = text.partition(":")
        if not file:
            raise InputError(f"`docker-archive:{text}` names no file")
        path = None if file == _STANDARD_OUTPUT else Path(file)
        if colon and not name:
            return cls(path=path, is_unnamed=True)
        reference = ImageReference.parse(name) if colon else None
        if reference is not None and reference.digest is not None:
            raise InputError(
                f"`docker-archive:{text}` asks for a digest, which an archive cannot promise",
                hint=f"leave out `@{reference.digest}`",
            )
        if reference is not None and reference.tag is None:
            reference = ImageReference(name=reference.name, tag="latest")
        return cls(path=path, reference=reference)

    def open(self, *, default_reference: str, access: Access) -> DockerArchiveWriter:  # noqa: ARG002
        """Begin a delivery; a file that is no regular one, such as a pipe, is written as it comes.

        Raises `DestinationError`, `InputError`.
        """
        reference = None if self.is_unnamed else self.reference or _own_name(default_reference)
        if self.path is None:
            return DockerArchiveWriter(_standard_output(), reference, prefix="")
        prefix = f"docker-archive:{self.path}:"
        with failing_at(self.path):
            if self.path.exists() and not (self.path.is_file() or self.path.is_dir()):
                stream = Output(FileIO(self.path, "w"), place=self.path)
                return DockerArchiveWriter(stream, reference, prefix=prefix)
            return DockerArchiveWriter(FileOutput.begin(self.path), reference, prefix=prefix)

    def inspect(self, access: Access) -> StoredImage:  # noqa: ARG002 - files need none
        """Return the image in the archive.

        Raises `DestinationError`, `InputError`.
        """
        if self.path is None:
            raise InputError("an archive on standard output cannot be looked into")
        name = None if self.reference is None else str(self.reference)
        reference = f"docker-archive:{self.path}" + (f":{name}" if name else "")
        return inspect_docker_archive(ArchiveBlobs.at(self.path), name, reference=reference)


def _own_name(default_reference: str) -> ImageReference:
    try:
        return ImageReference.parse(default_reference)
    except InputError as error:
        # A store path may have a name that no image can have.
        raise InputError(
            error.message, hint="give the image another name: `docker-archive:FILE:NAME:TAG`"
        ) from error


def _standard_output() -> Output:
    if sys.stdout.isatty():
        raise DestinationError(
            "the archive would be written to the terminal",
            hint="send it to a file or a program: `nixbridge copy SOURCE - | podman load`",
        )
    place = "standard output"
    with failing_at(place):
        # Past Python's own buffer, which would complain once more at exit when the reader is gone.
        sys.stdout.flush()
        return Output(FileIO(os.dup(sys.stdout.fileno()), "w"), place=place)


class DockerArchiveWriter(Delivery):
    """One delivery."""

    def __init__(self, output: Output, reference: ImageReference | None, *, prefix: str) -> None:
        self._output = output
        self._reference = reference
        self._prefix = prefix
        self._layer_names: list[str] = []

    @property
    def publishes_by_renaming(self) -> bool:
        """Whether it is a file; a pipe's reader may go away."""
        return isinstance(self._output, FileOutput)

    def find_blob(self, _blob: Descriptor) -> BlobState:
        """Find none: an archive is written anew."""
        return BlobState.ABSENT

    def reuse_layer(self, layer: PackedLayer) -> None:
        """Refuse, as there is never a blob to reuse."""
        raise ValueError(layer.descriptor.digest)

    def begin_layer(self, size_bytes: int | None) -> BlobSink:
        """Begin the next layer, whose size is known.

        Raises `DestinationError`.
        """
        if size_bytes is None:
            raise ValueError(size_bytes)
        name = f"layer-{len(self._layer_names) + 1:03}.tar"
        self._layer_names.append(name)
        with failing_at(self._output.place):
            write_all(self._output.file, file_header(name, size_bytes))
        return BlobSink(
            self._output.file, size_bytes, place=self._output.place, finished=self._finish_layer
        )

    def _finish_layer(self, layer: PackedLayer) -> None:
        write_all(self._output.file, padding(layer.descriptor.size_bytes))

    def commit(self, image: Image, layers: LayerSource) -> str:  # noqa: ARG002
        """Write the end of the archive, return its digest reference.

        Raises `DestinationError`.
        """
        config_name = f"{image.config.digest.hex}.json"
        manifest = {
            "Config": config_name,
            "RepoTags": None if self._reference is None else [str(self._reference)],
            "Layers": self._layer_names,
        }
        with failing_at(self._output.place):
            self._write_member(config_name, image.config_bytes)
            self._write_member("manifest.json", json_bytes([manifest]))
            write_all(self._output.file, END_OF_ARCHIVE)
            self._output.publish()
        return f"{self._prefix}{self._reference or ''}@{image.digest}"

    def _write_member(self, name: str, data: bytes) -> None:
        write_all(self._output.file, file_header(name, len(data)) + data + padding(len(data)))

    def close(self) -> None:
        """End the delivery; what a pipe has swallowed cannot be taken back."""
        self._output.close()
