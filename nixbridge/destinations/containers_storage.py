"""`containers-storage:[[DRIVER@ROOT+RUNROOT]]NAME[:TAG]`: podman's storage, by podman itself.

A name without a registry is what podman makes of it: `app` is `localhost/app`.
https://github.com/containers/image/blob/v5.24.0/docs/containers-transports.5.md
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from typing import Final, Self

from nixbridge.destinations.destination import Access
from nixbridge.destinations.engine import (
    Engine,
    EngineWriter,
    dropping_name,
    parse_engine_reference,
)
from nixbridge.destinations.repository import split_registry
from nixbridge.destinations.stored_image import StoredImage
from nixbridge.errors import DestinationError, InputError, IntegrityError
from nixbridge.evaluator import Completed, SubprocessRunner
from nixbridge.image import Image
from nixbridge.oci import ImageReference

_TRANSPORT: Final = "containers-storage"
_PROGRAM: Final = "podman"
# What podman puts before a name that names no registry.
_LOCAL_REGISTRY: Final = "localhost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Storage:
    """A storage that is not the user's own; empty is what podman takes."""

    text: str = ""
    driver: str = ""
    root: str = ""
    run_root: str = ""
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `DRIVER@ROOT+RUNROOT:OPTION,OPTION`, of which all but ROOT may be missing.

        Raises `InputError`.
        """
        driver, at, places = text.rpartition("@")
        places, colon, options = places.partition(":")
        root, plus, run_root = places.partition("+")
        is_whole = (
            root.startswith("/")
            and bool(driver) == bool(at)
            and bool(options) == bool(colon)
            and run_root.startswith("/") == bool(plus)
        )
        if not is_whole:
            raise InputError(
                f"`[{text}]` is no storage", hint="it looks like `[DRIVER@/ROOT+/RUNROOT]`"
            )
        return cls(
            text=f"[{text}]",
            driver=driver,
            root=root,
            run_root=run_root,
            options=tuple(options.split(",")) if options else (),
        )

    @property
    def arguments(self) -> tuple[str, ...]:
        """What podman is told."""
        named = {
            "--root": self.root,
            "--runroot": self.run_root,
            "--storage-driver": self.driver,
        }
        return (
            *(f"{name}={value}" for name, value in named.items() if value),
            *(f"--storage-opt={option}" for option in self.options),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainersStorage:
    """The image `reference` in a storage."""

    reference: ImageReference
    storage: Storage = Storage()

    @property
    def takes_compressed_layers(self) -> bool:
        """Whether layers may be compressed; podman unpacks them when it has pulled them."""
        return True

    @property
    def default_compression(self) -> str:
        """None: it would cost time at both ends of a loopback."""
        return "none"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `NAME[:TAG]`, or `[DRIVER@ROOT+RUNROOT]NAME[:TAG]`.

        Raises `InputError`.
        """
        storage = Storage()
        name = text
        if text.startswith("["):
            spec, bracket, name = text[1:].partition("]")
            if not bracket:
                raise InputError(f"`{_TRANSPORT}:{text}` has a `[` without its `]`")
            storage = Storage.parse(spec)
        reference = parse_engine_reference(_TRANSPORT, name)
        if split_registry(reference.name)[0] is None:
            reference = ImageReference(
                name=f"{_LOCAL_REGISTRY}/{reference.name}", tag=reference.tag
            )
        return cls(reference=reference, storage=storage)

    def open(self, *, default_reference: str, access: Access) -> EngineWriter:  # noqa: ARG002
        """Begin a delivery.

        Raises `DestinationError`: there is no podman.
        """
        podman = Podman.find(self, access.environment)
        return EngineWriter(
            podman, self.reference, access, prefix=f"{_TRANSPORT}:{self.storage.text}"
        )

    def inspect(self, access: Access) -> StoredImage:  # noqa: ARG002
        """Refuse.

        Raises `InputError`.
        """
        raise InputError(
            "an image in podman's storage is podman's to look into",
            hint=f"`podman image inspect {self.reference}`",
        )


class Podman(Engine):
    """Podman, which is told what to do by its arguments."""

    name = _PROGRAM
    load_command = "podman load"

    def __init__(
        self, program: str, destination: ContainersStorage, environment: Mapping[str, str]
    ) -> None:
        self._program = program
        self._destination = destination
        self._environment = environment

    @classmethod
    def find(cls, destination: ContainersStorage, environment: Mapping[str, str]) -> Self:
        """Return the podman on PATH.

        Raises `DestinationError`.
        """
        program = shutil.which(_PROGRAM, path=environment.get("PATH"))
        if program is None:
            raise DestinationError(
                f"`{_PROGRAM}` is not on PATH, and `{_TRANSPORT}:` is written by it",
                hint="install podman, or write a file for it: `oci-archive:FILE`",
            )
        return cls(program, destination, environment)

    @property
    def is_elsewhere(self) -> bool:
        """Find that out by trying: podman may be a client of one on another machine."""
        return False

    def pull(self, served: ImageReference, image: Image) -> None:
        """Pull what we serve, name it as the user did, and drop the name that we serve it by.

        Raises `DestinationError`; `IntegrityError`: podman has something else.
        """
        identity_wanted = image.config.digest.hex

        def drop(longest_seconds: float | None) -> None:
            self._podman("untag", identity_wanted, str(served), timeout_seconds=longest_seconds)

        with dropping_name(drop):
            pulled = self._run("pull", "--quiet", "--tls-verify=false", str(served))
            identity = pulled.stdout.decode().split()[-1:]
            if identity != [identity_wanted]:
                raise IntegrityError(
                    f"podman pulled `{''.join(identity)}` for the image `{identity_wanted}`"
                )
            self._run("tag", identity_wanted, str(self._destination.reference))

    def names(self) -> Sequence[str]:
        """Return the names of all images.

        Raises `DestinationError`.
        """
        try:
            listed = json.loads(self._run("images", "--format=json").stdout)
        except ValueError as error:
            raise DestinationError("`podman images` printed something else than JSON") from error
        return [name for image in listed for name in image.get("Names") or ()]

    def remove(self, name: str) -> None:
        """Remove a name, and the image if that was its last and nothing uses it.

        Raises `DestinationError`.
        """
        self._run("rmi", name)

    def load(self, archive: FileIO) -> None:
        """Take an archive, in which the image has the user's name.

        Raises `DestinationError`.
        """
        self._run("load", "--quiet", stdin=archive)

    def _run(self, *arguments: str, stdin: FileIO | None = None) -> Completed:
        completed = self._podman(*arguments, stdin=stdin)
        if completed.status != 0:
            lines = completed.stderr.encode(errors="surrogateescape").decode(errors="replace")
            said = lines.strip().splitlines() or [f"exit {completed.status}"]
            raise DestinationError(
                f"`podman {arguments[0]}` failed: {said[-1].removeprefix('Error: ')}"
            )
        return completed

    def _podman(
        self,
        *arguments: str,
        stdin: FileIO | None = None,
        timeout_seconds: float | None = None,
    ) -> Completed:
        words: Sequence[str] = (self._program, *self._destination.storage.arguments, *arguments)
        try:
            runner = SubprocessRunner(self._environment or None, timeout_seconds)
            return runner.run(words, stdin=stdin)
        except OSError as error:
            raise DestinationError(f"cannot run `{self._program}`: {error.strerror}") from error
