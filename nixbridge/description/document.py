"""The JSON document of an image description: what `reader.py` reads, written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nixbridge.description.description import (
    DESCRIPTION_VERSION,
    ImageDescription,
    LayerDescription,
    Perm,
)
from nixbridge.description.saved_plan import plan_document


def description_document(description: ImageDescription) -> dict[str, Any]:
    """Return the document of which `parse_description` makes an equal description."""
    database = description.nix_database
    return {
        "version": DESCRIPTION_VERSION,
        "name": description.name,
        "tag": description.tag,
        "architecture": description.platform.architecture,
        "os": description.platform.os,
        "created": description.created,
        "config": plain_value(description.config),
        "annotations": dict(description.annotations),
        "layers": [_layer(layer) for layer in description.layers],
        "fromImage": None if description.from_image is None else str(description.from_image),
        "nixDatabase": None if database is None else {"uid": database.uid, "gid": database.gid},
        "weights": dict(description.weights),
        "plan": None if description.plan is None else plan_document(description.plan.layers),
        "closure": [
            {
                "path": str(info.path),
                "narHash": str(info.nar_hash),
                "narSize": info.nar_size_bytes,
                "references": [str(reference) for reference in info.references],
            }
            for info in description.closure
        ],
    }


def plain_value(value: object) -> object:
    """Return a value of the config as what `json` writes: no views of mappings."""
    if isinstance(value, Mapping):
        return {key: plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    return value


def _layer(layer: LayerDescription) -> dict[str, Any]:
    return {
        "roots": [str(path) for path in layer.roots],
        "copyToRoot": [str(path) for path in layer.copy_to_root],
        "ignore": [str(path) for path in layer.ignore],
        "perms": [_perm(perm) for perm in layer.perms],
        "maxLayers": layer.max_layers,
        "strategy": layer.strategy,
        "reproducible": layer.reproducible,
        "metadata": dict(layer.history),
    }


def _perm(perm: Perm) -> dict[str, Any]:
    return {
        "path": str(perm.path),
        "regex": perm.regex,
        "mode": None if perm.mode is None else f"{perm.mode:o}",
        "uid": perm.uid,
        "gid": perm.gid,
        "uname": perm.uname,
        "gname": perm.gname,
    }
