"""What the container engines have in common: they pull from a registry of ours.

So an engine skips the layers that it has. The registry is on loopback, and there for the time of
the pull only; before that, layers that are not known are packed to nowhere, to learn their digests.
An engine that cannot come to us (on another machine, in a network of its own) is sent an archive.

What is pulled has a name of ours until it has the user's. If we are killed in between, the engine
keeps it; the next delivery removes it: nobody else gives such names, and nobody listens there.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from typing import Final

from nixbridge.destinations.catalogue import Catalogue, repository_of
from nixbridge.destinations.destination import Access, BlobState, LayerSource, unheard
from nixbridge.destinations.docker_archive import DockerArchiveWriter
from nixbridge.destinations.served import ServedWriter
from nixbridge.destinations.serving import LOOPBACK, ListenAddress, RegistryServer
from nixbridge.destinations.staging import Output
from nixbridge.errors import DestinationError, InputError, NixbridgeError
from nixbridge.image import Image
from nixbridge.oci import ImageReference
from nixbridge.packing import PackedLayer, Sink

_LATEST: Final = "latest"
# What the repositories that an engine pulls from begin with.
_SERVED: Final = "nixbridge-pull"
_SERVED_NAME: Final = re.compile(rf"(?P<host>[^/:]+):(?P<port>\d{{1,5}})/{_SERVED}/.+")
_PATIENCE_SECONDS: Final = 1.0
# How long a pull that failed, or that was interrupted, waits for its name to be dropped.
_DROP_SECONDS: Final = 2.0


def parse_engine_reference(transport: str, text: str) -> ImageReference:
    """Read `NAME[:TAG]`; without a tag it is `latest`, as to the engines.

    Raises `InputError`.
    """
    if not text:
        raise InputError(f"`{transport}:` names no image", hint=f"write `{transport}:NAME:TAG`")
    reference = ImageReference.parse(text)
    if reference.digest is not None:
        raise InputError(
            f"`{transport}:{text}` asks for a digest, which comes of what is delivered",
            hint=f"leave out `@{reference.digest}`",
        )
    return ImageReference(name=reference.name, tag=reference.tag or _LATEST)


class Engine(ABC):
    """An engine that keeps images; its name and what it takes an archive by, in words."""

    name: str
    load_command: str

    @property
    @abstractmethod
    def is_elsewhere(self) -> bool:
        """Whether it is known not to reach a registry on this machine."""

    @abstractmethod
    def pull(self, served: ImageReference, image: Image) -> None:
        """Pull what we serve, name it as the user did, and drop the name that we serve it by.

        Raises `DestinationError`.
        """

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Return the names of all images.

        Raises `DestinationError`.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a name, and the image if that was its last and nothing uses it.

        Raises `DestinationError`.
        """

    @abstractmethod
    def load(self, archive: FileIO) -> None:
        """Take an archive, in which the image has the user's name.

        Raises `DestinationError`.
        """


@contextlib.contextmanager
def dropping_name(drop: Callable[[float | None], None]) -> Iterator[None]:
    """Call `drop` after a pull, also when it fails, with the seconds that it may take.

    An engine that hangs is not waited for then: the next delivery drops the name.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(DestinationError):
            drop(_DROP_SECONDS)
        raise
    with contextlib.suppress(DestinationError):
        drop(None)


class EngineWriter(ServedWriter):
    """One delivery to an engine; `reference` is what the image shall be called there."""

    state = BlobState.PULLABLE

    def __init__(
        self, engine: Engine, reference: ImageReference, access: Access, *, prefix: str
    ) -> None:
        self._engine = engine
        self._reference = reference
        self._access = access
        self._prefix = prefix

    def commit(self, image: Image, layers: LayerSource) -> str:
        """Have the engine pull the image, or else load it; return its digest reference.

        Raises `DestinationError`; what `LayerSource.write_layer` raises.
        """
        watched = _WatchedLayers(layers)
        try:
            if self._engine.is_elsewhere or not self._serve(image, watched):
                self._access.warn(
                    f"{self._engine.name} cannot reach us, so it cannot skip the layers that it "
                    f"has: all are streamed into `{self._engine.load_command}`"
                )
                self._load(image, watched)
        except DestinationError as refusal:
            if watched.error is not None:
                raise watched.error from refusal
            raise
        return f"{self._prefix}{self._reference}@{image.digest}"

    def _serve(self, image: Image, layers: LayerSource) -> bool:
        """Have the engine pull; return whether it came."""
        repository = f"{_SERVED}/{repository_of(self._reference)}"
        tag = self._reference.tag or _LATEST
        catalogue = Catalogue()
        catalogue.add(repository, tag, image, layers)
        # What cannot be served is raised in the end.
        with RegistryServer(ListenAddress(), catalogue, warn=unheard) as server:
            server.start()
            served = ImageReference(name=f"{server.address}/{repository}", tag=tag)
            try:
                self._engine.pull(served, image)
            except DestinationError:
                # Nobody else knows of the registry: who was not here could not come.
                if server.was_asked:
                    raise
                return False
        # What is left over is no reason to fail.
        with contextlib.suppress(DestinationError):
            for name in filter(_is_left_over, self._engine.names()):
                self._engine.remove(name)
        return True

    def _load(self, image: Image, layers: LayerSource) -> None:
        reading, writing = os.pipe()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="archive") as thread:
            # Opened here, so that both ends are closed whatever happens.
            with FileIO(reading) as archive:
                written = thread.submit(self._write_archive, FileIO(writing, "w"), image, layers)
                self._engine.load(archive)
            written.result()

    def _write_archive(self, pipe: FileIO, image: Image, layers: LayerSource) -> None:
        output = Output(pipe, place=self._engine.load_command)
        with DockerArchiveWriter(output, self._reference, prefix="") as writer:
            for layer in image.layers:
                sink = writer.begin_layer(layer.descriptor.size_bytes)
                layers.write_layer(layer, sink)
                sink.finish(layer)
            writer.commit(image, layers)


def _is_left_over(name: str) -> bool:
    """Return whether a name is one of ours, and the registry that it names has ended."""
    match = _SERVED_NAME.fullmatch(name)
    if match is None or match["host"] != LOOPBACK:
        return False
    try:
        socket.create_connection((LOOPBACK, int(match["port"])), _PATIENCE_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except (OSError, OverflowError):
        pass
    # It is another delivery's, which is under way.
    return False


class _WatchedLayers:
    """Layers that remember their first error: what an engine says of it tells less."""

    def __init__(self, layers: LayerSource) -> None:
        self._layers = layers
        self.error: NixbridgeError | None = None

    def write_layer(self, layer: PackedLayer, sink: Sink) -> None:
        """Make the blob of a layer once more; see `LayerSource`."""
        try:
            self._layers.write_layer(layer, sink)
        except DestinationError:
            # The engine has closed the pipe, and knows why.
            raise
        except NixbridgeError as error:
            self.error = self.error or error
            raise
