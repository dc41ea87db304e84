"""A registry on this machine that can only be read: where it listens, and who may come.

What it answers is `answering.py`, which images there are `catalogue.py`. Each connection has a
thread; how many there may be, and how many layers may be packed at the same time, is bounded.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import socket
import socketserver
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self, cast

from nixbridge.destinations.answering import Answers, Connection
from nixbridge.destinations.catalogue import Catalogue
from nixbridge.errors import DestinationError, InputError
from nixbridge.packing import Warn

_LOG: Final = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"
# Who listens at all addresses has none that a reference could begin with. Few who pull know
# references that begin with an address in brackets.
_HERE: Final[Mapping[str, str]] = MappingProxyType({"0.0.0.0": LOOPBACK, "::": "localhost"})  # noqa: S104

_MOST_CONNECTIONS: Final = 256
_POLL_SECONDS: Final = 0.1
_END_SECONDS: Final = 10.0

_ADDRESS: Final = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<host>[^\[\]:]+)):(?P<port>\d+)")
_MOST_PORTS: Final = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class ListenAddress:
    """Where a server listens; port 0 is any that is free."""

    host: str = LOOPBACK
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `ADDRESS:PORT`; an IPv6 address stands in brackets.

        Raises `InputError`.
        """
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match["port"]) >= _MOST_PORTS:
            raise InputError(
                f"`{text}` is no address to listen at",
                hint="write `ADDRESS:PORT`, for example `127.0.0.1:5000`; port 0 is a free one",
            )
        return cls(host=match["ipv6"] or match["host"], port=int(match["port"]))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class RegistryServer:
    """A registry that listens from the beginning, and answers from `start` on until it is closed.

    Who comes before `start` waits. `address` is what references to its images begin with, on this
    machine if it listens at all addresses (`is_everywhere`).
    """

    def __init__(self, listen: ListenAddress, catalogue: Catalogue, *, warn: Warn) -> None:
        self._server = _bind(listen, catalogue, warn)
        host, port = cast("tuple[str, int]", self._server.server_address)[:2]
        self.is_everywhere = host in _HERE
        self.address = str(ListenAddress(host=_HERE.get(host, listen.host), port=port))
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Answer, in threads; do not fork from now on."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="serve", daemon=True
        )
        self._thread.start()

    @property
    def was_asked(self) -> bool:
        """Whether anybody who spoke HTTP reached it."""
        return self._server.answers.was_asked

    def close(self) -> None:
        """Stop listening, and end what is under way."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.end_connections()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _bind(listen: ListenAddress, catalogue: Catalogue, warn: Warn) -> _Server:
    """Raises `DestinationError`: it cannot listen there."""
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        return _Server(family, cast("tuple[str, int]", address), catalogue, warn)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise DestinationError(
                f"`{listen}` is taken: something else listens there",
                hint=f"take another port, or any that is free: `{listen.host}:0`",
            ) from error
        reason = error.strerror or str(error)
        raise DestinationError(
            f"cannot listen at `{listen}`: {reason[:1].lower()}{reason[1:]}",
            hint="listen at an address of this machine; ports below 1024 are root's",
        ) from error


class _Server(socketserver.ThreadingTCPServer):
    """What all connections share."""

    allow_reuse_address = True
    daemon_threads = True
    # Their end is waited for in `end_connections`.
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, family: int, address: tuple[str, int], catalogue: Catalogue, warn: Warn
    ) -> None:
        self.address_family = family
        self.answers = Answers(catalogue, warn)
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._connections: set[socket.socket] = set()
        self._ended = threading.Condition()
        super().__init__(address, Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take the next connection; too many wait in the kernel's queue."""
        # The server takes an `OSError` for a client that has gone, and asks again.
        if not self._places.acquire(timeout=_POLL_SECONDS):
            raise TimeoutError
        try:
            connection, address = super().get_request()
        except OSError:
            self._places.release()
            raise
        with self._ended:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """End a connection; called once for each."""
        super().shutdown_request(request)
        with self._ended:
            self._connections.discard(request)
            self._ended.notify_all()
        self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Take note of what went wrong with a connection; the others go on."""
        error = sys.exception()
        _LOG.debug("a connection failed", exc_info=error)
        self.answers.warn(f"an answer failed, which is a bug in nixbridge: {error!r}")

    def end_connections(self) -> None:
        """End the connections that are open, and wait until nobody works for them."""
        with self._ended:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._ended.wait_for(lambda: not self._connections, timeout=_END_SECONDS)
