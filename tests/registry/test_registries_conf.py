"""`registries.conf` means to us what it means to skopeo: the same files, the same result."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nixbridge.cli import main
from nixbridge.delivery import previous_images
from nixbridge.destinations import Access, parse_destination
from nixbridge.destinations.registries_conf import place_to_write, places_to_read
from nixbridge.destinations.registry import Registry
from nixbridge.destinations.repository import PublishedName
from nixbridge.errors import DestinationError, NixbridgeError
from registry.fake_registry import PASSWORD, USER, FakeRegistry
from registry.shop import PLAIN, Shop
from registry_server import RegistryServer, running_registry


@dataclass
class Home:
    """A user's home with files in `.config/containers`."""

    path: Path

    def write(self, text: str, name: str = "registries.conf") -> Path:
        path = self.path / ".config/containers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def access(self, warnings: list[str] | None = None, **environment: str) -> Access:
        heard: list[str] = [] if warnings is None else warnings
        return Access(
            environment={"HOME": str(self.path), **environment},
            warn=lambda message, _hint=None: heard.append(message),
        )

    def places(self, text: str, **environment: str) -> list[tuple[str, bool]]:
        access = self.access(None, **environment)
        found = places_to_read(PublishedName.parse(text), access)
        return [(str(place.name), place.is_insecure) for place in found]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


REWRITING = """
unqualified-search-registries = ["docker.io"]
short-name-mode = "enforcing"

[[registry]]
prefix = "example.com/foo"
location = "internal.example.net/bar/"
insecure = true

[[registry]]
location = "example.com"
[[registry.mirror]]
location = "one.example.net:5000"
insecure = true
[[registry.mirror]]
location = "two.example.net/mirror"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "three.example.net/tags"
pull-from-mirror = "tag-only"

[[registry]]
prefix = "*.example.org"
insecure = true

[[registry]]
location = "docker.io"
mirror-by-digest-only = true
[[registry.mirror]]
location = "hub.example.net"
"""
DIGEST = f"sha256:{'1' * 64}"


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("example.com/foo/app:1", [("internal.example.net/bar/app:1", True)]),
        # The longest prefix, which ends where a part of the name ends.
        (
            "example.com/food/app:1",
            [
                ("one.example.net:5000/food/app:1", True),
                ("three.example.net/tags/food/app:1", False),
                ("example.com/food/app:1", False),
            ],
        ),
        (
            f"example.com/app@{DIGEST}",
            [
                (f"one.example.net:5000/app@{DIGEST}", True),
                (f"two.example.net/mirror/app@{DIGEST}", False),
                (f"example.com/app@{DIGEST}", False),
            ],
        ),
        ("a.b.example.org/app:1", [("a.b.example.org/app:1", True)]),
        ("example.org/app:1", [("example.org/app:1", False)]),
        ("quay.io/a.example.org/app:1", [("quay.io/a.example.org/app:1", False)]),
        ("alpine", [("docker.io/library/alpine:latest", False)]),
        (
            f"alpine@{DIGEST}",
            [
                (f"hub.example.net/library/alpine@{DIGEST}", False),
                (f"docker.io/library/alpine@{DIGEST}", False),
            ],
        ),
        ("quay.io/app:1", [("quay.io/app:1", False)]),
    ],
)
def test_where_an_image_is_looked_for(
    home: Home, text: str, places: list[tuple[str, bool]]
) -> None:
    home.write(REWRITING)
    assert home.places(text) == places


def test_a_push_goes_where_its_name_says(home: Home) -> None:
    home.write(REWRITING)
    place = place_to_write(PublishedName.parse("example.com/foo/app:1"), home.access())
    assert str(place.name) == "example.com/foo/app:1"
    assert place.is_insecure


