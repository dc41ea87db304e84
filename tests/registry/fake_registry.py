"""A registry in this process that keeps all in memory, and fails as it is told to.

It is strict: it takes no blob under a wrong digest, and no manifest that names what it has not got.
A fault is met by the first requests that it fits, `times` of them, and is gone.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USER, PASSWORD = "shop", "correct horse"


@dataclass
class Seen:
    """A request that came in, whatever became of it."""

    method: str
    path: str
    query: str
    authorization: str | None
    body_bytes: int = 0


@dataclass
class Fault:
    method: str
    pattern: str
    act: Callable[[Exchange], None]
    times: int = 1


class CutError(Exception):
    """The connection shall be cut now."""


@dataclass
class Exchange:
    """A request and what is answered, as a fault may meddle with it."""

    handler: Handler
    path: str
    query: dict[str, str]
    extra_headers: dict[str, str] = field(default_factory=dict)
    is_answered: bool = False
    loses_answer: bool = False

    def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.is_answered = True
        if self.loses_answer:
            raise CutError
        self.handler.read_body()
        self.handler.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            if name not in self.extra_headers:
                self.handler.send_header(name, value)
        for name, value in self.extra_headers.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()
        if self.handler.command != "HEAD":
            self.handler.wfile.write(body)

    def error(self, status: int, code: str, message: str = "", **headers: str) -> None:
        document = {"errors": [{"code": code, "message": message}]}
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer(status, fields, json.dumps(document).encode())


# What faults do.


def fail(
    status: int, code: str = "UNKNOWN", message: str = "", **headers: str
) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.error(status, code, message, **headers)


def cut(_exchange: Exchange) -> None:
    """Cut the connection before anything is read or done."""
    raise CutError


def cut_after(size_bytes: int) -> Callable[[Exchange], None]:
    """Cut the connection when so much of the body has come."""

    def act(exchange: Exchange) -> None:
        exchange.handler.read_body(size_bytes)
        raise CutError

    return act


def lose_answer(exchange: Exchange) -> None:
    """Do what is asked, and cut the connection before saying so."""
    exchange.loses_answer = True


def change_headers(**headers: str) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.extra_headers.update(
        {name.replace("_", "-"): value for name, value in headers.items()}
    )


def never_answer(exchange: Exchange) -> None:
    """Be silent until the other side goes away."""
    exchange.handler.connection.settimeout(20)
    with contextlib.suppress(OSError):
        while exchange.handler.rfile.read(1 << 16):
            pass
    raise CutError


class FakeRegistry:
    """The registry; `host` is where it listens."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[tuple[str, str], bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        # "", "basic" or "bearer"; with the latter, how often a token may be used.
        self.auth = ""
        self.token_uses = 1000
        self.tokens: dict[str, tuple[str, int]] = {}
        self.token_document: dict[str, Any] = {}
        self.allows_anonymous = False
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.registry = self  # type: ignore[attr-defined]
        self.host = f"127.0.0.1:{self.server.server_port}"

    def on(
        self, method: str, pattern: str, act: Callable[[Exchange], None], *, times: int = 1
    ) -> None:
        """Meet the next requests of that method whose path holds `pattern` by `act`."""
        self.faults.append(Fault(method, pattern, act, times))

    def image(self, repository: str, tag: str) -> dict[str, Any] | None:
        """Return the manifest of a tag, having seen that all that it names is there."""
        data = self.manifests.get((repository, tag))
        if data is None:
            return None
        manifest: dict[str, Any] = json.loads(data)
        for described in (manifest["config"], *manifest["layers"]):
            blob = self.blobs[repository][described["digest"]]
            assert len(blob) == described["size"]
            assert f"sha256:{hashlib.sha256(blob).hexdigest()}" == described["digest"]
        return manifest

    def sent(self, method: str, pattern: str = "") -> list[Seen]:
        """Return the requests of that method whose path holds `pattern`."""
        return [
            seen
            for seen in self.seen
            if seen.method == method and re.search(pattern, f"{seen.path}?{seen.query}")
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator[FakeRegistry]:
        # Often, so that a test need not wait for the end.
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # Without it, each answer waits for an acknowledgement of its headers.
    disable_nagle_algorithm = True
    # What is left of the body; None is not known: it comes in pieces.
    rest: int | None = 0
    request_seen: Seen

    @property
    def registry(self) -> FakeRegistry:
        found: FakeRegistry = self.server.registry  # type: ignore[attr-defined]
        return found

    def log_message(self, *_arguments: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def read_body(self, most_bytes: int = 1 << 40) -> bytes:
        """Read what is left of the body, but so much at the most."""
        data = bytearray()
        while len(data) < most_bytes and self.rest != 0:
            if self.rest is None:
                size = int(self.rfile.readline().strip() or b"0", 16)
                data += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    self.rest = 0
            else:
                part = self.rfile.read(min(self.rest, most_bytes - len(data)))
                if not part:
                    raise ConnectionResetError
                self.rest -= len(part)
                data += part
        self.request_seen.body_bytes += len(data)
        return bytes(data)

    def serve(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        is_chunked = self.headers.get("Transfer-Encoding") == "chunked"
        self.rest = None if is_chunked else int(self.headers.get("Content-Length") or 0)
        authorization = self.headers.get("Authorization")
        self.request_seen = Seen(self.command, parts.path, parts.query, authorization)
        self.registry.seen.append(self.request_seen)
        exchange = Exchange(self, parts.path, dict(urllib.parse.parse_qsl(parts.query)))
        try:
            self.meddle(exchange)
            if not exchange.is_answered and self.is_allowed(exchange):
                self.do(exchange)
        except CutError:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = serve  # noqa: N815

    def meddle(self, exchange: Exchange) -> None:
        with self.registry.lock:
            faults = [
                fault
                for fault in self.registry.faults
                if fault.times > 0
                and fault.method in {self.command, "*"}
                and re.search(fault.pattern, self.path)
            ][:1]
            for fault in faults:
                fault.times -= 1
        for fault in faults:
            fault.act(exchange)

    def is_allowed(self, exchange: Exchange) -> bool:
        registry = self.registry
        given = self.headers.get("Authorization", "")
        if not registry.auth or exchange.path in {"/token", "/elsewhere"}:
            return True
        if registry.auth == "basic":
            pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            if given == f"Basic {pair}":
                return True
            exchange.error(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="tests"')
            return False
        scope, uses = registry.tokens.get(given.removeprefix("Bearer "), ("", 0))
        if uses > 0:
            registry.tokens[given.removeprefix("Bearer ")] = (scope, uses - 1)
            return True
        challenge = f'Bearer realm="http://{registry.host}/token",service="tests"'
        exchange.error(401, "UNAUTHORIZED", WWW_Authenticate=challenge)
        return False

    def do(self, exchange: Exchange) -> None:
        if exchange.path == "/v2/":
            exchange.answer(200, body=b"{}")
            return
        if exchange.path == "/token":
            self.give_token(exchange)
            return
        match = re.fullmatch(r"/v2/(.+)/(blobs|manifests)/(.*)", exchange.path)
        assert match is not None, exchange.path
        repository, kind, rest = match.groups()
        if kind == "manifests":
            self.manifest(exchange, repository, rest)
        elif repository.endswith("/blobs"):
            raise AssertionError(exchange.path)
        elif rest.startswith("uploads/"):
            self.upload(exchange, repository, rest.removeprefix("uploads/"))
        else:
            self.blob(exchange, repository, rest)

    def give_token(self, exchange: Exchange) -> None:
        registry = self.registry
        body = dict(urllib.parse.parse_qsl(self.read_body().decode()))
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        given = self.headers.get("Authorization")
        is_known = given == f"Basic {pair}" or body.get("refresh_token") == PASSWORD
        if not is_known and (given or not registry.allows_anonymous):
            exchange.error(401, "UNAUTHORIZED", "incorrect password")
            return
        token = f"token-{uuid.uuid4().hex}"
        scope = urllib.parse.urlsplit(self.path).query or body.get("scope", "")
        registry.tokens[token] = (scope, registry.token_uses)
        document = registry.token_document | {"token": token}
        exchange.answer(200, body=json.dumps(document).encode())

    def blob(self, exchange: Exchange, repository: str, digest: str) -> None:
        data = self.registry.blobs.get(repository, {}).get(digest)
        if data is None:
            exchange.error(404, "BLOB_UNKNOWN")
        else:
            exchange.answer(200, {"Docker-Content-Digest": digest}, data)

    def upload(self, exchange: Exchange, repository: str, name: str) -> None:
        registry = self.registry
        if self.command == "POST":
            digest, source = exchange.query.get("mount"), exchange.query.get("from")
            found = registry.blobs.get(source or "", {}).get(digest or "")
            if digest is not None and found is not None:
                registry.blobs.setdefault(repository, {})[digest] = found
                exchange.answer(201, {"Docker-Content-Digest": digest})
                return
            name = uuid.uuid4().hex
            registry.uploads[name] = bytearray()
            exchange.answer(202, self.location(repository, name))
        elif name not in registry.uploads:
            exchange.error(404, "BLOB_UPLOAD_UNKNOWN")
        elif self.command == "DELETE":
            del registry.uploads[name]
            exchange.answer(204)
        else:
            # What is forgotten while it comes must stay forgotten.
            registry.uploads[name].extend(self.read_body())
            if self.command == "PATCH":
                exchange.answer(202, self.location(repository, name))
            else:
                self.complete(exchange, repository, name)

    def location(self, repository: str, name: str) -> dict[str, str]:
        return {"Location": f"/v2/{repository}/blobs/uploads/{name}?_state=secret-{name}"}

    def complete(self, exchange: Exchange, repository: str, name: str) -> None:
        data = bytes(self.registry.uploads.pop(name))
        assert exchange.query["_state"] == f"secret-{name}"
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if digest != exchange.query["digest"]:
            exchange.error(400, "DIGEST_INVALID")
            return
        self.registry.blobs.setdefault(repository, {})[digest] = data
        exchange.answer(201, {"Docker-Content-Digest": digest})

    def manifest(self, exchange: Exchange, repository: str, reference: str) -> None:
        registry = self.registry
        if self.command != "PUT":
            data = registry.manifests.get((repository, reference))
            if data is None:
                exchange.error(404, "MANIFEST_UNKNOWN")
                return
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            headers = {
                "Docker-Content-Digest": digest,
                "Content-Type": json.loads(data)["mediaType"],
            }
            exchange.answer(200, headers, data)
            return
        data = self.read_body()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        manifest = json.loads(data)
        for described in (manifest["config"], *manifest["layers"]):
            if described["digest"] not in registry.blobs.get(repository, {}):
                exchange.error(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
                return
        registry.manifests[repository, reference] = registry.manifests[repository, digest] = data
        exchange.answer(201, {"Docker-Content-Digest": digest})
