"""Whatever a registry does, a delivery ends well or with one clear message.

And the tag names the old image or the new one, whole.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from nixbridge.errors import DestinationError, IntegrityError
from registry.fake_registry import (
    Exchange,
    FakeRegistry,
    change_headers,
    cut,
    cut_after,
    fail,
    lose_answer,
    never_answer,
)
from registry.shop import PLAIN, Shop

pytestmark = pytest.mark.usefixtures("small_pieces")

# Every kind of request that a delivery makes: method, and what its path holds.
KINDS = {
    "the first contact": ("GET", "/v2/$"),
    "looking for a blob": ("HEAD", "/blobs/"),
    "opening an upload": ("POST", "/uploads/"),
    "a piece": ("PATCH", "/uploads/"),
    "the end of an upload": ("PUT", "/uploads/"),
    "the manifest": ("PUT", "/manifests/"),
}
PASSING = {
    "cut": cut,
    "answer lost": lose_answer,
    "500": fail(500),
    "502": fail(502),
    "503": fail(503, Retry_After="3"),
    "429": fail(429, "TOOMANYREQUESTS", Retry_After="7"),
    "never answered": never_answer,
}


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("kind", KINDS)
def test_what_passes_is_overcome(fake: FakeRegistry, shop: Shop, kind: str, fault: str) -> None:
    fake.on(*KINDS[kind], PASSING[fault])
    delivery = shop.deliver(f"docker://{fake.host}/shop:1")
    assert delivery.references == (f"{fake.host}/shop:1@{delivery.image.digest}",)
    assert fake.image("shop", "1") is not None
    assert fake.faults[0].times == 0, "the fault was not met"
    # Nothing is left half-done: what broke was given up.
    assert not fake.uploads or fault == "answer lost"


@pytest.mark.parametrize("kind", KINDS)
def test_what_stays_ends_with_one_message_and_the_old_image(
    fake: FakeRegistry, shop: Shop, kind: str
) -> None:
    reference = f"docker://{fake.host}/shop:1"
    shop.deliver(reference)
    old = fake.manifests["shop", "1"]
    fake.on(*KINDS[kind], fail(500, "UNKNOWN", "disk full"), times=1000)
    with pytest.raises(DestinationError) as caught:
        shop.deliver(reference, infos=[*shop.infos, shop.add("new", 400_000)])
    doing = {
        "the first contact": "say that it is one",
        "looking for a blob": "look for a layer in `shop`",
    }.get(kind, "write `shop`")
    # An answer to HEAD has no words.
    reason = "internal server error" if "look" in kind else "unknown: disk full"
    assert caught.value.message == f"{fake.host} failed to {doing}: 500 {reason}"
    assert caught.value.hint == "see the registry's own log, or run it again later"
    assert fake.manifests["shop", "1"] == old
    assert fake.image("shop", "1") is not None
    fake.faults.clear()
    shop.deliver(reference, infos=[*shop.infos, shop.add("newer", 400_000)])
    assert fake.manifests["shop", "1"] != old


FULL: dict[str, tuple[int, str | None, object, str]] = {
    "a path": (500, "unknown error", "write /data/x: no space left on device", "unknown: {detail}"),
    "a number": (
        *(500, "unknown error", {"DriverName": "filesystem", "Enclosed": {"Op": "x", "Err": 28}}),
        "unknown: no space left on device",
    ),
    "a status": (507, None, None, "unknown"),
    "its own words": (500, "no space left on device", "x", "unknown: no space left on device"),
}


@pytest.mark.parametrize("full", FULL)
def test_a_full_disk_is_told_and_which_layer_it_was(
    fake: FakeRegistry, shop: Shop, full: str
) -> None:
    status, message, detail, words = FULL[full]
    error = {"code": "UNKNOWN", "message": message, "detail": detail}

    def act(exchange: Exchange) -> None:
        exchange.answer(status, body=json.dumps({"errors": [error]}).encode())

    fake.on("PUT", "/uploads/", act, times=1000)
    with pytest.raises(DestinationError) as caught:
        shop.deliver(f"docker://{fake.host}/shop:1")
    verb = f"{fake.host} failed to write `shop`: {status} "
    assert caught.value.message == verb + words.format(detail=detail)
    assert caught.value.hint == "make room on the registry's disk, then run it again"
    assert caught.value.details == "it was layer 2 of 2: path-1"


@pytest.mark.parametrize("detail", [None, 3, [{"Err": 28}], {"Err": 10_000}, {"Enclosed": []}])
def test_what_a_registry_says_more_exactly_may_be_anything(
    fake: FakeRegistry, shop: Shop, detail: object
) -> None:
    error = {"code": "UNKNOWN", "message": "unknown error", "detail": detail}

    def act(exchange: Exchange) -> None:
        exchange.answer(400, body=json.dumps({"errors": [error]}).encode())

    fake.on("PUT", "/manifests/", act)
    with pytest.raises(DestinationError) as caught:
        shop.deliver(f"docker://{fake.host}/shop:1")
    assert caught.value.message == (
        f"{fake.host} refused to write `shop`: 400 unknown: unknown error"
    )


def test_of_two_registries_it_is_told_which_has_the_image(fake: FakeRegistry, shop: Shop) -> None:
    with FakeRegistry().running() as other:
        first, second = f"docker://{fake.host}/shop:1", f"docker://{other.host}/shop:1"
        other.on("PATCH", "/uploads/", fail(413))
        with pytest.raises(DestinationError) as caught:
            shop.deliver(first, second)
        assert caught.value.message.startswith(f"{other.host} refused to write `shop`: 413 ")
        assert caught.value.details == (
            "it was layer 2 of 2: path-1\nnot published at 2 of 2 destinations"
        )
        assert fake.image("shop", "1") is None
        other.on("PUT", "/manifests/", fail(403, "DENIED"))
        with pytest.raises(DestinationError) as caught:
            shop.deliver(first, second)
        published = str(caught.value.details).splitlines()
        assert published[0].startswith(f"published before that: {fake.host}/shop:1@sha256:")
        assert published[1:] == ["not published at 1 of 2 destinations"]
        assert fake.image("shop", "1") is not None
        assert other.image("shop", "1") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_always_breaks(fake: FakeRegistry, shop: Shop, kind: str) -> None:
    fake.on(*KINDS[kind], cut, times=1000)
    with pytest.raises(DestinationError) as caught:
        shop.deliver(f"docker://{fake.host}/shop:1")
    reasons = (
        "the connection was closed before the answer was whole",
        "connection reset by peer",
        "broken pipe",
    )
    assert caught.value.message.endswith(reasons)
    assert "shop" in caught.value.message or "cannot be reached" in caught.value.message
    assert fake.image("shop", "1") is None


@pytest.mark.parametrize("size_bytes", [0, 1, 9_999, 10_000, 77_777, 299_000])
def test_a_layer_that_breaks_at_some_byte_is_packed_again(
    fake: FakeRegistry, shop: Shop, size_bytes: int
) -> None:
    fake.on("PATCH", "", cut_after(size_bytes))
    fake.on("PUT", "/uploads/", cut_after(min(size_bytes, 1000)))
    shop.deliver(f"docker://{fake.host}/shop:1")
    assert fake.image("shop", "1") is not None
    assert len(fake.sent("PATCH")) == 2
    # The small one was sent again, the large one twice, and no other.
    assert len(fake.sent("PUT", "/uploads/")) == 4


def test_an_upload_whose_answer_was_lost_is_not_sent_again(fake: FakeRegistry, shop: Shop) -> None:
    fake.on("PUT", "/uploads/", lose_answer, times=3)
    shop.deliver(f"docker://{fake.host}/shop:1")
    assert len(fake.sent("PATCH")) == 1
    assert len(fake.sent("PUT", "/uploads/")) == 3


def test_waits_grow_and_are_what_the_registry_asks_for(fake: FakeRegistry, shop: Shop) -> None:
    reference = f"docker://{fake.host}/shop:1"
    fake.on("PUT", "/manifests/", fail(503), times=5)
    shop.deliver(reference)
    assert shop.waits.seconds == [0.5, 1.0, 2.0, 4.0, 8.0]
    shop.waits.seconds.clear()
    fake.on("PUT", "/manifests/", fail(429, Retry_After="17"))
    shop.deliver(reference)
    assert shop.waits.seconds == [17.0]


def test_nobody_waits_for_hours(fake: FakeRegistry, shop: Shop) -> None:
    fake.on("POST", "/uploads/", fail(429, "TOOMANYREQUESTS", "slow down", Retry_After="7200"))
    with pytest.raises(DestinationError) as caught:
        shop.deliver(f"docker://{fake.host}/shop:1")
    assert caught.value.message == (
        f"{fake.host} refused to write `shop`: 429 toomanyrequests: slow down"
    )
    assert caught.value.hint == "run it again later"
    assert shop.waits.seconds == []


def test_a_slow_registry_is_waited_for(fake: FakeRegistry, shop: Shop) -> None:
    def slowly(exchange: Exchange) -> None:
        for _ in range(10):
            exchange.handler.read_body(20_000)
            time.sleep(0.02)

    fake.on("PATCH", "", slowly)
    shop.deliver(f"docker://{fake.host}/shop:1")
    assert fake.sent("PATCH")[0].body_bytes > 0


ELSEWHERE = "{host} was asked to write `shop`, and it sends the upload to another place, "
WRONG = "{host} was asked to write `shop` with the digest `{digest}`, and answers for "
ZEROS = f"sha256:{'0' * 64}"
NONSENSE: dict[str, tuple[str, str, Callable[[Exchange], None], str]] = {
    "no Location": (
        *("POST", "/uploads/", change_headers(Location="")),
        "{host} was asked to write `shop`, and it does not say where the upload goes on",
    ),
    "another host": (
        *("POST", "/uploads/", change_headers(Location="http://evil.example.org/v2/x?token=1")),
        ELSEWHERE + "`http://evil.example.org`",
    ),
    "another port, later": (
        *("PATCH", "/uploads/", change_headers(Location="http://127.0.0.1:1/x")),
        ELSEWHERE + "`http://127.0.0.1:1`",
    ),
    "no address": (
        *("POST", "/uploads/", change_headers(Location="http://[::x/")),
        ELSEWHERE + "an address that is none",
    ),
    "a redirect": (
        *("PUT", "/manifests/", fail(307, Location="http://evil.example.org/x?signature=abc")),
        "{host} was asked to write `shop`, and it sends us to `http://evil.example.org`",
    ),
    "a wrong digest of a layer": (
        *("PUT", "/uploads/", change_headers(Docker_Content_Digest=ZEROS)),
        WRONG + f"`{ZEROS}`",
    ),
    "a wrong digest of the image": (
        *("PUT", "/manifests/", change_headers(Docker_Content_Digest="sha256:x y")),
        WRONG + "`another`",
    ),
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_refused(fake: FakeRegistry, shop: Shop, nonsense: str) -> None:
    method, pattern, act, message = NONSENSE[nonsense]
    right = shop.deliver(f"docker://{fake.host}/other:1").image
    fake.on(method, pattern, act)
    kind = IntegrityError if "digest" in nonsense else DestinationError
    with pytest.raises(kind) as caught:
        shop.deliver(f"docker://{fake.host}/shop:1")
    is_image = nonsense == "a wrong digest of the image"
    digests = [right.digest] if is_image else [each.descriptor.digest for each in right.layers]
    assert caught.value.message in {
        message.format(host=fake.host, digest=digest) for digest in digests
    }
    assert is_image or ("shop", "1") not in fake.manifests


@pytest.mark.parametrize(
    ("method", "status", "code", "hint"),
    [
        ("PUT", 400, "MANIFEST_BLOB_UNKNOWN", "run it again"),
        (
            *("POST", 404, "NAME_UNKNOWN"),
            "see that the name is right; some registries want a repository to be made first",
        ),
        (
            *("PUT", 413, "SIZE_INVALID"),
            "the registry, or a proxy before it, takes only smaller blobs: plan more layers",
        ),
        ("PUT", 418, "UNKNOWN", None),
    ],
)
def test_a_refusal_comes_with_what_one_can_do(
    fake: FakeRegistry, shop: Shop, method: str, status: int, code: str, hint: str | None
) -> None:
    fake.on(method, "/manifests/1$" if method == "PUT" else "/uploads/", fail(status, code, "so"))
    with pytest.raises(DestinationError) as caught:
        shop.deliver(f"docker://{fake.host}/shop:1")
    words = code.lower().replace("_", " ")
    assert caught.value.message == f"{fake.host} refused to write `shop`: {status} {words}: so"
    assert caught.value.hint == hint
    assert shop.waits.seconds == []


def test_a_proxy_is_asked_where_the_environment_names_one(fake: FakeRegistry, shop: Shop) -> None:
    reference = "docker://registry.example.org/shop:1"
    environment = {"http_proxy": f"http://me:hush@{fake.host}", "HTTPS_PROXY": fake.host}
    shop.deliver(reference, access=replace(PLAIN, environment=environment))
    assert fake.image("shop", "1") is not None
    # Port 1 of loopback: nobody is there.
    nobody = {"http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    with pytest.raises(DestinationError) as caught:
        shop.deliver(f"docker://{fake.host}/x:1", access=replace(PLAIN, environment=nobody))
    assert caught.value.message == (
        f"{fake.host} cannot be reached: connection refused (by way of the proxy "
        "`http://127.0.0.1:1`)"
    )
    exempt = nobody | {"NO_PROXY": "example.org, 127.0.0.1"}
    shop.deliver(f"docker://{fake.host}/x:1", access=replace(PLAIN, environment=exempt))