def test_files_are_read_in_their_order(home: Home, tmp_path: Path) -> None:
    """What is dropped in takes the place of what has the same prefix."""
    home.write('[[registry]]\nlocation = "a.io"\n[[registry]]\nlocation = "b.io"\n')
    home.write('[[registry]]\nlocation = "b.io"\ninsecure = true', "registries.conf.d/1.conf")
    home.write('[[registry]]\nprefix = "b.io"\nlocation = "c.io"', "registries.conf.d/2.conf")
    home.write('[[registry]]\nlocation = "a.io"\ninsecure = true', "registries.conf.d/3.txt")
    assert home.places("a.io/x") == [("a.io/x:latest", False)]
    assert home.places("b.io/x") == [("c.io/x:latest", False)]
    # A named file is read in the place of the user's, but not of what is dropped in.
    named = tmp_path / "named.conf"
    named.write_text('[[registry]]\nlocation = "a.io"\ninsecure = true')
    environment = {"CONTAINERS_REGISTRIES_CONF": str(named)}
    assert home.places("a.io/x", **environment) == [("a.io/x:latest", True)]
    assert home.places("b.io/x", **environment) == [("c.io/x:latest", False)]
    named.unlink()
    with pytest.raises(DestinationError) as caught:
        home.places("a.io/x", **environment)
    assert caught.value.message == (
        f"`CONTAINERS_REGISTRIES_CONF` names `{named}`, which is not there"
    )


