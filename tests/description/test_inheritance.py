"""An image upon another one that is described by us."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nixbridge.closure import ClosureGraph, NarHash, PathInfo, StorePath
from nixbridge.description import ImageDescription, LayerDescription, NixDatabaseRequest, upon
from nixbridge.errors import InputError
from nixbridge.oci import Platform


def description(name: str) -> ImageDescription:
    path = StorePath(f"/nix/store/{'0' * 32}-{name}")
    info = PathInfo(path=path, nar_hash=NarHash("0" * 64), nar_size_bytes=1, references=())
    return ImageDescription(
        name=name,
        tag="1",
        platform=Platform(architecture="amd64"),
        created="1970-01-01T00:00:01Z",
        config={"Env": (f"NAME={name}",)},
        annotations={"of": name},
        layers=(LayerDescription(roots=(path,), history={}),),
        nix_database=None,
        closure=ClosureGraph.of([info]),
    )


def test_its_layers_lie_below() -> None:
    further = StorePath(f"/nix/store/{'1' * 32}-debian")
    base, own = replace(description("base"), from_image=further), description("own")
    image = upon(base, own, place="base.json")
    assert image.layers == (*base.layers, *own.layers)
    assert [info.path.name for info in image.closure] == ["base", "own"]
    assert (image.name, image.annotations) == ("own", {"of": "own"})
    assert image.config == {"Env": ("NAME=own",)}
    assert image.from_image == further


def test_a_database_is_that_of_both() -> None:
    asked = NixDatabaseRequest(uid=7)
    base, own = description("base"), description("own")
    assert upon(replace(base, nix_database=asked), own, place="").nix_database == asked
    assert upon(base, replace(own, nix_database=asked), place="").nix_database == asked
    assert upon(base, own, place="").nix_database is None


def test_another_architecture_cannot_be_built_upon() -> None:
    base = replace(description("base"), platform=Platform(architecture="arm64"))
    with pytest.raises(InputError) as caught:
        upon(base, description("own"), place="base.json")
    assert caught.value.message == (
        "the base image `base.json` is for linux/arm64, and the image is for linux/amd64"
    )
