"""`BaseImage`: the image that another one builds upon (`fromImage`), made by whatever tool.

Read are a directory of skopeo's `dir:` transport (what `pullImage` makes), an OCI layout, and an
archive of an OCI layout or of `docker save`. The layers' blobs are handed on as they are,
compressed or not, and hashed on their way: what is not what its digest promises never becomes part
of an image. What is taken over of the config is `description/inheritance.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, Protocol

from nixbridge.closure import StorePath, StoreRoot
from nixbridge.description.config_keys import CONFIG_KEYS
from nixbridge.description.fields import Fields
from nixbridge.errors import InputError, IntegrityError
from nixbridge.oci import (
    MEDIA_TYPE_INDEX,
    MEDIA_TYPE_LAYER_GZIP,
    MEDIA_TYPE_LAYER_TAR,
    MEDIA_TYPE_LAYER_ZSTD,
    BlobDigest,
    Descriptor,
    DiffId,
    Platform,
)
from nixbridge.packing import LayerBytes, PackedLayer, Sink, decompress
from nixbridge.packing.archive import Archive, open_archive

_LAYOUT_FILE: Final = "oci-layout"
_INDEX_FILE: Final = "index.json"
_MANIFEST_FILE: Final = "manifest.json"
# https://github.com/opencontainers/image-spec/blob/v1.1.0/media-types.md#compatibility-matrix
_LAYER_MEDIA_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        MEDIA_TYPE_LAYER_TAR: MEDIA_TYPE_LAYER_TAR,
        MEDIA_TYPE_LAYER_GZIP: MEDIA_TYPE_LAYER_GZIP,
        MEDIA_TYPE_LAYER_ZSTD: MEDIA_TYPE_LAYER_ZSTD,
        "application/vnd.docker.image.rootfs.diff.tar": MEDIA_TYPE_LAYER_TAR,
        "application/vnd.docker.image.rootfs.diff.tar.gzip": MEDIA_TYPE_LAYER_GZIP,
    }
)
_INDEX_MEDIA_TYPES: Final = (
    MEDIA_TYPE_INDEX,
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
# How compressed files begin: a docker-archive does not say which of its layers are.
_MAGIC: Final[Mapping[bytes, str]] = MappingProxyType(
    {b"\x1f\x8b": MEDIA_TYPE_LAYER_GZIP, b"\x28\xb5\x2f\xfd": MEDIA_TYPE_LAYER_ZSTD}
)
_MAGIC_BYTES: Final = 4
_CHUNK_BYTES: Final = 1 << 20


class _Files(Protocol):
    """The files of an image in one of its formats."""

    def __contains__(self, name: str) -> bool: ...

    def size_bytes(self, name: str) -> int:
        """Return the size of a file that is there."""

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Open a file that is there."""


@dataclass(frozen=True, slots=True)
class _DirectoryFiles:
    directory: Path
    store: StoreRoot

    def _locate(self, name: str) -> Path:
        path = self.directory / name
        if not path.is_symlink():
            return path
        # pullImageFromManifest links to blobs that are store paths of their own.
        target = str(path.readlink())
        try:
            return self.store.locate(StorePath.parse(target))
        except InputError:
            return path

    def __contains__(self, name: object) -> bool:
        return self._locate(str(name)).is_file()

    def size_bytes(self, name: str) -> int:
        return self._locate(name).stat().st_size

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        return self._locate(name).open("rb")


