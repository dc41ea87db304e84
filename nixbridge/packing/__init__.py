"""Make the bytes of a layer: a planned layer becomes a deterministic tar."""

from __future__ import annotations

from nixbridge.packing.header import END_OF_ARCHIVE, Owner, file_header, padding
from nixbridge.packing.pack import pack_layer, pack_tree
from nixbridge.packing.packed_layer import PackedLayer, Sink
from nixbridge.packing.tar import write_tar
from nixbridge.packing.tree import LayerTree, layer_tree

__all__ = [
    "END_OF_ARCHIVE",
    "LayerTree",
    "Owner",
    "PackedLayer",
    "Sink",
    "file_header",
    "layer_tree",
    "pack_layer",
    "pack_tree",
    "padding",
    "write_tar",
]
