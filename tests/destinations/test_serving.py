"""The registry that can only be read, asked by plain HTTP: what it answers, to how many."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest

from destinations.sample_image import OTHER, SAMPLE, Sample, packed
from nixbridge.destinations.catalogue import Catalogue, repository_of
from nixbridge.destinations.served import Serving
from nixbridge.destinations.serving import ListenAddress, RegistryServer
from nixbridge.errors import DestinationError, InputError, IntegrityError, PackError
from nixbridge.oci import BlobDigest, ImageReference
from nixbridge.packing import PackedLayer, Sink

LAYER = packed(SAMPLE.tars[2]).descriptor
DATA = SAMPLE.tars[2]
BLOB = f"/v2/team/shop/blobs/{LAYER.digest}"


@dataclass
class Layers:
    """The layers of a sample, in small parts; counts how often and how many at a time."""

    sample: Sample = SAMPLE
    written: list[BlobDigest] = field(default_factory=list)
    most_at_a_time: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write_layer(self, layer: PackedLayer, sink: Sink) -> None:
        with self._lock:
            self._now += 1
            self.most_at_a_time = max(self.most_at_a_time, self._now)
            self.written.append(layer.descriptor.digest)
        try:
            self.write(layer, sink)
        finally:
            with self._lock:
                self._now -= 1

    def write(self, layer: PackedLayer, sink: Sink) -> None:
        tar = next(tar for tar in self.sample.tars if packed(tar).diff_id == layer.diff_id)
        buffer = bytearray(1000)
        for at in range(0, len(tar), len(buffer)):
            part = tar[at : at + len(buffer)]
            buffer[: len(part)] = part
            sink.write(memoryview(buffer)[: len(part)])
            buffer[:] = bytes(len(buffer))


@dataclass
class Running:
    server: RegistryServer
    catalogue: Catalogue
    layers: Layers
    warnings: list[str]

    @property
    def port(self) -> int:
        return int(self.server.address.rpartition(":")[2])

    def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=named)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def error(self, path: str, method: str = "GET") -> tuple[int, str, str]:
        status, headers, body = self.ask(path, method)
        assert headers["Content-Type"] == "application/json"
        (error,) = json.loads(body)["errors"]
        return status, error["code"], error["message"]


@contextmanager
def serving(layers: Layers) -> Iterator[Running]:
    warnings: list[str] = []

    def warn(message: str, hint: str | None = None) -> None:  # noqa: ARG001
        warnings.append(message)

    catalogue = Catalogue()
    catalogue.add("team/shop", "1", SAMPLE.image, layers)
    with RegistryServer(ListenAddress(), catalogue, warn=warn) as server:
        server.start()
        yield Running(server, catalogue, layers, warnings)


@pytest.fixture(scope="module")
def started() -> Iterator[Running]:
    with serving(Layers()) as running:
        yield running


@pytest.fixture
def running(started: Running) -> Running:
    """The same server for all, and nothing of what was counted before."""
    started.layers.written.clear()
    return started


def test_a_registry_is_there(running: Running) -> None:
    status, headers, body = running.ask("/v2/")
    assert (status, body) == (200, b"{}")
    assert headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert running.server.was_asked


@pytest.mark.parametrize("name", ["1", str(SAMPLE.image.digest)])
def test_manifests_by_tag_and_digest(running: Running, name: str) -> None:
    path = f"/v2/team/shop/manifests/{name}"
    status, headers, body = running.ask(path)
    assert (status, body) == (200, SAMPLE.image.manifest_bytes)
    assert headers["Content-Type"] == "application/vnd.oci.image.manifest.v1+json"
    assert headers["Docker-Content-Digest"] == str(SAMPLE.image.digest)
    assert headers["ETag"] == f'"{SAMPLE.image.digest}"'
    assert headers["Content-Length"] == str(len(body))
    head = running.ask(path, "HEAD")
    assert head[2] == b""
    assert {**head[1], "Date": ""} == {**headers, "Date": ""}
    assert running.ask(path, If_None_Match=headers["ETag"])[::2] == (304, b"")
    assert running.ask(path, If_None_Match='"another"')[0] == 200


def test_tags(running: Running) -> None:
    for tag in ("b", "c", "a"):
        running.catalogue.add("tagged", tag, OTHER.image, Layers(OTHER))

    def tags(query: str = "") -> object:
        status, _, body = running.ask(f"/v2/tagged/tags/list{query}")
        assert status == 200
        return json.loads(body)

    assert tags() == {"name": "tagged", "tags": ["a", "b", "c"]}
    assert tags("?n=1&last=a") == {"name": "tagged", "tags": ["b"]}
    assert tags("?n=0") == {"name": "tagged", "tags": []}


def test_blobs(running: Running) -> None:
    image = SAMPLE.image
    blobs = {str(packed(tar).descriptor.digest): tar for tar in SAMPLE.tars}
    blobs[str(image.config.digest)] = image.config_bytes
    for digest, data in blobs.items():
        path = f"/v2/team/shop/blobs/{digest}"
        status, headers, body = running.ask(path)
        assert (status, body) == (200, data)
        assert headers["Docker-Content-Digest"] == digest
        assert headers["Accept-Ranges"] == "bytes"
    assert len(running.layers.written) == len(blobs) - 1


def test_to_ask_whether_a_layer_is_there_does_not_pack_it(running: Running) -> None:
    status, headers, body = running.ask(BLOB, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(DATA)), b"")
    assert running.ask(BLOB, "HEAD", Range="bytes=0-1")[0] == 200
    assert running.ask(BLOB, If_None_Match=f'"x", W/"{LAYER.digest}"')[0] == 304
    assert running.layers.written == []


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-1999", 5, 2000),
        ("bytes=1000-1999", 1000, 2000),
        ("bytes=1500-", 1500, len(DATA)),
        (f"bytes={len(DATA) - 1}-", len(DATA) - 1, len(DATA)),
        ("bytes=7-99999999", 7, len(DATA)),
        ("bytes=-10", len(DATA) - 10, len(DATA)),
        ("bytes=-99999999", 0, None),
        ("bytes=0-", 0, None),
    ],
)
def test_parts_of_a_layer(running: Running, asked: str, begin: int, end: int | None) -> None:
    status, headers, body = running.ask(BLOB, Range=asked)
    assert body == DATA[begin:end]
    assert headers["Content-Length"] == str(len(body))
    assert headers.get("Content-Range") == (
        None if end is None else f"bytes {begin}-{end - 1}/{len(DATA)}"
    )
    assert status == (200 if end is None else 206)


@pytest.mark.parametrize("asked", [f"bytes={len(DATA)}-", "bytes=99999999-", "bytes=-0"])
def test_a_part_that_is_not_there(running: Running, asked: str) -> None:
    status, headers, _ = running.ask(BLOB, Range=asked)
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")
    assert running.layers.written == []


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=-", "bytes=x-", "lines=1-2", "bytes=1-2,4-5", ""]
)
def test_a_part_that_is_not_understood_is_the_whole(running: Running, asked: str) -> None:
    status, _, body = running.ask(BLOB, Range=asked)
    assert (status, body) == (200, DATA)


def test_a_part_of_what_the_client_has_in_mind(running: Running) -> None:
    assert running.ask(BLOB, Range="bytes=0-4", If_Range=f'"{LAYER.digest}"')[0] == 206
    assert running.ask(BLOB, Range="bytes=0-4", If_Range='"another"')[0] == 200


@pytest.mark.parametrize(
    ("path", "status", "code", "message"),
    [
        ("/", 404, "UNSUPPORTED", "there is nothing of this name"),
        ("/v2/team/shop", 404, "UNSUPPORTED", "there is nothing of this name"),
        ("/v2/shop/tags/list", 404, "NAME_UNKNOWN", "there is no `shop`"),
        ("/v2/shop/manifests/1", 404, "NAME_UNKNOWN", "there is no `shop:1`"),
        ("/v2/team/shop/manifests/2", 404, "MANIFEST_UNKNOWN", "there is no `team/shop:2`"),
        (
            f"/v2/team/shop/blobs/{OTHER.image.config.digest}",
            404,
            "BLOB_UNKNOWN",
            f"`team/shop` has no blob `{OTHER.image.config.digest}`",
        ),
        (
            "/v2/team/shop/blobs/sha256:12",
            400,
            "DIGEST_INVALID",
            "`sha256:12` is not a sha256 digest",
        ),
        # A path as it is after decoding; nothing of it is a file's.
        ("/v2/team/shop/blobs/..%2f..%2fetc", 404, "UNSUPPORTED", "there is nothing of this name"),
    ],
)
def test_what_is_not_there(
    running: Running, path: str, status: int, code: str, message: str
) -> None:
    assert running.error(path) == (status, code, message)


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(running: Running, method: str) -> None:
    path = "/v2/team/shop/manifests/1"
    assert running.error(path, method) == (
        405,
        "UNSUPPORTED",
        f"{method} is not for a registry that can only be read",
    )
    status, headers, _ = running.ask(path, method)
    assert (status, headers["Allow"], headers["Connection"]) == (405, "GET, HEAD", "close")


def test_an_image_is_under_its_own_name_only(running: Running) -> None:
    running.catalogue.add("other", "1", OTHER.image, Layers(OTHER))
    assert running.error(BLOB.replace("team/shop", "other"))[1] == "BLOB_UNKNOWN"
    assert running.ask(BLOB)[0] == 200
    assert running.error(f"/v2/other/manifests/{SAMPLE.image.digest}")[1] == "MANIFEST_UNKNOWN"


def test_many_clients(running: Running) -> None:
    """Each gets what it asked for, and only so many layers are packed at the same time."""
    digests = [packed(tar).descriptor.digest for tar in SAMPLE.tars]

    def ask(number: int) -> bool:
        index = number % len(digests)
        return running.ask(f"/v2/team/shop/blobs/{digests[index]}")[2] == SAMPLE.tars[index]

    with ThreadPoolExecutor(40) as threads:
        assert all(threads.map(ask, range(200)))
    assert len(running.layers.written) == 200
    assert running.layers.most_at_a_time <= 32


def test_one_connection_for_several_requests(running: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    for path, length in (("/v2/", 2), (BLOB, len(DATA)), ("/v2/x/tags/list", None), (BLOB, None)):
        connection.request("GET", path)
        opened = connection.sock
        body = connection.getresponse().read()
        assert connection.sock is opened is not None
        assert length is None or len(body) == length
    connection.close()


class Broken(Layers):
    """Layers that are not what they were: other bytes, more of them, fewer."""

    data = b"y" * len(DATA)

    def write(self, layer: PackedLayer, sink: Sink) -> None:
        sink.write(self.data)
        if BlobDigest.of(self.data) != layer.descriptor.digest:
            raise IntegrityError("a layer is not what it was")


@pytest.mark.parametrize("data", [b"y" * len(DATA), b"y" * 3 * len(DATA), b"y" * 5])
@pytest.mark.parametrize("asked", [None, "bytes=3-"])
def test_a_layer_that_is_not_what_it_was_is_never_whole(data: bytes, asked: str | None) -> None:
    layers = Broken()
    layers.data = data
    with serving(layers) as running:
        with pytest.raises(http.client.IncompleteRead) as caught:
            running.ask(BLOB, **({} if asked is None else {"Range": asked}))
        assert len(caught.value.partial) < len(DATA) - (3 if asked else 0)
        assert running.warnings == ["a layer cannot be served: a layer is not what it was"]
        assert running.ask("/v2/")[0] == 200


class Gone(Layers):
    def write(self, layer: PackedLayer, sink: Sink) -> None:  # noqa: ARG002
        raise PackError("a path has vanished")


def test_a_layer_that_cannot_be_begun() -> None:
    with serving(Gone()) as running:
        assert running.error(BLOB) == (500, "UNKNOWN", "a path has vanished")
        assert running.warnings == ["a layer cannot be served: a path has vanished"]


class Endless(Layers):
    """A layer that goes on until nobody reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Event()

    def write(self, layer: PackedLayer, sink: Sink) -> None:  # noqa: ARG002
        try:
            while True:
                sink.write(bytes(1 << 16))
        finally:
            self.ended.set()


