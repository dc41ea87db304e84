"""Deliveries with a cache: a known layer is not opened, and nobody can tell by the image."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.world import World
from destinations.sample_image import NoLayers
from fake_store import Node, directory_for_a_store, one_layer_each, planned
from nixbridge.containers.container import remove_tree
from nixbridge.delivery import (
    choose_compression,
    is_right,
)
from nixbridge.description import NixDatabaseRequest, Perm
from nixbridge.destinations import Access, BlobState, parse_destination
from nixbridge.errors import DestinationError, InputError, IntegrityError
from nixbridge.image import read_base_image
from nixbridge.layering import LayerPlan, PlannedPath
from nixbridge.oci import BlobDigest, Platform
from nixbridge.packing import Compression, LayerRecipe

NAMES = st.sampled_from(["a", "a-b", "b", "bin", "lib", "ü", "x" * 120])
NODES: st.SearchStrategy[Node] = st.recursive(
    st.tuples(st.binary(max_size=400), st.booleans()) | st.sampled_from(["a", "../b", "t" * 110]),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
TREES = st.dictionaries(NAMES, NODES, max_size=4)
COMPRESSIONS = st.sampled_from(["none", "gzip", "zlib:1", "zstd:1"])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("compression", ["none", "gzip", "zlib:1", "zstd"])
def test_an_unchanged_image_is_made_without_its_files(world: World, compression: str) -> None:
    layer_plan = world.sample()
    first = world.deliver(layer_plan, compression=compression)
    assert first.known_layer_count == 0
    world.lose_store()
    second = world.deliver(layer_plan, compression=compression)
    assert second.known_layer_count == 3
    assert second.image.manifest_bytes == first.image.manifest_bytes
    assert second.image.config_bytes == first.image.config_bytes
    assert second.references == first.references
    assert world.listener.warnings == []


@pytest.mark.parametrize("compression", ["none", "gzip", "zlib:1", "zstd"])
@pytest.mark.parametrize("place", ["oci:@/w:x", "oci-archive:@/w:x"])
def test_the_same_with_any_number_of_workers(world: World, compression: str, place: str) -> None:
    layer_plan = one_layer_each(
        *(
            world.store.add(f"p{number}", {"a": (b"%d " % number * 400_000, False), "b": "a"})
            for number in range(8)
        )
    )
    manifests = set()
    for workers in (1, 2, 5):
        world.workers = workers
        delivery = world.deliver(
            layer_plan,
            place.replace("@", f"{world.directory}/{workers}"),
            compression=compression,
            checks_contents=True,
        )
        manifests.add(delivery.image.manifest_bytes)
    assert len(manifests) == 1


def test_each_compressor_has_a_memory_of_its_own(world: World) -> None:
    layer_plan = world.sample()
    for text in ("none", "gzip:1", "gzip:2", "zlib:1", "zstd:1"):
        assert world.deliver(layer_plan, compression=text).known_layer_count == 0
    for text in ("none", "gzip:1", "gzip:2", "zlib:1", "zstd:1"):
        assert world.deliver(layer_plan, compression=text).known_layer_count == 3


def test_annotations_tell_the_key_and_the_compressor(world: World) -> None:
    layer_plan = world.sample()
    delivery = world.deliver(layer_plan, compression="gzip")
    gzip = Compression.parse("gzip")
    assert gzip is not None
    manifest = json.loads(delivery.image.manifest_bytes)
    assert [layer["annotations"] for layer in manifest["layers"][:2]] == [
        {
            "org.nixbridge.compression": gzip.identity,
            "org.nixbridge.layer-key": str(LayerRecipe.of_layer(layer, gzip).key),
            "org.nixbridge.store-paths": (
                f"{layer.paths[0].info.path} {layer.paths[0].info.nar_size_bytes}"
            ),
            "org.nixbridge.tar-size": str(packed.tar_size_bytes),
        }
        for layer, packed in zip(layer_plan.layers, delivery.image.layers, strict=False)
    ]
    assert set(manifest["layers"][2]["annotations"]) == {
        "org.nixbridge.compression",
        "org.nixbridge.layer-key",
        "org.nixbridge.tar-size",
    }


@settings(deadline=None, max_examples=60)
@given(
    trees=st.lists(TREES, min_size=1, max_size=3),
    compression=COMPRESSIONS,
    at_root=st.booleans(),
    lost=st.sets(st.integers(0, 3)),
)
def test_memory_changes_no_image(
    trees: list[Node], compression: str, *, at_root: bool, lost: set[int]
) -> None:
    """With a cache, without, with half of the blobs gone: manifest and config are the same."""
    with directory_for_a_store() as directory:
        world = World(directory)
        infos = [world.store.add(f"p{number}", tree) for number, tree in enumerate(trees)]
        layers = [planned(info) for info in infos]
        if at_root:
            layers.append(planned(PlannedPath(info=infos[0], copy_to_root=True)))
        layer_plan = LayerPlan(layers=tuple(layers), nix_database=NixDatabaseRequest(uid=1))
        plain = world.deliver(
            layer_plan,
            f"oci:{directory}/plain",
            compression=compression,
            with_cache=False,
        )
        first = world.deliver(layer_plan, compression=compression)
        blobs = [layer.descriptor.digest.hex for layer in first.image.layers]
        for number in lost:
            if number < len(blobs):
                (world.layout / "blobs/sha256" / blobs[number]).unlink(missing_ok=True)
        second = world.deliver(layer_plan, compression=compression)
        for each in (first, second):
            assert each.image.manifest_bytes == plain.image.manifest_bytes
            assert each.image.config_bytes == plain.image.config_bytes
        for name in blobs:
            data = (world.layout / "blobs/sha256" / name).read_bytes()
            assert BlobDigest.of(data).hex == name
        assert world.listener.warnings == []


def test_a_destination_that_has_nothing_yet(world: World) -> None:
    """One has the blobs and one has not: packed once, for the one."""
    layer_plan = world.sample()
    one = world.deliver(layer_plan)
    other = world.layout.with_name("other")
    both = world.deliver(layer_plan, f"oci:{world.layout}:y", f"oci:{other}:x")
    assert both.known_layer_count == 0
    assert both.image.manifest_bytes == one.image.manifest_bytes
    names = {path.name for path in (world.layout / "blobs/sha256").iterdir()}
    assert {path.name for path in (other / "blobs/sha256").iterdir()} == names
    world.lose_store()
    assert world.deliver(layer_plan, f"oci:{other}:z", f"oci:{world.layout}").known_layer_count == 3


def test_archives_are_written_anew(world: World) -> None:
    layer_plan = world.sample()
    for _ in range(2):
        delivery = world.deliver(
            layer_plan,
            f"docker-archive:{world.directory}/a.tar",
            f"oci-archive:{world.directory}/b",
        )
        assert delivery.known_layer_count == 0


def test_a_layer_that_comes_twice(world: World) -> None:
    info = world.store.add("one", {"file": (b"1" * 5000, False)})
    layer_plan = LayerPlan(layers=(planned(info), planned(info)))
    for _ in range(2):
        world.deliver(layer_plan, f"oci:{world.layout}:x", f"oci-archive:{world.directory}/b")
    assert world.deliver(layer_plan).known_layer_count == 2


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_layers_of_a_base_image_are_copied_once(world: World, compression: str) -> None:
    place = world.directory / "base"
    info = world.store.add("base", {"file": (b"1" * 5000, False)})
    world.deliver(one_layer_each(info), f"oci:{place}", compression=compression, with_cache=False)
    base = read_base_image(place, platform=Platform(architecture="amd64"), store=world.store.root)
    layer_plan = one_layer_each(world.store.add("app", {"file": (b"2", False)}))
    plain = world.deliver(layer_plan, f"oci:{world.directory}/plain", base=base, with_cache=False)
    first = world.deliver(layer_plan, base=base)
    assert first.known_layer_count == 0
    other = world.directory / "other"
    both = world.deliver(layer_plan, f"oci:{other}", f"oci:{world.layout}", base=base)
    assert both.known_layer_count == 0
    remove_tree(place)
    world.lose_store()
    second = world.deliver(layer_plan, base=base)
    assert second.known_layer_count == 2
    manifests = {each.image.manifest_bytes for each in (plain, first, both, second)}
    assert manifests == {plain.image.manifest_bytes}
    names = sorted(path.name for path in (world.layout / "blobs/sha256").iterdir())
    assert sorted(path.name for path in (other / "blobs/sha256").iterdir()) == names
    results = [is_right(*item, world.store.root) for item in world.cache.layers().items()]
    assert results == [None, None]


@pytest.mark.parametrize("damage", ["gone", "short", "a directory", "a link"])
def test_a_blob_that_is_not_whole_is_written_again(world: World, damage: str) -> None:
    layer_plan = world.sample()
    first = world.deliver(layer_plan)
    blob = world.layout / "blobs/sha256" / first.image.layers[0].descriptor.digest.hex
    whole = blob.read_bytes()
    blob.unlink()
    if damage == "short":
        blob.write_bytes(whole[:-1])
    elif damage == "a directory":
        blob.mkdir()
    elif damage == "a link":
        blob.symlink_to("nowhere")
    if damage == "a directory":
        with pytest.raises(DestinationError):
            world.deliver(layer_plan)
        return
    second = world.deliver(layer_plan)
    assert second.known_layer_count == 2
    assert blob.read_bytes() == whole
    assert not blob.is_symlink()


def test_a_blob_that_goes_away_meanwhile(world: World) -> None:
    layer_plan = world.sample()
    first = world.deliver(layer_plan)
    layer = first.image.layers[0]
    writer = parse_destination(f"oci:{world.layout}:y").open(default_reference="x", access=Access())
    with writer:
        assert writer.find_blob(layer.descriptor) is BlobState.THERE
        for each in first.image.layers:
            writer.reuse_layer(each)
        (world.layout / "blobs/sha256" / layer.descriptor.digest.hex).unlink()
        with pytest.raises(DestinationError) as caught:
            writer.commit(first.image, NoLayers())
    assert caught.value.message == (
        f"the blob `{layer.descriptor.digest}` was removed from `{world.layout}` meanwhile"
    )
    index = json.loads((world.layout / "index.json").read_bytes())
    assert [entry["annotations"] for entry in index["manifests"]] == [
        {"org.opencontainers.image.ref.name": "x"}
    ]


def test_the_same_path_with_other_contents(world: World) -> None:
    """What counts is the NAR hash: a path that was built anew, differently, is packed anew."""
    one = world.deliver(one_layer_each(world.store.add("app", {"file": (b"1", False)})))
    world.lose_store()
    other_plan = one_layer_each(world.store.add("app", {"file": (b"2", False)}))
    other = world.deliver(other_plan)
    assert other.known_layer_count == 0
    assert other.image.layers[0].diff_id != one.image.layers[0].diff_id


def test_a_file_with_a_mode_of_its_own_is_not_remembered(world: World) -> None:
    info = world.store.add("app", {"file": (b"1", False)})
    (world.store.place(info) / "file").chmod(0o640)
    odd = world.deliver(one_layer_each(info))
    assert set(odd.image.layers[0].descriptor.annotations) == {
        "org.nixbridge.store-paths",
        "org.nixbridge.tar-size",
    }
    assert world.deliver(one_layer_each(info)).known_layer_count == 0
    (world.store.place(info) / "file").chmod(0o444)
    right = world.deliver(one_layer_each(info))
    assert right.image.layers[0].diff_id != odd.image.layers[0].diff_id
    assert world.deliver(one_layer_each(info)).known_layer_count == 1
    assert world.listener.warnings == []


def test_a_delivery_that_fails_remembers_nothing(world: World) -> None:
    layer_plan = world.sample()
    full = "docker-archive:/dev/full"
    with pytest.raises(DestinationError):
        world.deliver(layer_plan, full)
    assert world.cache.layers() == {}


def falsify(world: World, recipe: LayerRecipe) -> BlobDigest:
    """Have the cache tell a lie that it can not see: another blob, which is there."""
    [(_, known)] = [item for item in world.cache.layers().items() if item[0] == recipe]
    data = bytes(known.blob_size_bytes)
    lie = BlobDigest.of(data)
    (world.layout / "blobs/sha256" / lie.hex).write_bytes(data)
    world.cache.remember({recipe: dataclasses.replace(known, blob_digest=lie)})
    return lie


def test_a_lie_is_found_out_when_the_layer_is_packed(world: World) -> None:
    layer_plan = world.sample()
    first = world.deliver(layer_plan)
    recipe = LayerRecipe.of_layer(layer_plan.layers[0], None)
    lie = falsify(world, recipe)
    other = world.layout.with_name("other")
    with pytest.raises(IntegrityError) as caught:
        world.deliver(layer_plan, f"oci:{world.layout}:y", f"oci:{other}")
    assert caught.value.message == (
        f"the layer cache knows a layer (one) as `{lie}`, "
        f"and packing it gives `{first.image.layers[0].descriptor.digest}`"
    )
    assert not other.exists()
    right = world.deliver(layer_plan, f"oci:{other}")
    assert right.image.manifest_bytes == first.image.manifest_bytes
    assert world.listener.warnings == [caught.value.message]
    assert world.deliver(layer_plan).known_layer_count == 3
    assert world.listener.warnings == [caught.value.message]


def test_verify(world: World) -> None:
    layer_plan = world.sample()
    for text in ("none", "gzip", "zstd:1"):
        world.deliver(layer_plan, compression=text)
    known = world.cache.layers()
    assert len(known) == 9
    assert [is_right(*item, world.store.root) for item in known.items()] == [True] * 9
    for recipe, true in known.items():
        lies = (
            dataclasses.replace(true, tar_size_bytes=true.tar_size_bytes + 512),
            dataclasses.replace(true, blob_size_bytes=1),
            dataclasses.replace(true, blob_digest=BlobDigest.of(b"")),
            dataclasses.replace(true, diff_id=type(true.diff_id).of(b"")),
        )
        assert [is_right(recipe, lie, world.store.root) for lie in lies] == [False] * 4
    gzip = Compression.parse("gzip")
    assert gzip is not None
    old = LayerRecipe.of_layer(
        layer_plan.layers[0], dataclasses.replace(gzip, identity="isal 0.1, level 2")
    )
    assert is_right(old, next(iter(known.values())), world.store.root) is None
    world.lose_store()
    results = [is_right(*item, world.store.root) for item in known.items()]
    assert results.count(None) == 6  # all but the databases
    assert results.count(True) == 3


def test_verify_knows_a_path_that_was_built_again(world: World) -> None:
    info = world.store.add("app", {"file": (b"1", False)})
    world.deliver(one_layer_each(info))
    world.lose_store()
    world.store.add("app", {"file": (b"2", False)})
    [item] = world.cache.layers().items()
    assert is_right(*item, world.store.root) is None


# Contents checked on the way.


@settings(deadline=None, max_examples=100)
@given(trees=st.lists(TREES, min_size=1, max_size=3), at_root=st.booleans())
def test_right_contents_are_found_right(trees: list[Node], *, at_root: bool) -> None:
    with directory_for_a_store() as directory:
        world = World(directory)
        infos = [world.store.add(f"p{number}", tree) for number, tree in enumerate(trees)]
        paths = [
            PlannedPath(
                info=info,
                perms=(Perm(path=info.path, regex="/b", mode=0o755),) if number == 1 else (),
            )
            for number, info in enumerate(infos)
        ]
        layers = [planned(*paths)]
        if at_root:
            layers.append(planned(PlannedPath(info=infos[0], copy_to_root=True), *paths[1:]))
        world.deliver(LayerPlan(layers=tuple(layers)), checks_contents=True)


def test_two_paths_that_bring_the_same_files_to_the_root(world: World) -> None:
    shared: Node = {"etc": {"shared": (b"same", True), "dir": {}}, "link": "etc"}
    one = world.store.add("one", {**shared, "a": (b"a", False)})  # type: ignore[dict-item]
    two = world.store.add("two", {**shared, "z": (b"z", False)})  # type: ignore[dict-item]
    roots = [PlannedPath(info=info, copy_to_root=True) for info in (one, two)]
    layer_plan = LayerPlan(layers=(planned(*roots, PlannedPath(info=one)),))
    world.deliver(layer_plan, checks_contents=True)
    place = world.store.place(two) / "z"
    place.chmod(0o644)
    place.write_bytes(b"y")
    place.chmod(0o444)
    with pytest.raises(IntegrityError, match="0-two` are not what Nix knows"):
        world.deliver(layer_plan, checks_contents=True)


def test_a_single_file(world: World) -> None:
    world.deliver(one_layer_each(world.store.add("f", (b"x" * 9, True))), checks_contents=True)
    world.deliver(one_layer_each(world.store.add("l", "elsewhere")), checks_contents=True)


CHANGES = {
    "contents": lambda place: (place / "dir/file").write_bytes(b"B" * 100_000),
    "executable": lambda place: (place / "dir/file").chmod(0o755),
    "link": lambda place: ((place / "link").unlink(), (place / "link").symlink_to("x")),
    "new": lambda place: (place / "new").write_bytes(b""),
    "less": lambda place: (place / "empty").unlink(),
    "kind": lambda place: ((place / "empty").unlink(), (place / "empty").mkdir()),
    "name": lambda place: (place / "empty").rename(place / "full"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_contents_are_found_out(world: World, change: str) -> None:
    info = world.store.add(
        "app",
        {"dir": {"file": (b"A" * 100_000, False)}, "link": "dir", "empty": (b"", False)},
    )
    layer_plan = one_layer_each(info, world.store.add("other", {}))
    world.deliver(layer_plan)  # what the cache knows does not keep it from looking
    before = sorted(world.layout.rglob("*"))
    place = world.store.place(info)
    for path in (place, place / "dir"):
        path.chmod(0o755)
    (place / "dir/file").chmod(0o644)
    CHANGES[change](place)  # type: ignore[no-untyped-call]
    with pytest.raises(IntegrityError) as caught:
        world.deliver(layer_plan, f"oci:{world.layout}:y", checks_contents=True)
    assert caught.value.message.startswith(
        f"the contents of `{info.path}` are not what Nix knows: they have the hash `sha256:"
    )
    assert caught.value.message.endswith(f"`, and should have `{info.nar_hash}`")
    assert caught.value.hint == f"repair it: `nix-store --repair-path {info.path}`"
    assert sorted(world.layout.rglob("*")) == before


# Where compressed layers cannot go.


def test_a_docker_archive_takes_no_compressed_layers() -> None:
    destinations = {text: parse_destination(text) for text in ("oci:x", "docker-archive:y.tar")}
    assert choose_compression(destinations, None) is None
    with pytest.raises(InputError) as caught:
        choose_compression(destinations, "gzip")
    assert caught.value.message == (
        "`docker-archive:y.tar` takes no compressed layers, as its format wants their size first"
    )


def test_the_cache_is_damaged_while_we_deliver(world: World) -> None:
    layer_plan = world.sample()
    first = world.deliver(layer_plan)
    (world.directory / "layers.sqlite").write_bytes(b"x" * 5000)
    second = world.deliver(layer_plan)
    assert second.known_layer_count == 0
    assert second.image.manifest_bytes == first.image.manifest_bytes
    assert len(world.listener.warnings) == 1
    with closing(sqlite3.connect(world.directory / "layers.sqlite")) as connection:
        assert connection.execute("select count(*) from layers").fetchone() == (3,)


def test_a_hash_that_is_not_known_is_never_taken_for_another(world: World) -> None:
    """The infos' hashes are what counts, even where both paths lie in the store."""
    one = world.store.add("one", {"file": (b"1", False)})
    two = world.store.add("two", {"file": (b"1", False)})
    assert one.nar_hash == two.nar_hash
    world.deliver(one_layer_each(one))
    assert world.deliver(one_layer_each(two)).known_layer_count == 0
