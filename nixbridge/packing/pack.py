"""Pack a layer: its tree becomes a blob whose digests are known.

The bytes of the tar are `tar.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nixbridge.closure import StorePath, StoreRoot
from nixbridge.layering import PlannedLayer
from nixbridge.oci import MEDIA_TYPE_LAYER_TAR, BlobDigest, Descriptor
from nixbridge.packing.packed_layer import PackedLayer, Sink
from nixbridge.packing.tar import write_tar
from nixbridge.packing.tree import LayerTree, layer_tree


def pack_layer(layer: PlannedLayer, store: StoreRoot, sink: Sink) -> PackedLayer:
    """Write the tar of a planned layer to `sink`.

    Raises `PackError` and `InputError`, as `layer_tree` and `write_tar` do.
    """
    return pack_tree(
        layer_tree(layer, store),
        sink,
        paths=tuple(dict.fromkeys(path.info.path for path in layer.paths)),
        reason=layer.reason,
        history=layer.history,
    )


def pack_tree(
    tree: LayerTree,
    sink: Sink,
    *,
    paths: tuple[StorePath, ...] = (),
    reason: str,
    history: Mapping[str, str] = MappingProxyType({}),
) -> PackedLayer:
    """Write the tar of a tree to `sink`, and say of it what is given.

    Raises `PackError`, as `write_tar` does.
    """
    size_bytes = tree.tar_size_bytes
    diff_id = write_tar(tree, sink)
    return PackedLayer(
        descriptor=Descriptor(
            media_type=MEDIA_TYPE_LAYER_TAR,
            digest=BlobDigest.from_hex(diff_id.hex),
            size_bytes=size_bytes,
        ),
        diff_id=diff_id,
        tar_size_bytes=size_bytes,
        paths=paths,
        reason=reason,
        history=history,
    )
