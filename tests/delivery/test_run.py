"""What a delivery does with destinations that lose layers, refuse, or take them in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from delivery.world import World
from fake_store import one_layer_each
from nixbridge.closure import PathInfo
from nixbridge.delivery import (
    Arrival,
    LayerAdvanced,
    LayerFinished,
    LayerLost,
    LayerStarted,
    Outcome,
    PullAdvanced,
    PullEnded,
    PullStarted,
    choose_compression,
)
from nixbridge.destinations import (
    Access,
    BlobState,
    ImageWriter,
    LayerLostError,
    LayerSink,
    LayerSource,
    UnwrittenLayer,
    parse_destination,
)
from nixbridge.destinations.served import Serving
from nixbridge.errors import DestinationError, InputError
from nixbridge.image import Image
from nixbridge.oci import BlobDigest, Descriptor
from nixbridge.packing import PackedLayer
from nixbridge.report.delivery import delivery_document, layer_outcome


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def lost() -> LayerLostError:
    return LayerLostError(DestinationError("the peer went away"))


@dataclass
class Shaky:
    """An OCI layout that loses layers: so many, at this step; and may refuse at the end.

    With `keeps` it has the blob all the same, as when only the last answer is lost.
    """

    directory: Path
    losses: int = 0
    step: str = "write"
    keeps: bool = False
    refuses: bool = False
    side_by_side: bool = True
    pulls: bool = False
    unwritten: bool = False
    had: int = 0  # so many layers from the bottom it does not pull
    mounts: bool = False
    begun: list[int | None] = field(default_factory=list)
    pulled: list[bytes] = field(default_factory=list)
    takes_compressed_layers: bool = True
    default_compression: str = "none"

    @classmethod
    def parse(cls, text: str) -> Self:
        return cls(Path(text))

    def open(self, *, default_reference: str, access: Access) -> ImageWriter:
        inner = parse_destination(f"oci:{self.directory}:x")
        return ShakyWriter(self, inner.open(default_reference=default_reference, access=access))

    def may_lose(self, step: str) -> None:
        if self.losses and step == self.step:
            self.losses -= 1
            raise lost()


class ShakyWriter:
    def __init__(self, shaky: Shaky, inner: ImageWriter) -> None:
        self.shaky = shaky
        self.inner = inner
        self.kept: set[BlobDigest] = set()

    @property
    def takes_layers_side_by_side(self) -> bool:
        return self.shaky.side_by_side

    @property
    def publishes_by_renaming(self) -> bool:
        return False

    def find_blob(self, blob: Descriptor) -> BlobState:
        if self.shaky.pulls:
            return BlobState.PULLABLE
        if self.shaky.mounts:
            return BlobState.MOUNTED
        return BlobState.THERE if blob.digest in self.kept else self.inner.find_blob(blob)

    def reuse_layer(self, layer: PackedLayer) -> None:
        if layer.descriptor.digest not in self.kept:
            self.inner.reuse_layer(layer)

    def begin_layer(self, size_bytes: int | None) -> LayerSink:
        self.shaky.begun.append(size_bytes)
        self.shaky.may_lose("begin")
        if self.shaky.unwritten:
            return UnwrittenLayer(BlobState.PULLABLE)
        return ShakySink(self, self.inner.begin_layer(size_bytes))

    def give_up(self) -> None:
        self.inner.give_up()

    def commit(self, image: Image, layers: LayerSource) -> str:
        if self.shaky.refuses:
            raise DestinationError("the tag cannot be moved")
        if self.shaky.pulls:
            for layer in image.layers[self.shaky.had :]:
                sink = Bytes()
                layers.write_layer(layer, sink)
                self.shaky.pulled.append(bytes(sink.data))
            return "pulled"
        if self.shaky.mounts:
            return "mounted"
        return self.inner.commit(image, layers)

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.inner.__exit__(kind, error, traceback)


class Bytes:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes | memoryview, /) -> None:
        self.data += data


class ShakySink:
    def __init__(self, writer: ShakyWriter, inner: LayerSink) -> None:
        self.writer = writer
        self.inner = inner

    def write(self, data: bytes | memoryview, /) -> None:
        self.inner.write(data)
        self.writer.shaky.may_lose("write")

    def finish(self, layer: PackedLayer) -> None:
        if self.writer.shaky.keeps:
            self.inner.finish(layer)
            self.writer.kept.add(layer.descriptor.digest)
        self.writer.shaky.may_lose("finish")
        if not self.writer.shaky.keeps:
            self.inner.finish(layer)


def blobs(directory: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / "blobs/sha256").iterdir()}


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("step", ["begin", "write", "finish"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_lost_layer_is_packed_once_more_for_who_lost_it(
    world: World, compression: str, step: str, workers: int
) -> None:
    world.workers = workers
    shaky = Shaky(world.directory / "shaky", losses=2, step=step)
    steady = Shaky(world.layout)
    delivery = world.deliver(world.sample(), shaky, steady, compression=compression)
    assert blobs(shaky.directory) == blobs(world.layout)
    assert (len(shaky.begun), len(steady.begun)) == (5, 3)
    lost_events = [event for event in world.listener.events if isinstance(event, LayerLost)]
    assert [event.why for event in lost_events] == ["the peer went away"] * 2
    sizes = [layer.descriptor.size_bytes for layer in delivery.image.layers]
    assert [layer.arrivals[1].sent_bytes for layer in delivery.layers] == sizes
    if step == "finish":
        assert sum(layer.arrivals[0].sent_bytes for layer in delivery.layers) > sum(sizes)
    for name, data in blobs(shaky.directory).items():
        assert BlobDigest.of(data).hex == name


def test_a_layer_that_is_lost_again_and_again(world: World) -> None:
    shaky = Shaky(world.directory / "shaky", losses=99)
    with pytest.raises(DestinationError) as caught:
        world.deliver(world.sample(), f"oci:{world.layout}", shaky)
    assert caught.value.message == "the peer went away"
    assert len(shaky.begun) == 4
    assert not world.layout.exists()
    assert not shaky.directory.exists()


def test_a_layer_that_is_there_although_the_answer_was_lost(world: World) -> None:
    shaky = Shaky(world.directory / "shaky", losses=1, step="finish", keeps=True)
    delivery = world.deliver(world.sample(), shaky)
    assert len(shaky.begun) == 3
    assert set(blobs(shaky.directory)) > {
        layer.descriptor.digest.hex for layer in delivery.image.layers
    }


def test_files_that_change_before_a_lost_layer_is_packed_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = world.store.add("app", {"file": (b"1" * 1000, False)})
    file = world.store.place(info) / "file"
    shaky = Shaky(world.directory / "shaky", losses=1, step="finish")
    may_lose = Shaky.may_lose

    def change_and_lose(self: Shaky, step: str) -> None:
        if step == "finish" and self.losses:
            file.chmod(0o644)
            file.write_bytes(b"2" * 1000)
            file.chmod(0o444)
        may_lose(self, step)

    monkeypatch.setattr(Shaky, "may_lose", change_and_lose)
    with pytest.raises(Exception, match=r"a layer \(app\) should be `sha256:.*`, and packing it"):
        world.deliver(one_layer_each(info), shaky)
    assert not shaky.directory.exists()


def test_a_destination_that_refuses_leaves_the_others_as_they_were(world: World) -> None:
    """What can fail at the end goes first, whatever the order on the command line."""
    world.deliver(world.sample())
    before = (world.layout / "index.json").read_bytes()
    layer_plan = one_layer_each(world.store.add("new", {"file": (b"1", False)}))
    with pytest.raises(DestinationError) as caught:
        world.deliver(
            layer_plan,
            f"oci:{world.layout}:x",
            f"docker-archive:{world.directory}/a.tar",
            Shaky(world.directory / "shaky", refuses=True),
        )
    assert caught.value.message == "the tag cannot be moved"
    assert caught.value.details == "not published at 3 of 3 destinations"
    assert (world.layout / "index.json").read_bytes() == before
    assert not (world.directory / "a.tar").exists()


def test_an_error_tells_what_was_published_before(world: World) -> None:
    one, two = Shaky(world.directory / "one"), Shaky(world.directory / "two", refuses=True)
    with pytest.raises(DestinationError) as caught:
        world.deliver(world.sample(), one, two, f"oci:{world.layout}")
    published, missing = str(caught.value.details).splitlines()
    assert published.startswith(f"published before that: oci:{world.directory}/one:x@sha256:")
    assert missing == "not published at 2 of 3 destinations"
    assert not world.layout.exists()


def numbered(world: World) -> list[PathInfo]:
    sizes = [100, 9000, 300, 70_000, 1000]
    return [
        world.store.add(f"p{number}", {"file": (b"x" * size, False)})
        for number, size in enumerate(sizes)
    ]


@pytest.mark.parametrize(
    ("side_by_side", "order"), [(True, [4, 2, 5, 3, 1]), (False, [1, 2, 3, 4, 5])]
)
def test_the_largest_first_where_layers_go_side_by_side(
    world: World, order: list[int], *, side_by_side: bool
) -> None:
    shaky = Shaky(world.directory / "shaky", side_by_side=side_by_side)
    delivery = world.deliver(one_layer_each(*numbered(world)), shaky)
    started = [event.number for event in world.listener.events if isinstance(event, LayerStarted)]
    assert started == order
    assert [layer.reason for layer in delivery.image.layers] == [f"p{n}" for n in range(5)]


def test_the_listener_hears_of_every_layer(world: World) -> None:
    infos = numbered(world)
    world.deliver(one_layer_each(*infos[:3]))
    world.listener.events.clear()
    delivery = world.deliver(one_layer_each(*infos))
    finished = [each for each in world.listener.events if isinstance(each, LayerFinished)]
    assert {event.number: event.delivered for event in finished} == dict(
        enumerate(delivery.layers, 1)
    )
    assert {event.layer_count for event in finished} == {5}
    advanced = {
        event.number: event.written_bytes
        for event in world.listener.events
        if isinstance(event, LayerAdvanced)
    }
    assert advanced == {
        number: delivery.image.layers[number - 1].tar_size_bytes for number in (4, 5)
    }
    assert [layer.known_from for layer in delivery.layers] == ["cache"] * 3 + [None] * 2
    assert delivery.read_bytes == 71_000


def test_layers_are_pulled_by_who_lacks_them(world: World) -> None:
    """As engines do: they have all until they are asked to take the image."""
    layer_plan = world.sample()
    first = world.deliver(layer_plan, compression="gzip")
    puller = Shaky(world.directory / "puller", pulls=True)
    delivery = world.deliver(layer_plan, puller, compression="gzip")
    assert [BlobDigest.of(data) for data in puller.pulled] == [
        layer.descriptor.digest for layer in first.image.layers
    ]
    assert puller.begun == []
    assert [layer.arrivals[0].outcome for layer in delivery.layers] == [Outcome.SENT] * 3
    assert delivery.sent_bytes == sum(len(data) for data in puller.pulled)
    assert all(layer.is_packed for layer in delivery.layers)


def test_a_pull_is_told_while_it_goes_on(world: World) -> None:
    """What is known beforehand, what is asked for, and what in the end was not."""
    layer_plan = world.sample()
    world.deliver(layer_plan)
    world.listener.events.clear()
    puller = Shaky(world.directory / "puller", pulls=True, had=1)
    delivery = world.deliver(layer_plan, puller, f"oci:{world.layout}:y")

    events = [event for event in world.listener.events if not isinstance(event, LayerFinished)]
    assert events.pop(0) == PullStarted(layer_count=3)
    sizes = [layer.descriptor.size_bytes for layer in delivery.image.layers]
    sent = {e.number: (e.sent_bytes, e.size_bytes) for e in events if isinstance(e, PullAdvanced)}
    assert sent == {number: (sizes[number - 1],) * 2 for number in (2, 3)}
    ended = [event for event in events if isinstance(event, PullEnded)]
    assert [(event.number, event.arrival) for event in ended] == [
        (2, Arrival(outcome=Outcome.SENT, sent_bytes=sizes[1], is_pulled=True)),
        (3, Arrival(outcome=Outcome.SENT, sent_bytes=sizes[2], is_pulled=True)),
        (1, Arrival(outcome=Outcome.SKIPPED, is_pulled=True)),
    ]
    assert {event.layer_count for event in ended} == {3}
    last = {event.number: event.delivered for event in ended}
    assert [last[number] for number in (1, 2, 3)] == list(delivery.layers)

    document = delivery_document(delivery)
    there = {"outcome": "skipped", "why": "it was there", "sentBytes": 0}
    assert [layer["destinations"] for layer in document["layers"]] == [
        [{"outcome": "skipped", "why": "the engine had it", "sentBytes": 0}, there],
        *(
            [{"outcome": "sent", "why": "the engine took it", "sentBytes": size_bytes}, there]
            for size_bytes in sizes[1:]
        ),
    ]
    assert document["sentBytes"] == sum(sizes[1:])


def test_a_layer_packed_for_its_digest_is_not_sent_before_it_is_asked_for(world: World) -> None:
    puller = Shaky(world.directory / "puller", pulls=True, unwritten=True, had=3)
    delivery = world.deliver(world.sample(), puller)
    finished = [each for each in world.listener.events if isinstance(each, LayerFinished)]
    assert [layer_outcome(event.delivered) for event in finished] == ["packed"] * 3
    skipped = Arrival(outcome=Outcome.SKIPPED, is_pulled=True)
    assert [layer.arrivals for layer in delivery.layers] == [(skipped,)] * 3
    assert delivery.sent_bytes == 0


def test_who_asks_after_the_delivery_is_not_told_of(world: World) -> None:
    """`serve` goes on for long, and its clients are none of the delivery's."""
    serving = Serving.parse("127.0.0.1:0")
    delivery = world.deliver(world.sample(), serving)
    world.listener.events.clear()
    blob = serving.catalogue.blob("shop", delivery.image.layers[0].descriptor.digest)
    assert blob is not None
    sink = Bytes()
    blob.write_to(sink)
    assert len(sink.data) == delivery.image.layers[0].descriptor.size_bytes
    assert world.listener.events == []


