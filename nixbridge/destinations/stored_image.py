"""Look at an image where it was delivered: `nixbridge inspect`.

Reads manifest and config, and none of the layers. What is read is checked against the digest that
names it; formats that others write are understood as far as the OCI specification goes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol, runtime_checkable

from nixbridge.destinations.destination import Access
from nixbridge.destinations.oci_names import BLOBS_DIRECTORY, INDEX_FILE, REF_NAME
from nixbridge.destinations.staging import failing_at
from nixbridge.errors import DestinationError, InputError, IntegrityError, NixbridgeError
from nixbridge.oci import BlobDigest, DiffId
from nixbridge.packing.archive import Archive, open_archive

# As OCI has it: an `int64`.
_LARGEST_BYTES: Final = (1 << 63) - 1


class AbsentImageError(DestinationError):
    """There is no image where one was looked for; all else that can be asked there works."""


class _MissingFileError(DestinationError):
    """A file is not there that makes an image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredLayer:
    """A layer as manifest and config tell of it; `comment` is from its history entry.

    `digest` names its bytes as they are stored. Where the format keeps no manifest, it is None, and
    so is `media_type`.
    """

    diff_id: DiffId
    digest: BlobDigest | None
    size_bytes: int
    comment: str
    media_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredImage:
    """An image that was delivered; `digest` is None where the format keeps no manifest."""

    reference: str
    digest: BlobDigest | None
    config: Mapping[str, Any]
    layers: tuple[StoredLayer, ...]
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@runtime_checkable
class Inspectable(Protocol):
    """A destination that can be looked into."""

    def inspect(self, access: Access) -> StoredImage:
        """Return the image that the destination names.

        A registry tells `access.places` which blobs the image says that its repository has.

        Raises `AbsentImageError`: there is none. Raises `DestinationError`, `IntegrityError`.
        """


@runtime_checkable
class Updatable(Protocol):
    """A destination of which a delivery can use what lies there already."""

    def previous_image(self, access: Access) -> StoredImage:
        """Return the image that lies where a delivery would put another one.

        Raises `AbsentImageError`: there is none. Raises `DestinationError`, `IntegrityError`.
        """


@contextlib.contextmanager
def reading_digests(place: Path | str) -> Iterator[None]:
    """Say of a digest that is none where it stands: it is not the user who wrote it.

    Raises `DestinationError`.
    """
    try:
        yield
    except InputError as error:
        raise DestinationError(f"in `{place}` stands a digest that is none") from error


class _Blobs(Protocol):
    """Where an OCI layout has its files: a directory, or an archive of one."""

    @property
    def place(self) -> Path:
        """What an error names."""

    def read(self, name: str) -> bytes:
        """Return a file's contents.

        Raises `KeyError`: there is none of that name.
        """


@dataclass(frozen=True, slots=True)
class DirectoryBlobs:
    """The files of an OCI layout."""

    place: Path

    def read(self, name: str) -> bytes:
        """Return a file's contents."""
        with failing_at(self.place, doing="reading"):
            try:
                return (self.place / name).read_bytes()
            except FileNotFoundError as error:
                raise KeyError(name) from error


@dataclass(frozen=True, slots=True)
class ArchiveBlobs:
    """The members of an archive."""

    archive: Archive

    @property
    def place(self) -> Path:
        """The archive's file."""
        return self.archive.path

    @classmethod
    def at(cls, path: Path) -> ArchiveBlobs:
        """Open the archive at `path`.

        Raises `DestinationError`.
        """
        with failing_at(path, doing="reading"):
            try:
                return cls(open_archive(path))
            except FileNotFoundError as error:
                raise AbsentImageError(
                    f"reading `{path}` failed: no such file or directory"
                ) from error
            except ValueError as error:
                raise DestinationError(f"`{path}` is no tar archive") from error

    def read(self, name: str) -> bytes:
        """Return a member's contents."""
        with failing_at(self.place, doing="reading"):
            return self.archive.read(name)


def inspect_layout(blobs: _Blobs, name: str | None, *, reference: str) -> StoredImage:
    """Return the image `name` of an OCI layout; None is the only one.

    Raises `DestinationError`, `IntegrityError`.
    """
    try:
        index = _document(blobs, INDEX_FILE)
    except _MissingFileError as error:
        raise AbsentImageError(error.message) from error
    entry = _pick(_objects(index, "manifests", blobs.place), name, blobs.place)
    with reading_digests(blobs.place):
        digest = BlobDigest(str(entry.get("digest")))
    manifest = _blob(blobs, digest)
    described = manifest.get("config")
    if not isinstance(described, dict):
        raise DestinationError(f"the manifest `{digest}` in `{blobs.place}` names no config")
    with reading_digests(blobs.place):
        config_digest = BlobDigest(str(described.get("digest")))
    config = _blob(blobs, config_digest)
    return stored_image(manifest, config, reference=reference, digest=digest, place=blobs.place)


def stored_image(
    manifest: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    reference: str,
    digest: BlobDigest,
    place: Path | str,
) -> StoredImage:
    """Return the image that a manifest and its config describe; `place` is what an error names.

    Raises `DestinationError`: they are not what they should be.
    """
    layers = _objects(manifest, "layers", place)
    sizes = [_size_bytes(layer) for layer in layers]
    plain = _layers(config, sizes, place)
    with reading_digests(place):
        stored = tuple(
            replace(
                layer,
                digest=BlobDigest(str(described.get("digest"))),
                media_type=str(described.get("mediaType")),
                annotations=_annotations(described),
            )
            for layer, described in zip(plain, layers, strict=True)
        )
    return StoredImage(
        reference=reference,
        digest=digest,
        config=config,
        layers=stored,
        annotations=_annotations(manifest),
    )


