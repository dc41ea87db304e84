"""What becomes of each layer, told while it happens and in the result."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

from nixbridge.packing import PackedLayer

# What `DeliveredLayer.known_from` is when it was this machine that knew the layer.
CACHE: Final = "cache"


class Outcome(StrEnum):
    """What was done with a layer at one destination."""

    # Its blob was there.
    SKIPPED = "skipped"
    # It was in another repository of the registry.
    MOUNTED = "mounted"
    SENT = "sent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """How a layer came to one destination; what was sent again counts again.

    With `is_pulled` the destination was not asked for its blob, but pulled it (`SENT`) or did not
    (`SKIPPED`).
    """

    outcome: Outcome
    sent_bytes: int = 0
    is_pulled: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveredLayer:
    """A layer that is at all destinations; `arrivals` are in their order.

    `known_from` says who told its digests before it was packed: `CACHE`, or the reference of an
    image whose word was taken. A layer that is not packed was neither walked nor read.
    """

    layer: PackedLayer
    arrivals: tuple[Arrival, ...]
    known_from: str | None
    is_packed: bool
    read_bytes: int
    seconds: float

    @property
    def sent_bytes(self) -> int:
        """What was sent to all destinations together."""
        return sum(arrival.sent_bytes for arrival in self.arrivals)

    def has(self, outcome: Outcome) -> bool:
        """Return whether that was done at any destination."""
        return any(arrival.outcome is outcome for arrival in self.arrivals)


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerStarted:
    """A layer is being packed; the number counts from 1, `size_bytes` is about its tar's."""

    number: int
    layer_count: int
    reason: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerAdvanced:
    """So much of the layer's blob is written by now, wherever it is to go."""

    number: int
    written_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerLost:
    """A destination lost the layer, which is packed once more for it; `why` is in words."""

    number: int
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerFinished:
    """A layer is at all destinations, or was before; those that pull may have it now."""

    number: int
    layer_count: int
    delivered: DeliveredLayer


@dataclass(frozen=True, kw_only=True, slots=True)
class PullStarted:
    """A destination will pull, of so many layers, those that it lacks."""

    layer_count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PullAdvanced:
    """So much of the layer's blob, which has `size_bytes`, went to a destination that pulls it."""

    number: int
    sent_bytes: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PullEnded:
    """A destination has pulled the layer, or in the end had no need to; `arrival` says which."""

    number: int
    layer_count: int
    delivered: DeliveredLayer
    arrival: Arrival
    seconds: float


DeliveryEvent: TypeAlias = (
    LayerStarted
    | LayerAdvanced
    | LayerLost
    | LayerFinished
    | PullStarted
    | PullAdvanced
    | PullEnded
)


class DeliveryListener(Protocol):
    """Is told how the delivery goes on, in several threads at the same time."""

    def on_delivery_event(self, event: DeliveryEvent) -> None:
        """Take note of what goes on now; called often."""

    def warn(self, message: str, hint: str | None = None) -> None:
        """Take note of what went wrong and did not stop us."""
