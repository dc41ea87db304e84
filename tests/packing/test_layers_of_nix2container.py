"""Whole layers, judged by what nix2container itself made of the same store paths and options.

The digests in `n2c_layers.json` were frozen by `freeze_n2c_layers.py`.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from nixbridge.closure import NarHash, PathInfo, StorePath, StoreRoot
from nixbridge.description import Perm
from nixbridge.layering import PlannedLayer, PlannedPath
from nixbridge.packing import layer_tree, write_blob
from packing.freeze_n2c_layers import CASES, make_files

FROZEN: list[dict[str, Any]] = json.loads(CASES.read_text())


def planned(document: dict[str, Any]) -> PlannedPath:
    path = StorePath(document["path"])
    perms = tuple(
        Perm(path=path, **{**perm, "mode": int(perm["mode"], 8) if perm["mode"] else None})
        for perm in document["perms"]
    )
    info = PathInfo(path=path, nar_hash=NarHash("0" * 64), nar_size_bytes=1, references=())
    return PlannedPath(info=info, copy_to_root=document["copy_to_root"], perms=perms)


@pytest.mark.parametrize("case", FROZEN, ids=[case["name"] for case in FROZEN])
def test_layers_are_those_of_nix2container(
    case: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if case["name"] == "modes and hard links":
        request.getfixturevalue("every_mode")
    make_files(tmp_path, case["files"])
    paths = tuple(planned(path) for path in case["paths"])
    sink = io.BytesIO()
    layer = PlannedLayer(paths=paths, reason="test", history={})
    known = write_blob(layer_tree(layer, StoreRoot(tmp_path)), sink)
    assert (str(known.diff_id), len(sink.getvalue())) == (case["digest"], case["size_bytes"])


def test_there_are_cases() -> None:
    assert len(FROZEN) >= 15
