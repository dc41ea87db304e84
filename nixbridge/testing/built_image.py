"""`BuiltImage`: an image that was delivered to an OCI layout, to look inside and to run.

What is read is what was written, as another tool would read it; the plan and the packed layers that
it came from are not here. How containers are started is `containers/`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, NoReturn, Self

from nixbridge.containers import (
    Container,
    ImageFile,
    LayerFiles,
    Ran,
    merge,
    open_container,
    read_layers,
)
from nixbridge.containers.container import TIMEOUT_SECONDS
from nixbridge.destinations import Access
from nixbridge.destinations.oci_layout import OciLayout
from nixbridge.destinations.stored_image import StoredImage
from nixbridge.errors import DestinationError
from nixbridge.oci import BlobDigest, DiffId
from nixbridge.testing.caller import at_the_callers_line

_STORE_PATH: Final = re.compile(r"/nix/store/[^/.][^/]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageConfig:
    """How a container of the image is started; what the image does not say is empty.

    `document` is the whole configuration of the image, with OCI's keys.
    https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md
    """

    user: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: Mapping[str, str]
    working_dir: str
    labels: Mapping[str, str]
    exposed_ports: tuple[str, ...]
    volumes: tuple[str, ...]
    stop_signal: str
    healthcheck: Mapping[str, Any]
    document: Mapping[str, Any]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read the configuration of an image."""
        config: Mapping[str, Any] = document.get("config") or {}
        return cls(
            user=config.get("User") or "",
            entrypoint=tuple(config.get("Entrypoint") or ()),
            cmd=tuple(config.get("Cmd") or ()),
            env=dict(entry.split("=", 1) for entry in config.get("Env") or ()),
            working_dir=config.get("WorkingDir") or "",
            labels=dict(config.get("Labels") or {}),
            exposed_ports=tuple(sorted(config.get("ExposedPorts") or ())),
            volumes=tuple(sorted(config.get("Volumes") or ())),
            stop_signal=config.get("StopSignal") or "",
            healthcheck=dict(config.get("Healthcheck") or {}),
            document=document,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltLayer:
    """One layer: its digests and size, why it is one, and the files in it."""

    diff_id: DiffId
    size_bytes: int
    reason: str
    files: LayerFiles

    @property
    def store_paths(self) -> tuple[str, ...]:
        """The store paths that are in the layer, sorted."""
        return tuple(sorted(path for path in self.files if _STORE_PATH.fullmatch(path)))

    def __repr__(self) -> str:
        return f"<layer {self.diff_id}: {self.reason}>"


class BuiltImage:
    """An image in an OCI layout; `no_container` is told why none can be started here."""

    def __init__(
        self, layout: OciLayout, *, no_container: Callable[[str], NoReturn] | None = None
    ) -> None:
        self.layout = layout
        self._no_container = no_container
        self._container: Container | None = None

    @property
    def reference(self) -> str:
        """Where the image lies, as skopeo and podman spell it: `oci:DIR:NAME`."""
        return f"oci:{self.layout.directory}:{self.layout.name}"

    @cached_property
    def _stored(self) -> StoredImage:
        return self.layout.inspect(Access())

    @property
    def digest(self) -> BlobDigest | None:
        """The digest of the manifest: the name of the image."""
        return self._stored.digest

    @cached_property
    def config(self) -> ImageConfig:
        """How a container of it is started."""
        return ImageConfig.of(self._stored.config)

    @cached_property
    def layers(self) -> tuple[BuiltLayer, ...]:
        """The layers, from bottom to top."""
        return tuple(
            BuiltLayer(
                diff_id=layer.diff_id,
                size_bytes=layer.size_bytes,
                reason=layer.comment,
                files=files,
            )
            for layer, files in zip(self._stored.layers, read_layers(self.layout), strict=True)
        )

    @cached_property
    def files(self) -> LayerFiles:
        """The files that a container sees, by their path: all layers over each other."""
        return merge([layer.files for layer in self.layers])

    @at_the_callers_line
    def file(self, path: str, *, follow_links: bool = False) -> ImageFile:
        """Return what is at `path`: a file, a directory, or the link itself.

        With `follow_links`, what a link leads to; links to directories on the way are always
        followed.

        Raises `InputError`: nothing is there.
        """
        return self.files.find(path, follow_links=follow_links)

    @at_the_callers_line
    def names_in(self, path: str) -> tuple[str, ...]:
        """Return the names in the directory at `path`, sorted.

        Raises `InputError`: nothing is there.
        """
        return self.files.names_in(path)

    @at_the_callers_line
    def run(
        self,
        argv: Sequence[str] = (),
        *,
        env: Mapping[str, str] = MappingProxyType({}),
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Ran:
        """Run `argv` in a container, in the place of the image's entrypoint and command.

        Without words, those are run. The result has `status`, `stdout`, `stderr` and `engine`.

        Raises `DestinationError`: it was not done in time, or no engine works here.
        """
        if self._container is None:
            try:
                self._container, _ = open_container(self.layout)
            except DestinationError as error:
                if self._no_container is not None:
                    self._no_container(error.message)
                raise
        return self._container.run(argv, environment=env, timeout_seconds=timeout_seconds)

    def close(self) -> None:
        """Remove the container."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def __repr__(self) -> str:
        return f"<image {self.reference}>"
