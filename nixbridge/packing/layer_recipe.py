"""`LayerRecipe`: all that a layer's bytes are a function of, and the key that it makes.

A recipe is a line of JSON: which store paths with which NAR hashes and options, packed by which
version of our format, compressed by what. Its digest is the layer's key. Equal keys are equal
bytes; so whoever knows a key's digests need not open a file. `layer_cache.py` remembers them.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from nixbridge.closure import NarHash, PathInfo, StorePath
from nixbridge.description import NixDatabaseRequest, Perm
from nixbridge.layering import LayerPlan, PlannedLayer, PlannedPath
from nixbridge.oci import BlobDigest, DiffId, Digest
from nixbridge.packing.compression import Compression
from nixbridge.packing.tree import LayerTree

# To be raised whenever the same recipe would make other bytes than before.
_FORMAT: Final = 1

# The modes that Nix gives to all that it puts into a store; they are not in the NAR hash. Those of
# symlinks, which are not the same everywhere, are not in a layer either.
_STORE_MODES: Final = frozenset({stat.S_IFREG | 0o444, stat.S_IFREG | 0o555, stat.S_IFDIR | 0o555})


class LayerKey(Digest):
    """The digest of a layer's recipe."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class LayerRecipe:
    """The recipe of a layer, in the one way to write it."""

    text: bytes

    @classmethod
    def of_layer(cls, layer: PlannedLayer, compression: Compression | None) -> Self:
        """Return the recipe of a layer of store paths."""
        paths = sorted((_path_document(path) for path in layer.paths), key=_text)
        return cls._of({"paths": paths}, compression)

    @classmethod
    def of_nix_database(
        cls,
        infos: Iterable[PathInfo],
        request: NixDatabaseRequest,
        compression: Compression | None,
    ) -> Self:
        """Return the recipe of the layer whose Nix database registers `infos`."""
        document = {
            "infos": [_info_document(info) for info in sorted(infos, key=lambda info: info.path)],
            "uid": request.uid,
            "gid": request.gid,
        }
        if request.is_n2c_exact:
            document["isN2cExact"] = True
        return cls._of({"nixDatabase": document}, compression)

    @classmethod
    def of_blob(cls, digest: BlobDigest, diff_id: DiffId) -> Self:
        """Return the recipe of a layer that is taken as it is, from a base image."""
        return cls(_text({"format": _FORMAT, "blob": str(digest), "diffId": str(diff_id)}))

    @classmethod
    def _of(cls, contents: dict[str, Any], compression: Compression | None) -> Self:
        identity = None if compression is None else compression.identity
        return cls(_text({"format": _FORMAT, **contents, "compression": identity}))

    @property
    def key(self) -> LayerKey:
        """The layer's key."""
        return LayerKey.of(self.text)

    @property
    def compression_identity(self) -> str | None:
        """The identity of the compressor, None where there is none."""
        identity: str | None = json.loads(self.text).get("compression")
        return identity

    def layer(self) -> PlannedLayer | None:
        """Return the layer of store paths that it is the recipe of, None if it is of another.

        Only what its bytes are a function of is told.
        """
        document = json.loads(self.text)
        if "paths" not in document:
            return None
        paths = tuple(_planned_path(path) for path in document["paths"])
        return PlannedLayer(paths=paths, reason="a recipe", history={})

    def nix_database(self) -> tuple[tuple[PathInfo, ...], NixDatabaseRequest] | None:
        """Return what a Nix database is the function of, None if it is another layer's recipe."""
        document = json.loads(self.text).get("nixDatabase")
        if document is None:
            return None
        infos = tuple(_path_info(info) for info in document["infos"])
        return infos, NixDatabaseRequest(
            uid=document["uid"],
            gid=document["gid"],
            is_n2c_exact=document.get("isN2cExact", False),
        )


def recipes_of_plan(plan: LayerPlan, compression: Compression | None) -> tuple[LayerRecipe, ...]:
    """Return the recipe of each layer of a plan, that of the Nix database last."""
    recipes = [LayerRecipe.of_layer(layer, compression) for layer in plan.layers]
    if plan.nix_database is not None:
        recipes.append(LayerRecipe.of_nix_database(plan.registered, plan.nix_database, compression))
    return tuple(recipes)


def is_made_by_recipe(tree: LayerTree) -> bool:
    """Return whether the bytes of `tree`, a layer of store paths, are a function of its recipe.

    They may not be where somebody changed the mode of a file in the store.
    """
    return all(stat.S_ISLNK(mode) for mode in tree.found_modes - _STORE_MODES)


def _text(document: dict[str, Any]) -> bytes:
    # In ASCII, as JSON can hold what UTF-8 cannot.
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _path_document(path: PlannedPath) -> dict[str, Any]:
    return {
        "path": str(path.info.path),
        "narHash": str(path.info.nar_hash),
        "copyToRoot": path.copy_to_root,
        "perms": [
            {
                "regex": perm.regex,
                "mode": perm.mode,
                "uid": perm.uid,
                "gid": perm.gid,
                "uname": perm.uname,
                "gname": perm.gname,
            }
            for perm in path.perms
        ],
    }


def _planned_path(document: dict[str, Any]) -> PlannedPath:
    path = StorePath.parse(document["path"])
    info = PathInfo(
        path=path,
        nar_hash=NarHash.parse(document["narHash"]),
        nar_size_bytes=0,
        references=(),
    )
    perms = tuple(Perm(path=path, **perm) for perm in document["perms"])
    return PlannedPath(info=info, copy_to_root=document["copyToRoot"], perms=perms)


def _info_document(info: PathInfo) -> dict[str, Any]:
    return {
        "path": str(info.path),
        "narHash": str(info.nar_hash),
        "narSize": info.nar_size_bytes,
        "references": sorted(str(reference) for reference in info.references),
        "deriver": None if info.deriver is None else str(info.deriver),
    }


def _path_info(document: dict[str, Any]) -> PathInfo:
    deriver = document["deriver"]
    return PathInfo(
        path=StorePath.parse(document["path"]),
        nar_hash=NarHash.parse(document["narHash"]),
        nar_size_bytes=document["narSize"],
        references=tuple(StorePath.parse(reference) for reference in document["references"]),
        deriver=None if deriver is None else StorePath.parse(deriver),
    )
