"""Store paths, what Nix knows of each, and the closed graph they form. Pure; no I/O."""

from __future__ import annotations

from nixbridge.closure.graph import ClosureGraph
from nixbridge.closure.path_info import NarHash, PathInfo
from nixbridge.closure.store_path import DEFAULT_STORE_DIR, StorePath, StoreRoot

__all__ = [
    "DEFAULT_STORE_DIR",
    "ClosureGraph",
    "NarHash",
    "PathInfo",
    "StorePath",
    "StoreRoot",
]
