"""Where credentials come from: the files of docker and podman, and docker's helpers."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nixbridge.destinations import Access
from nixbridge.destinations.credentials import Credentials, RunHelper, find_credentials
from nixbridge.destinations.repository import PublishedName
from nixbridge.errors import DestinationError
from nixbridge.evaluator import Completed


def auth(pair: str) -> dict[str, str]:
    return {"auth": base64.b64encode(pair.encode()).decode()}


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


class Home:
    """A person's files, and the environment that leads to them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {"HOME": str(directory), "XDG_RUNTIME_DIR": str(directory / "run")}
        self.asked: list[tuple[tuple[str, ...], bytes]] = []

    def helper(self, stdout: str, *, status: int = 0, stderr: str = "") -> RunHelper:
        def run(argv: Sequence[str], stdin: bytes) -> Completed:
            self.asked.append((tuple(argv), stdin))
            return Completed(argv=tuple(argv), status=status, stdout=stdout.encode(), stderr=stderr)

        return run

    def find(
        self, name: str, run_helper: RunHelper | None = None, **fields: Any
    ) -> Credentials | None:
        access = Access(environment=self.environment, **fields)
        return find_credentials(PublishedName.parse(name).repository, access, run_helper)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_there_may_be_none(home: Home) -> None:
    assert home.find("registry.example.org/shop") is None


def test_the_command_line_comes_first(home: Home) -> None:
    write(home.directory / "run/containers/auth.json", {"auths": {"r.io": auth("file:1")}})
    found = home.find("r.io/shop", credentials="me:pass:word")
    assert found == Credentials(origin="the command line", username="me", password="pass:word")
    alone = home.find("r.io/shop", credentials="me")
    assert alone == Credentials(origin="the command line", username="me")


def test_files_are_asked_in_the_order_of_podman_and_docker(home: Home) -> None:
    home.environment["DOCKER_CONFIG"] = str(home.directory / "docker")
    files = [
        home.directory / "run/containers/auth.json",
        home.directory / ".config/containers/auth.json",
        home.directory / "docker/config.json",
    ]
    for number, path in reversed(list(enumerate(files))):
        write(path, {"auths": {"r.io": auth(f"user{number}:x")}})
        found = home.find("r.io/shop")
        assert found is not None
        assert found.username == f"user{number}"
        assert found.origin == f"~/{path.relative_to(home.directory)}"
    named = write(home.directory / "named.json", {"auths": {}})
    home.environment["REGISTRY_AUTH_FILE"] = str(named)
    # As with podman: the file that is named is the only one.
    assert home.find("r.io/shop") is None


def test_dockers_file_is_at_home_where_nothing_else_is_said(home: Home) -> None:
    write(home.directory / ".docker/config.json", {"auths": {"https://r.io/v1/": auth("a:b")}})
    found = home.find("r.io/shop")
    assert found == Credentials(origin="~/.docker/config.json", username="a", password="b")


def test_a_named_file_must_be_there(home: Home) -> None:
    home.environment["REGISTRY_AUTH_FILE"] = "/not/there"
    with pytest.raises(DestinationError) as caught:
        home.find("r.io/shop")
    assert caught.value.message == "`REGISTRY_AUTH_FILE` names `/not/there`, which is not there"


@pytest.mark.parametrize(
    ("name", "user"),
    [
        ("r.io/team/shop", "shop"),
        ("r.io/team/other", "team"),
        ("r.io/teams/shop", "host"),
        ("r.io:5000/shop", "port"),
        ("alpine", "hub"),
        ("docker.io/team/alpine", "hub"),
    ],
)
def test_the_longest_name_wins(home: Home, name: str, user: str) -> None:
    write(
        home.directory / ".config/containers/auth.json",
        {
            "auths": {
                "r.io": auth("host:x"),
                "r.io/team": auth("team:x"),
                "r.io/team/shop": auth("shop:x"),
                "r.io:5000": auth("port:x"),
                "docker.io": {},
                "https://index.docker.io/v1/": auth("hub:x"),
            }
        },
    )
    found = home.find(name)
    assert found is not None
    assert found.username == user


def test_tokens_in_a_file(home: Home) -> None:
    path = home.directory / ".docker/config.json"
    write(path, {"auths": {"r.io": {**auth("me:"), "identitytoken": "it"}}})
    found = home.find("r.io/shop")
    assert found is not None
    assert (found.username, found.identity_token) == ("me", "it")
    write(path, {"auths": {"r.io": {"registrytoken": "rt"}}})
    found = home.find("r.io/shop")
    assert found is not None
    assert found.registry_token == "rt"


