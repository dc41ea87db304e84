"""Where Docker's daemon listens: what the environment, a context, or nobody says of it.

https://docs.docker.com/engine/manage-resources/contexts/
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ipaddress
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from nixbridge.errors import DestinationError, InputError

_DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
_DEFAULT_CONTEXT: Final = "default"
_PORT: Final = 2375
_TLS_PORT: Final = 2376
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerHost:
    """Where a daemon listens: at a socket of this machine, or at a port, maybe with TLS."""

    text: str
    socket_path: str | None = None
    host: str = "localhost"
    port: int = _PORT
    # The directory of `ca.pem`, `cert.pem` and `key.pem`.
    certificates: Path | None = field(default=None, repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Find it as Docker's client does: `DOCKER_HOST`, then the context, then the usual socket.

        Raises `InputError`.
        """
        home = environment.get("HOME", "/")
        if text := environment.get("DOCKER_HOST"):
            certificates = None
            if environment.get("DOCKER_TLS_VERIFY"):
                certificates = Path(environment.get("DOCKER_CERT_PATH") or f"{home}/.docker")
            return cls._parse(text, certificates, said_by="`DOCKER_HOST`")
        folder = Path(environment.get("DOCKER_CONFIG") or f"{home}/.docker")
        context = environment.get("DOCKER_CONTEXT") or _current_context(folder)
        if context == _DEFAULT_CONTEXT:
            return cls._parse(_DEFAULT_HOST, None, said_by="the default")
        # Contexts are kept by the digests of their names.
        identity = hashlib.sha256(context.encode()).hexdigest()
        tls = folder / "contexts/tls" / identity / "docker"
        match _read_json(folder / "contexts/meta" / identity / "meta.json"):
            case {"Endpoints": {"docker": {"Host": str(text)}}}:
                return cls._parse(
                    text, tls if tls.is_dir() else None, said_by=f"the Docker context `{context}`"
                )
            case _:
                raise InputError(f"the Docker context `{context}` does not say where its daemon is")

    @classmethod
    def _parse(cls, text: str, certificates: Path | None, *, said_by: str) -> Self:
        url = urlsplit(text)
        if url.scheme == "unix" and url.path.startswith("/"):
            return cls(text=text, socket_path=url.path)
        try:
            port = url.port
        except ValueError:
            port = 0
        if url.scheme != "tcp" or not url.hostname or port == 0:
            raise InputError(
                f"{said_by} is `{text}`, which is no place of a daemon that we can ask",
                hint="let `DOCKER_HOST` be `unix:///PATH` or `tcp://HOST:PORT`; `ssh -L` brings a "
                "socket nearer",
            )
        default_port = _PORT if certificates is None else _TLS_PORT
        return cls(
            text=text, host=url.hostname, port=port or default_port, certificates=certificates
        )

    @property
    def is_this_machine(self) -> bool:
        """Whether it may be this machine: a socket or loopback, which may lead elsewhere, too."""
        if self.socket_path is not None or self.host == "localhost":
            return True
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return False

    def connect(self, timeout_seconds: float | None) -> http.client.HTTPConnection:
        """Return a connection that is opened by the first request.

        Raises `DestinationError`: there are no certificates.
        """
        if self.socket_path is not None:
            return _UnixConnection(self.socket_path, timeout_seconds)
        if self.certificates is None:
            return http.client.HTTPConnection(
                self.host, self.port, timeout=timeout_seconds, blocksize=_BLOCK_BYTES
            )
        folder = self.certificates
        try:
            context = ssl.create_default_context(cafile=folder / "ca.pem")
            context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        except OSError as error:
            raise DestinationError(
                f"the certificates for Docker in `{folder}` cannot be used: "
                f"{(error.strerror or str(error)).lower()}",
                hint="`DOCKER_CERT_PATH` is the directory of `ca.pem`, `cert.pem` and `key.pem`",
            ) from error
        return http.client.HTTPSConnection(
            self.host, self.port, timeout=timeout_seconds, blocksize=_BLOCK_BYTES, context=context
        )


def _current_context(folder: Path) -> str:
    """Return what `docker context use` has chosen."""
    file = folder / "config.json"
    match _read_json(file) if file.exists() else {}:
        case {"currentContext": str(name)} if name:
            return name
    return _DEFAULT_CONTEXT


def _read_json(file: Path) -> object:
    """Raises `InputError`."""
    try:
        document: object = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(
            f"cannot read `{file}`, where Docker keeps where its daemon is: "
            f"{reason[:1].lower()}{reason[1:]}",
            hint="say where the daemon is: `DOCKER_HOST=unix:///PATH`",
        ) from error
    return document


class _UnixConnection(http.client.HTTPConnection):
    """HTTP through a socket that is a file."""

    def __init__(self, path: str, timeout_seconds: float | None) -> None:
        super().__init__("localhost", timeout=timeout_seconds, blocksize=_BLOCK_BYTES)
        self._path = path

    def connect(self) -> None:
        """Open it."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
