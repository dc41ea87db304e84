"""Run commands in a container made of an OCI layout: by podman, or by bubblewrap alone.

Used by `make image` and by the tests. Two engines, because podman needs cgroups and ulimits that
a machine inside another container often has not; bubblewrap needs only a user namespace.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

COMMAND_TIMEOUT_SECONDS = 300


class EngineError(Exception):
    """The engine cannot run containers on this machine; the message says why."""


class Container(Protocol):
    """A container that runs one command after another and keeps what they write."""

    engine: str

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run `argv` with the image's environment; never raises for its exit status."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True)
class Layout:
    """One image of an OCI layout, read without any of nixbridge's own code."""

    directory: Path
    tag: str

    def blob(self, digest: str) -> Path:
        """Return the file of a blob."""
        algorithm, _, digits = digest.partition(":")
        return self.directory / "blobs" / algorithm / digits

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest that the tag names."""
        index = json.loads((self.directory / "index.json").read_text())
        for entry in index["manifests"]:
            if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == self.tag:
                manifest: dict[str, Any] = json.loads(self.blob(entry["digest"]).read_text())
                return manifest
        raise EngineError(f"{self.directory} has no image {self.tag}")

    @property
    def config(self) -> dict[str, Any]:
        """The image configuration, the whole document."""
        config: dict[str, Any] = json.loads(
            self.blob(self.manifest["config"]["digest"]).read_text()
        )
        return config

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the image sets."""
        entries = self.config.get("config", {}).get("Env", [])
        return dict(entry.split("=", 1) for entry in entries)

    def unpack(self, root: Path) -> None:
        """Unpack all layers below `root`, by GNU tar."""
        root.mkdir(parents=True, exist_ok=True)
        # One stream of all layers: the modes of directories are set when it ends, so that a
        # layer can still write below a directory that a lower layer made read-only.
        argv = [
            "tar",
            "--extract",
            "--ignore-zeros",
            "--delay-directory-restore",
            "--preserve-permissions",
            f"--directory={root}",
        ]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as tar:
            if tar.stdin is None or tar.stderr is None:
                raise AssertionError
            for layer in self.manifest["layers"]:
                with self.blob(layer["digest"]).open("rb") as file:
                    shutil.copyfileobj(file, tar.stdin, 1 << 20)
            tar.stdin.close()
            words = tar.stderr.read().decode()
        # "Removing leading `/' from member names" is all that it should say.
        if tar.returncode != 0:
            raise EngineError(f"tar could not unpack {self.directory}: {words}")


class Bubblewrap:
    """A bare container: the unpacked image as root, own namespaces, no network."""

    engine = "bubblewrap"

    def __init__(self, layout: Layout, scratch: Path) -> None:
        self._environment = {
            **layout.environment,
            # One user id is all that a container without subordinate ids has.
            "NIX_CONFIG": "build-users-group =",
        }
        self.root = scratch / "root"
        layout.unpack(self.root)

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run `argv` below the unpacked root."""
        environment = [
            word for name, value in self._environment.items() for word in ("--setenv", name, value)
        ]
        # Docker and podman make /proc, /dev, /etc/hosts; the image need not have them.
        return _run(
            [
                "bwrap",
                *_namespaces(),
                "--die-with-parent",
                "--clearenv",
                *environment,
                *("--bind", str(self.root), "/"),
                *("--proc", "/proc", "--dev", "/dev"),
                *("--chdir", "/"),
                *argv,
            ]
        )

    def __enter__(self) -> Self:
        result = self.run(["/bin/sh", "-c", "exit 0"])
        if result.returncode != 0:
            raise EngineError(f"bubblewrap: {result.stderr.strip()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        remove_tree(self.root)


def _namespaces() -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ("--unshare-all", "--uid", "0", "--gid", "0")
    # Root needs no user namespace, and in a chroot the kernel gives none.
    return ("--unshare-ipc", "--unshare-net", "--unshare-pid", "--unshare-uts")


class Podman:
    """A container of podman's, in a storage of its own."""

    engine = "podman"

    def __init__(self, layout: Layout, scratch: Path) -> None:
        self._scratch = scratch
        self._podman = [*_podman_prefix(), *_storage(scratch)]
        self._source = f"oci:{layout.directory}:{layout.tag}"
        self._container = "nixbridge"

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run `argv` in a new container; what earlier ones wrote is not there."""
        return _run(
            [
                *self._podman,
                "run",
                "--rm",
                "--cgroups=disabled",
                "--network=none",
                "--ulimit=nofile=1024:1024",
                "--ulimit=nproc=4096:4096",
                f"--entrypoint={json.dumps([argv[0]])}",
                self._image,
                *argv[1:],
            ]
        )

    def __enter__(self) -> Self:
        pulled = _run([*self._podman, "pull", "--quiet", self._source])
        if pulled.returncode != 0:
            remove_tree(self._scratch)
            raise EngineError(f"podman pull: {pulled.stderr.strip()}")
        self._image = pulled.stdout.split()[-1]
        started = self.run(["/bin/sh", "-c", "exit 0"])
        if started.returncode != 0:
            remove_tree(self._scratch)
            raise EngineError(f"podman run: {started.stderr.strip()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        remove_tree(self._scratch)


def _storage(scratch: Path) -> list[str]:
    # A folder of its own, so that nothing of the user's is touched and all can be removed.
    return [f"--root={scratch / 'storage'}", f"--runroot={scratch / 'run'}"]


def _podman_prefix() -> list[str]:
    """Return what to put before podman's arguments on this machine."""
    if shutil.which("podman") is None:
        raise EngineError("podman is not on PATH")
    if os.geteuid() != 0:
        return ["podman"]
    # crun refuses a hybrid cgroup hierarchy; in a mount namespace of its own podman does not see
    # it, and its mounts are gone when it ends.
    script = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec podman "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "podman"]


def _run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(argv),
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        timeout=COMMAND_TIMEOUT_SECONDS,
        env=_environment(os.environ),
    )


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("NIX_")}


def remove_tree(path: Path) -> None:
    """Remove an unpacked image, read-only directories and all; also as an ordinary user."""
    for directory, _, _ in os.walk(path):
        Path(directory).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)


def open_container(layout: Layout, scratch: Path) -> tuple[Container, list[str]]:
    """Return an entered container of the first engine that works, and why others do not.

    Raises `EngineError`: none works.
    """
    refusals: list[str] = []
    for engine in (Podman, Bubblewrap):
        try:
            folder = Path(tempfile.mkdtemp(dir=scratch))
            return engine(layout, folder).__enter__(), refusals
        except EngineError as refusal:
            refusals.append(str(refusal))
    raise EngineError("; ".join(refusals))
