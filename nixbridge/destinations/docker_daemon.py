"""`docker-daemon:NAME[:TAG]`: the images of Docker's daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import FileIO
from typing import Final, Self

from nixbridge.destinations.destination import Access
from nixbridge.destinations.docker_api import DockerApi
from nixbridge.destinations.docker_host import DockerHost
from nixbridge.destinations.engine import (
    Engine,
    EngineWriter,
    dropping_name,
    parse_engine_reference,
)
from nixbridge.destinations.stored_image import StoredImage
from nixbridge.errors import InputError
from nixbridge.image import Image
from nixbridge.oci import ImageReference

_TRANSPORT: Final = "docker-daemon"


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerDaemon:
    """The image `reference` of a daemon."""

    reference: ImageReference

    @property
    def takes_compressed_layers(self) -> bool:
        """Whether layers may be compressed; Docker unpacks them when it has pulled them."""
        return True

    @property
    def default_compression(self) -> str:
        """None: it would cost time at both ends of a loopback."""
        return "none"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `NAME[:TAG]`.

        Raises `InputError`.
        """
        return cls(reference=parse_engine_reference(_TRANSPORT, text))

    def open(self, *, default_reference: str, access: Access) -> EngineWriter:  # noqa: ARG002
        """Begin a delivery.

        Raises `DestinationError`: no daemon answers. Raises `InputError`.
        """
        api = DockerApi(DockerHost.of(access.environment))
        api.check()
        return EngineWriter(
            Docker(api, self.reference), self.reference, access, prefix=f"{_TRANSPORT}:"
        )

    def inspect(self, access: Access) -> StoredImage:  # noqa: ARG002
        """Refuse.

        Raises `InputError`.
        """
        raise InputError(
            "an image of Docker's daemon is Docker's to look into",
            hint=f"`docker image inspect {self.reference}`",
        )


class Docker(Engine):
    """Docker, which is told what to do through its interface."""

    name = "docker"
    load_command = "docker load"

    def __init__(self, api: DockerApi, reference: ImageReference) -> None:
        self._api = api
        self._reference = reference

    @property
    def is_elsewhere(self) -> bool:
        """Whether the daemon is on another machine."""
        return not self._api.host.is_this_machine

    def pull(self, served: ImageReference, image: Image) -> None:
        """Pull what we serve, name it as the user did, and drop the name that we serve it by.

        Raises `DestinationError`.
        """
        pulled = f"{served.name}@{image.digest}"

        def drop(longest_seconds: float | None) -> None:
            self._api.remove(pulled, timeout_seconds=longest_seconds)

        with dropping_name(drop):
            self._api.pull(served.name, str(image.digest))
            self._api.tag(pulled, self._reference.name, str(self._reference.tag))

    def names(self) -> Sequence[str]:
        """Return the names of all images.

        Raises `DestinationError`.
        """
        return self._api.names()

    def remove(self, name: str) -> None:
        """Remove a name, and the image if that was its last and nothing uses it.

        Raises `DestinationError`.
        """
        self._api.remove(name)

    def load(self, archive: FileIO) -> None:
        """Take an archive, in which the image has the user's name.

        Raises `DestinationError`.
        """
        self._api.load(archive)
