"""`oci-archive:FILE[:NAME]`: one image in the OCI image layout, in a tar.

One pass over the layers: a blob is named by its digest, which is known when its last byte is
written; so room is left for its header, and the header is written by going back.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nixbridge.destinations.destination import Access, BlobState, LayerSource
from nixbridge.destinations.oci_names import (
    BLOBS_DIRECTORY,
    INDEX_FILE,
    LAYOUT_BYTES,
    LAYOUT_FILE,
    index_entry,
    new_index,
    parse_place_and_name,
)
from nixbridge.destinations.staging import BlobSink, Delivery, FileOutput, failing_at, write_all
from nixbridge.destinations.stored_image import ArchiveBlobs, StoredImage, inspect_layout
from nixbridge.image import Image
from nixbridge.oci import BlobDigest, Descriptor, json_bytes
from nixbridge.packing import PackedLayer
from nixbridge.packing.header import (
    END_OF_ARCHIVE,
    file_header,
    header_of_unknown_size,
    padding,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OciArchive:
    """An archive at `path`; the image in it is called `name`, or nothing."""

    path: Path
    name: str | None = None

    @property
    def takes_compressed_layers(self) -> bool:
        """Whether layers may be compressed while they are written."""
        return True

    @property
    def default_compression(self) -> str:
        """None, as with `oci:`."""
        return "none"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `FILE` or `FILE:NAME`.

        Raises `InputError`.
        """
        path, name = parse_place_and_name("oci-archive", text)
        return cls(path=path, name=name)

    def open(self, *, default_reference: str, access: Access) -> OciArchiveWriter:  # noqa: ARG002
        """Begin a delivery; as with skopeo, an image that got no name here stays without.

        Raises `DestinationError`.
        """
        with failing_at(self.path):
            return OciArchiveWriter(self, FileOutput.begin(self.path))

    def inspect(self, access: Access) -> StoredImage:  # noqa: ARG002 - files need none
        """Return the image in the archive.

        Raises `DestinationError`, `IntegrityError`, `InputError`.
        """
        reference = f"oci-archive:{self.path}" + (f":{self.name}" if self.name else "")
        return inspect_layout(ArchiveBlobs.at(self.path), self.name, reference=reference)


class OciArchiveWriter(Delivery):
    """One delivery."""

    def __init__(self, archive: OciArchive, output: FileOutput) -> None:
        self._archive = archive
        self._output = output
        self._blobs: set[BlobDigest] = set()
        self._layer_at = 0

    def find_blob(self, blob: Descriptor) -> BlobState:
        """Return whether the image had the blob in a layer before."""
        return BlobState.THERE if blob.digest in self._blobs else BlobState.ABSENT

    def reuse_layer(self, layer: PackedLayer) -> None:
        """Do nothing: the blob is in the archive."""

    def begin_layer(self, size_bytes: int | None) -> BlobSink:
        """Begin the next layer.

        Raises `DestinationError`.
        """
        # All digests are of one length, so room can be left for a header that names one.
        make_header = header_of_unknown_size if size_bytes is None else file_header
        with failing_at(self._archive.path):
            self._layer_at = self._output.file.tell()
            write_all(
                self._output.file, make_header(_blob_name(BlobDigest.of(b"")), size_bytes or 0)
            )

        def finish(layer: PackedLayer) -> None:
            self._finish_layer(layer, make_header)

        return BlobSink(self._output.file, size_bytes, place=self._archive.path, finished=finish)

    def _finish_layer(self, layer: PackedLayer, make_header: Callable[[str, int], bytes]) -> None:
        file = self._output.file
        digest, size_bytes = layer.descriptor.digest, layer.descriptor.size_bytes
        if digest in self._blobs:
            # A name may stand in an archive once.
            file.seek(self._layer_at)
            file.truncate()
            return
        self._blobs.add(digest)
        write_all(file, padding(size_bytes))
        file.seek(self._layer_at)
        write_all(file, make_header(_blob_name(digest), size_bytes))
        file.seek(0, os.SEEK_END)

    def commit(self, image: Image, layers: LayerSource) -> str:  # noqa: ARG002
        """Write the end of the archive, return its digest reference.

        Raises `DestinationError`.
        """
        index = new_index([index_entry(image, self._archive.name)])
        with failing_at(self._archive.path):
            self._write_member(_blob_name(image.config.digest), image.config_bytes)
            self._write_member(_blob_name(image.digest), image.manifest_bytes)
            self._write_member(LAYOUT_FILE, LAYOUT_BYTES)
            self._write_member(INDEX_FILE, json_bytes(index))
            write_all(self._output.file, END_OF_ARCHIVE)
            self._output.publish()
        name = "" if self._archive.name is None else f":{self._archive.name}"
        return f"oci-archive:{self._archive.path}{name}@{image.digest}"

    def _write_member(self, name: str, data: bytes) -> None:
        write_all(self._output.file, file_header(name, len(data)) + data + padding(len(data)))

    def close(self) -> None:
        """Remove what was not committed."""
        self._output.close()


def _blob_name(digest: BlobDigest) -> str:
    return f"{BLOBS_DIRECTORY}/{digest.hex}"
