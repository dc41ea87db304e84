"""Docker's daemon, asked through its HTTP interface: no client of Docker's is needed.

Where it listens is what `DOCKER_HOST` says, as to Docker's own client, and else its usual socket.
https://docs.docker.com/reference/api/engine/version/v1.41/
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from io import FileIO
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlencode, urlsplit

from nixbridge.errors import DestinationError, InputError

_DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
_PORT: Final = 2375
_TLS_PORT: Final = 2376
# How long it may take to say that it is there; a pull takes as long as it takes.
_PATIENCE_SECONDS: Final = 20.0
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
        """Read `DOCKER_HOST`, and with it `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH`.

        Raises `InputError`.
        """
        text = environment.get("DOCKER_HOST") or _DEFAULT_HOST
        url = urlsplit(text)
        if url.scheme == "unix" and url.path.startswith("/"):
            return cls(text=text, socket_path=url.path)
        try:
            port = url.port
        except ValueError:
            port = 0
        if url.scheme != "tcp" or not url.hostname or port == 0:
            raise InputError(
                f"`DOCKER_HOST` is `{text}`, which is no place of a daemon that we can ask",
                hint="say `unix:///PATH` or `tcp://HOST:PORT`; `ssh -L` brings a socket nearer",
            )
        certificates = None
        if environment.get("DOCKER_TLS_VERIFY"):
            home = environment.get("HOME", "/")
            certificates = Path(environment.get("DOCKER_CERT_PATH") or f"{home}/.docker")
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


@dataclass(frozen=True, slots=True)
class DockerApi:
    """What we ask of a daemon."""

    host: DockerHost

    def check(self) -> None:
        """See that a daemon answers.

        Raises `DestinationError`.
        """
        try:
            with self._answer("GET", "/_ping", timeout_seconds=_PATIENCE_SECONDS) as response:
                response.read()
        except DestinationError as error:
            error.hint = error.hint or "start it, or say where it is: `DOCKER_HOST=unix:///PATH`"
            raise

    def pull(self, name: str, digest: str) -> None:
        """Have the daemon pull `name@digest`.

        Raises `DestinationError`.
        """
        self._follow("POST", "/images/create", {"fromImage": name, "tag": digest})

    def load(self, archive: FileIO) -> None:
        """Send the daemon an archive.

        Raises `DestinationError`.
        """
        self._follow("POST", "/images/load", {"quiet": "1"}, body=archive)

    def tag(self, image: str, name: str, tag: str) -> None:
        """Give an image a name.

        Raises `DestinationError`.
        """
        self._follow("POST", f"/images/{image}/tag", {"repo": name, "tag": tag})

    def remove(self, image: str) -> None:
        """Remove a name of an image, and the image if that was its last.

        Raises `DestinationError`.
        """
        self._follow("DELETE", f"/images/{image}", {"noprune": "1"})

    def _follow(
        self, method: str, path: str, query: Mapping[str, str], *, body: FileIO | None = None
    ) -> None:
        """Ask for something, and read what is said until it is done: JSON, line by line."""
        with self._answer(method, f"{path}?{urlencode(query)}", body=body) as response:
            for line in response:
                error = _error(line)
                if error is not None:
                    raise DestinationError(f"docker refused: {error}")

    @contextlib.contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        *,
        body: FileIO | None = None,
        timeout_seconds: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        with contextlib.ExitStack() as stack:
            try:
                connection = self.host.connect(timeout_seconds)
                stack.callback(connection.close)
                headers = {} if body is None else {"Content-Type": "application/x-tar"}
                connection.request(method, path, body, headers, encode_chunked=body is not None)
                response = connection.getresponse()
                if response.status >= HTTPStatus.BAD_REQUEST:
                    said = response.read()
                    raise DestinationError(
                        f"docker refused: {_error(said) or f'status {response.status}'}"
                    )
                yield response
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                raise DestinationError(
                    f"no Docker daemon answers at `{self.host.text}`: "
                    f"{reason[:1].lower()}{reason[1:]}"
                ) from error


def _error(line: bytes) -> str | None:
    """Return what the daemon complains of: in an answer, or in a line of one that is good."""
    try:
        document: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    error = document.get("error") or document.get("message")
    return None if error is None else str(error).strip()
