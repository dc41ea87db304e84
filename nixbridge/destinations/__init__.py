"""Deliver an image: to a directory, an archive, a stream."""

from __future__ import annotations

from nixbridge.destinations.destination import Destination, ImageWriter, LayerSink
from nixbridge.destinations.reference import parse_destination

__all__ = ["Destination", "ImageWriter", "LayerSink", "parse_destination"]
