"""Pack a layer: in one pass over its files, a tar, its digest, a blob, and the blob's digest.

The bytes of the tar are `tar.py`'s, those of a compressed blob `compression.py`'s. What is known
of a layer and its recipe make a `PackedLayer`, whether it was packed just now or remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

from nixbridge.closure import PathInfo
from nixbridge.oci import MEDIA_TYPE_LAYER_TAR, BlobDigest, Descriptor
from nixbridge.packing.annotations import LayerAnnotations
from nixbridge.packing.compression import CompressingSink, Compression
from nixbridge.packing.layer_recipe import LayerKey
from nixbridge.packing.packed_layer import LayerBytes, PackedLayer, Sink
from nixbridge.packing.tar import Observer
from nixbridge.packing.tree import LayerTree
from nixbridge.packing.workers import OwnTar, TarSource, Walked


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
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compress")
    try:
        compressing = CompressingSink(compression, sink, thread)
        diff_id = source.write_to(compressing)
        blob_digest, blob_size_bytes = compressing.finish()
    except BaseException:
        # The sink may hang in that thread: whoever it belongs to ends that.
        thread.shutdown(wait=False, cancel_futures=True)
        raise
    thread.shutdown()
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
    infos: Sequence[PathInfo] = (),
    reason: str,
    history: Mapping[str, str] = MappingProxyType({}),
) -> PackedLayer:
    """Return the layer whose bytes are known; `key` where they are a function of its recipe."""
    annotations = LayerAnnotations(
        key=key,
        compression_identity=None if compression is None else compression.identity,
        tar_size_bytes=known.tar_size_bytes,
        nar_sizes_bytes={info.path: info.nar_size_bytes for info in infos},
    )
    return PackedLayer(
        descriptor=Descriptor(
            media_type=MEDIA_TYPE_LAYER_TAR if compression is None else compression.media_type,
            digest=known.blob_digest,
            size_bytes=known.blob_size_bytes,
            annotations=annotations.to_oci(),
        ),
        diff_id=known.diff_id,
        tar_size_bytes=known.tar_size_bytes,
        paths=tuple(info.path for info in infos),
        reason=reason,
        history=history,
    )