def inspect_docker_archive(blobs: ArchiveBlobs, name: str | None, *, reference: str) -> StoredImage:
    """Return the image `name` of a docker-archive; None is the only one.

    Raises `DestinationError`.
    """
    place = blobs.place
    images = _json(blobs, "manifest.json")
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        raise DestinationError(f"`manifest.json` in `{place}` is no list of images")
    found = [image for image in images if name is None or name in (image.get("RepoTags") or [])]
    if len(found) != 1:
        tags = [str(tag) for image in images for tag in image.get("RepoTags") or []]
        raise _no_such_image(name, tags, place)
    config = _document(blobs, str(found[0].get("Config")))
    sizes = [blobs.archive.sizes_bytes.get(str(layer), 0) for layer in found[0].get("Layers", [])]
    layers = _layers(config, sizes, place)
    return StoredImage(reference=reference, digest=None, config=config, layers=layers)


def _layers(
    config: Mapping[str, Any],
    sizes_bytes: Sequence[int],
    place: Path | str,
) -> tuple[StoredLayer, ...]:
    if not isinstance(config.get("config"), dict | None):
        raise DestinationError(f"the config in `{place}` is no image's: it has no object `config`")
    root = config.get("rootfs")
    diff_ids = root.get("diff_ids") if isinstance(root, dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) != len(sizes_bytes):
        raise DestinationError(f"config and manifest in `{place}` disagree on the layers")
    history = [] if config.get("history") is None else _objects(config, "history", place)
    comments = [str(entry.get("comment", "")) for entry in history if not entry.get("empty_layer")]
    comments += [""] * (len(diff_ids) - len(comments))
    with reading_digests(place):
        return tuple(
            StoredLayer(
                diff_id=DiffId(str(diff_id)), digest=None, size_bytes=size_bytes, comment=comment
            )
            for diff_id, size_bytes, comment in zip(diff_ids, sizes_bytes, comments, strict=False)
        )


def _size_bytes(descriptor: Mapping[str, Any]) -> int:
    """Return the size that a descriptor gives; 0 for what is none."""
    size = descriptor.get("size")
    return size if isinstance(size, int) and 0 < size <= _LARGEST_BYTES else 0


def _annotations(document: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the annotations that are as they should be, a text each; others say nothing."""
    annotations = document.get("annotations")
    if not isinstance(annotations, dict):
        return MappingProxyType({})
    return {name: text for name, text in annotations.items() if isinstance(text, str)}


def _pick(entries: list[dict[str, Any]], name: str | None, place: Path) -> dict[str, Any]:
    def name_of(entry: dict[str, Any]) -> str | None:
        annotations = entry.get("annotations")
        return annotations.get(REF_NAME) if isinstance(annotations, dict) else None

    found = [entry for entry in entries if name is None or name_of(entry) == name]
    if len(found) != 1:
        raise _no_such_image(name, [name_of(entry) for entry in entries], place)
    return found[0]


def _no_such_image(name: str | None, names: Sequence[str | None], place: Path) -> NixbridgeError:
    listed = ", ".join("one without a name" if n is None else f"`{n}`" for n in names) or "none"
    if name is None and names:
        return InputError(
            f"`{place}` holds {len(names)} images", hint=f"add the name of one: {listed}"
        )
    what = "no image" if name is None else f"no image `{name}`"
    return AbsentImageError(f"`{place}` holds {what}", hint=f"it holds: {listed}")


def _blob(blobs: _Blobs, digest: BlobDigest) -> dict[str, Any]:
    name = f"{BLOBS_DIRECTORY}/{digest.hex}"
    data = _read(blobs, name)
    if BlobDigest.of(data) != digest:
        raise IntegrityError(
            f"the blob `{digest}` in `{blobs.place}` has the digest `{BlobDigest.of(data)}`"
        )
    return _object(data, name, blobs.place)


def _document(blobs: _Blobs, name: str) -> dict[str, Any]:
    return _object(_read(blobs, name), name, blobs.place)


def _read(blobs: _Blobs, name: str) -> bytes:
    try:
        return blobs.read(name)
    except KeyError as error:
        raise _MissingFileError(f"`{blobs.place}` holds no `{name}`") from error


def _json(blobs: _Blobs, name: str) -> object:
    return _parse(_read(blobs, name), name, blobs.place)


def _object(data: bytes, name: str, place: Path) -> dict[str, Any]:
    document = _parse(data, name, place)
    if not isinstance(document, dict):
        raise DestinationError(f"`{name}` in `{place}` is not a JSON object")
    return document


def _parse(data: bytes, name: str, place: Path) -> object:
    try:
        document: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DestinationError(f"`{name}` in `{place}` is not JSON: {error}") from error
    return document


def _objects(document: Mapping[str, Any], key: str, place: Path | str) -> list[dict[str, Any]]:
    values = document.get(key)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise DestinationError(f"`{place}` is no image that we know: it has no list `{key}`")
    return values
