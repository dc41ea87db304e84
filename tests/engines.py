"""Real podman, Docker and containerd with storages of their own: what judges our images.

Nothing of the machine's own engines is touched. Docker is asked through its interface, by `curl`'s
means in Python, so that no client of Docker's has to be there.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_PATIENCE_SECONDS = 60.0
_INTERVAL_SECONDS = 0.05

# crun and runc refuse a hybrid cgroup hierarchy; in a mount namespace of its own an engine does
# not see it.
_HIDE_CGROUPS = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"'


def skip_without_namespaces() -> None:
    """Skip where this user cannot have a mount and a network namespace, as engines must."""
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "true"], check=False, capture_output=True, text=True
    )
    if tried.returncode != 0:
        pytest.skip(f"no namespaces can be made here (`{tried.stderr.strip()}`)")


def in_namespaces(argv: Sequence[str], *flags: str) -> list[str]:
    return ["unshare", "--mount", *flags, "sh", "-c", _HIDE_CGROUPS, "sh", *argv]


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_PATIENCE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True)
class Dockerd:
    """A daemon that runs."""

    host: str
    directory: Path

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        connection = _Connection(self.host.removeprefix("unix://"))
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            data = response.read()
            assert response.status < 400, (method, path, data)
            return data
        finally:
            connection.close()

    def images(self) -> dict[str, list[str]]:
        """Return the images by their identity, with all their names."""
        listed: list[dict[str, Any]] = json.loads(self.ask("GET", "/images/json?all=1"))
        return {
            image["Id"].removeprefix("sha256:"): sorted(
                name
                for name in [*(image["RepoTags"] or []), *(image["RepoDigests"] or [])]
                if "<none>" not in name
            )
            for image in listed
        }

    def pull(self, name: str) -> None:
        said = self.ask("POST", f"/images/create?fromImage={name}")
        assert b'"error"' not in said, said

    def run(self, image: str) -> str:
        """Run what the image says, without a network; return what it says."""
        settings = {
            "Image": image,
            "Tty": True,  # so that what it says is text, and not in frames
            "HostConfig": {"NetworkMode": "none"},
        }
        identity = json.loads(self.ask("POST", "/containers/create", settings))["Id"]
        self.ask("POST", f"/containers/{identity}/start")
        ended = json.loads(self.ask("POST", f"/containers/{identity}/wait"))
        said = self.ask("GET", f"/containers/{identity}/logs?stdout=1&stderr=1").decode()
        self.ask("DELETE", f"/containers/{identity}")
        assert ended["StatusCode"] == 0, said
        return said.replace("\r\n", "\n")


@contextlib.contextmanager
def running_dockerd(program: str, *, has_own_network: bool = False) -> Iterator[Dockerd]:
    """Start a daemon; with a network of its own it reaches nothing of this machine."""
    # The path of a socket must be short.
    directory = Path(tempfile.mkdtemp(prefix="nixbridge-dockerd-"))
    host = f"unix://{directory}/socket"
    argv = in_namespaces(
        [
            program,
            "--iptables=false",
            "--ip6tables=false",
            "--bridge=none",
            "--storage-driver=vfs",
            f"--data-root={directory}/data",
            f"--exec-root={directory}/run",
            f"--pidfile={directory}/pid",
            f"--host={host}",
        ],
        *(["--net"] if has_own_network else []),
    )
    daemon = Dockerd(host, directory)
    with _running(argv, directory) as process:
        _wait_for(daemon, process)
        yield daemon


@contextlib.contextmanager
def _running(argv: Sequence[str], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a daemon whose log and files are in `directory`; both go in the end."""
    try:
        with (
            (directory / "log").open("w") as log,
            subprocess.Popen(argv, stdout=log, stderr=log) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()
                process.wait(_PATIENCE_SECONDS)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait_for(daemon: Dockerd, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with contextlib.suppress(OSError):
            daemon.ask("GET", "/_ping")
            return
        log = (daemon.directory / "log").read_text()
        assert process.poll() is None, log
        assert time.monotonic() < deadline, log
        time.sleep(_INTERVAL_SECONDS)


_CONTAINERD = """\
version = 2
root = "{0}/data"
state = "{0}/run"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{0}/socket"
[ttrpc]
address = "{0}/socket.ttrpc"
"""


@dataclass(frozen=True)
class Containerd:
    """A daemon that runs, asked through `ctr`, as the nodes of kind are."""

    program: str
    directory: Path

    def ctr(self, *arguments: str, stdin: bytes = b"") -> str:
        words = (self.program, f"--address={self.directory}/socket", *arguments)
        ran = subprocess.run(words, check=False, capture_output=True, input=stdin)
        assert ran.returncode == 0, (words, ran.stderr.decode())
        return ran.stdout.decode()

    def pull(self, name: str, *options: str) -> None:
        """Pull and unpack."""
        self.ctr("images", "pull", "--snapshotter=native", *options, name)

    def checked(self, name: str) -> tuple[str, bool]:
        """Return an image's digest, and whether all of it is there and unpacked."""
        listed = self.ctr("images", "check", "--snapshotter=native", f"name=={name}")
        (line,) = listed.splitlines()[1:]
        return line.split()[2], " complete (" in line and line.rstrip().endswith("true")

    def run(self, name: str) -> str:
        """Run what the image says; return what it says."""
        # `ctr` alone would set shares of the processor, for which not every machine has a cgroup.
        options = ("--rm", "--cpu-shares=0", "--snapshotter=native")
        return self.ctr("run", *options, name, f"test-{time.monotonic_ns()}")


@contextlib.contextmanager
def running_containerd(program: str, ctr: str) -> Iterator[Containerd]:
    # The path of a socket must be short.
    directory = Path(tempfile.mkdtemp(prefix="nixbridge-containerd-"))
    (directory / "config.toml").write_text(_CONTAINERD.format(directory))
    argv = in_namespaces([program, f"--config={directory}/config.toml"])
    daemon = Containerd(ctr, directory)
    with _running(argv, directory) as process:
        _wait_until(lambda: process.poll() is not None or (directory / "socket").exists())
        assert process.poll() is None, (directory / "log").read_text()
        daemon.ctr("version")
        yield daemon


@dataclass(frozen=True)
class PodmanStorage:
    """A storage of podman's; `prefix` makes a name one in it."""

    program: str
    directory: Path

    @property
    def prefix(self) -> str:
        return f"containers-storage:[vfs@{self.directory}/data+{self.directory}/run]"

    def command(self, *arguments: str) -> list[str]:
        """Return the command that has podman use this storage."""
        return in_namespaces(
            [
                self.program,
                "--storage-driver=vfs",
                f"--root={self.directory}/data",
                f"--runroot={self.directory}/run",
                *arguments,
            ]
        )

    def podman(self, *arguments: str) -> str:
        argv = self.command(*arguments)
        ran = subprocess.run(argv, check=False, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def images(self) -> dict[str, list[str]]:
        """Return the images by their identity, with all their names."""
        listed = json.loads(self.podman("images", "--all", "--format=json"))
        return {image["Id"]: sorted(image.get("Names") or []) for image in listed}

    def run(self, image: str) -> str:
        """Run what the image says, without a network; return what it says."""
        limits = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096")
        return self.podman(
            "run", "--rm", "--cgroups=disabled", "--network=none", "--pull=never", *limits, image
        )


@contextlib.contextmanager
def podman_storage(program: str) -> Iterator[PodmanStorage]:
    # Podman refuses a place with a long name.
    directory = Path(tempfile.mkdtemp(prefix="nixbridge-podman-"))
    try:
        yield PodmanStorage(program, directory)
    finally:
        _wait_until(lambda: not _is_named_by_a_process(directory))
        shutil.rmtree(directory, ignore_errors=True)


def _wait_until(condition: Callable[[], bool]) -> None:
    """Podman tidies up behind a container that has ended."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(_INTERVAL_SECONDS)


def _is_named_by_a_process(path: Path) -> bool:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            if os.fsencode(path) in file.read_bytes():
                return True
    return False
