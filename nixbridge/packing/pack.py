"""Pack a layer: in one pass over its files, a tar, its digest, a blob, and the blob's digest.

The bytes of the tar are `tar.py`'s, those of a compressed blob `compression.py`'s. What is known
of a layer and its recipe make a `PackedLayer`, whether it was packed just now or remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Final

from nixbridge.closure import StorePath, StoreRoot
from nixbridge.layering import PlannedLayer
from nixbridge.oci import MEDIA_TYPE_LAYER_TAR, BlobDigest, Descriptor
from nixbridge.packing.compression import CompressingSink, Compression
from nixbridge.packing.layer_recipe import LayerKey
from nixbridge.packing.packed_layer import LayerBytes, PackedLayer, Sink
from nixbridge.packing.tar import Observer
from nixbridge.packing.tree import LayerTree, layer_tree
from nixbridge.packing.workers import OwnTar, TarSource, Walked

# Annotations of a layer's descriptor: what its bytes are a function of (a digest), and what they
# were compressed by, in words.
LAYER_KEY_ANNOTATION: Final = "org.nixbridge.layer-key"
COMPRESSION_ANNOTATION: Final = "org.nixbridge.compression"


def pack_layer(
    layer: PlannedLayer, store: StoreRoot, sink: Sink, *, compression: Compression | None = None
) -> PackedLayer:
    """Write the blob of a planned layer to `sink`.

    Raises `PackError` and `InputError`, as `layer_tree` and `write_tar` do.
    """
    return pack_tree(
        layer_tree(layer, store),
        sink,
        compression=compression,
        paths=tuple(dict.fromkeys(path.info.path for path in layer.paths)),
        reason=layer.reason,
        history=layer.history,
    )


def pack_tree(
    tree: LayerTree,
    sink: Sink,
    *,
    compression: Compression | None = None,
    paths: tuple[StorePath, ...] = (),
    reason: str,
    history: Mapping[str, str] = MappingProxyType({}),
) -> PackedLayer:
    """Write the blob of a tree to `sink`, and say of it what is given.

    Raises `PackError`, as `write_tar` does.
    """
    return packed_layer(
        write_blob(tree, sink, compression=compression),
        compression=compression,
        paths=paths,
        reason=reason,
        history=history,
    )


def write_blob(
    tree: LayerTree,
    sink: Sink,
    *,
    compression: Compression | None = None,
    observer: Observer | None = None,
) -> LayerBytes:
    """Write the blob of a tree to `sink`, a little at a time.

    Raises `PackError`, as `write_tar` does.
    """
    return blob_of(OwnTar(Walked(tree=tree, observer=observer)), sink, compression=compression)


def blob_of(source: TarSource, sink: Sink, *, compression: Compression | None) -> LayerBytes:
    """Write the blob of a tar to `sink`, a little at a time.

    Raises `PackError`, `IntegrityError`, as `TarSource.write_to` does.
    """
    size_bytes = source.tar_size_bytes
    if compression is None:
        diff_id = source.write_to(sink)
        return LayerBytes(
            diff_id=diff_id,
            tar_size_bytes=size_bytes,
            blob_digest=BlobDigest.from_hex(diff_id.hex),
            blob_size_bytes=size_bytes,
        )
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="compress") as thread:
        compressing = CompressingSink(compression, sink, thread)
        diff_id = source.write_to(compressing)
        blob_digest, blob_size_bytes = compressing.finish()
    return LayerBytes(
        diff_id=diff_id,
        tar_size_bytes=size_bytes,
        blob_digest=blob_digest,
        blob_size_bytes=blob_size_bytes,
    )


def packed_layer(
    known: LayerBytes,
    *,
    key: LayerKey | None = None,
    compression: Compression | None = None,
    paths: tuple[StorePath, ...] = (),
    reason: str,
    history: Mapping[str, str] = MappingProxyType({}),
) -> PackedLayer:
    """Return the layer whose bytes are known; `key` where they are a function of its recipe."""
    annotations = {}
    if key is not None:
        annotations[LAYER_KEY_ANNOTATION] = str(key)
    if compression is not None:
        annotations[COMPRESSION_ANNOTATION] = compression.identity
    return PackedLayer(
        descriptor=Descriptor(
            media_type=MEDIA_TYPE_LAYER_TAR if compression is None else compression.media_type,
            digest=known.blob_digest,
            size_bytes=known.blob_size_bytes,
            annotations=annotations,
        ),
        diff_id=known.diff_id,
        tar_size_bytes=known.tar_size_bytes,
        paths=paths,
        reason=reason,
        history=history,
    )
