"""Read an image that lies in a registry: its manifest and its config, two small answers.

What is read is checked against the digest that names it, and is of a limited size. Of an index, one
image is picked by its platform, or none: which one is meant is not guessed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final

from nixbridge.destinations.http_session import Answer
from nixbridge.destinations.registry_client import RegistryClient, Request
from nixbridge.destinations.registry_errors import RequestFailedError
from nixbridge.destinations.repository import PublishedName
from nixbridge.destinations.stored_image import (
    AbsentImageError,
    StoredImage,
    reading_digests,
    stored_image,
)
from nixbridge.errors import DestinationError, InputError, IntegrityError
from nixbridge.oci import MEDIA_TYPE_INDEX, MEDIA_TYPE_MANIFEST, BlobDigest, Platform

# https://distribution.github.io/distribution/spec/manifest-v2-2/
_DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
_MANIFESTS: Final = frozenset({MEDIA_TYPE_MANIFEST, _DOCKER_MANIFEST})
_INDEXES: Final = frozenset({MEDIA_TYPE_INDEX, _DOCKER_INDEX})
_ACCEPT: Final = f"{MEDIA_TYPE_MANIFEST}, {_DOCKER_MANIFEST}, {MEDIA_TYPE_INDEX}, {_DOCKER_INDEX}"
# Registries take no larger manifests.
_MANIFEST_LIMIT_BYTES: Final = 4 << 20
_CONFIG_LIMIT_BYTES: Final = 16 << 20
_NOT_FOUND: Final = 404


def read_published(
    client: RegistryClient, name: PublishedName, platform: Platform | None
) -> StoredImage:
    """Return the image of that name; of several platforms, that for `platform`, or this machine's.

    Raises `AbsentImageError`: there is none. Raises `DestinationError`, `IntegrityError`,
    `InputError`: there is none for the platform.
    """
    reference = f"docker://{name}"
    try:
        digest, manifest = _manifest(client, name, name.reference)
        if _media_type(manifest) in _INDEXES:
            picked = _pick(manifest, name, platform)
            digest, manifest = _manifest(client, name, str(picked))
        if _media_type(manifest) not in _MANIFESTS:
            raise DestinationError(
                f"`{reference}` is no image that we know, but `{_media_type(manifest)}`"
            )
        described = manifest.get("config")
        if not isinstance(described, dict):
            raise DestinationError(f"the manifest `{digest}` of `{reference}` names no config")
        with reading_digests(reference):
            config_digest = BlobDigest(str(described.get("digest")))
        config = _config(client, name, config_digest)
    except RequestFailedError as failure:
        raise failure.error from failure
    return stored_image(manifest, config, reference=reference, digest=digest, place=reference)


def _manifest(
    client: RegistryClient, name: PublishedName, reference: str
) -> tuple[BlobDigest, Mapping[str, Any]]:
    """Return a manifest or an index, and its digest."""
    answer = client.ask(
        Request(
            method="GET",
            target=client.path(f"manifests/{reference}"),
            doing=f"read `{name.repository.name}`",
            expected=frozenset({200, _NOT_FOUND}),
            headers={"Accept": _ACCEPT},
            limit_bytes=_MANIFEST_LIMIT_BYTES,
        )
    )
    if answer.status == _NOT_FOUND:
        joint = "@" if reference.startswith("sha256:") else ":"
        raise AbsentImageError(
            f"{name.repository.registry} has no image `{name.repository.name}{joint}{reference}`"
        )
    document = _document(answer, name, "manifest")
    digest = BlobDigest.of(answer.body)
    promised = reference if reference.startswith("sha256:") else None
    doing = f"read `{name.repository.name}`"
    if promised is not None and promised != str(digest):
        raise IntegrityError(
            f"{name.repository.registry} was asked for the manifest `{promised}` of "
            f"`{name.repository.name}`, and gives one with the digest `{digest}`"
        )
    client.check_digest(answer, digest, doing=doing)
    # The oldest manifests of OCI say what they are in the header alone.
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
    return digest, {"mediaType": media_type, **document}


def _config(client: RegistryClient, name: PublishedName, digest: BlobDigest) -> Mapping[str, Any]:
    answer = client.ask(
        Request(
            method="GET",
            target=client.path(f"blobs/{digest}"),
            doing=f"read `{name.repository.name}`",
            expected=frozenset({200}),
            limit_bytes=_CONFIG_LIMIT_BYTES,
        )
    )
    document = _document(answer, name, "config")
    found = BlobDigest.of(answer.body)
    if found != digest:
        raise IntegrityError(
            f"{name.repository.registry} was asked for the config `{digest}` of "
            f"`{name.repository.name}`, and gives one with the digest `{found}`"
        )
    return document


def _document(answer: Answer, name: PublishedName, what: str) -> Mapping[str, Any]:
    if answer.is_cut:
        raise DestinationError(
            f"the {what} of `docker://{name}` is larger than {len(answer.body) >> 20} MB"
        )
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise DestinationError(f"the {what} of `docker://{name}` is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise DestinationError(f"the {what} of `docker://{name}` is not a JSON object")
    return document


def _media_type(manifest: Mapping[str, Any]) -> str:
    return str(manifest.get("mediaType"))


def _pick(index: Mapping[str, Any], name: PublishedName, platform: Platform | None) -> BlobDigest:
    """Return the digest of the image that fits.

    Raises `InputError`.
    """
    entries = index.get("manifests")
    found: dict[str, str] = {}
    for entry in entries if isinstance(entries, list) else []:
        described = entry.get("platform") if isinstance(entry, dict) else None
        if not isinstance(described, dict) or described.get("os") == "unknown":
            continue  # what was said of an image, not one
        words = (described.get("os"), described.get("architecture"), described.get("variant"))
        found.setdefault("/".join(str(word) for word in words if word), str(entry.get("digest")))
    wanted = platform or Platform.of_machine(os.uname().machine)
    fitting = [text for text in found if text == str(wanted) or text.startswith(f"{wanted}/")]
    if platform is None and not fitting and len(found) == 1:
        fitting = list(found)
    if len(fitting) != 1:
        raise InputError(
            f"`docker://{name}` holds {len(fitting) or 'no'} images for `{wanted}`",
            hint="name one by its digest: "
            + ", ".join(
                f"`docker://{name.repository}@{digest}` ({text})" for text, digest in found.items()
            ),
        )
    with reading_digests(f"docker://{name}"):
        return BlobDigest(found[fitting[0]])
