"""The words of the OCI specifications: digests, descriptors, platforms, references, media types.

Pure values, no I/O. Assembling them into an image is `image/`; writing them is `destinations/`.
A `DiffId` is the digest of an uncompressed tar, a `BlobDigest` the digest of bytes as stored;
they are different types so that mixing them is a type error.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Self

from nixbridge.errors import InputError

# https://github.com/opencontainers/image-spec/blob/v1.1.0/media-types.md
MEDIA_TYPE_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
MEDIA_TYPE_INDEX: Final = "application/vnd.oci.image.index.v1+json"
MEDIA_TYPE_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
MEDIA_TYPE_LAYER_TAR: Final = "application/vnd.oci.image.layer.v1.tar"
MEDIA_TYPE_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
MEDIA_TYPE_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")

# https://github.com/distribution/reference/blob/v0.6.0/reference.go (the grammar in its head)
_DOMAIN: Final = r"""
    (?: \[ [0-9a-fA-F:]+ \]                              # an IPv6 address
      | (?!-) [a-zA-Z0-9-]+ (?<!-) (?: \. (?!-) [a-zA-Z0-9-]+ (?<!-) )* )
    (?: : [0-9]+ )?
"""
_PATH: Final = r"""
    [a-z0-9]+ (?: (?: \. | _ | __ | -+ ) [a-z0-9]+ )*
    (?: / [a-z0-9]+ (?: (?: \. | _ | __ | -+ ) [a-z0-9]+ )* )*
"""
_TAG: Final = r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}"
_REFERENCE: Final = re.compile(
    rf"""
    (?P<name> (?: {_DOMAIN} / )? {_PATH} )
    (?: : (?P<tag> {_TAG} ) )?
    (?: @ (?P<digest> sha256:[0-9a-f]{{64}} ) )?
    """,
    re.VERBOSE,
)
_NAME_MAX_CHARACTERS: Final = 255

# What `uname -m` and Nix say, in Go's words.
GO_ARCHITECTURES: Final[Mapping[str, str]] = MappingProxyType(
    {"aarch64": "arm64", "armv7l": "arm", "i686": "386", "x86_64": "amd64"}
)


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A sha256 digest, `sha256:` and 64 lower case hex digits; use a subclass that says of what.

    https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md#digests
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse any text that is not a digest.

        Raises `InputError`.
        """
        if not _DIGEST.fullmatch(self.text):
            raise InputError(
                f"`{self.text}` is not a sha256 digest",
                hint="a digest is `sha256:` followed by 64 lower case hex digits",
            )

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return the digest of `data`."""
        return cls.from_hex(hashlib.sha256(data).hexdigest())

    @classmethod
    def from_hex(cls, hexdigest: str) -> Self:
        """Return the digest of 64 hex digits."""
        return cls(f"sha256:{hexdigest}")

    @property
    def hex(self) -> str:
        """The 64 hex digits alone."""
        return self.text.removeprefix("sha256:")

    def __str__(self) -> str:
        return self.text


class DiffId(Digest):
    """The digest of a layer's uncompressed tar."""

    __slots__ = ()


class BlobDigest(Digest):
    """The digest of bytes as they are stored and sent."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """What an image runs on, in Go's words (`amd64`, `arm64`, …).

    https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md
    """

    architecture: str
    os: str = "linux"

    @classmethod
    def of_machine(cls, machine: str) -> Self:
        """Return the platform of a machine that `uname -m` calls so."""
        return cls(architecture=GO_ARCHITECTURES.get(machine, machine))

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageReference:
    """The name of an image, as docker and podman write it: `name[:tag][@digest]`.

    It prints back exactly: no registry and no tag is filled in.
    """

    name: str
    tag: str | None = None
    digest: BlobDigest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference.

        Raises `InputError`.
        """
        match = _REFERENCE.fullmatch(text)
        if match is None or len(match["name"]) > _NAME_MAX_CHARACTERS:
            raise InputError(f"`{text}` is not an image reference", hint=_reference_hint(text))
        digest = match["digest"]
        return cls(
            name=match["name"],
            tag=match["tag"],
            digest=None if digest is None else BlobDigest(digest),
        )

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.name}{tag}{digest}"


def _reference_hint(text: str) -> str:
    if text != text.lower() and _REFERENCE.fullmatch(text.lower()):
        return f"names are lower case: `{text.lower()}`"
    return "a reference looks like `name:tag` or `registry.example.org/team/name:tag`"


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptor:
    """A reference to a blob.

    https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md
    """

    media_type: str
    digest: BlobDigest
    size_bytes: int
    annotations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor as the specification writes it."""
        document: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size_bytes,
        }
        if self.annotations:
            document["annotations"] = dict(sorted(self.annotations.items()))
        return document


def json_bytes(document: object) -> bytes:
    """Serialise `document` compactly, in the order given: the one way to make hashed JSON.

    Callers decide the order of keys; the bytes are made once and kept.
    """
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
