"""Reading a `nixbridge.toml`: what is right becomes values, what is wrong is named by its place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from nixbridge.errors import InputError
from nixbridge.spec import (
    ConfigSection,
    ContainerUser,
    Debpkgs,
    DockerSection,
    Healthcheck,
    ImageSection,
    ImageSpec,
    LayeringSection,
    LookupPath,
    NixSection,
    read_spec,
    spec_keys,
)

NOT_TOML = "nixbridge.toml is not TOML"
SETTINGS = "true or false or a whole number or a string or a list"
IN_IMAGE = "it is a path in the image"
NAMED = '[image]\nname = "shop"\n'


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str) -> ImageSpec:
    path = Path("nixbridge.toml")
    path.write_text(text, encoding="utf-8")
    return read_spec(path)


def refusal(text: str) -> InputError:
    with pytest.raises(InputError) as error:
        read(text)
    return error.value


# What is right


def test_the_smallest_spec() -> None:
    assert read(NAMED) == ImageSpec(
        path=Path("nixbridge.toml"),
        template="image",
        nix=NixSection(packages=LookupPath(text="<nixpkgs>")),
        image=ImageSection(name="shop", tag="latest", ca_certificates=True),
        layering=LayeringSection(
            strategy="update-cost", max_layers=40, layers=None, volatile=(), weights={}
        ),
        docker=DockerSection(
            bundle_nixpkgs=True,
            channel_name="nixpkgs",
            channel_url="https://channels.nixos.org/nixpkgs-unstable",
        ),
        given=frozenset({"image.name"}),
    )


def test_the_complete_spec_of_the_documentation(repository: Path) -> None:
    spec = read(examples(repository)[1])
    assert spec.image == ImageSection(
        name="ghcr.io/me/shop",
        tag="1.4",
        packages=("python3Packages.gunicorn", "curl"),
        title="Shop",
        description="The shop's web server",
        version="1.4.2",
        revision="0a1b2c3d",
        source="https://example.org/me/shop",
        vendor="Me",
        annotations={"org.example.team": "web"},
        config=ConfigSection(
            entrypoint=("gunicorn", "--bind", "0.0.0.0:8080"),
            cmd=("shop:app",),
            env={"TZ": "UTC"},
            user=ContainerUser(name="app", uid=1000, gid=1000),
            working_dir="/srv",
            ports=("8080/tcp",),
            volumes=("/srv/uploads",),
            labels={"org.example.contact": "web@example.org"},
            stop_signal="SIGINT",
            healthcheck=Healthcheck(
                command=("curl", "--fail", "http://localhost:8080/health"),
                interval_seconds=30,
                timeout_seconds=3,
                start_period_seconds=10,
                retries=3,
            ),
        ),
    )
    assert spec.layering == LayeringSection(
        max_layers=40,
        layers=(("python3",),),
        volatile=("shop-*",),
        weights={"python3*": 0.5},
    )


def test_the_docker_section() -> None:
    spec = read(
        'template = "docker"\n'
        + NAMED
        + "[docker]\nbundle_nixpkgs = false\n"
        + 'channel_name = "c"\nchannel_url = "https://example.org"\nflake_registry = "r.json"\n'
        + 'nix_conf = { a = "b", list = ["c", "d"], cores = 2, sandbox = true }\n'
    )
    assert spec.template == "docker"
    assert spec.docker == DockerSection(
        bundle_nixpkgs=False,
        channel_name="c",
        channel_url="https://example.org",
        flake_registry=Path.cwd() / "r.json",
        nix_conf={"a": "b", "list": ("c", "d"), "cores": 2, "sandbox": True},
    )
    assert spec.given == {
        "template",
        "image.name",
        "docker.bundle_nixpkgs",
        "docker.channel_name",
        "docker.channel_url",
        "docker.flake_registry",
        "docker.nix_conf",
    }


def test_tables_keep_their_order() -> None:
    spec = read(NAMED + '[image.config.env]\nZ = "1"\nA = "2"\nM = "3"\n')
    assert list(spec.image.config.env) == ["Z", "A", "M"]


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ('packages = "<nixpkgs>"', LookupPath(text="<nixpkgs>")),
        ('packages = "<my/set-1.0>"', LookupPath(text="<my/set-1.0>")),
        ('packages = "debpkgs"', Debpkgs()),
        ('packages = "debpkgs"\nsuite = "bookworm"', Debpkgs(suite="bookworm")),
        ('packages = "/x/y z"', Path("/x/y z")),
    ],
)
def test_where_packages_come_from(text: str, packages: LookupPath | Debpkgs | Path) -> None:
    assert read(f"{NAMED}[nix]\n{text}\n").nix.packages == packages


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    file = folder / "other.toml"
    file.write_text(
        f'template = "mine.j2"\n{NAMED}[nix]\npackages = "./set"\n[docker]\nflake_registry = "r"\n'
        '[layering]\nplan = "plan.json"\n'
    )
    spec = read_spec(Path("deep/other.toml"))
    assert spec.template == folder / "mine.j2"
    assert spec.nix.packages == folder / "set"
    assert spec.docker.flake_registry == folder / "r"
    assert spec.layering.plan == folder / "plan.json"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ('"app"', ("app", 1000, 1000)),
        ('"root"', ("root", 0, 0)),
        ("0", ("root", 0, 0)),
        ('"nobody"', ("nobody", 65534, 65534)),
        ("65534", ("nobody", 65534, 65534)),
        ("1234", ("user", 1234, 1234)),
        ('"1234"', ("user", 1234, 1234)),
        ('"1234:5"', ("user", 1234, 5)),
    ],
)
def test_users(user: str, expected: tuple[str, int, int]) -> None:
    name, uid, gid = expected
    found = read(f"{NAMED}config.user = {user}\n").image.config.user
    assert found == ContainerUser(name=name, uid=uid, gid=gid)


def test_ports() -> None:
    spec = read(f'{NAMED}config.ports = [80, "81", "53/udp", "9/tcp", "65535/sctp"]\n')
    assert spec.image.config.ports == ("80/tcp", "81/tcp", "53/udp", "9/tcp", "65535/sctp")


# What is wrong


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            NAMED + "[layering]\nmax_layer = 3\n",
            "`layering.max_layer` is not a key",
            "did you mean `max_layers`?",
        ),
        (NAMED + "Tag = 'x'\n", "`image.Tag` is not a key", "did you mean `tag`?"),
        (
            NAMED + "[layering]\nmax-layers = 3\n",
            "`layering.max-layers` is not a key",
            "did you mean `max_layers`?",
        ),
        (
            "max_layers = 3\n" + NAMED,
            "`max_layers` is not a key",
            "did you mean `layering.max_layers`?",
        ),
        (
            NAMED + "[images]\n",
            "`images` is not a key",
            "did you mean `image`?",
        ),
        (
            NAMED + "[nix]\n'odd key' = 1\n",
            '`nix."odd key"` is not a key',
            "known here: `packages`, `suite`",
        ),
        ("", "`image.name` is missing", None),
        (
            NAMED + "config.healthcheck.retries = 1\n",
            "`image.config.healthcheck.command` is missing",
            None,
        ),
        (
            "packages = ['jq']\n[image]\nname = 'shop'\n",
            "`packages` is not a key",
            "did you mean `nix.packages` or `image.packages`?",
        ),
        (
            NAMED + "[layering]\nstrategy = 'update_cost'\n",
            "`layering.strategy` is no strategy: `update_cost`",
            "did you mean `update-cost`?",
        ),
        ("image = 1\n", "`image` is a whole number and should be a table", None),
        ("[image]\nname = 1\n", "`image.name` is a whole number and should be a string", None),
        (
            "[image]\nname = 'Shop'\n",
            "`image.name` is no image name: `Shop`",
            "names are lower case: `shop`",
        ),
        (
            "[image]\nname = 'shop:1'\n",
            "`image.name` holds more than a name: `shop:1`",
            "the tag is a key: `image.tag`",
        ),
        (
            NAMED + "tag = '-a'\n",
            "`image.tag` is no tag: `-a`",
            "a tag is up to 128 letters, digits, `_`, `.` and `-`, not `.` or `-` at first",
        ),
        (
            NAMED + "packages = ['a', 'b c']\n",
            "`image.packages[1]` is no package name: `b c`",
            "a package is named by its attribute, such as `curl` or `python3Packages.flask`",
        ),
        (
            NAMED + "packages = 'jq'\n",
            "`image.packages` is a string and should be a list",
            'write it as a list: `["jq"]`',
        ),
        (
            NAMED + "config.env = ['A=b']\n",
            "`image.config.env` is a list and should be a table",
            'write it as a table: `{ NAME = "value" }`',
        ),
        (
            NAMED + "ca_certificates = 1\n",
            "`image.ca_certificates` is a whole number and should be true or false",
            None,
        ),
        (NAMED + "title = ''\n", "`image.title` is empty", None),
        (
            NAMED + 'title = "a\\u0000b"\n',
            "`image.title` holds a NUL character, which no string in Nix can",
            None,
        ),
        (
            NAMED + "config.entrypoint = 'a \"b\"'\n",
            "`image.config.entrypoint` is a string and should be a list",
            'write it as a list: `["a \\"b\\""]`',
        ),
        (
            NAMED + "config.cmd = ['']\n",
            "`image.config.cmd` begins with an empty word, which names no program",
            None,
        ),
        (
            NAMED + "config.cmd = ['a', 1.0]\n",
            "`image.config.cmd[1]` is a number with a point and should be a string",
            None,
        ),
        (
            NAMED + "config.env = { A = 1 }\n",
            "`image.config.env.A` is a whole number and should be a string",
            None,
        ),
        (
            NAMED + "config.env = { 'A=B' = '1' }\n",
            '`image.config.env."A=B"` is not the name of a variable',
            "a name is not empty and has no `=`",
        ),
        (
            NAMED + "config.user = 'me:you'\n",
            "`image.config.user` is no user: `me:you`",
            "a user is a name such as `app`, a number, or `UID:GID`",
        ),
        (
            NAMED + "config.user = 4294967295\n",
            "`image.config.user` is `4294967295`, above 4294967294",
            None,
        ),
        (
            NAMED + "config.user = true\n",
            "`image.config.user` is true or false and should be a whole number or a string",
            None,
        ),
        (
            NAMED + "config.working_dir = 'srv'\n",
            f"`image.config.working_dir` is `srv` and should begin with `/`: {IN_IMAGE}",
            None,
        ),
        (
            NAMED + "config.ports = [80, 65536]\n",
            "`image.config.ports[1]` is no port: `65536`",
            "a port is a number up to 65535, or a string such as `53/udp`",
        ),
        (
            NAMED + "config.ports = ['80/http']\n",
            "`image.config.ports[0]` is no port: `80/http`",
            "a port is a number up to 65535, or a string such as `53/udp`",
        ),
        (NAMED + "[layering]\nmax_layers = 0\n", "`layering.max_layers` is 0, below 1", None),
        (
            NAMED + "[layering]\nmax_layers = 9223372036854775808\n",
            "`layering.max_layers` is 9223372036854775808, above 9223372036854775807",
            None,
        ),
        (
            NAMED + "[layering]\nlayers = ['a']\n",
            "`layering.layers[0]` is a string and should be a list",
            'write it as a list: `["a"]`',
        ),
        (
            NAMED + "[layering]\nlayers = [['a'], ['b', 'c;d']]\n",
            "`layering.layers[1][1]` is no package name: `c;d`",
            "a package is named by its attribute, such as `curl` or `python3Packages.flask`",
        ),
        (
            NAMED + "[nix]\npackages = 'nixpkgs'\n",
            "`nix.packages` is no set of packages: `nixpkgs`",
            "it is `<nixpkgs>` or the like, `debpkgs`, or a path such as `./packages`",
        ),
        (
            NAMED + "[nix]\nsuite = 'trixie'\n",
            "`nix.suite` is given, but only the packages `debpkgs` have suites",
            'say `packages = "debpkgs"` too, or leave `suite` out',
        ),
        (
            NAMED + "[nix]\npackages = 'debpkgs'\nsuite = '../x'\n",
            "`nix.suite` is no suite: `../x`",
            "a suite is a word such as `trixie`",
        ),
        (
            NAMED + "[docker]\nchannel_url = 'a\\nb'\nchannel_name = \"a\\nb\"\n",
            "`docker.channel_name` holds the end of a line, and has to be one line",
            None,
        ),
        (
            NAMED + "[docker]\nnix_conf.x = [1]\n",
            "`docker.nix_conf.x[0]` is a whole number and should be a string",
            None,
        ),
        (
            NAMED + "[docker]\nnix_conf.x = 2020-01-01\n",
            f"`docker.nix_conf.x` is a date and should be {SETTINGS}",
            None,
        ),
        ("template = ''\n" + NAMED, "`template` is empty", None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_place(text: str, message: str, hint: str | None) -> None:
    error = refusal(text)
    assert error.message == f"in nixbridge.toml, {message}"
    assert error.hint == hint


def test_all_problems_are_reported_at_once() -> None:
    error = refusal(
        "tamplate = 1\n[image]\npackages = ['a b', 3]\n[image.config]\nuser = ''\n[layering]\n"
        "max_layers = '3'\n"
    )
    assert error.message == "in nixbridge.toml, 6 things are wrong"
    assert error.details == (
        "`tamplate` is not a key (did you mean `template`?)\n"
        "`image.name` is missing\n"
        "`image.packages[0]` is no package name: `a b` "
        "(a package is named by its attribute, such as `curl` or `python3Packages.flask`)\n"
        "`image.packages[1]` is a whole number and should be a string\n"
        "`image.config.user` is no user: `` "
        "(a user is a name such as `app`, a number, or `UID:GID`)\n"
        "`layering.max_layers` is a string and should be a whole number"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"[image\n",
            f"{NOT_TOML}: expected ']' at the end of a table declaration (at line 1, column 7)",
        ),
        (
            b"a = 1\na = 2\n",
            f"{NOT_TOML}: cannot overwrite a value (at line 2, column 6)",
        ),
        (b"\n\nx = '\xff'\n", "nixbridge.toml is not UTF-8 text: line 3 holds the byte 0xff"),
        (b"x = " + b"[" * 20_000, f"{NOT_TOML}: too many brackets"),
    ],
    ids=["syntax", "twice", "latin-1", "deep"],
)
def test_a_file_that_is_not_toml_is_refused(data: bytes, message: str) -> None:
    Path("nixbridge.toml").write_bytes(data)
    with pytest.raises(InputError) as error:
        read_spec(Path("nixbridge.toml"))
    assert error.value.message == message


def test_a_number_too_long_for_python_is_refused() -> None:
    assert refusal("x = 1" + "0" * 5000).message.startswith("nixbridge.toml is not TOML: ")


def test_a_file_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InputError) as missing:
        read_spec(Path("no.toml"))
    assert missing.value.message == "the spec `no.toml` cannot be read: no such file or directory"
    Path("folder").mkdir()
    with pytest.raises(InputError) as directory:
        read_spec(Path("folder"))
    assert directory.value.message == "the spec `folder` cannot be read: is a directory"
    assert directory.value.hint == "name the file in it: `folder/nixbridge.toml`"


toml_values = st.recursive(
    st.one_of(
        st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5),
        st.dates(), st.times(), st.datetimes(),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)  # fmt: skip


def nested(values: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in values.items():
        *sections, last = key.split(".")
        table = document
        for section in sections:
            table = table.setdefault(section, {})
        table[last] = value
    return document


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(spec_keys()), toml_values, max_size=5))
def test_any_value_anywhere_is_read_or_refused(values: dict[str, Any]) -> None:
    """Nothing but `InputError` leaves the reader, whatever TOML may hold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tomllib, "loads", lambda _: nested(values))
        message = None
        try:
            assert read("").given == values.keys()
        except InputError as error:
            message = error.message
    assert message is None or message.startswith("in nixbridge.toml, ")


