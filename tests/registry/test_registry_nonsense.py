"""What answers may be no registry at all, or a malicious one: the end is one message, soon."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from nixbridge.delivery.claims import read_claims
from nixbridge.destinations.destination import Access, unheard
from nixbridge.destinations.http_session import HttpSession, Question
from nixbridge.destinations.patience import Patience
from nixbridge.destinations.registry import Registry
from nixbridge.errors import DestinationError, InputError, IntegrityError, NixbridgeError
from nixbridge.oci import MEDIA_TYPE_MANIFEST, BlobDigest
from nixbridge.report.image import stored_image_document, stored_image_text
from registry.fake_registry import Exchange, FakeRegistry
from registry.shop import PLAIN, Shop


@contextlib.contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Listen, read a request of each connection, and answer it; give the host."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

    def serve_one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(1 << 16)
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


OK = b"HTTP/1.1 200 OK\r\n"
GARBAGE = {
    "nothing": b"",
    "zeros": b"\0" * 1000,
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a version that is none": b"HTTP/9.9 200 OK\r\n\r\n",
    "a status that is none": b"HTTP/1.1 abc OK\r\n\r\n",
    "too many headers": OK + b"A: b\r\n" * 500 + b"\r\n",
    "a header too long": OK + b"A: " + b"x" * 100_000 + b"\r\n\r\n",
    "a chunk that is none": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "less than was promised": OK + b"Content-Length: 100\r\n\r\nabc",
    "only promises": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
}


@pytest.mark.parametrize("name", GARBAGE)
def test_bytes_that_are_no_answer(shop: Shop, name: str) -> None:
    with answering(lambda connection: connection.sendall(GARBAGE[name])) as host:
        with pytest.raises(DestinationError) as caught:
            shop.registry(f"docker://{host}/shop:1").inspect(PLAIN)
        assert caught.value.message.startswith(f"{host} cannot be reached: ")


def test_an_answer_that_comes_byte_by_byte_for_ever(shop: Shop) -> None:
    """Each byte is in time, but the whole never is."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(OK + b"A: ")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    with answering(drip) as host:
        place = shop.registry(f"docker://{host}/shop:1")
        place = replace(place, patience=replace(place.patience, longest_seconds=0.5))
        started = time.monotonic()
        with pytest.raises(DestinationError) as caught:
            place.inspect(PLAIN)
        assert time.monotonic() - started < 20
        assert caught.value.message == f"{host} cannot be reached: it did not answer in time"


def test_a_stream_may_take_longer_than_an_answer(fake: FakeRegistry) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(15):
            time.sleep(0.1)
            yield b"x"

    fake.uploads["one"] = bytearray()
    session = HttpSession(
        context=ssl.create_default_context(),
        environment={},
        patience=Patience(longest_seconds=0.5),
    )
    url = f"http://{fake.host}/v2/shop/blobs/uploads/one"
    answer = session.ask(Question(method="PATCH", url=url, body=pieces()))
    session.close()
    assert answer.status == 202
    assert fake.uploads["one"] == b"x" * 15


@pytest.mark.parametrize("life", [10**400, 10**30, 0, -1, None, "60", True, [], 1e-9])
def test_a_token_may_live_for_any_time(fake: FakeRegistry, shop: Shop, life: object) -> None:
    fake.auth, fake.allows_anonymous = "bearer", True
    fake.token_document = {"expires_in": life}
    shop.deliver(f"docker://{fake.host}/shop:1")
    assert fake.image("shop", "1") is not None


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_who_only_says_that_the_image_is_there_is_not_believed(
    fake: FakeRegistry, shop: Shop, status: int
) -> None:
    fake.on("PUT", "/manifests/", lambda exchange: exchange.answer(status))
    with pytest.raises(DestinationError) as caught:
        shop.deliver(f"docker://{fake.host}/shop:1")
    assert caught.value.message == (
        f"{fake.host} was asked to write `shop`, and says that it did, but has not got the image"
    )


def test_who_says_no_digest_is_asked_for_it(fake: FakeRegistry, shop: Shop) -> None:
    fake.on("PUT", "/manifests/", _without_digest)
    delivery = shop.deliver(f"docker://{fake.host}/shop:1")
    assert [seen.path for seen in fake.sent("HEAD", "/manifests/")] == [
        f"/v2/shop/manifests/{delivery.image.digest}"
    ]


