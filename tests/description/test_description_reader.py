"""Reading image descriptions: every field, and every way to be wrong."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

import nixbridge.description as description_room
from nixbridge.closure import ClosureGraph, NarHash, PathInfo, StorePath
from nixbridge.description import (
    ImageDescription,
    LayerDescription,
    NixDatabaseRequest,
    Perm,
    PreviousLayer,
    describe_closure,
    description_document,
    is_description,
    parse_description,
    read_description,
)
from nixbridge.errors import InputError, PlanError
from nixbridge.oci import Platform
from nixbridge.spec import LayeringSection

GLIBC = "/nix/store/00000000000000000000000000000000-glibc"
BASH = "/nix/store/11111111111111111111111111111111-bash"
SYSTEM = "/nix/store/22222222222222222222222222222222-base-system"
BASE = "/nix/store/33333333333333333333333333333333-debian"

# Has every field of the format, and every key of a config.
GOOD: dict[str, Any] = {
    "version": 3,
    "name": "registry.example.org:5000/team/lix",
    "tag": "2.26.3",
    "architecture": "amd64",
    "os": "linux",
    "created": "1970-01-01T00:00:01Z",
    "config": {
        "ArgsEscaped": True,
        "AttachStderr": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "Cmd": ["bash"],
        "CpuShares": 1,
        "Domainname": "example.org",
        "Entrypoint": ["init"],
        "Env": ["USER=root", "PATH=/bin"],
        "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {
            "Interval": 1,
            "Retries": 3,
            "StartInterval": 1,
            "StartPeriod": 1,
            "Test": ["CMD", "true"],
            "Timeout": 1,
        },
        "Hostname": "box",
        "Image": "base",
        "Labels": {"org.opencontainers.image.title": "Lix <&> ü"},
        "MacAddress": "",
        "Memory": 1,
        "MemorySwap": -1,
        "NetworkDisabled": False,
        "OnBuild": ["RUN true"],
        "OpenStdin": False,
        "Shell": ["/bin/sh", "-c"],
        "StdinOnce": False,
        "StopSignal": "SIGTERM",
        "StopTimeout": 10,
        "Tty": False,
        "User": "0:0",
        "Volumes": {"/data": {}},
        "WorkingDir": "/",
    },
    "annotations": {"org.opencontainers.image.source": "https://example.org"},
    "fromImage": BASE,
    "layers": [
        {
            "roots": [BASH],
            "copyToRoot": [],
            "ignore": [],
            "perms": [],
            "maxLayers": 1,
            "strategy": "popularity",
            "reproducible": True,
            "metadata": {
                "created": "2024-05-13T09:31:10Z",
                "created_by": "nixbridge",
                "author": "me",
                "comment": "base",
            },
        },
        {
            "roots": [],
            "copyToRoot": [SYSTEM],
            "ignore": [GLIBC],
            "perms": [
                {
                    "path": SYSTEM,
                    "regex": "(/var)?/tmp",
                    "mode": "1777",
                    "uid": 0,
                    "gid": 7,
                    "uname": "root",
                    "gname": "lp",
                },
                {
                    "path": SYSTEM,
                    "regex": ".*",
                    "mode": None,
                    "uid": 1000,
                    "gid": 1000,
                    "uname": "",
                    "gname": "",
                },
            ],
            "maxLayers": 100,
            "strategy": "single",
            "reproducible": False,
            "metadata": {},
        },
    ],
    "nixDatabase": {"uid": 0, "gid": 30000},
    "weights": {"bash*": 2, "glibc*": 0.5},
    "plan": {
        "version": 1,
        "images": [{"name": "lix", "layers": [{"reason": "below", "paths": [GLIBC]}]}],
    },
    "closure": [
        {"path": GLIBC, "narHash": "sha256:" + "0" * 52, "narSize": 0, "references": []},
        {
            "path": BASH,
            "narHash": "sha256:" + "a" * 64,
            "narSize": 20,
            "references": [GLIBC, BASH],
        },
        {
            "path": SYSTEM,
            "narHash": "sha256-qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=",
            "narSize": 30,
            "references": [BASH],
        },
    ],
}


def read(document: object, fallback_tag: str | None = None) -> ImageDescription:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse_description(data, source="image-lix.json", fallback_tag=fallback_tag)


def changed(place: str, value: object) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    target: Any = document
    *way, last = (
        int(step[1:-1]) if step.startswith("[") else step
        for step in re.findall(r"\[\d+\]|[^.\[]+", place)
    )
    for key in way:
        target = target[key]
    target[last] = value
    return document


def test_reads_every_field() -> None:
    description = read(GOOD)
    glibc, bash, system = (StorePath.parse(text) for text in (GLIBC, BASH, SYSTEM))
    assert description.name == "registry.example.org:5000/team/lix"
    assert description.tag == "2.26.3"
    assert description.platform == Platform(architecture="amd64", os="linux")
    assert description.created == "1970-01-01T00:00:01Z"
    assert description.annotations == {"org.opencontainers.image.source": "https://example.org"}
    assert description.weights == {"bash*": 2.0, "glibc*": 0.5}
    assert description.plan is not None
    assert description.plan.layers == {
        "lix": (PreviousLayer(paths=frozenset({glibc}), reason="below"),)
    }
    assert description.layers == (
        LayerDescription(
            roots=(bash,),
            history={
                "created": "2024-05-13T09:31:10Z",
                "created_by": "nixbridge",
                "author": "me",
                "comment": "base",
            },
        ),
        LayerDescription(
            roots=(),
            copy_to_root=(system,),
            ignore=(glibc,),
            perms=(
                Perm(
                    path=system, regex="(/var)?/tmp", mode=0o1777, gid=7, uname="root", gname="lp"
                ),
                Perm(path=system, regex=".*", uid=1000, gid=1000),
            ),
            max_layers=100,
            strategy="single",
            reproducible=False,
            history={},
        ),
    )
    assert description.nix_database == NixDatabaseRequest(uid=0, gid=30000)
    assert description.from_image == StorePath.parse(BASE)
    assert list(description.closure) == [
        PathInfo(path=glibc, nar_hash=NarHash("0" * 64), nar_size_bytes=0, references=()),
        PathInfo(
            path=bash, nar_hash=NarHash("a" * 64), nar_size_bytes=20, references=(glibc, bash)
        ),
        PathInfo(path=system, nar_hash=NarHash("aa" * 32), nar_size_bytes=30, references=(bash,)),
    ]


def test_the_config_is_kept_whole() -> None:
    config = read(GOOD).config
    assert json.loads(json.dumps(config, default=dict)) == GOOD["config"]


def test_what_was_read_can_be_written_and_read() -> None:
    written = json.dumps(description_document(read(GOOD)))
    assert json.loads(written)["config"] == GOOD["config"]
    assert read(json.loads(written)) == read(GOOD)


def test_the_order_of_keys_does_not_matter() -> None:
    backwards = json.loads(json.dumps(GOOD), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert read(backwards) == read(GOOD)


@pytest.mark.parametrize(
    "mode", [("0", 0), ("644", 0o644), ("0755", 0o755), ("1777", 0o1777), ("01777", 0o1777)]
)
def test_mode_is_octal(mode: tuple[str, int]) -> None:
    text, number = mode
    assert read(changed("layers[1].perms[0].mode", text)).layers[1].perms[0].mode == number


def test_null_tag_is_the_hash_of_the_store_path(tmp_path: Path) -> None:
    built = tmp_path / "abcdfghijklmnpqrsvwxyz0123456789-image-lix.json"
    built.write_text(json.dumps(changed("tag", None)))
    link = tmp_path / "result"
    link.symlink_to(built)
    assert read_description(link).tag == "abcdfghijklmnpqrsvwxyz0123456789"


def test_null_tag_outside_the_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.json"
    path.write_text(json.dumps(changed("tag", None)))
    with pytest.raises(InputError, match=r"`tag` is null, so it is the hash of") as caught:
        read_description(path)
    assert caught.value.hint == "read the description from the Nix store, or give the image a tag"


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "image.json"
    with pytest.raises(InputError) as caught:
        read_description(path)
    assert caught.value.message == (
        f"the image description `{path}` cannot be read: No such file or directory"
    )


# (place, value there, what the whole message says after "in `image-lix.json`, ", the hint)
WRONG: list[tuple[str, Any, str, str | None]] = [
    ("version", 4, "`version` is 4, made by a newer nixbridge; this one knows 3", "use the same"),
    ("version", 0, "`version` is 0, below 1", None),
    ("version", "1", "`version` is a string and should be a whole number", None),
    ("version", True, "`version` is true or false and should be a whole number", None),
    ("weights.x", 0, "`weights.x` is 0, below 0.001", None),
    ("weights.x", 1e7, "`weights.x` is 1e+07, above 1e+06", None),
    ("weights.x", "2", "`weights.x` is a string and should be a number", None),
    ("plan", [], "`plan` is a list and should be an object", None),
    ("plan.version", 2, "`plan.version` is 2, and this nixbridge knows 1", "save it again"),
    ("nme", "x", "`nme` is not a key", "did you mean `name`?"),
    ("layers[0].maxlayers", 1, "`layers[0].maxlayers` is not a key", "did you mean `maxLayers`?"),
    ("layers[0].MODE", 1, "`layers[0].MODE` is not a key", "known here: `copyToRoot`, `ignore`"),
    ("nixDatabase.uname", "x", "`nixDatabase.uname` is not a key", "known here: `gid`, `uid`"),
    ("config.entrypoint", [], "`config.entrypoint` is not a key", "did you mean `Entrypoint`?"),
    ("config.Healthcheck.Tst", [], "`config.Healthcheck.Tst` is not a key", "did you mean `Test`?"),
    ("config.Env[1]", 1, "`config.Env[1]` is a whole number and should be a string", None),
    ("config.Volumes", {"/d": {"a": 1}}, "`config.Volumes./d.a` is not a key", "nothing may"),
    ("name", "Lix", "`name` cannot be used: `Lix` is not an image reference", "names are lower"),
    ("name", "lix:1", "`name` holds more than a name: `lix:1`", "use `tag`"),
    ("tag", "a b", "`tag` is no tag: `a b`", "a tag is up to 128 letters"),
    ("tag", "a@sha256:" + "0" * 64, "`tag` is no tag: `a@sha256:" + "0" * 64 + "`", "a tag is"),
    (
        "architecture",
        "x86_64",
        "`architecture` is Nix's word `x86_64`; images use Go's",
        "did you mean `amd64`?",
    ),
    ("architecture", "arm46", "`architecture` is unknown: `arm46`", "did you mean `arm64`?"),
    ("os", "Linux", "`os` is unknown: `Linux`", "did you mean `linux`?"),
    ("created", "yesterday", "`created` is no time: `yesterday`", "write RFC 3339"),
    ("created", "2026-01-01", "`created` is no time: `2026-01-01`", "write RFC 3339"),
    (
        "created",
        "2026-02-30T00:00:00Z",
        "`created` is no time: `2026-02-30T00:00:00Z`",
        "write RFC 3339",
    ),
    (
        "layers[0].metadata.created",
        "today",
        "`layers[0].metadata.created` is no time: `today`",
        "write RFC 3339",
    ),
    (
        "fromImage",
        "alpine",
        "`fromImage` cannot be used: `alpine` is not a store path",
        "a store path looks like",
    ),
    (
        "layers[1].perms[0].mode",
        "rwx",
        "`layers[1].perms[0].mode` is no octal mode: `rwx`",
        "such as `0755` or `1777`",
    ),
    (
        "layers[1].perms[0].mode",
        0o755,
        "`layers[1].perms[0].mode` is a whole number and should be a string",
        None,
    ),
    ("layers[1].perms[0].uid", -1, "`layers[1].perms[0].uid` is -1, below 0", None),
    (
        "layers[1].perms[0].gid",
        2**32 - 1,
        "`layers[1].perms[0].gid` is 4294967295, above 4294967294",
        None,
    ),
    (
        "layers[0].roots[0]",
        "bash",
        "`layers[0].roots[0]` cannot be used: `bash` is not a store path",
        "a store path looks like",
    ),
    (
        "layers[0].roots[0]",
        BASH + "-dev",
        f"`layers[0].roots[0]` is not in the closure: `{BASH}-dev`",
        None,
    ),
    (
        "layers[1].copyToRoot[0]",
        BASH + "-dev",
        f"`layers[1].copyToRoot[0]` is not in the closure: `{BASH}-dev`",
        None,
    ),
    (
        "closure[0].narHash",
        "sha256:x",
        "`closure[0].narHash` cannot be used: `sha256:x` is not a sha256 hash of a NAR",
        None,
    ),
    ("closure[0].narSize", -1, "`closure[0].narSize` is -1, below 0", None),
    ("closure[0].narSize", 1.0, "`closure[0].narSize` is a number and should be a whole", None),
    ("image-config", {}, "`image-config` is nix2container's", "build the image with nixbridge's"),
]


@pytest.mark.parametrize(("place", "value", "message", "hint"), WRONG)
def test_says_what_is_wrong_and_where(
    place: str, value: object, message: str, hint: str | None
) -> None:
    with pytest.raises(InputError) as caught:
        read(changed(place, value))
    assert caught.value.message.startswith(f"in `image-lix.json`, {message}")
    assert (caught.value.hint or "").startswith(hint or "")
    assert (caught.value.hint is None) == (hint is None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expecting value: line 1 column 1 (char 0)"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff"),
        (b'{"version": 1, "version": 1}', "the key `version` stands twice in one object"),
        (b'{"version": NaN}', "`NaN` is not JSON"),
        (b'{"version": "\\ud800"}', "'utf-8' codec can't encode character"),
        (b"[" * 100_000, "maximum recursion depth exceeded"),
        (b"1" * 5000, "exceeds the limit"),
    ],
)
def test_not_json(data: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(data)
    assert caught.value.message.startswith("`image-lix.json` is not an image description: ")
    assert message in caught.value.message


def test_not_an_object() -> None:
    with pytest.raises(InputError) as caught:
        read([])
    assert caught.value.message == (
        "in `image-lix.json`, the document is a list and should be an object"
    )


def test_open_closure() -> None:
    with pytest.raises(PlanError, match="the closure is open"):
        read(changed("closure", GOOD["closure"][1:]))


SCHEMA = json.loads(
    Path(description_room.__file__ or "")
    .with_name("image-description.schema.json")
    .read_text(encoding="utf-8")
)


def schema_accepts(document: object) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(document))


def reader_accepts(document: object) -> bool:
    try:
        read(document, fallback_tag="fallback")
    except (InputError, PlanError):
        return False
    return True


def places(value: object, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if place:
        yield place
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*place, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*place, index))


def variants(place: tuple[str | int, ...]) -> Iterator[dict[str, Any]]:
    """GOOD with something else, nothing, or something more at `place`."""
    replacements: list[Any] = [None, True, -1, 7, 1.5, "", "x", "/x", [], [1], {}, {"x": 1}]
    for replacement in replacements:
        document = copy.deepcopy(GOOD)
        target: Any = document
        for key in place[:-1]:
            target = target[key]
        target[place[-1]] = replacement
        yield document
    document = copy.deepcopy(GOOD)
    target = document
    for key in place[:-1]:
        target = target[key]
    del target[place[-1]]
    yield document
    document = copy.deepcopy(GOOD)
    target = document
    for key in place:
        target = target[key]
    if isinstance(target, dict):
        target["unheard of"] = "x"
        yield document


def test_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert schema_accepts(GOOD)


def test_schema_and_reader_agree() -> None:
    """Whatever is changed at any place, both refuse it or both accept it."""
    seen = set()
    for place in places(GOOD):
        for document in variants(place):
            accepted = reader_accepts(document)
            # What a schema cannot tell is that a path is missing from the closure.
            expected = schema_accepts(document) and not lacks_paths(document)
            assert accepted == expected, (place, document)
            seen.add(accepted)
    assert seen == {True, False}


def lacks_paths(document: dict[str, Any]) -> bool:
    known = {info["path"] for info in document["closure"]}
    named = [path for info in document["closure"] for path in info["references"]]
    for layer in document["layers"]:
        named += layer["roots"] + layer["copyToRoot"]
    return not known.issuperset(named)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps(GOOD), True),
        (json.dumps({"layers": [], "version": 99}), True),
        ('{"version": 1}', False),
        ("{ pkgs }: pkgs", False),
        ("#!/bin/sh", False),
        ("", False),
        ("[]", False),
    ],
)
def test_is_description(tmp_path: Path, text: str, expected: bool) -> None:  # noqa: FBT001
    path = tmp_path / "built"
    path.write_text(text)
    assert is_description(path) is expected


def test_a_directory_is_no_description(tmp_path: Path) -> None:
    assert not is_description(tmp_path)
    assert not is_description(tmp_path / "missing")


def test_describe_closure_takes_what_the_roots_reach() -> None:
    graph = read(GOOD).closure
    bash = StorePath.parse(BASH)
    description = describe_closure(
        graph, [bash], name="bash", tag="1", platform=Platform(architecture="arm64")
    )
    assert [str(info.path) for info in description.closure] == [GLIBC, BASH]
    assert description.layers[0].roots == (bash,)
    assert description.layers[0].strategy == LayeringSection().strategy
    assert description.layers[0].max_layers == LayeringSection().max_layers
    assert description.config == {}
    assert description.nix_database is None


def test_describe_closure_of_a_stranger() -> None:
    with pytest.raises(PlanError, match="is not in the closure"):
        describe_closure(
            ClosureGraph.of([]),
            [StorePath.parse(BASH)],
            name="bash",
            tag="1",
            platform=Platform(architecture="amd64"),
        )
