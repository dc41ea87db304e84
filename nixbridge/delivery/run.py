"""`Run`: one delivery on its way, from layers that were planned to an image that is published.

First the destinations are asked for the blobs of all layers that are known; what is missing
somewhere is packed, once, for all that lack it; then the image is published, where it is likeliest
to fail first. Layers are packed side by side, the largest first, if all destinations take them so;
else in their order. What is known, and who may be believed, is `known.py`'s.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from nixbridge.delivery.errand import Errand
from nixbridge.delivery.events import (
    DeliveredLayer,
    DeliveryListener,
    LayerAdvanced,
    LayerFinished,
    LayerLost,
    LayerStarted,
)
from nixbridge.delivery.known import Known, refuse_difference
from nixbridge.delivery.layers import CopiedLayer, Making, StoreLayer
from nixbridge.delivery.pulling import PulledLayers
from nixbridge.delivery.writing import CountingSink, MadeLayers, Tee
from nixbridge.destinations import BlobState, ImageWriter, LayerLostError, giving_up
from nixbridge.errors import DestinationError, NixbridgeError
from nixbridge.image import Image
from nixbridge.oci import Descriptor
from nixbridge.packing import (
    LayerBytes,
    LayerRecipe,
    PackedLayer,
    Sink,
    TarSource,
    blob_of,
    pack_many,
)

# How often a layer is packed once more for a destination that lost it.
_MOST_REWRITES: Final = 3
# A blob that is remembered before it is whole anywhere, in case that we are killed after that.
_LARGE_BYTES: Final = 1 << 20
# A destination that is far away answers slowly, and several questions as fast as one.
_QUESTIONS_AT_ONCE: Final = 8


class Run:
    """One delivery; `remember` is told what the cache shall remember of it."""

    def __init__(
        self,
        writers: Sequence[ImageWriter],
        listener: DeliveryListener,
        *,
        workers: int,
        remember: Callable[[Mapping[LayerRecipe, LayerBytes]], None],
    ) -> None:
        self._writers = writers
        self._listener = listener
        self._workers = workers
        self._errands: list[Errand] = []
        self._made = MadeLayers()
        self._remember = remember
        self._learned: dict[LayerRecipe, LayerBytes] = {}
        self._learned_lock = threading.Lock()
        # By the number of the destination.
        self._published: dict[int, str] = {}

    def write_layers(
        self, layers: Sequence[CopiedLayer | StoreLayer], known: Sequence[Known | None]
    ) -> list[PackedLayer]:
        """Write the layers that are not known, or not at all destinations.

        Raises `PackError`, `InputError`, `IntegrityError`, `DestinationError`.
        """
        self._errands = self._make_errands(layers, known)
        for errand in self._errands:
            if not errand.is_missing:
                self._reuse(errand)
        # Those of the base image lie below all others, and are there to be copied.
        for errand in self._errands:
            if errand.is_missing and isinstance(errand.layer, CopiedLayer):
                layer = errand.layer
                self._write(errand, layer.make, layer.size_bytes, follows_recipe=True)
        self._pack([errand for errand in self._errands if isinstance(errand.layer, StoreLayer)])
        return [delivered.layer for delivered in self.delivered()]

    def delivered(self) -> tuple[DeliveredLayer, ...]:
        """Return what became of each layer."""
        return tuple(errand.delivered() for errand in self._errands)

    def _learn(self, recipe: LayerRecipe, found: LayerBytes) -> None:
        with self._learned_lock:
            self._learned[recipe] = found

    def remember(self) -> None:
        """Let the cache have what was learned since the last time."""
        with self._learned_lock:
            learned, self._learned = self._learned, {}
        if learned:
            self._remember(learned)

    def commit(self, image: Image) -> tuple[str, ...]:
        """Publish the image everywhere; return its digest references, in the destinations' order.

        Raises `DestinationError` and what making a layer once more raises.
        """
        numbers = sorted(
            range(len(self._writers)), key=lambda each: self._writers[each].publishes_by_renaming
        )
        for number in numbers:
            layers = PulledLayers(self._made, self._errands, number, self._listener)
            layers.begin()
            self._published[number] = self._writers[number].commit(image, layers)
            layers.end()
        return tuple(self._published[number] for number in range(len(self._writers)))

    @contextlib.contextmanager
    def telling_what_is_published(self) -> Iterator[None]:
        """Say in the details of an error where the image is in spite of it, and where not."""
        try:
            yield
        except NixbridgeError as error:
            count, missing = len(self._writers), len(self._writers) - len(self._published)
            for reference in self._published.values():
                error.add_detail(f"published before that: {reference}")
            if count > 1:
                error.add_detail(f"not published at {missing} of {count} destinations")
            raise

    def _make_errands(
        self, layers: Sequence[CopiedLayer | StoreLayer], known: Sequence[Known | None]
    ) -> list[Errand]:
        blobs = {
            number: layer.packed(each.bytes, follows_recipe=True).descriptor
            for number, (layer, each) in enumerate(zip(layers, known, strict=True))
            if each is not None
        }
        states = [_ask(writer, blobs) for writer in self._writers]
        return [
            Errand(
                number=number + 1,
                layer=layer,
                known=each,
                states=[state.get(number, BlobState.ABSENT) for state in states],
                sent_bytes=[0] * len(states),
            )
            for number, (layer, each) in enumerate(zip(layers, known, strict=True))
        ]

    def _reuse(self, errand: Errand) -> None:
        """Name a layer that all destinations have."""
        if errand.known is None:
            raise ValueError(errand.number)
        errand.packed = errand.layer.packed(errand.known.bytes, follows_recipe=True)
        self._made.add(errand.packed, partial(self._make_again, errand))
        if errand.layer.recipe is not None and errand.known.is_remembered:
            self._learn(errand.layer.recipe, errand.known.bytes)
        for writer in self._writers:
            writer.reuse_layer(errand.packed)
        self._finished(errand)

    def _pack(self, errands: Sequence[Errand]) -> None:
        """Pack the layers of store paths that are missing somewhere."""
        missing = [errand for errand in errands if errand.is_missing]
        side_by_side = all(writer.takes_layers_side_by_side for writer in self._writers)
        if side_by_side:
            # So that no worker begins the largest when all others are done.
            missing.sort(key=lambda errand: -errand.layer.size_bytes)
        pack_many(
            [errand.layer.walk for errand in missing if isinstance(errand.layer, StoreLayer)],
            lambda number, source: self._pack_one(missing[number], source),
            workers=self._workers,
            in_order=not side_by_side,
            failing=partial(giving_up, *self._writers),
        )

    def _pack_one(self, errand: Errand, source: TarSource) -> None:
        """Pack a layer where it is missing; runs in several threads at the same time."""
        layer = errand.layer
        if not isinstance(layer, StoreLayer):
            raise TypeError(layer)
        compression = layer.compression

        def make(sink: Sink) -> Making:
            found = blob_of(source, sink, compression=compression)
            return Making(bytes=found, read_bytes=source.contents_size_bytes)

        size_bytes = source.tar_size_bytes if compression is None else None
        self._write(errand, make, size_bytes, follows_recipe=source.follows_recipe)

    def _write(
        self,
        errand: Errand,
        make: Callable[[Sink], Making],
        size_bytes: int | None,
        *,
        follows_recipe: bool,
    ) -> None:
        """Write a layer where it is missing, and name it where it is not."""
        started = time.monotonic()
        layer, known = errand.layer, errand.known
        self._listener.on_delivery_event(
            LayerStarted(
                number=errand.number,
                layer_count=len(self._errands),
                reason=layer.reason,
                size_bytes=layer.size_bytes,
            )
        )
        missing = [state is BlobState.ABSENT for state in errand.states]
        tee = Tee(
            {at: writer for at, writer in enumerate(self._writers) if missing[at]}, size_bytes
        )
        with self._naming(errand):
            making = make(CountingSink(tee, partial(self._advanced, errand)))
        found = making.bytes
        errand.is_packed, errand.read_bytes = True, errand.read_bytes + making.read_bytes
        if known is not None and found != known.bytes:
            refuse_difference(layer, found, known, self._listener.warn, is_reused=not all(missing))
        if follows_recipe and layer.recipe is not None:
            self._learn(layer.recipe, found)
            if found.blob_size_bytes >= _LARGE_BYTES:
                self.remember()
        errand.packed = layer.packed(found, follows_recipe=follows_recipe)
        self._made.add(errand.packed, partial(self._make_again, errand))
        with self._naming(errand):
            tee.finish(errand.packed)
        for at, sent_bytes in tee.sent_bytes.items():
            errand.sent_bytes[at] += sent_bytes
        for at, state in tee.unwritten.items():
            errand.states[at] = state
        with self._naming(errand):
            for at, loss in tee.lost.items():
                self._write_again(errand, at, loss)
        for at, writer in enumerate(self._writers):
            if not missing[at]:
                writer.reuse_layer(errand.packed)
        errand.seconds += time.monotonic() - started
        self._finished(errand)

    @contextlib.contextmanager
    def _naming(self, errand: Errand) -> Iterator[None]:
        """Say in the details of a destination's error which layer it was."""
        try:
            yield
        except DestinationError as error:
            count = len(self._errands)
            error.add_detail(f"it was layer {errand.number} of {count}: {errand.layer.reason}")
            raise

    def _write_again(self, errand: Errand, at: int, loss: LayerLostError) -> None:
        """Write a layer to the one destination that lost it.

        Raises `DestinationError`: it was lost too often.
        """
        writer, packed = self._writers[at], errand.packed
        if packed is None:
            raise ValueError(errand.number)
        for _ in range(_MOST_REWRITES):
            self._listener.on_delivery_event(
                LayerLost(number=errand.number, why=loss.error.message)
            )
            # It may be there all the same, when only the answer to its last byte was lost.
            if writer.find_blob(packed.descriptor) is not BlobState.ABSENT:
                writer.reuse_layer(packed)
                return
            tee = Tee({at: writer}, packed.descriptor.size_bytes)
            try:
                self._made.write_layer(packed, tee)
                tee.finish(packed)
            finally:
                errand.sent_bytes[at] += tee.sent_bytes[at]
            if not tee.lost:
                return
            loss = tee.lost[at]
        raise loss.error

    def _make_again(self, errand: Errand, sink: Sink) -> LayerBytes:
        making = errand.layer.make(sink)
        errand.is_packed, errand.read_bytes = True, errand.read_bytes + making.read_bytes
        return making.bytes

    def _advanced(self, errand: Errand, written_bytes: int) -> None:
        self._listener.on_delivery_event(
            LayerAdvanced(number=errand.number, written_bytes=written_bytes)
        )

    def _finished(self, errand: Errand) -> None:
        self._listener.on_delivery_event(
            LayerFinished(
                number=errand.number,
                layer_count=len(self._errands),
                delivered=errand.delivered(),
            )
        )


def _ask(writer: ImageWriter, blobs: Mapping[int, Descriptor]) -> dict[int, BlobState]:
    """Ask a destination for blobs, by their number."""
    if not writer.takes_layers_side_by_side:
        return {number: writer.find_blob(blob) for number, blob in blobs.items()}
    with (
        ThreadPoolExecutor(_QUESTIONS_AT_ONCE, thread_name_prefix="ask") as threads,
        giving_up(writer),
    ):
        return dict(zip(blobs, threads.map(writer.find_blob, blobs.values()), strict=True))
