"""Pack layers into destinations, and none that is known and there already.

What is packed is `packing/`'s, where it goes `destinations/`'s; which layers there are was planned
before. Begin with `deliver.py`.
"""

from __future__ import annotations

from nixbridge.delivery.claims import previous_images
from nixbridge.delivery.deliver import (
    Delivery,
    PackOptions,
    choose_compression,
    deliver_image,
)
from nixbridge.delivery.events import (
    CACHE,
    Arrival,
    DeliveredLayer,
    DeliveryEvent,
    DeliveryListener,
    LayerAdvanced,
    LayerFinished,
    LayerLost,
    LayerStarted,
    Outcome,
    PullAdvanced,
    PullEnded,
    PullStarted,
)
from nixbridge.delivery.layers import Described
from nixbridge.delivery.verify import is_right

__all__ = [
    "CACHE",
    "Arrival",
    "DeliveredLayer",
    "Delivery",
    "DeliveryEvent",
    "DeliveryListener",
    "Described",
    "LayerAdvanced",
    "LayerFinished",
    "LayerLost",
    "LayerStarted",
    "Outcome",
    "PackOptions",
    "PullAdvanced",
    "PullEnded",
    "PullStarted",
    "choose_compression",
    "deliver_image",
    "is_right",
    "previous_images",
]