# The documentation


def examples(repository: Path) -> list[str]:
    document = (repository / "docs/spec.md").read_text()
    return re.findall(r"^```toml\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)


def documented(repository: Path) -> Iterator[tuple[str, str]]:
    """Yield each key of the reference's tables and its default as the table says it."""
    document = (repository / "docs/spec.md").read_text()
    for row in re.finditer(r"^\| `([\w.]+)` \| [^|]+ \| ([^|]+) \|", document, re.MULTILINE):
        yield row[1], row[2].strip()


def test_the_reference_has_every_key_in_order(repository: Path) -> None:
    assert tuple(key for key, _ in documented(repository)) == spec_keys()


def test_the_defaults_of_the_reference_are_the_codes(repository: Path) -> None:
    spec = read(NAMED)
    checked = 0
    for key, default in documented(repository):
        if default.startswith("`") and key not in {"nix.packages", "image.config.working_dir"}:
            value: Any = spec
            for part in key.split("."):
                value = getattr(value, part)
            literal = tomllib.loads(f"x = {default.strip('`')}")["x"]
            assert (list(value) if isinstance(value, tuple) else value) == literal, key
            checked += 1
    assert checked >= 12


def test_the_examples_of_the_documentation_are_read(repository: Path) -> None:
    specs = [read(example) for example in examples(repository)]
    assert [spec.template for spec in specs] == ["image", "image", "docker"]
    # The complete one shows every key of its template; a plan is saved when there is an image.
    left = {key for key in spec_keys() if not key.startswith("docker.")} - specs[1].given
    assert left == {
        "template",
        "nix.suite",
        "image.ca_certificates",
        "layering.plan",
        "layering.strategy",
    }


def test_the_repositorys_own_spec_is_read(repository: Path) -> None:
    spec = read_spec(repository / "nixbridge.toml")
    assert spec.template == "docker"
    assert spec.nix.packages == Debpkgs(suite="trixie")
