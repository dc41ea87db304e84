"""A TCP proxy that cuts connections when so many bytes went through them, wherever that is."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator, Sequence

_CHUNK_BYTES = 1 << 14


class CuttingProxy:
    """Between clients and `target`; the connections that come first may carry `budgets`.

    Those that come later may carry all. A budget counts the bytes of both directions.
    """

    def __init__(self, target: str, budgets: Sequence[int]) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._budgets = list(budgets)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.cuts = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[CuttingProxy]:
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            # A thread that waits in `accept` is woken by the end of the socket.
            with contextlib.suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                budget = self._budgets.pop(0) if self._budgets else 1 << 60
                server = socket.create_connection(self._target)
                link = _Link(self, client, server, budget)
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=link.pump, args=(source, sink), daemon=True).start()


class _Link:
    """One connection, as two."""

    def __init__(
        self, proxy: CuttingProxy, client: socket.socket, server: socket.socket, budget: int
    ) -> None:
        self._proxy = proxy
        self._sockets = (client, server)
        self._budget = budget
        self._lock = threading.Lock()

    def pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                with self._lock:
                    allowed, self._budget = data[: self._budget], self._budget - len(data)
                sink.sendall(allowed)
                if len(allowed) < len(data):
                    self._proxy.cuts += 1
                    # The other side sees a reset, and not an orderly end.
                    for each in self._sockets:
                        linger = struct.pack("ii", 1, 0)
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    break
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
