"""`Contents`: an image as `diff` compares it, whether it is planned or lies somewhere already.

Pure. A planned image knows its store paths and references, and what its layers will be made of; one
that lies somewhere knows its layers' digests, and its store paths if nixbridge made it: they travel
with it, in the annotations of its layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.description import ImageDescription
from nixbridge.destinations.stored_image import StoredImage, StoredLayer
from nixbridge.errors import InputError
from nixbridge.image import BaseImage
from nixbridge.layering import NIX_DATABASE_REASON, LayerPlan, PlannedLayer
from nixbridge.packing import Compression, LayerAnnotations, recipes_of_plan


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerContents:
    """A layer: all names of its bytes that are known, its size and its store paths.

    `names` are its key, the digest of its blob, and that of its tar: two layers that share one of
    them are the same. `size_bytes` is that of the blob, if it is known, else of the files (NAR).
    `paths` is None where nobody says what is in the layer.
    """

    names: frozenset[str]
    size_bytes: int
    reason: str
    paths: tuple[StorePath, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What an image holds; `graph` is None for one that lies somewhere.

    `config` has the keys of the OCI configuration, those of its `config` object included.
    `nar_sizes_bytes` has all store paths that the layers tell of.
    """

    title: str
    config: Mapping[str, Any]
    layers: tuple[LayerContents, ...]
    nar_sizes_bytes: Mapping[StorePath, int]
    graph: ClosureGraph | None = None

    @property
    def untold_layer_count(self) -> int:
        """How many layers do not tell which store paths they hold."""
        return sum(layer.paths is None for layer in self.layers)

    @property
    def nar_size_bytes(self) -> int:
        """The size of all store paths, before compression."""
        return sum(self.nar_sizes_bytes.values())


def contents_of_stored(image: StoredImage, *, title: str) -> Contents:
    """Return what an image that lies somewhere tells of itself.

    Raises `InputError`: an annotation of ours is malformed.
    """
    told = [LayerAnnotations.parse(layer.annotations) for layer in image.layers]
    config = {key: image.config.get(key) for key in ("architecture", "os", "created")}
    return Contents(
        title=title,
        config={**(image.config.get("config") or {}), **config},
        layers=tuple(map(_stored_layer, image.layers, told)),
        nar_sizes_bytes={
            path: size for each in told for path, size in each.nar_sizes_bytes.items()
        },
    )


def _stored_layer(layer: StoredLayer, told: LayerAnnotations) -> LayerContents:
    names = (told.key, layer.digest, layer.diff_id)
    # The Nix database has a key and holds no path.
    is_told = bool(told.nar_sizes_bytes) or told.key is not None
    return LayerContents(
        names=frozenset(str(name) for name in names if name is not None),
        size_bytes=layer.size_bytes,
        reason=layer.comment,
        paths=tuple(sorted(told.nar_sizes_bytes)) if is_told else None,
    )


def compressions_of(image: StoredImage) -> frozenset[str | None]:
    """Return how the layers of an image are compressed, by identity; None is not at all."""
    told = (LayerAnnotations.parse(layer.annotations) for layer in image.layers)
    return frozenset(each.compression_identity for each in told if each.key is not None)


def contents_of_plan(
    description: ImageDescription,
    plan: LayerPlan,
    base: BaseImage | None,
    *,
    title: str,
    compressions: Iterable[str | None] = (None,),
) -> Contents:
    """Return what an image will hold; `compressions` are those that its layers may be sent with.

    A compressor that is not here, in that version, would make other bytes: its layers are unknown.
    """
    keys = _keys(plan, compressions)
    layers = (
        [] if base is None else [_base_layer(base, number) for number in range(len(base.layers))]
    )
    layers += map(_planned_layer, plan.layers, keys)
    if plan.nix_database is not None:
        layers.append(
            LayerContents(names=keys[-1], size_bytes=0, reason=NIX_DATABASE_REASON, paths=())
        )
    return Contents(
        title=title,
        config={
            **description.config,
            "architecture": description.platform.architecture,
            "os": description.platform.os,
            "created": description.created,
        },
        layers=tuple(layers),
        nar_sizes_bytes={
            planned.info.path: planned.info.nar_size_bytes
            for layer in plan.layers
            for planned in layer.paths
        },
        graph=description.closure,
    )


def _keys(plan: LayerPlan, compressions: Iterable[str | None]) -> list[frozenset[str]]:
    """Return for each layer of a plan, and the Nix database, the keys that it may have."""
    found: list[set[str]] = [set() for _ in recipes_of_plan(plan, None)]
    for identity in compressions:
        try:
            compression = Compression.of_identity(identity)
        except InputError:
            continue
        for keys, recipe in zip(found, recipes_of_plan(plan, compression), strict=True):
            keys.add(str(recipe.key))
    return [frozenset(keys) for keys in found]


def _planned_layer(layer: PlannedLayer, keys: frozenset[str]) -> LayerContents:
    return LayerContents(
        names=keys,
        size_bytes=layer.nar_size_bytes,
        reason=layer.reason,
        paths=tuple(sorted({planned.info.path for planned in layer.paths})),
    )


def _base_layer(base: BaseImage, number: int) -> LayerContents:
    layer = base.layers[number]
    names = (layer.digest, layer.diff_id)
    return LayerContents(
        names=frozenset(str(name) for name in names if name is not None),
        size_bytes=layer.size_bytes,
        reason="of the base image",
        paths=None,
    )
