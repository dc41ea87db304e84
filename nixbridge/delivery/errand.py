"""`Errand`: one layer of a delivery, and what was done with it so far."""

from __future__ import annotations

from dataclasses import dataclass

from nixbridge.delivery.events import Arrival, DeliveredLayer, Outcome
from nixbridge.delivery.known import Known
from nixbridge.delivery.layers import CopiedLayer, StoreLayer
from nixbridge.destinations import BlobState
from nixbridge.packing import PackedLayer


@dataclass(kw_only=True, slots=True)
class Errand:
    """A layer, what is known of it, which writers have it, and what was done so far."""

    number: int
    layer: CopiedLayer | StoreLayer
    known: Known | None
    states: list[BlobState]
    sent_bytes: list[int]
    packed: PackedLayer | None = None
    is_packed: bool = False
    read_bytes: int = 0
    seconds: float = 0.0

    @property
    def is_missing(self) -> bool:
        """Whether a destination lacks it."""
        return BlobState.ABSENT in self.states

    def arrival(self, at: int) -> Arrival:
        """Return how it came to a destination."""
        state, sent_bytes = self.states[at], self.sent_bytes[at]
        outcome = Outcome.MOUNTED if state is BlobState.MOUNTED else Outcome.SKIPPED
        return Arrival(
            outcome=Outcome.SENT if sent_bytes else outcome,
            sent_bytes=sent_bytes,
            is_pulled=state is BlobState.PULLABLE,
        )

    def delivered(self) -> DeliveredLayer:
        """Return what became of it until now."""
        if self.packed is None:
            raise ValueError(self.number)
        return DeliveredLayer(
            layer=self.packed,
            arrivals=tuple(map(self.arrival, range(len(self.states)))),
            known_from=None if self.known is None else self.known.source,
            is_packed=self.is_packed,
            read_bytes=self.read_bytes,
            seconds=self.seconds,
        )