@dataclass(frozen=True, slots=True)
class _ArchiveFiles:
    archive: Archive

    def __contains__(self, name: object) -> bool:
        return name in self.archive.sizes_bytes

    def size_bytes(self, name: str) -> int:
        return self.archive.sizes_bytes[name]

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        return self.archive.open(name)


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseLayer:
    """A layer that is there already; `digest` is None where the format does not tell it."""

    place: str
    file: str
    files: _Files
    media_type: str
    digest: BlobDigest | None
    diff_id: DiffId
    size_bytes: int

    def copy_to(self, sink: Sink) -> LayerBytes:
        """Write the blob to `sink`, check it on the way, and return what is known of it now.

        Raises `IntegrityError`: it is not what manifest or config say. Raises `InputError`: it is
        compressed in a way that cannot be read here.
        """
        blob, tar, tar_size_bytes = hashlib.sha256(), hashlib.sha256(), 0
        try:
            with self.files.open(self.file) as file:
                # Whoever decompresses may read little, and the others shall get much at a time.
                copied = _Copied(file, (blob.update, sink.write))
                source = io.BufferedReader(copied, _CHUNK_BYTES)
                for data in decompress(source, self.media_type):
                    tar.update(data)
                    tar_size_bytes += len(data)
                while source.read(_CHUNK_BYTES):
                    pass  # what comes after the end of the tar is part of the blob, too
        except (OSError, ValueError) as error:
            raise IntegrityError(
                f"layer `{self.file}` of the base image `{self.place}` cannot be read: {error}"
            ) from error
        digest = BlobDigest.from_hex(blob.hexdigest())
        self._check("digest", self.digest, digest)
        self._check("diff id", self.diff_id, DiffId.from_hex(tar.hexdigest()))
        return LayerBytes(
            diff_id=self.diff_id,
            tar_size_bytes=tar_size_bytes,
            blob_digest=digest,
            blob_size_bytes=self.size_bytes,
        )

    def packed(self, known: LayerBytes) -> PackedLayer:
        """Return the layer as a part of the image; `known` is from now or from an earlier copy."""
        return PackedLayer(
            descriptor=Descriptor(
                media_type=self.media_type,
                digest=known.blob_digest,
                size_bytes=known.blob_size_bytes,
            ),
            diff_id=known.diff_id,
            tar_size_bytes=known.tar_size_bytes,
            paths=(),
            reason="of the base image",
            history=MappingProxyType({}),
        )

    def _check(self, what: str, promised: object | None, found: object) -> None:
        if promised is not None and promised != found:
            raise IntegrityError(
                f"layer `{self.file}` of the base image `{self.place}` has the {what} "
                f"`{found}`, and should have `{promised}`"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseImage:
    """An image to build upon; `history` has an entry for each layer, and others (`empty_layer`)."""

    place: str
    platform: Platform
    variant: str | None
    config: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...]
    layers: tuple[BaseLayer, ...]


class _Copied(io.RawIOBase):
    """A file all of whose bytes go to some others while it is read."""

    def __init__(self, file: IO[bytes], others: Sequence[Callable[[memoryview], object]]) -> None:
        self._file = file
        self._others = others

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        chunk = self._file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        for other in self._others:
            other(memoryview(chunk))
        return len(chunk)


def read_base_image(path: Path, *, platform: Platform, store: StoreRoot) -> BaseImage:
    """Read the image at `path`; of one for several platforms, that for `platform`.

    Raises `InputError`: it is no image, or none for `platform`. Raises `IntegrityError`.
    """
    reader = _Reader(path, platform, store)
    if path.is_dir() and (path / _LAYOUT_FILE).is_file():
        return reader.read_layout(_DirectoryFiles(path, store))
    if path.is_dir() and (path / _MANIFEST_FILE).is_file():
        return reader.read_skopeo_directory(_DirectoryFiles(path, store))
    if path.is_file():
        try:
            files = _ArchiveFiles(open_archive(path))
        except ValueError:
            pass
        else:
            if _LAYOUT_FILE in files:
                return reader.read_layout(files)
            if _MANIFEST_FILE in files:
                return reader.read_docker_archive(files)
    raise InputError(
        f"the base image `{path}` is none that we know",
        hint="`fromImage` is what `pullImage`, `pullImageFromManifest` or `buildImage` give, "
        "an OCI layout, or an archive of `docker save` or `skopeo copy`",
    )


