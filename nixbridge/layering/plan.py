"""`LayerPlan`: which store path goes into which layer, and why.

Values only. A plan is an exact partition: no store path is in two layers (the same path with
other options, copied to the root, is another thing), and it is the same for any order of input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nixbridge.closure import PathInfo
from nixbridge.description import NixDatabaseRequest, Perm
from nixbridge.layering.stability import Repacking

# What the storage drivers of Docker and podman mount at the most, those of base images included.
MOST_LAYERS: Final = 127

NIX_DATABASE_REASON: Final = "the Nix database"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedPath:
    """A store path with the options it is packed with."""

    info: PathInfo
    copy_to_root: bool = False
    perms: tuple[Perm, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedLayer:
    """A layer to be packed: its paths sorted by their text, and the reason for it in words.

    `history` are the keys of the layer's OCI history entry. `change_probability` tells how likely
    an update changes the layer, as far as is known (`cost_model.py`).
    """

    paths: tuple[PlannedPath, ...]
    reason: str
    history: Mapping[str, str]
    change_probability: float = 1.0

    @property
    def nar_size_bytes(self) -> int:
        """The sum of the NAR sizes of the layer's paths."""
        return sum(path.info.nar_size_bytes for path in self.paths)


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerPlan:
    """All layers of an image that hold store paths, from bottom to top.

    Where `nix_database` is asked for, a layer with the database of these paths lies on top.
    `repackings` are what was decided on packing parts of the image anew (`stability.py`).
    """

    layers: tuple[PlannedLayer, ...]
    nix_database: NixDatabaseRequest | None = None
    repackings: tuple[Repacking, ...] = ()

    @property
    def registered(self) -> tuple[PathInfo, ...]:
        """What the Nix database lists: what is in the image's store, and not only at its root."""
        is_n2c_exact = self.nix_database is not None and self.nix_database.is_n2c_exact
        return tuple(
            planned.info
            for layer in self.layers
            for planned in layer.paths
            if not planned.copy_to_root or is_n2c_exact
        )

    @property
    def expected_bytes(self) -> float:
        """The bytes that an update sends again on average; the Nix database is not counted."""
        return sum(layer.nar_size_bytes * layer.change_probability for layer in self.layers)
