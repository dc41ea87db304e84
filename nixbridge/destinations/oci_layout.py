"""`oci:DIR[:NAME]`: a directory in the OCI image layout, which may hold several images.

Blobs are staged and renamed; `index.json` comes last, also by renaming, so that the images that
were there are there all the time. An image without a name replaces the one without a name.
https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

from __future__ import annotations

import hashlib
import itertools
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Self

from nixbridge.destinations.destination import Access, BlobState, LayerSource
from nixbridge.destinations.oci_names import (
    BLOBS_DIRECTORY,
    INDEX_FILE,
    LAYOUT_BYTES,
    LAYOUT_FILE,
    REF_NAME,
    index_entry,
    new_index,
    parse_place_and_name,
)
from nixbridge.destinations.staging import (
    PARTIAL_PREFIX,
    BlobSink,
    Delivery,
    StagingDirectory,
    failing_at,
    locked,
    make_directory,
    remove_directories,
)
from nixbridge.destinations.stored_image import DirectoryBlobs, StoredImage, inspect_layout
from nixbridge.errors import DestinationError, IntegrityError
from nixbridge.image import Image
from nixbridge.oci import BlobDigest, Descriptor, json_bytes
from nixbridge.packing import PackedLayer


@dataclass(frozen=True, kw_only=True, slots=True)
class OciLayout:
    """The layout at `directory`; the image in it is called `name`, or nothing."""

    directory: Path
    name: str | None = None

    @property
    def takes_compressed_layers(self) -> bool:
        """Whether layers may be compressed while they are written."""
        return True

    @property
    def default_compression(self) -> str:
        """None: on a disk, reading what is compressed costs more than its room."""
        return "none"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `DIR` or `DIR:NAME`.

        Raises `InputError`.
        """
        directory, name = parse_place_and_name("oci", text)
        return cls(directory=directory, name=name)

    def open(self, *, default_reference: str, access: Access) -> OciLayoutWriter:  # noqa: ARG002
        """Begin a delivery; as with skopeo, an image that got no name here stays without.

        Raises `DestinationError`.
        """
        with failing_at(self.directory):
            made = make_directory(self.directory)
            with locked(self.directory):
                _refuse_other_things(self.directory)
                staging = StagingDirectory.make(self.directory)
        return OciLayoutWriter(self, staging, made, access)

    def blob(self, digest: BlobDigest) -> Path:
        """Return where a blob lies, or would."""
        return self.directory / BLOBS_DIRECTORY / digest.hex

    def inspect(self, access: Access) -> StoredImage:  # noqa: ARG002 - files need none
        """Return the image that lies there.

        Raises `DestinationError`, `IntegrityError`, `InputError`.
        """
        reference = f"oci:{self.directory}" + (f":{self.name}" if self.name else "")
        return inspect_layout(DirectoryBlobs(self.directory), self.name, reference=reference)

    def previous_image(self, access: Access) -> StoredImage:
        """Return the image that the tag names by now; see `inspect`."""
        return self.inspect(access)


