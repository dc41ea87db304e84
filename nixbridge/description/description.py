"""The image description: what `nix/` evaluates to and Python reads (ARCHITECTURE.md).

It holds what the user decided and the closure facts that Nix knows, and no digests. These are
the values; reading them from JSON is `reader.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.description.saved_plan import PlanFile
from nixbridge.oci import Platform

# Version 2 has weights, version 3 a plan; without them, an older version says the same.
DESCRIPTION_VERSION: Final = 3

LEAST_WEIGHT: Final = 0.001
MOST_WEIGHT: Final = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Perm:
    """Owner and mode of files whose source path matches `regex`, below `path`.

    The rule is nix2container's: `regex` (Go's RE2) may match anywhere in the source path; uid and
    gid are always set, the others only when given. `mode` is the number, 0o1777.
    """

    path: StorePath
    regex: str
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    uname: str = ""
    gname: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerDescription:
    """One `buildLayer`, or the image's own part: what it holds and how it is split.

    `roots` bring their closures. `copy_to_root` bring theirs too, but their own files are put at
    `/`. `ignore` are paths left out of the closure. `max_layers` below 1 means no limit. `history`
    are the keys of the OCI history entry (`created_by`, `author`, `comment`, …). A layer that is
    not `reproducible` is packed as any other; Nix only knows that its inputs may change.
    """

    roots: tuple[StorePath, ...]
    copy_to_root: tuple[StorePath, ...] = ()
    ignore: tuple[StorePath, ...] = ()
    perms: tuple[Perm, ...] = ()
    max_layers: int = 1
    strategy: str = "popularity"
    reproducible: bool = True
    history: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class NixDatabaseRequest:
    """Ask for a Nix database of the image's store paths, owned by `uid` and `gid`.

    With `is_n2c_exact` its files have the modes that nix2container gives them.
    """

    uid: int = 0
    gid: int = 0
    is_n2c_exact: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageDescription:
    """A whole image: its layers from bottom to top, its config, and the closure of it all.

    `config` has the keys of the OCI image configuration's `config` object, and Docker's
    `Healthcheck` and the like, spelled as there. `from_image` is the image that this one builds
    upon: an image of any tool, or another image description. With `is_n2c_exact`, which is said on
    the command line, it becomes what nix2container makes of it (docs/nix2container.md). `weights`
    tell of patterns of names how often such store paths change by themselves, where others weigh 1.
    `plan` is a saved plan, which the layers follow.
    """

    name: str
    tag: str
    platform: Platform
    created: str
    config: Mapping[str, Any]
    annotations: Mapping[str, str]
    layers: tuple[LayerDescription, ...]
    nix_database: NixDatabaseRequest | None
    closure: ClosureGraph
    from_image: StorePath | None = None
    weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    plan: PlanFile | None = None
    is_n2c_exact: bool = False
