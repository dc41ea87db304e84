"""Make the bytes of a layer: a planned layer becomes a deterministic tar."""

from __future__ import annotations

from nixbridge.packing.packed_layer import PackedLayer, Sink

__all__ = ["PackedLayer", "Sink"]
