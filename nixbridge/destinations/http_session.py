"""HTTP, one attempt a call: connections that are kept, TLS, proxies, limits; nothing of registries.

Nothing is repeated and no redirect is followed here: what is safe to repeat, and where credentials
may go, is known by `registry_client.py`. A session may be used by many threads at the same time.
Addresses are never logged with their query, and urllib3 is kept from it: a query may hold secrets.
"""

from __future__ import annotations

import logging
import ssl
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import urllib3

from nixbridge import __version__
from nixbridge.destinations.addresses import without_query
from nixbridge.destinations.broken_connection import broken_by
from nixbridge.destinations.patience import Patience

_LOG: Final = logging.getLogger(__name__)
# As many as may be under way at the same time to one host, without being opened anew.
_KEPT_CONNECTIONS: Final = 32
_CHUNK_BYTES: Final = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back; names of `headers` may be looked up in any case."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    # The body is longer than was asked for, and `body` its beginning.
    is_cut: bool = False


class HttpSession:
    """Connections to one registry, and to where it sends us."""

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

    def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] | None = None,
        limit_bytes: int = 0,
        answer_seconds: float | None = None,
    ) -> Answer:
        """Send a request, and read its answer, of the body `limit_bytes` at the most.

        A body in pieces goes out as they come. What its iterator raises is raised.

        Raises `BrokenConnectionError`.
        """
        patience = self._patience
        timeout = urllib3.Timeout(
            connect=patience.connect_seconds, read=answer_seconds or patience.answer_seconds
        )
        try:
            response: Any = self._pool(url).urlopen(
                method,
                url,
                body=body,
                headers={"User-Agent": f"nixbridge/{__version__}", **(headers or {})},
                retries=False,
                redirect=False,
                timeout=timeout,
                chunked=isinstance(body, Iterator),
                preload_content=False,
                enforce_content_length=True,
            )
            data, is_cut = _read(response, limit_bytes)
        except (urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            broken = broken_by(error)
            _LOG.debug("%s %s: %s", method, without_query(url), broken.reason)
            raise broken from error
        _LOG.debug("%s %s: %d", method, without_query(url), response.status)
        return Answer(
            url=url, status=response.status, headers=response.headers, body=data, is_cut=is_cut
        )

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urllib.parse.urlsplit(url)
        proxy = self._proxies.get(parts.scheme)
        if _needs_no_proxy(parts.hostname or "", self._proxies.get("no", "")):
            proxy = None
        if proxy not in self._pools:
            self._pools[proxy] = self._new_pool(proxy)
        return self._pools[proxy]

    def _new_pool(self, proxy: str | None) -> urllib3.PoolManager:
        arguments: dict[str, Any] = {"maxsize": _KEPT_CONNECTIONS, "ssl_context": self._context}
        if proxy is None:
            return urllib3.PoolManager(**arguments)
        address = proxy if "://" in proxy else f"http://{proxy}"
        user = urllib.parse.urlsplit(address)
        if user.username is not None:
            secret = f"{_unquote(user.username)}:{_unquote(user.password)}"
            arguments["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=secret)
        return urllib3.ProxyManager(address, **arguments)

    def close(self) -> None:
        """Close all connections that are not in use."""
        for pool in self._pools.values():
            pool.clear()


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
