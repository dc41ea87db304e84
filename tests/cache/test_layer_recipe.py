"""A layer's key: every fact that its bytes depend on is in it, and nothing else."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest

from fake_store import FakeStore, planned
from nixbridge.closure import NarHash, PathInfo, StorePath
from nixbridge.description import NixDatabaseRequest, Perm
from nixbridge.image import nix_database_tree
from nixbridge.layering import PlannedLayer, PlannedPath
from nixbridge.oci import BlobDigest, DiffId
from nixbridge.packing import Compression, LayerRecipe, is_made_by_recipe, layer_tree, write_tar

A = StorePath.parse(f"/nix/store/{'a' * 32}-a")
B = StorePath.parse(f"/nix/store/{'b' * 32}-b")
PERM = Perm(path=A, regex="bin", mode=0o755, uid=1, gid=2, uname="u", gname="g")
INFO = PathInfo(
    path=A, nar_hash=NarHash("1" * 64), nar_size_bytes=10, references=(A, B), deriver=None
)
OTHER_INFO = PathInfo(path=B, nar_hash=NarHash("2" * 64), nar_size_bytes=20, references=())
PATH = PlannedPath(info=INFO, copy_to_root=True, perms=(PERM,))
GZIP = Compression.parse("zlib:1")


def key(*paths: PlannedPath, compression: Compression | None = None) -> str:
    return str(LayerRecipe.of_layer(planned(*paths), compression).key)


def database_key(
    *infos: PathInfo, request: NixDatabaseRequest, compression: Compression | None = None
) -> str:
    return str(LayerRecipe.of_nix_database(infos, request, compression).key)


PERM_CHANGES: dict[str, Any] = {
    "regex": "lib",
    "mode": None,
    "uid": 9,
    "gid": 9,
    "uname": "x",
    "gname": "x",
}


def test_no_field_is_forgotten() -> None:
    """A new option of a layer must come into the recipe, and into this test."""
    assert {field.name for field in dataclasses.fields(Perm)} == {"path", *PERM_CHANGES}
    assert {field.name for field in dataclasses.fields(PlannedPath)} == {
        "info",
        "copy_to_root",
        "perms",
    }
    # Reason and history are the config's, not the layer's.
    assert {field.name for field in dataclasses.fields(PlannedLayer)} == {
        "paths",
        "reason",
        "history",
        "change_probability",
    }
    assert {field.name for field in dataclasses.fields(NixDatabaseRequest)} == {
        "uid",
        "gid",
        "is_n2c_exact",
    }


@pytest.mark.parametrize("name", PERM_CHANGES)
def test_every_part_of_a_perm_counts(name: str) -> None:
    changed = dataclasses.replace(PERM, **{name: PERM_CHANGES[name]})
    assert key(dataclasses.replace(PATH, perms=(changed,))) != key(PATH)


@pytest.mark.parametrize(
    "changed",
    [
        dataclasses.replace(PATH, copy_to_root=False),
        dataclasses.replace(PATH, perms=()),
        dataclasses.replace(PATH, perms=(PERM, PERM)),
        dataclasses.replace(PATH, info=dataclasses.replace(INFO, nar_hash=NarHash("3" * 64))),
        dataclasses.replace(PATH, info=dataclasses.replace(INFO, path=B)),
    ],
)
def test_every_part_of_a_path_counts(changed: PlannedPath) -> None:
    assert key(changed) != key(PATH)


def test_the_order_of_perms_counts() -> None:
    other = dataclasses.replace(PERM, regex="lib")
    one = dataclasses.replace(PATH, perms=(PERM, other))
    assert key(one) != key(dataclasses.replace(PATH, perms=(other, PERM)))


def test_the_order_of_paths_does_not_count() -> None:
    other = PlannedPath(info=OTHER_INFO)
    assert key(PATH, other) == key(other, PATH)
    assert key(PATH, other) != key(PATH)


def test_what_the_bytes_do_not_depend_on_does_not_count() -> None:
    info = dataclasses.replace(INFO, nar_size_bytes=0, references=(), deriver=B)
    assert key(dataclasses.replace(PATH, info=info)) == key(PATH)


def test_the_compressor_counts_with_its_level() -> None:
    keys = {
        key(PATH, compression=Compression.parse(text))
        for text in ("none", "gzip:1", "gzip:2", "zlib:1", "zlib:2", "zstd:1")
    }
    assert len(keys) == 6


def test_a_key_stays_what_it_is() -> None:
    """It stands in images: a change of format must raise the format's number."""
    assert LayerRecipe.of_layer(planned(PATH), None).text == (
        b'{"compression":null,"format":1,"paths":[{"copyToRoot":true,"narHash":"sha256:'
        + b"1" * 64
        + b'","path":"/nix/store/'
        + b"a" * 32
        + b'-a","perms":[{"gid":2,"gname":"g","mode":493,"regex":"bin","uid":1,"uname":"u"}]}]}'
    )