def test_a_helper_is_asked_for_its_registry(home: Home) -> None:
    write(
        home.directory / ".docker/config.json",
        {"credHelpers": {"r.io": "one"}, "credsStore": "all", "auths": {"r.io": {}}},
    )
    helper = home.helper('{"ServerURL": "x", "Username": "me", "Secret": "s"}')
    expected = {"username": "me", "password": "s"}
    assert home.find("r.io/shop", helper) == Credentials(
        origin="`docker-credential-one`", **expected
    )
    assert home.find("other.io/shop", helper) == Credentials(
        origin="`docker-credential-all`", **expected
    )
    home.find("alpine", helper)
    assert home.asked == [
        (("docker-credential-one", "get"), b"r.io"),
        (("docker-credential-all", "get"), b"other.io"),
        (("docker-credential-all", "get"), b"https://index.docker.io/v1/"),
    ]


def test_a_helper_may_give_an_identity_token(home: Home) -> None:
    write(home.directory / ".docker/config.json", {"credsStore": "all"})
    found = home.find("r.io/shop", home.helper('{"Username": "<token>", "Secret": "it"}'))
    assert found == Credentials(origin="`docker-credential-all`", identity_token="it")


def test_a_helper_that_has_none_leaves_it_to_the_others(home: Home) -> None:
    write(
        home.directory / ".config/containers/auth.json",
        {"credHelpers": {"r.io": "one"}, "auths": {"r.io": auth("stored:x")}},
    )
    nothing = home.helper("credentials not found in native keychain\n", status=1)
    found = home.find("r.io/shop", nothing)
    assert found is not None
    assert found.username == "stored"


@pytest.mark.parametrize(
    ("stdout", "status", "stderr", "reason"),
    [
        ("", 3, "", "exit status 3"),
        ("pass is not set up\nmore", 1, "", "pass is not set up"),
        ("", 1, "no daemon", "no daemon"),
        ('{"Username": "me", "Secret": "hush"}', 1, "", "exit status 1"),
        ("hush", 0, "", "what it printed is not what helpers print"),
        ('{"Username": "me"}', 0, "", "what it printed is not what helpers print"),
    ],
)
def test_a_helper_that_fails_is_named(
    home: Home, stdout: str, status: int, stderr: str, reason: str
) -> None:
    write(home.directory / ".docker/config.json", {"credsStore": "all"})
    with pytest.raises(DestinationError) as caught:
        home.find("r.io/shop", home.helper(stdout, status=status, stderr=stderr))
    assert caught.value.message == (
        "the credential helper `docker-credential-all`, which `~/.docker/config.json` names, "
        f"failed: {reason}"
    )


def test_a_helper_that_is_not_there_is_named(home: Home) -> None:
    write(home.directory / ".docker/config.json", {"credHelpers": {"r.io": "one"}})
    home.environment["PATH"] = str(home.directory)
    with pytest.raises(DestinationError) as caught:
        home.find("r.io/shop")
    assert caught.value.message == (
        "the credential helper `docker-credential-one`, which `~/.docker/config.json` names, "
        "failed: no such file or directory"
    )
    assert caught.value.hint == "install it, or take it out of `~/.docker/config.json`"


def test_a_real_helper_reads_the_server_and_is_told_no_secret(home: Home) -> None:
    program = home.directory / "docker-credential-mine"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        "told = ' '.join([*sys.argv[1:], sys.stdin.read()])\n"
        "print(json.dumps({'Username': told, 'Secret': 's'}))\n"
    )
    program.chmod(0o755)
    home.environment["PATH"] = str(home.directory)
    write(home.directory / ".docker/config.json", {"credsStore": "mine"})
    found = home.find("r.io:5000/shop")
    assert found is not None
    assert found.username == "get r.io:5000"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "credentials in `~/.docker/config.json` cannot be read: it is no JSON object"),
        ("[]", "credentials in `~/.docker/config.json` cannot be read: it is no JSON object"),
        (
            '{"auths": {"r.io": {"auth": "hush"}}}',
            (
                "credentials in `~/.docker/config.json` cannot be read: an `auth` is not "
                "`USER:PASSWORD` in base64"
            ),
        ),
    ],
)
def test_a_file_that_cannot_be_read(home: Home, text: str, message: str) -> None:
    path = home.directory / ".docker/config.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DestinationError) as caught:
        home.find("r.io/shop")
    assert caught.value.message == message


def test_an_empty_file_says_nothing(home: Home) -> None:
    write(home.directory / ".docker/config.json", {}).write_text("")
    assert home.find("r.io/shop") is None


def test_secrets_are_in_no_repr(home: Home) -> None:
    path = home.directory / ".docker/config.json"
    write(path, {"auths": {"r.io": {**auth("me:hush"), "identitytoken": "hush"}}})
    found = home.find("r.io/shop")
    assert found is not None
    assert found.password == "hush"
    assert "hush" not in repr(found)
