from __future__ import annotations

from pathlib import Path

import pytest

from nixbridge.errors import InputError
from nixbridge.source import (
    DescriptionSource,
    FlakeSource,
    NixFileSource,
    Source,
    SpecSource,
    StorePathSource,
    parse_source,
)

HASH = "0123456789abcdfghijklmnpqrsvwxyz"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "a.nix",
        "b.toml",
        "c.json",
        "other.txt",
        "spec/nixbridge.toml",
        "flake/flake.nix",
    ):
        path = Path(name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    Path("empty").mkdir()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("a.nix", NixFileSource),
        ("./a.nix", NixFileSource),
        ("b.toml", SpecSource),
        ("c.json", DescriptionSource),
        ("spec", SpecSource),
        ("spec/", SpecSource),
        ("flake", FlakeSource),
        (".#dockerImage", FlakeSource),
        ("nixpkgs#hello", FlakeSource),
        ("github:owner/repository", FlakeSource),
        ("path:/x y#z", FlakeSource),
        (f"/nix/store/{HASH}-hello-2.12", StorePathSource),
        (f"/nix/store/{HASH}-image-x.json", StorePathSource),
    ],
)
def test_kinds(text: str, kind: type[Source]) -> None:
    assert isinstance(parse_source(text), kind)


def test_a_link_into_the_store_is_a_store_path() -> None:
    Path("result").symlink_to(f"/nix/store/{HASH}-hello")
    source = parse_source("result")
    assert isinstance(source, StorePathSource)
    assert str(source.path) == f"/nix/store/{HASH}-hello"


def test_attribute_is_for_nix_files() -> None:
    source = parse_source("a.nix", attribute="x.y")
    assert isinstance(source, NixFileSource)
    assert source.attribute == "x.y"
    with pytest.raises(InputError) as caught:
        parse_source("b.toml", attribute="x")
    assert caught.value.message == "`-A x` picks an attribute of a Nix file, and `b.toml` is none"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing", "there is no `missing`"),
        ("missing.nix", "there is no file `missing.nix`"),
        ("other.txt", "`other.txt` is a file of a kind that cannot be made an image"),
        ("empty", "the directory `empty` holds no `nixbridge.toml` and no `flake.nix`"),
        ("/nix/store/short-x", "`/nix/store/short-x` is not a store path"),
        ("", "the source is empty"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_source(text)
    assert caught.value.message == message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("hello", "there is no `hello`", "a package of nixpkgs is `nixpkgs#hello`; "),
        (
            "oci:out",
            "`oci:out` is a place where an image is, and no source of one",
            "look into it with `nixbridge inspect oci:out`; ",
        ),
    ],
)
def test_what_may_be_meant(text: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_source(text)
    assert caught.value.message == message
    assert (caught.value.hint or "").startswith(f"{hint}a source is a spec (")
