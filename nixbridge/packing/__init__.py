"""Make the bytes of a layer: a planned layer becomes a deterministic tar."""

from __future__ import annotations

from nixbridge.packing.annotations import LayerAnnotations
from nixbridge.packing.compression import Compression, decompress
from nixbridge.packing.contents_check import ContentsCheck
from nixbridge.packing.header import END_OF_ARCHIVE, Owner, file_header, padding
from nixbridge.packing.layer_cache import LayerCache, LayerCacheInfo, Warn, layer_cache_path
from nixbridge.packing.layer_recipe import LayerKey, LayerRecipe, is_made_by_recipe, recipes_of_plan
from nixbridge.packing.pack import blob_of, packed_layer, write_blob
from nixbridge.packing.packed_layer import LayerBytes, PackedLayer, Sink
from nixbridge.packing.tar import write_tar
from nixbridge.packing.tree import LayerTree, layer_tree
from nixbridge.packing.workers import OwnTar, TarSource, Walked, default_workers, pack_many

__all__ = [
    "END_OF_ARCHIVE",
    "Compression",
    "ContentsCheck",
    "LayerAnnotations",
    "LayerBytes",
    "LayerCache",
    "LayerCacheInfo",
    "LayerKey",
    "LayerRecipe",
    "LayerTree",
    "OwnTar",
    "Owner",
    "PackedLayer",
    "Sink",
    "TarSource",
    "Walked",
    "Warn",
    "blob_of",
    "decompress",
    "default_workers",
    "file_header",
    "is_made_by_recipe",
    "layer_cache_path",
    "layer_tree",
    "pack_many",
    "packed_layer",
    "padding",
    "recipes_of_plan",
    "write_blob",
    "write_tar",
]
