"""OCI layouts made by hand: JSON and tarfile, none of our code."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What a file is: a directory (None), a link ("-> target"), or text.
Files = Mapping[str, str | None]


def layer_bytes(files: Files, *, mode: int = 0o644) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            elif content.startswith("-> "):
                info.type, info.mode = tarfile.SYMTYPE, 0o777
                info.linkname = content.removeprefix("-> ")
                tar.addfile(info)
            else:
                data = content.encode()
                info.size, info.mode = len(data), mode
                tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def write_layout(
    directory: Path,
    layers: Sequence[bytes],
    config: Mapping[str, Any] | None = None,
    *,
    name: str = "test",
    compressed: Sequence[int] = (),
) -> Path:
    """Write an image of `layers`; those whose number is in `compressed` by gzip."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, Any]:
        digits = hashlib.sha256(data).hexdigest()
        (blobs / digits).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digits}", "size": len(data)}

    oci = "application/vnd.oci.image"
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": config or {},
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers],
        },
        "history": [{"created_by": f"layer {number}"} for number in range(len(layers))],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": put(json.dumps(document).encode(), f"{oci}.config.v1+json"),
        "layers": [
            put(gzip.compress(layer, mtime=0), f"{oci}.layer.v1.tar+gzip")
            if number in compressed
            else put(layer, f"{oci}.layer.v1.tar")
            for number, layer in enumerate(layers)
        ],
    }
    entry = put(json.dumps(manifest).encode(), f"{oci}.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
    index = {"schemaVersion": 2, "manifests": [entry]}
    (directory / "index.json").write_text(json.dumps(index))
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return directory