def test_the_format_stands_for_these_bytes(tmp_path: Path) -> None:
    """Whoever makes other bytes of the same recipe must raise the format's number.

    Else the cache of an older nixbridge would tell of bytes that we no longer make.
    """
    store = FakeStore(tmp_path)
    long_name = "n" * 120
    one = store.add("one", {"bin": {"x": (b"x" * 700, True)}, "ü": "bin", long_name: {"y": "z"}})
    two = store.add("two", {"etc": {"passwd": (b"root", False), long_name: (b"", False)}})
    perm = Perm(path=two.path, regex="passwd", mode=0o600, uid=7, gid=8, uname="u", gname="g")
    layer = planned(one, PlannedPath(info=two, copy_to_root=True, perms=(perm,)))
    tree = layer_tree(layer, store.root)
    database = nix_database_tree([one, two], NixDatabaseRequest(uid=5))
    diff_ids = [write_tar(each, io.BytesIO()).hex[:16] for each in (tree, database)]
    assert (json.loads(LayerRecipe.of_layer(layer, None).text)["format"], *diff_ids) == (
        1,
        "865508df27523af5",
        "9675d688b547e274",
    )


def test_a_nix_database() -> None:
    request = NixDatabaseRequest()
    one = database_key(INFO, OTHER_INFO, request=request)
    assert one == database_key(OTHER_INFO, INFO, request=request)
    others = [
        database_key(INFO, request=request),
        database_key(INFO, OTHER_INFO, request=NixDatabaseRequest(uid=1)),
        database_key(INFO, OTHER_INFO, request=NixDatabaseRequest(gid=1)),
        database_key(INFO, OTHER_INFO, request=NixDatabaseRequest(is_n2c_exact=True)),
        database_key(INFO, OTHER_INFO, request=request, compression=GZIP),
        *(
            database_key(dataclasses.replace(INFO, **changed), OTHER_INFO, request=request)
            for changed in (
                {"nar_hash": NarHash("3" * 64)},
                {"nar_size_bytes": 11},
                {"references": (A,)},
                {"deriver": B},
            )
        ),
    ]
    assert len({one, *others}) == len(others) + 1


@pytest.mark.parametrize("compression", [None, GZIP])
def test_a_recipe_can_be_read_back(compression: Compression | None) -> None:
    recipe = LayerRecipe.of_layer(planned(PATH, PlannedPath(info=OTHER_INFO)), compression)
    layer = recipe.layer()
    assert layer is not None
    assert LayerRecipe.of_layer(layer, compression) == recipe
    assert recipe.nix_database() is None
    assert recipe.compression_identity == (compression.identity if compression else None)
    for is_n2c_exact in (False, True):
        request = NixDatabaseRequest(uid=3, is_n2c_exact=is_n2c_exact)
        database = LayerRecipe.of_nix_database([INFO], request, compression)
        assert database.layer() is None
        registered = database.nix_database()
        assert registered is not None
        assert LayerRecipe.of_nix_database(*registered, compression) == database


def test_a_blob_of_a_base_image() -> None:
    digest, diff_id = BlobDigest.of(b"blob"), DiffId.of(b"tar")
    recipe = LayerRecipe.of_blob(digest, diff_id)
    assert (recipe.layer(), recipe.nix_database()) == (None, None)
    others = [
        LayerRecipe.of_blob(BlobDigest.of(b"x"), diff_id),
        LayerRecipe.of_blob(digest, DiffId.of(b"x")),
    ]
    assert len({recipe.key, *(other.key for other in others)}) == 3


def test_what_utf8_cannot_say_has_a_key() -> None:
    odd = dataclasses.replace(PERM, regex="\udcff")
    recipe = LayerRecipe.of_layer(planned(dataclasses.replace(PATH, perms=(odd,))), None)
    layer = recipe.layer()
    assert layer is not None
    assert layer.paths[0].perms[0].regex == "\udcff"


@pytest.mark.parametrize(("mode", "is_made"), [(0o444, True), (0o555, True), (0o644, False)])
def test_a_mode_that_nix_does_not_give(tmp_path: Path, mode: int, *, is_made: bool) -> None:
    """Modes are not in a NAR hash, so with such a file a layer is no function of it."""
    store = FakeStore(tmp_path)
    info = store.add("x", {"file": (b"x", False)})
    (store.place(info) / "file").chmod(mode)
    layer = planned(info)
    assert is_made_by_recipe(layer_tree(layer, store.root)) is is_made


def test_a_mode_of_perms_is_in_the_recipe(tmp_path: Path) -> None:
    store = FakeStore(tmp_path)
    info = store.add("x", {"file": (b"x", False), "other": (b"", True), "link": "file"})
    perm = Perm(path=info.path, regex="/file", mode=0o644)
    layer = planned(PlannedPath(info=info, perms=(perm,)))
    assert is_made_by_recipe(layer_tree(layer, store.root))


def test_a_mode_that_perms_give_to_another_path_does_not_count(tmp_path: Path) -> None:
    store = FakeStore(tmp_path)
    one, other = (store.add(name, {"file": (b"x", False)}) for name in ("one", "other"))
    perm = Perm(path=one.path, regex="/file", mode=0o644)
    layer = planned(PlannedPath(info=one, perms=(perm,)), PlannedPath(info=other))
    assert is_made_by_recipe(layer_tree(layer, store.root))
    (store.place(other) / "file").chmod(0o644)
    assert not is_made_by_recipe(layer_tree(layer, store.root))
