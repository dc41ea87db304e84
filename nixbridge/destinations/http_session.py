"""HTTP, one attempt a call: connections that are kept, TLS, proxies, limits; nothing of registries.

Nothing is repeated and no redirect is followed here: what is safe to repeat, and where credentials
may go, is known by `registry_client.py`. A session may be used by many threads at the same time.
Addresses are never logged with their query, and urllib3 is kept from it: a query may hold secrets.

A name that is looked up, or a host that does not answer, cannot be made to end. So each request is
made in a thread of its own, and whoever waits for it is let go by `give_up`; the thread is left
alone, and ends with the program if not before.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import urllib3

from nixbridge import __version__
from nixbridge.destinations.addresses import joined, place_of, without_query
from nixbridge.destinations.broken_connection import (
    NOT_IN_TIME,
    BrokenConnectionError,
    broken_by,
)
from nixbridge.destinations.patience import Patience
from nixbridge.errors import DestinationError, InputError

_LOG: Final = logging.getLogger(__name__)
# As many as may be under way at the same time to one host, without being opened anew.
_KEPT_CONNECTIONS: Final = 32
_CHUNK_BYTES: Final = 1 << 16
# So long after it was given up, a session may still say what is good to be said.
_FAREWELL_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A request; a body in pieces goes out as they come.

    Of the answer's body `limit_bytes` are read at the most. A farewell is also sent when the
    session is given up, and not waited for long then.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    body: bytes | Iterator[bytes] | None = None
    limit_bytes: int = 0
    answer_seconds: float | None = None
    is_farewell: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back; names of `headers` may be looked up in any case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    # The body is longer than was asked for, and `body` its beginning.
    is_cut: bool = False


class GivenUpError(DestinationError):
    """Nobody wants the answer any more; whoever gave up knows why, and raises that."""

    def __init__(self) -> None:
        super().__init__("the registry is not waited for any more")


class HttpSession:
    """Connections to one registry, and to where it sends us.

    `is_given_up` is set when nobody wants answers any more.
    """

    def __init__(
        self, *, context: ssl.SSLContext, environment: Mapping[str, str], patience: Patience
    ) -> None:
        if context.verify_mode == ssl.CERT_NONE:
            # The user said so; urllib3 would complain at each connection.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        if not hasattr(urllib3, "BaseHTTPResponse"):
            # Version 1 compares names itself, and tells OpenSSL none that is an IP address.
            context.check_hostname = False
        logging.getLogger("urllib3").setLevel(logging.INFO)
        self._context = context
        self._proxies = _proxies(environment)
        self._patience = patience
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._awaited: set[Future[Answer]] = set()
        self._farewell_end_seconds = 0.0
        self.is_given_up = threading.Event()

    def give_up(self) -> None:
        """Let go who waits for an answer, in any thread, and ask nothing more but farewells."""
        with self._lock:
            if not self.is_given_up.is_set():
                self._farewell_end_seconds = time.monotonic() + _FAREWELL_SECONDS
                self.is_given_up.set()
            awaited = tuple(self._awaited)
        for answer in awaited:
            with contextlib.suppress(InvalidStateError):
                answer.set_exception(GivenUpError())

    def ask(self, question: Question) -> Answer:
        """Send a request, and read its answer. What the iterator of its body raises is raised.

        Raises `BrokenConnectionError`, `GivenUpError`. Raises `InputError`: a proxy cannot be used.
        """
        answer: Future[Answer] = Future()
        is_sent = threading.Event()
        body = question.body
        if isinstance(body, Iterator):
            body = _telling_its_end(body, is_sent)
        else:
            is_sent.set()

        def run() -> None:
            try:
                found = self._ask_here(question, body)
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                with contextlib.suppress(InvalidStateError):
                    answer.set_exception(error)
            else:
                with contextlib.suppress(InvalidStateError):
                    answer.set_result(found)

        thread = threading.Thread(target=run, name="request", daemon=True)
        with self._awaiting(answer, is_farewell=question.is_farewell) as farewell_seconds:
            thread.start()
            try:
                found = self._wait(answer, is_sent, farewell_seconds)
            except TimeoutError:
                if farewell_seconds is not None:
                    raise GivenUpError from None
                raise BrokenConnectionError(NOT_IN_TIME) from None
        # It has nothing left to do; whoever forks now shall find it gone.
        thread.join()
        return found

    def _wait(
        self, answer: Future[Answer], is_sent: threading.Event, farewell_seconds: float | None
    ) -> Answer:
        """Wait for an answer, but not for ever when all was sent.

        Raises `TimeoutError`.
        """
        if farewell_seconds is not None:
            return answer.result(farewell_seconds)
        while True:
            was_sent = is_sent.is_set()
            with contextlib.suppress(TimeoutError):
                return answer.result(self._patience.longest_seconds)
            if was_sent:
                raise TimeoutError

    @contextlib.contextmanager
    def _awaiting(self, answer: Future[Answer], *, is_farewell: bool) -> Iterator[float | None]:
        """Let `give_up` know of an answer that is awaited; give how long that may take.

        Raises `GivenUpError`.
        """
        longest_seconds = None
        with self._lock:
            if not self.is_given_up.is_set():
                self._awaited.add(answer)
            elif is_farewell:
                longest_seconds = max(self._farewell_end_seconds - time.monotonic(), 0.0)
            else:
                raise GivenUpError
        try:
            yield longest_seconds
        finally:
            with self._lock:
                self._awaited.discard(answer)

    def _ask_here(self, question: Question, body: bytes | Iterator[bytes] | None) -> Answer:
        method, url, patience = question.method, question.url, self._patience
        timeout = urllib3.Timeout(
            connect=patience.connect_seconds,
            read=question.answer_seconds or patience.answer_seconds,
        )
        try:
            response: Any = self._pool(url).urlopen(
                method,
                url,
                body=body,
                headers={"User-Agent": f"nixbridge/{__version__}", **question.headers},
                retries=False,
                redirect=False,
                timeout=timeout,
                chunked=isinstance(body, Iterator),
                preload_content=False,
                enforce_content_length=True,
            )
            data, is_cut = _read(response, question.limit_bytes)
        except (urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            broken = broken_by(error)
            proxy = self._proxy(url)
            if proxy is not None:
                broken.reason += f" (by way of the proxy `{place_of(_with_scheme(proxy))}`)"
            _LOG.debug("%s %s: %s", method, without_query(url), broken.reason)
            raise broken from error
        _LOG.debug("%s %s: %d", method, without_query(url), response.status)
        return Answer(
            url=url, status=response.status, headers=response.headers, body=data, is_cut=is_cut
        )

    def _proxy(self, url: str) -> str | None:
        parts = urllib.parse.urlsplit(url)
        if _needs_no_proxy(parts.hostname or "", self._proxies.get("no", "")):
            return None
        return self._proxies.get(parts.scheme)

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = self._proxy(url)
        if proxy not in self._pools:
            self._pools[proxy] = self._new_pool(proxy)
        return self._pools[proxy]

    def _new_pool(self, proxy: str | None) -> urllib3.PoolManager:
        arguments: dict[str, Any] = {"maxsize": _KEPT_CONNECTIONS, "ssl_context": self._context}
        if proxy is None:
            return urllib3.PoolManager(**arguments)
        address = _with_scheme(proxy)
        if joined(address, address) is None:
            # Not as it is: it may have a password.
            raise InputError(
                "the proxy that the environment names cannot be used",
                hint="set `HTTPS_PROXY` and `HTTP_PROXY` to `http://HOST:PORT` or "
                "`https://HOST:PORT`",
            )
        user = urllib.parse.urlsplit(address)
        if user.username is not None:
            secret = f"{_unquote(user.username)}:{_unquote(user.password)}"
            arguments["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=secret)
        return urllib3.ProxyManager(address, **arguments)

    def close(self) -> None:
        """Close all connections that are not in use."""
        for pool in self._pools.values():
            pool.clear()


def _telling_its_end(pieces: Iterator[bytes], is_sent: threading.Event) -> Iterator[bytes]:
    yield from pieces
    is_sent.set()


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _proxies(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return what proxies there are, by scheme, and under `no` the hosts that are not for them."""
    proxies: dict[str, str] = {}
    # The small letters win, as with curl.
    for name in sorted(environment):
        scheme, underscore, word = name.lower().rpartition("_")
        if word == "proxy" and underscore and environment[name]:
            proxies[scheme] = environment[name]
    return proxies


def _needs_no_proxy(host: str, exceptions: str) -> bool:
    """Return whether `NO_PROXY` names a host, a domain that it is in, or all."""
    for exception in exceptions.lower().split(","):
        name = exception.strip().partition(":")[0].lstrip(".")
        if name and (name in {"*", host} or host.endswith(f".{name}")):
            return True
    return False


def _unquote(text: str | None) -> str:
    return urllib.parse.unquote(text or "")


def _read(response: Any, limit_bytes: int) -> tuple[bytes, bool]:
    """Read to the end, so that the connection can be used again, or close it."""
    data = bytearray()
    while chunk := response.read(_CHUNK_BYTES):
        data += chunk
        if len(data) > limit_bytes + _CHUNK_BYTES:
            response.close()
            break
    response.release_conn()
    return bytes(data[:limit_bytes]), len(data) > limit_bytes
