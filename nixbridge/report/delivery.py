"""What became of each layer of a delivery: in a line of words, and as a document."""

from __future__ import annotations

from collections import Counter
from typing import Any, assert_never

from nixbridge.delivery import CACHE, Arrival, DeliveredLayer, Delivery, Outcome
from nixbridge.report.image import image_document
from nixbridge.report.table import format_count, format_size


def short_reference(reference: str) -> str:
    """Return the end of a reference, which tells it from others: `app:1.4`."""
    return reference.rpartition("/")[2]


def delivery_summary(delivery: Delivery) -> str:
    """Say how many layers were known, and from where, and how many were sent.

    `38 layers: 36 known from app:1.4 (not read), 2 sent (4.1 MB)`
    """
    layers = delivery.layers
    count = format_count(len(layers), "layer")
    known = Counter(layer.known_from for layer in layers if not layer.is_packed)
    sent = [layer for layer in layers if layer.has(Outcome.SENT)]
    if len(sent) == len(layers):
        return f"{count}, {format_size(delivery.sent_bytes)} sent"
    parts = [
        f"{number} known from {_known_from(source)} (not read)" for source, number in known.items()
    ]
    # For a destination that pulls: it may have them all.
    unsent = sum(
        layer.is_packed and not layer.has(Outcome.SENT) and not layer.has(Outcome.MOUNTED)
        for layer in layers
    )
    if unsent:
        parts.append(f"{unsent} packed for their digests (not sent)")
    mounted = sum(layer.has(Outcome.MOUNTED) for layer in layers)
    if mounted:
        parts.append(f"{mounted} mounted")
    if sent:
        parts.append(f"{len(sent)} sent ({format_size(delivery.sent_bytes)})")
    return f"{count}: {', '.join(parts)}"


def _known_from(source: str | None) -> str:
    return "the cache" if source in {CACHE, None} else short_reference(str(source))


def layer_line(delivered: DeliveredLayer, number: int, layer_count: int) -> str:
    """Say of one layer what was done with it, without its outcome, for a line of a log."""
    size = format_size(delivered.layer.descriptor.size_bytes)
    text = f"layer {number} of {layer_count}, {size}: {delivered.layer.reason}"
    if not delivered.is_packed:
        text += f" (known from {_known_from(delivered.known_from)}, not read)"
    return text


def layer_outcome(delivered: DeliveredLayer) -> str:
    """Return in a word what was done with a layer: the most that was done at any destination.

    Before it is pulled, it is `packed` for its digests, or `known`.
    """
    for outcome in (Outcome.SENT, Outcome.MOUNTED):
        if delivered.has(outcome):
            return outcome
    if delivered.arrivals and all(arrival.is_pulled for arrival in delivered.arrivals):
        return "packed" if delivered.is_packed else "known"
    return Outcome.SKIPPED


def delivery_document(delivery: Delivery) -> dict[str, Any]:
    """Return what `copy --json` prints: where the image is, what it is made of, and how it came.

    A layer's `destinations` are in the order of the document's `references`.
    """
    document = image_document(delivery.image)
    for described, layer in zip(document["layers"], delivery.layers, strict=True):
        described.update(
            knownFrom=layer.known_from,
            packed=layer.is_packed,
            readBytes=layer.read_bytes,
            seconds=round(layer.seconds, 3),
            destinations=[
                {
                    "outcome": str(arrival.outcome),
                    "why": _why(arrival),
                    "sentBytes": arrival.sent_bytes,
                }
                for arrival in layer.arrivals
            ],
        )
    return {
        **document,
        "references": list(delivery.references),
        "readBytes": delivery.read_bytes,
        "sentBytes": delivery.sent_bytes,
        "seconds": round(delivery.seconds, 3),
    }


def _why(arrival: Arrival) -> str:
    match arrival.outcome:
        case Outcome.SKIPPED:
            return "the engine had it" if arrival.is_pulled else "it was there"
        case Outcome.MOUNTED:
            return "it was in another repository of the registry"
        case Outcome.SENT if arrival.is_pulled:
            return "the engine took it"
        case Outcome.SENT:
            return "it was not there, or not known to be"
        case _:
            assert_never(arrival.outcome)