def _without_digest(exchange: Exchange) -> None:
    """Do what is asked, and say no digest."""
    answer = exchange.answer

    def answer_without(status: int, _headers: object = None, body: bytes = b"") -> None:
        answer(status, {}, body)

    exchange.answer = answer_without  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize(
    "proxy",
    [
        *("socks5://127.0.0.1:1", "ftp://x", "http://", "http://[", "127.0.0.1:99999", "://"),
        *("x y", "http://é:1", "http://me:hush@[/"),
    ],
)
def test_a_proxy_that_cannot_be_one(shop: Shop, proxy: str) -> None:
    access = replace(PLAIN, environment={"https_proxy": proxy, "HTTP_PROXY": proxy})
    with pytest.raises(InputError) as caught:
        shop.registry("docker://registry.example.org/shop:1").inspect(access)
    assert caught.value.message == "the proxy that the environment names cannot be used"
    assert "HTTPS_PROXY" in str(caught.value.hint)


def test_a_proxy_that_does_not_let_us_through(shop: Shop) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    with answering(lambda connection: connection.sendall(refusal)) as host:
        access = Access(environment={"https_proxy": f"http://me:hush@{host}"})
        with pytest.raises(DestinationError) as caught:
            shop.registry("docker://registry.example.org/shop:1").inspect(access)
    assert caught.value.message == (
        "registry.example.org cannot be reached: the proxy refused: 407 proxy authentication "
        f"required (by way of the proxy `http://{host}`)"
    )
    assert shop.waits.seconds == []


# What stands in a manifest or a config in the place of what should.
WEIRD: tuple[object, ...] = (
    *(None, 0, -1, 1e308, float("inf"), float("nan"), 10**400, True, "", "x", "\0", "\ud800"),
    *(f"sha256:{'0' * 64}", "sha256:x", "x" * 100_000, [], {}, [[]], [{}], [None], {"a": None}),
)


def mutated(document: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """Return a document of which something is missing, or something else."""
    document = copy.deepcopy(document)
    spots: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        keys = part if isinstance(part, dict) else range(len(part) if isinstance(part, list) else 0)
        for key in keys:
            spots.append((part, key))
            walk(part[key])

    walk(document)
    part, key = dice.choice(spots)
    if dice.random() < 0.2:
        del part[key]
    else:
        part[key] = dice.choice(WEIRD)
    return document


def serve_image(fake: FakeRegistry, manifest: dict[str, Any], config: dict[str, Any]) -> None:
    """Have the registry give a manifest and a config, whatever they say."""
    config_bytes = json.dumps(config).encode()
    digest = str(BlobDigest.of(config_bytes))
    if isinstance(manifest.get("config"), dict) and "digest" in manifest["config"]:
        manifest["config"]["digest"] = digest
    fake.blobs["shop"][digest] = config_bytes
    data = json.dumps(manifest).encode()
    fake.faults.clear()
    fake.on(
        *("GET", "/manifests/"),
        lambda exchange: exchange.answer(200, {"Content-Type": MEDIA_TYPE_MANIFEST}, data),
        times=1000,
    )


@pytest.mark.parametrize("seed", range(10))
def test_an_image_that_is_none_is_refused_in_words(
    fake: FakeRegistry, shop: Shop, seed: int
) -> None:
    reference = f"docker://{fake.host}/shop:1"
    image = shop.deliver(reference).image
    dice = random.Random(seed)
    for _ in range(20):
        manifest, config = json.loads(image.manifest_bytes), json.loads(image.config_bytes)
        if dice.random() < 0.5:
            manifest = mutated(manifest, dice)
        else:
            config = mutated(config, dice)
        serve_image(fake, manifest, config)
        try:
            found = shop.registry(reference).inspect(PLAIN)
        except (DestinationError, IntegrityError):
            continue
        stored_image_text(found)
        stored_image_document(found)
        read_claims([found], unheard)


def test_a_digest_that_is_none_is_not_the_users_fault(fake: FakeRegistry, shop: Shop) -> None:
    reference = f"docker://{fake.host}/shop:1"
    image = shop.deliver(reference).image
    manifest, config = json.loads(image.manifest_bytes), json.loads(image.config_bytes)
    manifest["layers"][0]["digest"] = "x"
    serve_image(fake, manifest, config)
    place: Registry = shop.registry(reference)
    with pytest.raises(NixbridgeError) as caught:
        place.inspect(PLAIN)
    assert caught.value.exit_status == 7
    assert caught.value.message == f"in `{reference}` stands a digest that is none"
