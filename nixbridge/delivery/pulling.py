"""The layers that a destination pulls while the image is published: told as it comes for them.

Such a destination (`BlobState.PULLABLE`) was not asked what it has. What it pulls, it lacked; what
it has not pulled when the image is published, it had.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from nixbridge.delivery.errand import Errand
from nixbridge.delivery.events import DeliveryListener, PullAdvanced, PullEnded, PullStarted
from nixbridge.delivery.writing import CountingSink, MadeLayers
from nixbridge.destinations import BlobState
from nixbridge.packing import PackedLayer, Sink


class PulledLayers:
    """The layers for the destination number `at`, as its `commit` takes them.

    Of one that does not pull but asks later, as clients of `nixbridge serve` do, nothing is told.
    """

    def __init__(
        self, layers: MadeLayers, errands: Sequence[Errand], at: int, listener: DeliveryListener
    ) -> None:
        self._layers = layers
        self._errands = errands
        self._at = at
        self._listener = listener
        self._lock = threading.Lock()
        self._pullable = [errand for errand in errands if errand.states[at] is BlobState.PULLABLE]

    def begin(self) -> None:
        """Tell that the destination may come now."""
        if self._pullable:
            self._listener.on_delivery_event(PullStarted(layer_count=len(self._errands)))

    def end(self) -> None:
        """Tell of the layers that it has not come for."""
        for errand in self._pullable:
            if not errand.sent_bytes[self._at]:
                self._tell_end(errand, seconds=0.0)

    def write_layer(self, layer: PackedLayer, sink: Sink) -> None:
        """Make the blob of a layer once more.

        Raises what `MadeLayers.write_layer` raises.
        """
        errand = self._errand_of(layer)
        if errand is None:
            self._layers.write_layer(layer, sink)
            return
        started = time.monotonic()
        number, size_bytes = errand.number, layer.descriptor.size_bytes

        def advance(sent_bytes: int) -> None:
            self._listener.on_delivery_event(
                PullAdvanced(number=number, sent_bytes=sent_bytes, size_bytes=size_bytes)
            )

        counting = CountingSink(sink, advance)
        try:
            self._layers.write_layer(layer, counting)
        finally:
            seconds = time.monotonic() - started
            with self._lock:
                errand.sent_bytes[self._at] += counting.written_bytes
                errand.seconds += seconds
        self._tell_end(errand, seconds=seconds)

    def _errand_of(self, layer: PackedLayer) -> Errand | None:
        for errand in self._pullable:
            if errand.packed is not None and errand.packed.descriptor == layer.descriptor:
                return errand
        return None

    def _tell_end(self, errand: Errand, *, seconds: float) -> None:
        self._listener.on_delivery_event(
            PullEnded(
                number=errand.number,
                layer_count=len(self._errands),
                delivered=errand.delivered(),
                arrival=errand.arrival(self._at),
                seconds=seconds,
            )
        )
