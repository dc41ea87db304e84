"""Store paths, what Nix knows of each, and the closed graph they form. Pure; no I/O."""

from __future__ import annotations

from nixbridge.closure.dominators import DominatorTree
from nixbridge.closure.graph import ClosureGraph
from nixbridge.closure.package_name import PackageName
from nixbridge.closure.path_info import NarHash, PathInfo
from nixbridge.closure.reference_chains import reference_chains, referrers
from nixbridge.closure.store_path import DEFAULT_STORE_DIR, StorePath, StoreRoot

__all__ = [
    "DEFAULT_STORE_DIR",
    "ClosureGraph",
    "DominatorTree",
    "NarHash",
    "PackageName",
    "PathInfo",
    "StorePath",
    "StoreRoot",
    "reference_chains",
    "referrers",
]
