"""What images say of their layers: how much it saves, and what is not believed."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from delivery.world import World, stored
from fake_store import one_layer_each
from nixbridge.delivery import CACHE, Outcome, previous_images
from nixbridge.destinations import Access, parse_destination
from nixbridge.destinations.stored_image import StoredImage, StoredLayer
from nixbridge.errors import DestinationError, InputError, IntegrityError
from nixbridge.image import read_base_image
from nixbridge.oci import BlobDigest, DiffId, Platform
from nixbridge.previous import read_previous

COMPRESSIONS = pytest.mark.parametrize("compression", ["none", "gzip", "zlib:1", "zstd"])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@COMPRESSIONS
def test_an_unchanged_image_is_made_without_files_and_without_memory(
    world: World, compression: str
) -> None:
    layer_plan = world.sample()
    first = world.deliver(layer_plan, compression=compression, with_cache=False)
    world.lose_store()
    reference = f"oci:{world.layout}:x"
    second = world.deliver(
        layer_plan,
        f"oci:{world.layout}:y",
        compression=compression,
        believed=[stored(reference)],
    )
    assert second.known_layer_count == 3
    assert {layer.known_from for layer in second.layers} == {reference}
    assert (second.read_bytes, second.sent_bytes) == (0, 0)
    assert second.image.manifest_bytes == first.image.manifest_bytes
    assert second.image.config_bytes == first.image.config_bytes
    assert world.listener.warnings == []
    # A claim is no knowledge.
    assert world.cache.layers() == {}


def test_only_what_changed_is_read(world: World) -> None:
    infos = [
        world.store.add(f"p{number}", {"file": (b"%d" % number * 1000, False)})
        for number in range(5)
    ]
    world.deliver(one_layer_each(*infos), with_cache=False)
    world.lose_store()
    infos[3] = world.store.add("p3", {"file": (b"another" * 100, False)})
    believed = [stored(f"oci:{world.layout}:x")]
    second = world.deliver(one_layer_each(*infos), believed=believed)
    assert [layer.is_packed for layer in second.layers] == [False, False, False, True, False]
    assert second.read_bytes == 700
    outcomes = [layer.arrivals[0].outcome for layer in second.layers]
    assert outcomes == [Outcome.SKIPPED] * 3 + [Outcome.SENT, Outcome.SKIPPED]
    assert second.sent_bytes == second.image.layers[3].descriptor.size_bytes


@COMPRESSIONS
def test_layers_of_a_base_image_are_known_as_well(world: World, compression: str) -> None:
    place = world.directory / "base"
    info = world.store.add("base", {"file": (b"1" * 5000, False)})
    world.deliver(one_layer_each(info), f"oci:{place}", compression=compression, with_cache=False)
    base = read_base_image(place, platform=Platform(architecture="amd64"), store=world.store.root)
    layer_plan = one_layer_each(world.store.add("app", {"file": (b"2", False)}))
    first = world.deliver(layer_plan, base=base, with_cache=False)
    shutil.rmtree(place)
    world.lose_store()
    believed = [stored(f"oci:{world.layout}:x")]
    second = world.deliver(layer_plan, base=base, believed=believed)
    assert second.known_layer_count == 2
    assert second.image.manifest_bytes == first.image.manifest_bytes


def test_a_layer_that_is_not_at_the_destination_is_packed(world: World) -> None:
    layer_plan = world.sample()
    first = world.deliver(layer_plan, with_cache=False)
    believed = [stored(f"oci:{world.layout}:x")]
    other = world.layout.with_name("other")
    second = world.deliver(layer_plan, f"oci:{other}", believed=believed)
    assert second.known_layer_count == 0
    assert {layer.known_from for layer in second.layers} == {f"oci:{world.layout}:x"}
    assert second.image.manifest_bytes == first.image.manifest_bytes
    # It was made just now, so it is known.
    assert len(world.cache.layers()) == 3


def test_with_checked_contents_nobody_is_believed(world: World) -> None:
    layer_plan = one_layer_each(world.store.add("app", {"file": (b"2", False)}))
    world.deliver(layer_plan)
    believed = [stored(f"oci:{world.layout}:x")]
    again = world.deliver(layer_plan, believed=believed, checks_contents=True)
    assert again.known_layer_count == 0


def changed(image: StoredImage, number: int, **changes: object) -> StoredImage:
    layers = list(image.layers)
    layers[number] = dataclasses.replace(layers[number], **changes)  # type: ignore[arg-type]
    return dataclasses.replace(image, layers=tuple(layers))


def annotated(name: str, text: str) -> Callable[[StoredLayer], Mapping[str, object]]:
    return lambda layer: {"annotations": {**layer.annotations, f"org.nixbridge.{name}": text}}


MALFORMED = "what `@` says of its layer 1 is not believed: "
OTHER = (
    "what `@` says of a layer (one) is not believed: nixbridge would not say so of a layer with "
    "this key"
)


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (
            annotated("layer-key", "sha256:0"),
            MALFORMED + "`sha256:0` is not a sha256 digest",
        ),
        (
            annotated("tar-size", "many"),
            MALFORMED + "the annotation `org.nixbridge.tar-size` has `many` where a number of "
            "bytes should be",
        ),
        (lambda _: {"size_bytes": 0}, MALFORMED + "its size is `0`"),
        (lambda _: {"size_bytes": -5}, MALFORMED + "its size is `-5`"),
        (annotated("tar-size", "7"), OTHER),
        (annotated("store-paths", ""), OTHER),
        (annotated("compression", "by hand"), OTHER),
        (lambda _: {"media_type": "application/vnd.oci.image.layer.v1.tar+gzip"}, OTHER),
        (lambda _: {"media_type": None}, OTHER),
        (lambda _: {"diff_id": DiffId.of(b"x")}, OTHER),
        (lambda _: {"digest": BlobDigest.of(b"x")}, OTHER),
    ],
)
def test_what_cannot_be_true_is_not_believed(
    world: World, change: Callable[[StoredLayer], Mapping[str, object]], warning: str
) -> None:
    layer_plan = world.sample()
    first = world.deliver(layer_plan, with_cache=False)
    image = stored(f"oci:{world.layout}:x")
    image = changed(image, 0, **change(image.layers[0]))
    second = world.deliver(layer_plan, believed=[image])
    assert [layer.is_packed for layer in second.layers] == [True, False, False]
    assert second.image.manifest_bytes == first.image.manifest_bytes
    assert world.listener.warnings == [warning.replace("@", image.reference)]


def test_an_image_of_somebody_else_says_nothing(world: World) -> None:
    layer_plan = world.sample()
    world.deliver(layer_plan, with_cache=False)
    image = stored(f"oci:{world.layout}:x")
    for number in range(3):
        image = changed(image, number, annotations={"org.example": "x"})
    assert world.deliver(layer_plan, believed=[image]).known_layer_count == 0
    assert world.listener.warnings == []


def lie(image: StoredImage) -> StoredImage:
    """Say that the first layer is the second; both are at the destination."""
    second = image.layers[1]
    return changed(image, 0, digest=second.digest, size_bytes=second.size_bytes)


def test_what_the_cache_knows_is_believed_before(world: World) -> None:
    layer_plan = world.sample()
    first = world.deliver(layer_plan, compression="gzip")
    image = lie(stored(f"oci:{world.layout}:x"))
    second = world.deliver(layer_plan, compression="gzip", believed=[image])
    assert second.image.manifest_bytes == first.image.manifest_bytes
    assert {layer.known_from for layer in second.layers} == {CACHE}
    assert world.listener.warnings == [
        (
            f"what `{image.reference}` says of a layer (one) is not believed: it is "
            f"`{image.layers[0].digest}` there, and "
            f"`{first.image.layers[0].descriptor.digest}` in the layer cache"
        )
    ]


def test_a_lie_is_found_out_when_the_layer_is_packed(world: World) -> None:
    layer_plan = world.sample()
    first = world.deliver(layer_plan, compression="gzip", with_cache=False)
    image = lie(stored(f"oci:{world.layout}:x"))
    other = world.layout.with_name("other")
    message = (
        f"`{image.reference}` has a layer (one) as `{image.layers[0].digest}`, and packing it "
        f"gives `{first.image.layers[0].descriptor.digest}`"
    )
    with pytest.raises(IntegrityError) as caught:
        world.deliver(
            layer_plan,
            f"oci:{world.layout}:y",
            f"oci:{other}",
            compression="gzip",
            believed=[image],
        )
    assert caught.value.message == message
    assert caught.value.hint == "do not believe it: `nixbridge copy --no-trust-annotations`"
    assert not other.exists()
    right = world.deliver(layer_plan, f"oci:{other}", compression="gzip", believed=[image])
    assert right.image.manifest_bytes == first.image.manifest_bytes
    assert world.listener.warnings == [message]


def test_the_first_of_two_that_speak_of_a_layer_is_believed(world: World) -> None:
    layer_plan = world.sample()
    first = world.deliver(layer_plan, compression="gzip", with_cache=False)
    image = stored(f"oci:{world.layout}:x")
    second = world.deliver(
        layer_plan, compression="gzip", with_cache=False, believed=[image, lie(image)]
    )
    assert second.image.manifest_bytes == first.image.manifest_bytes


# Which images are looked at.


def look(
    destinations: list[str], against: list[str], warnings: list[str]
) -> tuple[StoredImage, ...]:
    access = Access(warn=lambda message, _hint=None: warnings.append(message))
    previous = [read_previous(text, access).found for text in against]
    return (
        *previous_images({text: parse_destination(text) for text in destinations}, access),
        *(found for found in previous if isinstance(found, StoredImage)),
    )


def test_the_images_at_the_destinations_come_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.directory)
    layer_plan = world.sample()
    texts = ["oci:out:x", "oci:out:y", "oci-archive:a", "oci:other:z"]
    world.deliver(layer_plan, *texts)
    warnings: list[str] = []
    images = look(texts[:1] + texts[2:], [texts[1], "oci-archive:a"], warnings)
    assert [image.reference for image in images] == [
        "oci:out:x",
        "oci:other:z",
        "oci:out:y",
        "oci-archive:a",
    ]
    assert warnings == []


def test_a_destination_may_hold_nothing_yet(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.directory)
    warnings: list[str] = []
    world.deliver(world.sample(), "oci:two:a", "oci:two:b")
    assert look(["oci:new:x", "oci:two", "oci:two:c", "-"], [], warnings) == ()
    assert warnings == []


def test_a_destination_that_is_damaged_is_not_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.directory)
    delivery = world.deliver(world.sample())
    Path("out/blobs/sha256", delivery.image.digest.hex).write_bytes(b"{}")
    warnings: list[str] = []
    assert look(["oci:out:x"], [], warnings) == ()
    [warning] = warnings
    assert warning.startswith("going on without what `oci:out:x` holds: the blob `sha256:")
    with pytest.raises(IntegrityError):
        look([], ["oci:out:x"], warnings)


def test_what_is_named_and_is_not_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.directory)
    warnings: list[str] = []
    assert look([], ["oci:new:x", "oci-archive:a.tar"], warnings) == ()
    assert warnings == [
        "going on without `oci:new:x`: `new` holds no `index.json`",
        "going on without `oci-archive:a.tar`: reading `a.tar` failed: no such file or directory",
    ]
    with pytest.raises(InputError) as caught:
        look([], ["-"], warnings)
    assert caught.value.message == "an archive on standard output cannot be looked into"
    Path("text").write_text("x")
    with pytest.raises(DestinationError):
        look([], ["oci-archive:text"], warnings)