WRONG = {
    "[[registry]": "cannot be read: Expected ']]' at the end of an array declaration",
    "[[registry]]\ninsecure = true": "cannot be used: a `[[registry]]` has no `location`",
    '[[registry]]\nprefix = "a.io"': "cannot be used: a `[[registry]]` has no `location`",
    '[[registry]]\nlocation = "https://a.io"': (
        "cannot be used: the location `https://a.io` has a scheme, and must not"
    ),
    '[[registry]]\nprefix = "*.a.io/x"\nlocation = "b.io"': (
        "cannot be used: the prefix `*.a.io/x` is none: write `*.` and a domain"
    ),
    '[[registry]]\nlocation = "a.io"\ninsecure = "yes"': (
        "cannot be used: `insecure` is neither `true` nor `false`"
    ),
    "[[registry]]\nlocation = 1": "cannot be used: `location` is no string",
    "registry = 1": "cannot be used: `registry` is no array of tables",
    '[[registry]]\nlocation = "a.io"\n[[registry.mirror]]\ninsecure = true': (
        "cannot be used: a `[[registry.mirror]]` has no `location`"
    ),
    '[[registry]]\nlocation = "a.io"\n[[registry.mirror]]\n'
    'location = "b.io"\npull-from-mirror = "x"': (
        "cannot be used: `pull-from-mirror` cannot be `x`"
    ),
    '[[registry]]\nlocation = "a.io"\n'
    '[[registry]]\nlocation = "a.io"\nprefix = "b.io"\nblocked = true': (
        "cannot be used: `a.io` is `insecure` or `blocked` once, and once not"
    ),
    '[registries.insecure]\nregistries = ["a.io"]': (
        "has `registries.insecure`, which is of version 1 and not read"
    ),
    '[registries.block]\nregistries = ["a.io"]': (
        "has `registries.block`, which is of version 1 and not read"
    ),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_said(home: Home, text: str) -> None:
    path = home.write(text)
    with pytest.raises(DestinationError) as caught:
        home.places("quay.io/x")
    assert caught.value.message.startswith(f"`{path}` {WRONG[text]}")
    assert caught.value.exit_status == 7


def test_what_version_1_searches_is_not_for_us(home: Home) -> None:
    home.write('[registries.search]\nregistries = ["a.io"]\n[registries.block]\nregistries = []')
    assert home.places("quay.io/x") == [("quay.io/x:latest", False)]


def test_what_is_not_understood_is_said_once(home: Home) -> None:
    path = home.write(
        '[[registry]]\nlocation = "a.io"\ninsecur = true\n'
        '[[registry.mirror]]\nlocation = "b.io"\nfast = true\n'
    )
    warnings: list[str] = []
    access = home.access(warnings)
    for _ in range(2):
        places_to_read(PublishedName.parse("a.io/x"), access)
    assert warnings == [
        f"`{path}` has `registry.insecur`, which is not understood",
        f"`{path}` has `registry.mirror.fast`, which is not understood",
    ]


def test_a_location_without_a_host_is_refused(home: Home) -> None:
    """`mirror/x` would be a name of Docker Hub's."""
    path = home.write('[[registry]]\nprefix = "a.io"\nlocation = "mirror"')
    with pytest.raises(DestinationError) as caught:
        home.places("a.io/x")
    assert caught.value.message == f"the location `mirror` in `{path}` names no registry"


def test_a_blocked_name_is_neither_read_nor_written(home: Home) -> None:
    path = home.write('[[registry]]\nlocation = "a.io/bad"\nblocked = true')
    message = f"`a.io/bad/x` must not be used: `a.io/bad` is blocked in `{path}`"
    place = parse_destination("docker://a.io/bad/x:1")
    assert isinstance(place, Registry)
    for use in (
        place.inspect,
        lambda access: place.open(default_reference="x:1", access=access),
        lambda access: previous_images({"x": place}, access),
    ):
        warnings: list[str] = []
        with pytest.raises(DestinationError) as caught:
            use(home.access(warnings))
        assert caught.value.message == message
        assert warnings == []
    assert home.places("a.io/good/x") == [("a.io/good/x:latest", False)]


def test_credentials_of_the_command_line_are_not_shown_to_mirrors(
    fake: FakeRegistry, shop: Shop, home: Home
) -> None:
    with FakeRegistry().running() as mirror:
        for each in (mirror, fake):
            shop.deliver(f"docker://{each.host}/shop:1")
            each.auth = "basic"
            each.seen.clear()
        home.write(
            f'[[registry]]\nlocation = "{fake.host}"\ninsecure = true\n'
            f'[[registry.mirror]]\nlocation = "{mirror.host}"\ninsecure = true\n'
        )
        access = replace(home.access(), credentials=f"{USER}:{PASSWORD}")
        found = shop.registry(f"docker://{fake.host}/shop:1").inspect(access)
        assert found.reference == f"docker://{fake.host}/shop:1"
        assert mirror.seen
        assert not any(seen.authorization for seen in mirror.seen)
        assert fake.sent("GET", "/manifests/")[-1].authorization is not None
        # When all fail, it is told of all, and the last one counts.
        with pytest.raises(DestinationError) as caught:
            shop.registry(f"docker://{fake.host}/shop:1").inspect(home.access())
        assert caught.value.message.startswith(f"{fake.host} refused to read `shop`: 401 ")
        assert caught.value.details == (
            f"before that, of its mirror: {mirror.host} refused to read `shop`: "
            "401 unauthorized (no credentials)"
        )


# Skopeo is the judge.


@dataclass
class Two:
    """Two registries that speak plain http, each with another image under `team/shop:1`."""

    first: RegistryServer
    second: RegistryServer
    home: Home
    skopeo: str

    def fill(self, text: str) -> str:
        return text.replace("FIRST", self.first.host).replace("SECOND", self.second.host)

    def skopeo_reads(self, reference: str, *options: str) -> str | None:
        """Return the digest that skopeo finds; None is that it fails."""
        argv = [self.skopeo, "inspect", "--no-tags", "--format={{.Digest}}", *options, reference]
        found = subprocess.run(
            argv, check=False, capture_output=True, text=True, env={"HOME": str(self.home.path)}
        )
        return found.stdout.strip() if found.returncode == 0 else None

    def skopeo_writes(self, reference: str, *options: str) -> bool:
        source = f"docker://{self.first.host}/team/shop:1"
        options = ("--src-tls-verify=false", *options)
        found = subprocess.run(
            [self.skopeo, "copy", *options, source, reference],
            check=False,
            capture_output=True,
            env={"HOME": str(self.home.path)},
        )
        return found.returncode == 0


@pytest.fixture
def two(
    require_tool: Callable[[str], str], docker_registry: RegistryServer, home: Home, tmp_path: Path
) -> Iterator[Two]:
    skopeo = require_tool("skopeo")
    with running_registry(require_tool("docker-registry"), tmp_path / "second") as second:
        yield Two(docker_registry, second, home, skopeo)


CONFIGURATIONS = {
    "nothing": "",
    "insecure": '[[registry]]\nlocation = "FIRST"\ninsecure = true\n',
    "insecure, a part": '[[registry]]\nlocation = "FIRST/team"\ninsecure = true\n',
    "insecure, another part": '[[registry]]\nlocation = "FIRST/tea"\ninsecure = true\n',
    "insecure, without its port": '[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n',
    "blocked": '[[registry]]\nlocation = "FIRST"\ninsecure = true\nblocked = true\n',
    "elsewhere": '[[registry]]\nprefix = "FIRST"\nlocation = "SECOND"\ninsecure = true\n',
    "elsewhere, a part": (
        '[[registry]]\nprefix = "FIRST/team"\nlocation = "SECOND/team"\ninsecure = true\n'
        '[[registry]]\nlocation = "FIRST"\n'
    ),
    "a mirror": (
        '[[registry]]\nlocation = "FIRST"\ninsecure = true\n'
        '[[registry.mirror]]\nlocation = "SECOND"\ninsecure = true\n'
    ),
    "a secure mirror": (
        '[[registry]]\nlocation = "FIRST"\ninsecure = true\n'
        '[[registry.mirror]]\nlocation = "SECOND"\n'
    ),
    "a mirror that has it not": (
        '[[registry]]\nlocation = "FIRST"\ninsecure = true\n'
        '[[registry.mirror]]\nlocation = "SECOND/empty"\ninsecure = true\n'
    ),
    "a mirror for digests": (
        '[[registry]]\nlocation = "FIRST"\ninsecure = true\nmirror-by-digest-only = true\n'
        '[[registry.mirror]]\nlocation = "SECOND"\ninsecure = true\n'
    ),
    "only a mirror": (
        '[[registry]]\nlocation = "FIRST"\n'
        '[[registry.mirror]]\nlocation = "SECOND"\ninsecure = true\n'
    ),
    "broken": '[[registry]]\nlocation = "FIRST"\ninsecure = "yes"\n',
}


@pytest.mark.tools
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_skopeo_agrees(two: Two, shop: Shop, name: str) -> None:
    old = shop.deliver(two.first.reference("team/shop:1"), infos=shop.infos[:1]).image.digest
    new = shop.deliver(two.second.reference("team/shop:1")).image.digest
    two.home.write(two.fill(CONFIGURATIONS[name]))
    seen = set()
    for text in ("team/shop:1", f"team/shop@{old}", f"team/shop@{new}", "team/none:1"):
        reference = two.first.reference(text)
        for verifies in (None, False):
            options = [] if verifies is None else ["--tls-verify=false"]
            access = replace(two.home.access(), verifies_tls=verifies)
            try:
                found = str(shop.registry(reference).inspect(access).digest)
            except NixbridgeError:
                found = None
            assert found == two.skopeo_reads(reference, *options), (text, options)
            seen.add(found)
    assert seen <= {None, str(old), str(new)}
    for number, verifies in enumerate((None, True, False)):
        options = [] if verifies is None else [f"--dest-tls-verify={str(verifies).lower()}"]
        access = replace(two.home.access(), verifies_tls=verifies)
        reference = two.first.reference(f"team/pushed:{number}")
        try:
            delivered = shop.deliver(reference, access=access)
        except NixbridgeError:
            is_written = False
        else:
            is_written = True
            # There, and nowhere else.
            found_there = shop.registry(reference).previous_image(PLAIN)
            assert found_there.digest == delivered.image.digest
        assert is_written == two.skopeo_writes(reference, *options), (name, options)


def test_the_command_reads_it(
    fake: FakeRegistry,
    shop: Shop,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = shop.deliver(f"docker://{fake.host}/shop:1").image
    home.write(f'[[registry]]\nlocation = "{fake.host}"\ninsecure = true\n')
    monkeypatch.setenv("HOME", str(home.path))
    monkeypatch.delenv("CONTAINERS_REGISTRIES_CONF", raising=False)
    argv = ["inspect", f"docker://{fake.host}/shop:1", "--json"]
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == str(image.digest)
    # What is said wins.
    assert main([*argv, "--tls-verify=true"]) == 7
    assert "it does not speak TLS there" in capsys.readouterr().err
