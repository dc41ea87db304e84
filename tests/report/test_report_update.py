"""What an update sends and pulls, told before anything is packed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fake_store import FakeStore, Listener, planned
from nixbridge.delivery import PackOptions, deliver_image
from nixbridge.description import ImageDescription, PreviousLayer, parse_plan_file
from nixbridge.destinations import Access, parse_destination
from nixbridge.destinations.reference import parse_inspectable
from nixbridge.destinations.stored_image import StoredImage
from nixbridge.errors import InputError
from nixbridge.layering import (
    LayerPlan,
    PlanOptions,
    PreviousPlan,
    Repacking,
    plan_file_text,
    plan_layers,
)
from nixbridge.packing import Compression
from nixbridge.previous import Keeping, Previous, layers_of_image, read_plan_file, read_previous
from nixbridge.report.contents import Contents, LayerContents
from nixbridge.report.family import LayerSum, family_document, family_table
from nixbridge.report.table import parse_size
from nixbridge.report.update import (
    LayersToSend,
    Update,
    estimate_update,
    update_document,
    update_text,
)
from report.sample_closure import SHOP, SampleClosure, layer, store_path

A, B, C = (store_path(name) for name in "abc")


def layer_of(name: str, *paths: str, size_bytes: int = 0) -> LayerContents:
    return LayerContents(
        names=frozenset({name} if name else ()),
        size_bytes=size_bytes,
        reason="",
        paths=tuple(store_path(path) for path in paths),
    )


def contents_of(*layers: LayerContents, nar_size_bytes: int = 0) -> Contents:
    return Contents(
        title="old",
        config={},
        layers=layers,
        nar_sizes_bytes=dict.fromkeys((A, B, C), nar_size_bytes),
    )


def update_of(old: Contents, new: Contents, *repackings: Repacking) -> Update:
    return estimate_update(old, new, repackings, repack_within_updates=10)


OLD = contents_of(
    layer_of("1", "a", size_bytes=30_000),
    layer_of("2", "b", size_bytes=50_000),
    layer_of("database", size_bytes=7_000),
    nar_size_bytes=100_000,
)


def test_push_is_what_the_old_image_has_not_and_pull_from_the_bottom_all_above() -> None:
    new = contents_of(
        layer_of("1", "a", size_bytes=100_000),
        layer_of("3", "c", size_bytes=200_000),
        layer_of("2", "b", size_bytes=100_000),
        layer_of("4"),
    )
    update = update_of(OLD, new)
    # 80 kB were stored of 200 kB; the database is as large as it was.
    assert update.push == LayersToSend(
        numbers=(2, 4), nar_size_bytes=200_000, stored_size_bytes=87_000
    )
    assert update.pull_from_bottom == LayersToSend(
        numbers=(2, 3, 4), nar_size_bytes=300_000, stored_size_bytes=127_000
    )
    assert update_text(update) == (
        "against old\n"
        "  kept  2 of 4 layers\n"
        "  push  2 layers (2, 4), 200 kB, about 87 kB as stored\n"
        "  pull  the same; from the bottom on, as Docker does, 3 layers (2-4), 300 kB, about "
        "127 kB as stored"
    )
    assert update_document(update) == {
        "against": "old",
        "push": {"layers": [2, 4], "narSizeBytes": 200_000, "estimatedStoredSizeBytes": 87_000},
        "pullFromBottom": {
            "layers": [2, 3, 4],
            "narSizeBytes": 300_000,
            "estimatedStoredSizeBytes": 127_000,
        },
        "repackWithinUpdates": 10,
        "repackings": [],
    }


def test_an_engine_that_reuses_a_chain_wants_the_old_order() -> None:
    """Nothing is new, and yet Docker has none of the layers that lie upon others than before."""
    new = contents_of(
        layer_of("1", "a", size_bytes=100_000),
        layer_of("database"),
        layer_of("2", "b", size_bytes=100_000),
    )
    update = update_of(OLD, new)
    assert update.push.numbers == ()
    assert update.pull_from_bottom.numbers == (2, 3)
    assert update_text(update) == (
        "against old\n"
        "  kept  3 of 3 layers\n"
        "  push  nothing\n"
        "  pull  the same; from the bottom on, as Docker does, 2 layers (2-3), 100 kB, about "
        "47 kB as stored"
    )
    below = contents_of(layer_of("0", "z", size_bytes=10_000), *OLD.layers)
    assert update_of(OLD, below).pull_from_bottom.numbers == (1, 2, 3, 4)
    # Less of the same, from the top on.
    assert update_of(OLD, contents_of(*OLD.layers[:2])).pull_from_bottom.numbers == ()


def test_base_image_is_sent_as_it_is() -> None:
    base = replace(layer_of("base", size_bytes=90_000), paths=None)
    assert update_of(OLD, contents_of(base)).push.stored_size_bytes == 90_000


def test_nothing_is_sent_of_what_did_not_change() -> None:
    assert update_text(update_of(OLD, OLD)) == (
        "against old\n  kept  3 of 3 layers\n  push  nothing\n  pull  nothing"
    )


def test_saved_plan_knows_layers_by_their_paths() -> None:
    saved = contents_of(layer_of("", "a"), layer_of("", "b", "c"))
    same = contents_of(layer_of("1", "a"), layer_of("2", "b", "c"), layer_of("database"))
    assert update_of(saved, same).push.numbers == ()
    assert update_of(saved, same).pull_from_bottom.numbers == ()
    turned = contents_of(layer_of("2", "b", "c"), layer_of("1", "a"), layer_of("database"))
    assert update_of(saved, turned).push.numbers == ()
    assert update_of(saved, turned).pull_from_bottom.numbers == (1, 2, 3)
    other = contents_of(layer_of("1", "a", size_bytes=5), layer_of("2", "b"), layer_of("database"))
    update = update_of(saved, other)
    assert update.push == LayersToSend(numbers=(2, 3), nar_size_bytes=0, stored_size_bytes=None)
    assert "  push  2 layers (2-3), 0 B before compression\n" in update_text(update)


@pytest.mark.parametrize(
    ("is_done", "words"),
    [
        (
            True,
            (
                "packed anew: that sends 40 MB more now, saves 8.5 MB with each update on average, "
                "and so pays within 10 updates"
            ),
        ),
        (
            False,
            (
                "kept as it is: packed anew it would send 40 MB more now and save 8.5 MB with each "
                "update on average, which does not pay within 10 updates"
            ),
        ),
    ],
)
def test_plan_says_what_packing_anew_costs_and_saves(*, is_done: bool, words: str) -> None:
    repacking = Repacking(cost_bytes=40_000_000, saving_bytes=8.5e6, is_done=is_done)
    update = update_of(OLD, OLD, repacking)
    assert update_text(update).splitlines()[-1] == f"  plan  {words}"
    assert update_document(update)["repackings"] == [
        {"costBytes": 40_000_000, "savingBytes": 8.5e6, "isDone": is_done}
    ]


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("50MB", 50_000_000),
        ("1.5 GB", 1_500_000_000),
        ("64MiB", 64 << 20),
        ("0.1kB", 100),
        ("7", 7),
        ("7 b", 7),
    ],
)
def test_sizes_are_read(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1e3", "5 parsec", "٣MB", "1MB "])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_size(text)
    assert caught.value.message == f"`{text}` is not a size"
    assert caught.value.hint == "a size is written `50MB` or `1.5GB`"


# Of images that were really delivered.


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return FakeStore(tmp_path)


def deliver(store: FakeStore, plan: LayerPlan, name: str, compression: str = "none") -> None:
    infos = [one.info for each in plan.layers for one in each.paths]
    deliver_image(
        store.describe(infos),
        plan,
        [parse_destination(name)],
        PackOptions(compression=Compression.parse(compression)),
        Listener(),
        Access(),
    )


@pytest.mark.parametrize("compression", ["none", "zlib:9"])
def test_image_that_is_out_tells_its_layers(store: FakeStore, compression: str) -> None:
    libc = store.add("libc", {"lib": (b"l" * 9000, False)})
    shop = store.add("shop", {"bin": (b"s" * 5000, True)})
    less = store.add("less", {"bin": (b"x" * 3000, True)})
    name = f"oci:{store.directory / 'out'}:shop"
    deliver(
        store,
        LayerPlan(layers=(planned(libc, reason="below"), planned(shop, reason="above"))),
        name,
        compression,
    )
    listener = Listener()
    previous = read_previous(name, Access(warn=listener.warn))
    description = store.describe([libc, shop, less]).description
    assert previous.layers_for(description) == (
        PreviousLayer(paths=frozenset({libc.path}), reason="below"),
        PreviousLayer(paths=frozenset({shop.path}), reason="above"),
    )
    keeping = Keeping(previous=[previous], repack_within_updates=3)
    assert keeping.plan_for(description, listener.warn) == PreviousPlan(
        layers=previous.layers_for(description), repack_within_updates=3
    )
    plan = LayerPlan(layers=(planned(libc), planned(less), planned(shop)))
    update = keeping.update(description, None, plan, listener.warn)
    assert update.push.numbers == (2,)
    assert update.pull_from_bottom.numbers == (2, 3)
    assert update.push.nar_size_bytes == less.nar_size_bytes
    assert listener.warnings == []


def test_layer_that_is_packed_otherwise_is_sent(store: FakeStore) -> None:
    libc = store.add("libc", {"lib": (b"l", False)})
    name = f"oci:{store.directory / 'out'}:shop"
    deliver(store, LayerPlan(layers=(planned(libc),)), name)
    keeping = Keeping(previous=[read_previous(name, Access())])
    description = store.describe([libc]).description
    at_root = replace(planned(libc).paths[0], copy_to_root=True)
    for plan, numbers in ((planned(libc), ()), (planned(at_root), (1,))):
        layer_plan = LayerPlan(layers=(plan,))
        update = keeping.update(description, None, layer_plan, Listener().warn)
        assert update.push.numbers == numbers


def test_compressor_that_is_not_here_makes_other_layers(store: FakeStore) -> None:
    libc = store.add("libc", {"lib": (b"l", False)})
    place = store.directory / "out"
    deliver(store, LayerPlan(layers=(planned(libc),)), f"oci:{place}:shop", "zlib:9")
    previous = read_previous(f"oci:{place}:shop", Access())
    assert isinstance(previous.found, StoredImage)
    changed = {"org.nixbridge.compression": "zlib 0.1, level 9"}
    layers = tuple(
        replace(one, annotations={**one.annotations, **changed}) for one in previous.found.layers
    )
    old = replace(previous, found=replace(previous.found, layers=layers))
    listener = Listener()
    description = store.describe([libc]).description
    update = Keeping(previous=[old]).update(
        description, None, LayerPlan(layers=(planned(libc),)), listener.warn
    )
    assert update.push.numbers == (1,)
    assert listener.warnings == [
        (
            f"layers of `oci:{place}:shop` are compressed by zlib 0.1, level 9, which is not "
            "installed here: they are counted as sent again"
        )
    ]


def test_image_that_is_not_there_is_warned_of_and_all_is_sent(tmp_path: Path) -> None:
    listener = Listener()
    name = f"oci:{tmp_path / 'out'}:shop"
    previous = read_previous(name, Access(warn=listener.warn))
    assert previous == Previous(name=name, found=None)
    assert listener.warnings == [
        f"going on without `{name}`: `{tmp_path / 'out'}` holds no `index.json`"
    ]
    description = SampleClosure(SHOP).shop()
    keeping = Keeping(previous=[previous])
    assert keeping.plan_for(description, listener.warn) is None
    plan = plan_layers(description)
    update = keeping.update(description, None, plan, listener.warn)
    assert update.push.numbers == tuple(range(1, len(plan.layers) + 1))
    assert len(listener.warnings) == 1


def test_image_of_another_tool_is_said_to_tell_nothing(store: FakeStore) -> None:
    libc = store.add("libc", {"lib": (b"l", False)})
    name = f"docker-archive:{store.directory / 'out.tar'}:shop:1"
    deliver(store, LayerPlan(layers=(planned(libc),)), name)
    listener = Listener()
    previous = read_previous(name, Access())
    keeping = Keeping(previous=[previous])
    assert keeping.plan_for(store.describe([libc]).description, listener.warn) is None
    assert listener.warnings == [
        (
            f"`{name}` does not tell which store paths its layers hold, so the layers are planned "
            "without it"
        )
    ]


def test_malformed_annotation_tells_nothing(store: FakeStore) -> None:
    libc = store.add("libc", {"lib": (b"l", False)})
    name = f"oci:{store.directory / 'out'}:shop"
    deliver(store, LayerPlan(layers=(planned(libc),)), name)
    image = parse_inspectable(name).inspect(Access())
    assert len(layers_of_image(image)) == 1
    wrong = {"org.nixbridge.store-paths": "/etc/passwd 7"}
    layers = tuple(replace(one, annotations=wrong) for one in image.layers)
    assert layers_of_image(replace(image, layers=layers)) == ()


# Saved plans.


def test_plan_that_is_followed_and_saved_again_is_the_same(tmp_path: Path) -> None:
    description = SampleClosure(SHOP).shop()
    text = plan_file_text({"shop": plan_layers(description)})
    (tmp_path / "plan.json").write_text(text)
    keeping = Keeping(followed=read_plan_file(tmp_path / "plan.json"))
    previous = keeping.plan_for(description, Listener().warn)
    plan = plan_layers(description, PlanOptions(previous=previous))
    assert plan == plan_layers(description)
    assert plan_file_text({"shop": plan}) == text


def test_plan_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_previous(str(tmp_path / "plan.json"), Access())
    assert caught.value.message == (
        f"cannot read the plan `{tmp_path / 'plan.json'}`: No such file or directory"
    )
    assert caught.value.hint == "an image is named with its kind of place: `docker://…`, `oci:…`"


# Families.


def family() -> dict[str, ImageDescription]:
    sample = SampleClosure(SHOP)
    return {
        name: sample.describe([layer(sample.path(root), max_layers=9)], name=name)
        for name, root in (("shop", "shop-1.4"), ("curl", "curl-8.9.1"))
    }


def test_family_says_what_sharing_saves() -> None:
    descriptions = family()
    alone = {name: plan_layers(each) for name, each in descriptions.items()}
    single = {
        name: plan_layers(each, PlanOptions(max_layers=1)) for name, each in descriptions.items()
    }
    assert family_table(alone, single) == (
        "IMAGE  LAYERS    SIZE  SHARED  SHARED SIZE\n"
        "shop        6  129 MB       2        36 MB\n"
        "curl        4   38 MB       2        36 MB\n"
        "together  8 layers, 130 MB\n"
        "alone     2 layers, 167 MB"
    )
    document = json.loads(json.dumps(family_document(alone, single)))
    assert [image["name"] for image in document["images"]] == ["shop", "curl"]
    keys = [{each["key"] for each in image["layers"]} for image in document["images"]]
    assert len(keys[0] & keys[1]) == 2
    assert document["together"] == {
        "layers": 8,
        "narSizeBytes": LayerSum.of(alone.values()).nar_size_bytes,
    }


def test_plan_of_a_family_is_one_file() -> None:
    descriptions = family()
    plans = {name: plan_layers(each) for name, each in descriptions.items()}
    file = parse_plan_file(plan_file_text(plans).encode(), source="plans.json")
    for name, description in descriptions.items():
        previous = Keeping(followed=file).plan_for(description, Listener().warn)
        assert plan_layers(description, PlanOptions(previous=previous)) == plans[name]