@contextmanager
def serving_endlessly() -> Iterator[tuple[Running, Endless]]:
    """Serve a layer that says of itself that it has a TiB."""
    layers = Endless()
    layer = packed(DATA)
    layer = replace(layer, descriptor=replace(layer.descriptor, size_bytes=1 << 40))
    with serving(layers) as running:
        image = replace(SAMPLE.image, layers=(layer,))
        running.catalogue.add("team/shop", "1", image, layers)
        yield running, layers


def test_a_client_that_goes_away_is_no_error() -> None:
    with serving_endlessly() as (running, layers):
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
            client.sendall(f"GET {BLOB} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert client.recv(100)
        assert layers.ended.wait(20)
        assert running.ask("/v2/")[0] == 200
        assert running.warnings == []


def test_clients_that_do_not_read_keep_nobody_waiting() -> None:
    with serving_endlessly() as (running, _), ExitStack() as stack:
        for _ in range(20):
            client = socket.create_connection(("127.0.0.1", running.port), timeout=20)
            stack.enter_context(client)
            client.sendall(f"GET {BLOB} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert client.recv(1)
        running.catalogue.add("other", "1", OTHER.image, Layers(OTHER))
        blob = packed(OTHER.tars[0]).descriptor.digest
        assert running.ask(f"/v2/other/blobs/{blob}")[2] == OTHER.tars[0]


def test_a_client_that_begins_with_tls_is_told(running: Running) -> None:
    """At once: engines try TLS first, and would wait for an answer to that."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert client.recv(1000).startswith(b"HTTP/1.0 400 Bad Request\r\n")


@pytest.mark.parametrize(
    "request_text", [b"\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9\r\n\r\n"]
)
def test_what_is_no_http(running: Running, request_text: bytes) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
        client.sendall(request_text)
        answer = client.makefile("rb").read()
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert b'{"errors":[{' in answer


def test_a_body_is_not_the_next_request(running: Running) -> None:
    smuggled = b"GET /v2/ HTTP/1.1\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
        length = str(len(smuggled)).encode()
        client.sendall(b"GET /v2/ HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n" + smuggled)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(ConnectionError):
            while data := client.recv(10000):
                answer += data
    assert answer.count(b"HTTP/1.1 200") == 1


def test_closing_ends_connections_that_are_open() -> None:
    with serving_endlessly() as (running, layers):
        client = socket.create_connection(("127.0.0.1", running.port), timeout=20)
        idle = socket.create_connection(("127.0.0.1", running.port), timeout=20)
        idle.sendall(b"HEAD /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(1000).startswith(b"HTTP/1.1 200")
        client.sendall(f"GET {BLOB} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.recv(100)
    assert layers.ended.is_set()
    with client, idle:
        assert idle.recv(100) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port), timeout=20)


def test_a_port_that_is_taken(running: Running) -> None:
    address = running.server.address
    with pytest.raises(DestinationError) as caught:
        RegistryServer(ListenAddress.parse(address), Catalogue(), warn=lambda *_: None)
    assert caught.value.message == f"`{address}` is taken: something else listens there"
    assert caught.value.hint == "take another port, or any that is free: `127.0.0.1:0`"


@pytest.mark.parametrize(
    ("text", "here", "is_everywhere"),
    [
        ("0.0.0.0:0", "127.0.0.1", True),
        ("[::]:0", "localhost", True),
        ("localhost:0", "localhost", False),
    ],
)
def test_references_begin_with_an_address_to_reach_it_at(
    text: str, here: str, *, is_everywhere: bool
) -> None:
    layers = Layers()
    catalogue = Catalogue()
    catalogue.add("shop", "1", SAMPLE.image, layers)
    with RegistryServer(ListenAddress.parse(text), catalogue, warn=lambda *_: None) as server:
        server.start()
        assert server.is_everywhere is is_everywhere
        host, _, port = server.address.rpartition(":")
        assert host == here
        with urllib.request.urlopen(f"http://{host}:{port}/v2/shop/tags/list") as answer:
            assert json.loads(answer.read())["tags"] == ["1"]


def test_an_address_of_another_machine() -> None:
    with pytest.raises(DestinationError) as caught:
        RegistryServer(ListenAddress(host="192.0.2.1"), Catalogue(), warn=lambda *_: None)
    assert caught.value.message == (
        "cannot listen at `192.0.2.1:0`: cannot assign requested address"
    )


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5000", ListenAddress(host="127.0.0.1", port=5000)),
        ("localhost:0", ListenAddress(host="localhost", port=0)),
        ("[::1]:65535", ListenAddress(host="::1", port=65535)),
    ],
)
def test_addresses(text: str, address: ListenAddress) -> None:
    assert ListenAddress.parse(text) == address
    assert str(address) == text
    assert Serving.parse(text).listen == address


@pytest.mark.parametrize("text", ["", "5000", ":5000", "localhost", "::1:5000", "a:65536", "a:-1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InputError) as caught:
        ListenAddress.parse(text)
    assert caught.value.message == f"`{text}` is no address to listen at"


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("shop", "shop"),
        ("team/shop", "team/shop"),
        ("ghcr.io/team/shop", "team/shop"),
        ("localhost/shop", "shop"),
        ("registry:5000/team/shop", "team/shop"),
    ],
)
def test_the_repository_of_a_name(name: str, repository: str) -> None:
    assert repository_of(ImageReference.parse(name)) == repository


def test_two_images_of_one_name() -> None:
    catalogue = Catalogue()
    catalogue.add("shop", "1", SAMPLE.image, Layers())
    catalogue.add("shop", "1", SAMPLE.image, Layers())
    with pytest.raises(InputError) as caught:
        catalogue.add("shop", "1", OTHER.image, Layers(OTHER))
    assert caught.value.message == "two images would be served as `shop:1`"