def test_what_was_mounted_is_neither_read_nor_sent(world: World) -> None:
    layer_plan = world.sample()
    world.deliver(layer_plan)
    world.lose_store()
    mounter = Shaky(world.directory / "mounter", mounts=True)
    delivery = world.deliver(layer_plan, f"oci:{world.layout}:y", mounter)
    assert [[arrival.outcome for arrival in layer.arrivals] for layer in delivery.layers] == [
        [Outcome.SKIPPED, Outcome.MOUNTED]
    ] * 3


# Compression, where the user says nothing.


def test_without_a_word_layers_are_compressed_as_the_destinations_like_it(tmp_path: Path) -> None:
    registry = Shaky(tmp_path, default_compression="gzip")
    archive = parse_destination("docker-archive:a.tar")
    compression = choose_compression({"docker://r/a": registry}, None)
    assert compression is not None
    assert compression.name == "gzip"
    assert choose_compression({"docker://r/a": registry}, "none") is None
    with pytest.raises(InputError) as caught:
        choose_compression({"docker://r/a": registry, "docker-archive:a.tar": archive}, None)
    assert caught.value.message == (
        "layers go to `docker://r/a` with compression `gzip`, and to `docker-archive:a.tar` with "
        "`none`, if nothing else is said"
    )
    assert caught.value.hint == (
        "say what all shall have, `--compression none`; or deliver with two commands"
    )
    layout = parse_destination("oci:a")
    with pytest.raises(InputError) as caught:
        choose_compression({"oci:a": layout, "docker://r/a": registry}, None)
    assert caught.value.hint == (
        "say what all shall have, `--compression none` or `--compression gzip`; or deliver with "
        "two commands"
    )
