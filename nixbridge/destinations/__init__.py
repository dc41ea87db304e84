"""Deliver an image: to a directory, an archive, a stream."""

from __future__ import annotations

from nixbridge.destinations.destination import (
    Access,
    BlobPlaces,
    BlobState,
    Destination,
    ImageWriter,
    LayerLostError,
    LayerSink,
    LayerSource,
    UnwrittenLayer,
    giving_up,
)
from nixbridge.destinations.reference import parse_destination

__all__ = [
    "Access",
    "BlobPlaces",
    "BlobState",
    "Destination",
    "ImageWriter",
    "LayerLostError",
    "LayerSink",
    "LayerSource",
    "UnwrittenLayer",
    "giving_up",
    "parse_destination",
]