class OciLayoutWriter(Delivery):
    """One delivery."""

    def __init__(
        self, layout: OciLayout, staging: StagingDirectory, made: list[Path], access: Access
    ) -> None:
        self._layout = layout
        self._access = access
        self._staging = staging
        self._made = made
        self._layers: list[FileIO] = []
        self._layer_numbers = itertools.count(1)
        self._staged: dict[BlobDigest, str] = {}
        self._reused: dict[BlobDigest, Descriptor] = {}

    def find_blob(self, blob: Descriptor) -> BlobState:
        """Return whether the blob is there, with the digest that its name says.

        Ours appear by renaming, so what is there was whole when it came. But a disk can fail, and
        others write into layouts, too: what is found is read, which is quicker than packing it.

        Raises `DestinationError`.
        """
        if blob.digest in self._staged:
            return BlobState.THERE
        if not self._is_there(blob):
            return BlobState.ABSENT
        path = self._layout.blob(blob.digest)
        with failing_at(self._layout.directory, doing="reading"), path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found == blob.digest.hex:
            return BlobState.THERE
        self._access.warn(
            f"the blob `{blob.digest}` in `{self._layout.directory}` is damaged; it is written anew"
        )
        return BlobState.ABSENT

    def _is_there(self, blob: Descriptor) -> bool:
        """Return whether there is a file of the blob's name and size."""
        with failing_at(self._layout.directory, doing="reading"):
            try:
                status = self._layout.blob(blob.digest).lstat()
            except FileNotFoundError:
                return False
        return stat.S_ISREG(status.st_mode) and status.st_size == blob.size_bytes

    def reuse_layer(self, layer: PackedLayer) -> None:
        """Take a layer whose blob is there."""
        if layer.descriptor.digest not in self._staged:
            self._reused[layer.descriptor.digest] = layer.descriptor

    @property
    def takes_layers_side_by_side(self) -> bool:
        """Yes: each is a file of its own."""
        return True

    def begin_layer(self, size_bytes: int | None) -> BlobSink:
        """Begin the next layer.

        Raises `DestinationError`.
        """
        name = f"layer-{next(self._layer_numbers)}"
        with failing_at(self._layout.directory):
            file = self._staging.open(name)
        self._layers.append(file)

        def finish(layer: PackedLayer) -> None:
            file.close()
            self._staged[layer.descriptor.digest] = name

        return BlobSink(file, size_bytes, place=self._layout.directory, finished=finish)

    def commit(self, image: Image, layers: LayerSource) -> str:  # noqa: ARG002
        """Write config, manifest and index, return the digest reference.

        Raises `DestinationError`, `IntegrityError`.
        """
        for layer in image.layers:
            if layer.descriptor.digest not in self._staged.keys() | self._reused.keys():
                raise IntegrityError(
                    f"the image names layer `{layer.descriptor.digest}`, which was not written"
                )
        directory = self._layout.directory
        with failing_at(directory), locked(directory):
            for blob in self._reused.values():
                if not self._is_there(blob):
                    raise DestinationError(
                        f"the blob `{blob.digest}` was removed from `{directory}` meanwhile",
                        hint="run it again",
                    )
            # All that needs room is written before anything appears.
            for digest, data in (
                (image.config.digest, image.config_bytes),
                (image.digest, image.manifest_bytes),
            ):
                self._staging.write(digest.hex, data)
                self._staged[digest] = digest.hex
            self._staging.write(LAYOUT_FILE, LAYOUT_BYTES)
            index = _with_entry(_read_index(directory), index_entry(image, self._layout.name))
            self._staging.write(INDEX_FILE, json_bytes(index))
            # Whoever finds the rest of a killed delivery shall know that this is a layout.
            self._staging.publish(LAYOUT_FILE, directory / LAYOUT_FILE)
            self._made += make_directory(directory / BLOBS_DIRECTORY)
            for digest, staged in self._staged.items():
                self._staging.publish(staged, self._layout.blob(digest))
            self._staging.publish(INDEX_FILE, directory / INDEX_FILE)
        name = "" if self._layout.name is None else f":{self._layout.name}"
        return f"oci:{directory}{name}@{image.digest}"

    def close(self) -> None:
        """Remove what was not committed."""
        for file in self._layers:
            file.close()
        self._staging.remove()
        remove_directories(self._made)


def _refuse_other_things(directory: Path) -> None:
    """Refuse a directory that holds anything but a layout; ours under way are nothing yet."""
    names = {path.name for path in directory.iterdir() if not path.name.startswith(PARTIAL_PREFIX)}
    if names and LAYOUT_FILE not in names:
        raise DestinationError(
            f"`{directory}` is not empty, and it is no OCI layout: it has no `{LAYOUT_FILE}`",
            hint="name a directory that is new or empty",
        )
    if names:
        layout = _read_json(directory / LAYOUT_FILE)
        if layout.get("imageLayoutVersion") != "1.0.0":
            raise DestinationError(
                f"`{directory}` is an OCI layout of a version that is not ours: "
                f"`{layout.get('imageLayoutVersion')}`"
            )
        _read_index(directory)


def _read_index(directory: Path) -> dict[str, Any]:
    path = directory / INDEX_FILE
    if not path.exists():
        return new_index([])
    index = _read_json(path)
    manifests = index.get("manifests")
    if not isinstance(manifests, list) or not all(isinstance(entry, dict) for entry in manifests):
        raise DestinationError(f"`{path}` is no index of images: it has no list `manifests`")
    return index


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DestinationError(f"`{path}` is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise DestinationError(f"`{path}` is not a JSON object")
    return document


def _with_entry(index: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """Return `index` with `entry` in the place of the one of the same name, else at its end."""
    manifests: list[dict[str, Any]] = []
    replaced = False
    for other in index["manifests"]:
        if _ref_name(other) != _ref_name(entry):
            manifests.append(other)
        elif not replaced:
            manifests.append(entry)
            replaced = True
    return {**index, "manifests": manifests if replaced else [*manifests, entry]}


def _ref_name(entry: Mapping[str, Any]) -> object:
    annotations = entry.get("annotations")
    return annotations.get(REF_NAME) if isinstance(annotations, dict) else None
