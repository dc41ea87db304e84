"""`[REGISTRY/]NAME[:TAG][@DIGEST]`: which image of which repository of which registry.

What is left out is filled in as skopeo and docker do: the registry is `docker.io`, whose short
names are in `library/`, the tag is `latest`. Nothing is asked of a registry here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from nixbridge.errors import InputError
from nixbridge.oci import BlobDigest, ImageReference

DOCKER_HUB: Final = "docker.io"
# Where Docker Hub's registry really is, and what it was called once.
_DOCKER_HUB_API: Final = "registry-1.docker.io"
_DOCKER_HUB_OLD: Final = "index.docker.io"
_DEFAULT_TAG: Final = "latest"


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """Where the images of one name lie; `registry` is a host, maybe with a port."""

    registry: str
    name: str

    @property
    def api_host(self) -> str:
        """The host that is asked."""
        return _DOCKER_HUB_API if self.registry == DOCKER_HUB else self.registry

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedName:
    """An image in a repository, by its tag or by its digest."""

    repository: Repository
    tag: str | None
    digest: BlobDigest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what stands behind `docker://`.

        Raises `InputError`.
        """
        if not text:
            raise InputError(
                "`docker://` names no image",
                hint="write `docker://REGISTRY/NAME:TAG`, for example "
                "`docker://registry.example.org/team/shop:1.4`",
            )
        reference = ImageReference.parse(text)
        if reference.tag is not None and reference.digest is not None:
            raise InputError(
                f"`docker://{text}` has a tag and a digest",
                hint="write one of the two, as with skopeo",
            )
        tag = _DEFAULT_TAG if reference.tag is None and reference.digest is None else reference.tag
        return cls(repository=_repository(reference.name), tag=tag, digest=reference.digest)

    @property
    def reference(self) -> str:
        """The tag or the digest, as a registry is asked for it."""
        return self.tag if self.tag is not None else str(self.digest)

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        digest = "" if self.digest is None else f"@{self.digest}"
        return f"{self.repository}{tag}{digest}"


def split_registry(name: str) -> tuple[str | None, str]:
    """Tell the registry of an image's name from the rest, as docker does; None is that it has none.

    https://github.com/distribution/reference/blob/v0.6.0/normalize.go (`splitDockerDomain`)
    """
    first, slash, rest = name.partition("/")
    is_host = bool(slash) and (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )
    return (first, rest) if is_host else (None, name)


def _repository(name: str) -> Repository:
    registry, path = split_registry(name)
    registry = registry or DOCKER_HUB
    if registry == _DOCKER_HUB_OLD:
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return Repository(registry=registry, name=path)
