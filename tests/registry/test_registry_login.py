"""Logging in to a registry: Basic, Bearer, tokens that grow old, and nothing told to strangers."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator

import pytest

from nixbridge.destinations import Access
from nixbridge.destinations.credentials import Credentials
from nixbridge.destinations.http_session import Answer
from nixbridge.destinations.registry_auth import Authorizer, Challenge, parse_challenges
from nixbridge.errors import DestinationError, NixbridgeError
from registry.fake_registry import PASSWORD, USER, FakeRegistry, change_headers, fail
from registry.shop import PLAIN, Shop

LOGGED_IN = dataclasses.replace(PLAIN, credentials=f"{USER}:{PASSWORD}")


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_credentials_are_shown_when_the_registry_asks(
    fake: FakeRegistry, shop: Shop, auth: str
) -> None:
    fake.auth = auth
    shop.deliver(f"docker://{fake.host}/team/shop:1", access=LOGGED_IN)
    assert fake.image("team/shop", "1") is not None
    kinds = {(seen.authorization or "nothing").split(" ")[0] for seen in fake.seen[1:]}
    assert kinds == {"Basic"} if auth == "basic" else {"Basic", "Bearer"}
    if auth == "bearer":
        [asked] = fake.sent("GET", "^/token")
        assert asked.query == (
            "service=tests&scope=repository%3Ateam%2Fshop%3Apull%2Cpush&account=shop"
        )


def test_an_anonymous_token_is_the_last_resort(fake: FakeRegistry, shop: Shop) -> None:
    fake.auth, fake.allows_anonymous = "bearer", True
    shop.deliver(f"docker://{fake.host}/shop:1")
    assert fake.sent("GET", "^/token")[0].authorization is None


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("uses", [2, 4, 5, 7])
def test_a_token_that_grows_old_in_the_middle(fake: FakeRegistry, shop: Shop, uses: int) -> None:
    fake.auth, fake.token_uses = "bearer", uses
    shop.deliver(f"docker://{fake.host}/shop:1", access=LOGGED_IN)
    assert fake.image("shop", "1") is not None


def test_a_token_is_renewed_before_it_grows_old() -> None:
    now = [1000.0]
    asked: list[str] = []

    def ask(method: str, url: str, **_: object) -> Answer:
        asked.append(f"{method} {url}")
        body = b'{"access_token": "t%d", "expires_in": 100}' % len(asked)
        return Answer(url=url, status=200, headers={}, body=body)

    authorizer = Authorizer(
        find=lambda: None, ask=ask, allows_plain=False, plain_option="", clock=lambda: now[0]
    )
    assert authorizer.header(("a",)) is None
    challenge = {"WWW-Authenticate": 'Bearer realm="https://auth.example.org/t?x=1"'}
    refused = Answer(url="https://r.example.org/v2/", status=401, headers=challenge, body=b"")
    assert authorizer.heed(refused, ("a",), None)
    assert authorizer.header(("a",)) == "Bearer t1"
    now[0] += 89
    assert authorizer.header(("a",)) == "Bearer t1"
    assert authorizer.header(("a", "b")) == "Bearer t2"
    now[0] += 2
    assert authorizer.header(("a",)) == "Bearer t3"
    assert asked[1] == "GET https://auth.example.org/t?x=1&scope=a&scope=b"


def test_an_identity_token_is_exchanged(fake: FakeRegistry, shop: Shop) -> None:
    fake.auth = "bearer"
    found = Credentials(origin="a test", identity_token=PASSWORD)
    with pytest.MonkeyPatch.context() as patch:
        name = "nixbridge.destinations.registry_client.find_credentials"
        patch.setattr(name, lambda *_, **__: found)
        shop.deliver(f"docker://{fake.host}/shop:1")
    [asked] = fake.sent("POST", "^/token")
    assert asked.query == ""
    assert asked.authorization is None


REFUSALS: dict[str, tuple[str, Access, str, str]] = {
    "basic, none": (
        *("basic", PLAIN, "{host} refused to look for a layer in `shop`: 401 unauthorized"),
        "log in with `docker login {host}`, or give `--dest-creds USER:PASSWORD`",
    ),
    "bearer, none": (
        "bearer",
        PLAIN,
        "{host} refused to give a token for `shop`: 401 unauthorized: incorrect password",
        "log in with `docker login {host}`, or give `--dest-creds USER:PASSWORD`",
    ),
    "basic, wrong": (
        "basic",
        dataclasses.replace(PLAIN, credentials=f"{USER}:wrong"),
        "{host} refused to look for a layer in `shop`: 401 unauthorized",
        "log in anew, with `docker login {host}`",
    ),
    "bearer, wrong": (
        "bearer",
        dataclasses.replace(PLAIN, credentials=f"{USER}:wrong"),
        "{host} refused to give a token for `shop`: 401 unauthorized: incorrect password",
        "log in anew, with `docker login {host}`",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_who_may_not_is_told_so(fake: FakeRegistry, shop: Shop, case: str) -> None:
    fake.auth, access, message, hint = REFUSALS[case]
    with pytest.raises(DestinationError) as caught:
        shop.deliver(f"docker://{fake.host}/shop:1", access=access)
    where = "credentials from the command line" if access.credentials else "no credentials"
    assert caught.value.message == f"{message.format(host=fake.host)} ({where})"
    assert caught.value.hint == hint.format(host=fake.host)
    assert shop.waits.seconds == []


def test_a_403_says_where_the_credentials_came_from(fake: FakeRegistry, shop: Shop) -> None:
    fake.auth = "basic"
    fake.on("POST", "/uploads/", fail(403, "DENIED", "requested access is denied"))
    with pytest.raises(DestinationError) as caught:
        shop.deliver(f"docker://{fake.host}/shop:1", access=LOGGED_IN)
    assert caught.value.message == (
        f"{fake.host} refused to write `shop`: 403 denied: requested access is denied "
        "(credentials from the command line)"
    )


def test_tokens_are_not_asked_for_over_plain_http_unless_it_is_allowed() -> None:
    def ask(*_: object, **__: object) -> Answer:
        raise AssertionError

    authorizer = Authorizer(
        find=lambda: Credentials(origin="a test", username="u", password="secret"),
        ask=ask,
        allows_plain=False,
        plain_option="--tls-verify=false",
        clock=lambda: 0.0,
    )
    challenge = {"WWW-Authenticate": 'Bearer realm="http://auth.example.org/token"'}
    refused = Answer(url="https://r.example.org/v2/", status=401, headers=challenge, body=b"")
    authorizer.heed(refused, (), None)
    with pytest.raises(DestinationError) as caught:
        authorizer.header(())
    assert caught.value.message == (
        "the registry wants credentials to be sent to `http://auth.example.org`, as plain text"
    )
    # The one of the verb, which only reads here.
    assert caught.value.hint == "if that is right, say `--tls-verify=false`"


def test_another_way_of_logging_in_is_named(fake: FakeRegistry, shop: Shop) -> None:
    fake.on("*", "/v2/$", fail(401, WWW_Authenticate="Negotiate"))
    with pytest.raises(DestinationError) as caught:
        shop.deliver(f"docker://{fake.host}/shop:1")
    assert caught.value.message == (
        f"`http://{fake.host}` wants credentials by `negotiate`, which nixbridge cannot give"
    )


def test_credentials_do_not_follow_a_redirect_to_another_host(
    fake: FakeRegistry, shop: Shop
) -> None:
    fake.auth = "basic"
    image = shop.deliver(f"docker://{fake.host}/shop:1", access=LOGGED_IN).image
    with FakeRegistry().running() as storage:
        storage.blobs["x"] = {str(image.config.digest): image.config_bytes}
        away = f"http://{storage.host}/v2/x/blobs/{image.config.digest}?signature=secret"
        fake.on("GET", "/blobs/", fail(307, Location=away))
        found = shop.registry(f"docker://{fake.host}/shop:1").inspect(LOGGED_IN)
        assert found.digest == image.digest
        assert [seen.authorization for seen in storage.seen] == [None]


def all_that_goes_wrong(fake: FakeRegistry, shop: Shop, echo: str) -> Iterator[BaseException]:
    """Return what is raised when whoever can say a secret says it."""
    kinds = [("/uploads/", "POST"), ("/uploads/", "PUT"), ("/manifests/", "PUT")]
    if fake.auth == "bearer":
        kinds.append(("/token", "GET"))
    for status in (400, 401, 403, 429, 500):
        for pattern, method in kinds:
            fake.faults.clear()
            fake.on(method, pattern, fail(status, "DENIED", echo), times=100)
            repository = f"shop{len(fake.seen)}"
            with pytest.raises(NixbridgeError) as caught:
                shop.deliver(f"docker://{fake.host}/{repository}:1", access=LOGGED_IN)
            yield caught.value


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_secrets_are_in_no_error_and_in_no_log(
    fake: FakeRegistry, shop: Shop, auth: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.auth = auth
    caplog.set_level(logging.DEBUG)
    shop.deliver(f"docker://{fake.host}/other:1", access=LOGGED_IN)
    basic = Credentials(origin="", username=USER, password=PASSWORD).basic
    secrets = [PASSWORD, basic.removeprefix("Basic "), "_state=secret", *fake.tokens]
    echo = f"you said {basic} and {LOGGED_IN.credentials}"
    for error in all_that_goes_wrong(fake, shop, echo):
        assert isinstance(error, NixbridgeError)
        assert "you said" in error.message
        chain: list[BaseException | None] = [error, error.__cause__, error.__context__]
        told = [error.message, error.hint, error.details, *map(repr, chain)]
        for secret in (*secrets, *fake.tokens):
            assert secret not in "".join(map(str, told))
    for secret in (*secrets, *fake.tokens):
        assert secret not in caplog.text
    assert "PUT http" in caplog.text
    assert PASSWORD not in repr(LOGGED_IN)


@pytest.mark.parametrize(
    ("text", "challenges"),
    [
        ("", []),
        ('Basic realm="a, b"', [("basic", {"realm": "a, b"})]),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:x:pull"',
            [
                (
                    "bearer",
                    {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull"},
                )
            ],
        ),
        ("Negotiate, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        (r'bearer realm = "a\"b" , x=y', [("bearer", {"realm": 'a"b', "x": "y"})]),
    ],
)
def test_challenges(text: str, challenges: list[tuple[str, dict[str, str]]]) -> None:
    assert parse_challenges(text) == [
        Challenge(scheme=scheme, parameters=parameters) for scheme, parameters in challenges
    ]


def test_a_redirect_of_a_write_keeps_the_credentials_home(fake: FakeRegistry, shop: Shop) -> None:
    fake.auth = "basic"
    with FakeRegistry().running() as stranger:
        fake.on("POST", "/uploads/", change_headers(Location=f"http://{stranger.host}/upload"))
        with pytest.raises(DestinationError):
            shop.deliver(f"docker://{fake.host}/shop:1", access=LOGGED_IN)
        assert stranger.seen == []
