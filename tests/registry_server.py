"""Debian's docker-registry on loopback, for a test's time: what judges how we talk to a registry.

`running_registry` starts one on a free port, with its blobs in the test's own folder, and ends it
by its process. The fixture `docker_registry` (tests/conftest.py) is the plain one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PATIENCE_SECONDS = 30.0
_INTERVAL_SECONDS = 0.01


@dataclass(frozen=True)
class Request:
    """A line of the registry's access log."""

    method: str
    path: str
    status: int
    sent_bytes: int


@dataclass(frozen=True)
class TlsFiles:
    """What a registry speaks TLS with; whoever trusts `certificate` trusts the registry."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class RegistryServer:
    """A registry that runs."""

    host: str
    directory: Path

    def reference(self, name: str) -> str:
        """Return the destination of an image of that `repository[:tag]`."""
        return f"docker://{self.host}/{name}"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def requests(self) -> list[Request]:
        """Return what was asked of it, oldest first."""
        found = re.findall(r'"([A-Z]+) (\S+) HTTP/1\.1" (\d+) (\d+)', self.log)
        return [
            Request(method, path, int(status), int(size)) for method, path, status, size in found
        ]

    def blobs(self) -> set[str]:
        """Return the digests of all blobs that it has, whole ones only."""
        root = self.directory / "data/docker/registry/v2/blobs/sha256"
        return {f"sha256:{path.parent.name}" for path in root.glob("*/*/data")}


@contextlib.contextmanager
def running_registry(
    program: str,
    directory: Path,
    *,
    tls: TlsFiles | None = None,
    htpasswd: str | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[RegistryServer]:
    """Run `program`, which is docker-registry, with its files below `directory`.

    `htpasswd` is a line `user:hash of bcrypt`; `prefix` are the words of a program that runs it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    http: dict[str, Any] = {"addr": "127.0.0.1:0", "secret": "the tests'"}
    if tls is not None:
        http["tls"] = {"certificate": str(tls.certificate), "key": str(tls.key)}
    config: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "info"},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "data")},
            "delete": {"enabled": True},
        },
        "http": http,
    }
    if htpasswd is not None:
        (directory / "htpasswd").write_text(htpasswd + "\n")
        path = str(directory / "htpasswd")
        config["auth"] = {"htpasswd": {"realm": "tests", "path": path}}
    # JSON is YAML.
    (directory / "config.yml").write_text(json.dumps(config))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [*prefix, program, "serve", str(directory / "config.yml")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        yield RegistryServer(
            host=_wait_for_address(process, directory / "log"), directory=directory
        )
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE_SECONDS)
        finally:
            process.kill()


def _wait_for_address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return where it listens: it chooses the port itself, and says so in its log."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        match = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())
        if match is not None:
            return match[1]
        time.sleep(_INTERVAL_SECONDS)
    raise AssertionError(f"docker-registry did not start:\n{log.read_text()}")


def make_tls_files(directory: Path, names: str = "DNS:localhost,IP:127.0.0.1") -> TlsFiles:
    """Make a certificate for loopback, or other names, that is its own authority."""
    directory.mkdir(parents=True, exist_ok=True)
    files = TlsFiles(certificate=directory / "server.crt", key=directory / "server.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", f"subjectAltName={names}"),
            *("-keyout", str(files.key), "-out", str(files.certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return files