class _Reader:
    """Reads one image; `self._place` names it in errors."""

    def __init__(self, path: Path, platform: Platform, store: StoreRoot) -> None:
        self._place = str(path)
        self._platform = platform
        self._store = store

    def read_skopeo_directory(self, files: _Files) -> BaseImage:
        """Read what skopeo's `dir:` wrote: blobs are named by the digits of their digest."""
        return self._read_manifest(self._document(files, _MANIFEST_FILE), files, prefix="")

    def read_layout(self, files: _Files) -> BaseImage:
        """Read an OCI layout; its index may name indices."""
        index = self._document(files, _INDEX_FILE)
        while True:
            entries = index.children("manifests")
            chosen = self._choose(entries)
            document = self._blob(files, chosen, prefix="blobs/sha256/")
            if "manifests" not in document:
                return self._read_manifest(document, files, prefix="blobs/sha256/")
            index = document

    def _choose(self, entries: Sequence[Fields]) -> Fields:
        """Return the only entry, or the one for the platform."""
        if len(entries) == 1:
            return entries[0]
        found = [entry for entry in entries if self._is_for_platform(entry)]
        if len(found) != 1:
            raise InputError(
                f"the base image `{self._place}` is {len(entries)} images, and {len(found)} of "
                f"them are for {self._platform}",
                hint="give a directory or an archive with one image",
            )
        return found[0]

    def _is_for_platform(self, entry: Fields) -> bool:
        if "platform" not in entry:
            return False
        platform = entry.child("platform")
        words = (platform.text("os"), platform.text("architecture"))
        return words == (self._platform.os, self._platform.architecture)

    def _read_manifest(self, manifest: Fields, files: _Files, *, prefix: str) -> BaseImage:
        if "manifests" in manifest or (
            "mediaType" in manifest and manifest.text("mediaType") in _INDEX_MEDIA_TYPES
        ):
            raise InputError(
                f"the base image `{self._place}` is a list of images",
                hint="pull the image for one platform",
            )
        config = self._blob(files, manifest.child("config"), prefix=prefix)
        diff_ids = self._diff_ids(config)
        descriptors = manifest.children("layers")
        self._check_count(len(descriptors), len(diff_ids))
        layers = []
        for descriptor, diff_id in zip(descriptors, diff_ids, strict=True):
            digest = descriptor.parsed("digest", BlobDigest)
            name = self._file(files, prefix + digest.hex)
            size_bytes = files.size_bytes(name)
            if size_bytes != descriptor.number("size"):
                raise IntegrityError(
                    f"layer `{name}` of the base image `{self._place}` has {size_bytes} bytes, "
                    f"and should have {descriptor.number('size')}"
                )
            layers.append(
                BaseLayer(
                    place=self._place,
                    file=name,
                    files=files,
                    media_type=self._media_type(descriptor),
                    digest=digest,
                    diff_id=diff_id,
                    size_bytes=size_bytes,
                )
            )
        return self._image(config, layers)

    def _media_type(self, descriptor: Fields) -> str:
        media_type = descriptor.text("mediaType")
        if media_type not in _LAYER_MEDIA_TYPES:
            raise descriptor.error("mediaType", f"is no kind of layer that we know: `{media_type}`")
        return _LAYER_MEDIA_TYPES[media_type]

    def read_docker_archive(self, files: _Files) -> BaseImage:
        """Read what `docker save` wrote: its layers have no digest but that of their tar."""
        images = self._json(self._bytes(files, _MANIFEST_FILE), _MANIFEST_FILE)
        if not isinstance(images, list) or len(images) != 1:
            raise InputError(
                f"the base image `{self._place}` is not one image",
                hint="give an archive with one image",
            )
        [entry] = Fields({"manifest": images}, source=self._source(_MANIFEST_FILE)).children(
            "manifest"
        )
        config_name = entry.text("Config")
        config = self._fields(self._bytes(files, config_name), config_name)
        diff_ids = self._diff_ids(config)
        names = entry.texts("Layers")
        self._check_count(len(names), len(diff_ids))
        layers = []
        for name, diff_id in zip(names, diff_ids, strict=True):
            media_type = self._sniff(files, self._file(files, name))
            layers.append(
                BaseLayer(
                    place=self._place,
                    file=name,
                    files=files,
                    media_type=media_type,
                    digest=None,
                    diff_id=diff_id,
                    size_bytes=files.size_bytes(name),
                )
            )
        return self._image(config, layers)

    def _sniff(self, files: _Files, name: str) -> str:
        with files.open(name) as file:
            start = file.read(_MAGIC_BYTES)
        found = [kind for magic, kind in _MAGIC.items() if start.startswith(magic)]
        return found[0] if found else MEDIA_TYPE_LAYER_TAR

    def _image(self, config: Fields, layers: Sequence[BaseLayer]) -> BaseImage:
        return BaseImage(
            place=self._place,
            platform=Platform(architecture=config.text("architecture"), os=config.text("os")),
            variant=config.text("variant") if _has(config, "variant") else None,
            config=_read_config(config.child("config")) if _has(config, "config") else {},
            history=_history(config, len(layers)),
            layers=tuple(layers),
        )

    def _diff_ids(self, config: Fields) -> tuple[DiffId, ...]:
        return config.child("rootfs").all_parsed("diff_ids", DiffId)

    def _check_count(self, layers: int, diff_ids: int) -> None:
        if layers != diff_ids:
            raise IntegrityError(
                f"the base image `{self._place}` has {layers} layers, "
                f"and its config tells of {diff_ids}"
            )

    def _blob(self, files: _Files, descriptor: Fields, *, prefix: str) -> Fields:
        """Return the JSON document that a descriptor names, whose digest it has."""
        digest = descriptor.parsed("digest", BlobDigest)
        data = self._bytes(files, prefix + digest.hex)
        if BlobDigest.of(data) != digest:
            raise IntegrityError(
                f"`{digest}` in the base image `{self._place}` has the digest "
                f"`{BlobDigest.of(data)}`"
            )
        return self._fields(data, prefix + digest.hex)

    def _document(self, files: _Files, name: str) -> Fields:
        return self._fields(self._bytes(files, name), name)

    def _fields(self, data: bytes, name: str) -> Fields:
        return Fields(self._json(data, name), source=self._source(name))

    def _source(self, name: str) -> str:
        return f"{self._place}/{name}"

    def _json(self, data: bytes, name: str) -> object:
        try:
            document: object = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InputError(f"`{self._source(name)}` is not JSON: {error}") from error
        return document

    def _bytes(self, files: _Files, name: str) -> bytes:
        with files.open(self._file(files, name)) as file:
            return file.read()

    def _file(self, files: _Files, name: str) -> str:
        if name not in files:
            raise InputError(f"the base image `{self._place}` has no `{name}`")
        return name


def _has(fields: Fields, key: str) -> bool:
    """Tell whether `key` is there and not null: Go writes what is empty in either way."""
    return key in fields and not fields.is_null(key)


def _read_config(fields: Fields) -> Mapping[str, Any]:
    """Return the config; a key that we do not know is the other tool's, and stays as it is."""
    return MappingProxyType(
        {
            key: CONFIG_KEYS[key](fields, key) if key in CONFIG_KEYS else fields.value(key)
            for key in fields
            if not fields.is_null(key)
        }
    )


def _history(config: Fields, layer_count: int) -> tuple[Mapping[str, Any], ...]:
    """Return an entry for each layer and those without one, whatever the image has of them."""
    entries = [
        MappingProxyType({key: entry.value(key) for key in entry})
        for entry in (config.children("history") if _has(config, "history") else ())
    ]
    with_layer = [entry for entry in entries if not entry.get("empty_layer")]
    if len(with_layer) != layer_count:
        return tuple(MappingProxyType({}) for _ in range(layer_count))
    return tuple(entries)
