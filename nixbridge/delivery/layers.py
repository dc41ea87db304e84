"""`Layer`: a layer that is about to be delivered; its files are not looked at before it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from nixbridge.closure import PathInfo, StoreRoot
from nixbridge.description import ImageDescription
from nixbridge.image import BaseImage, BaseLayer, nix_database_tree
from nixbridge.layering import NIX_DATABASE_REASON, LayerPlan, PlannedLayer
from nixbridge.packing import (
    Compression,
    ContentsCheck,
    LayerAnnotations,
    LayerBytes,
    LayerRecipe,
    LayerTree,
    OwnTar,
    PackedLayer,
    Sink,
    Walked,
    blob_of,
    is_made_by_recipe,
    layer_tree,
    packed_layer,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """An image description, and where the files of the store paths that it names lie.

    `base` is the image of another tool that it builds upon.
    """

    description: ImageDescription
    store: StoreRoot
    base: BaseImage | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Making:
    """What came of making a blob, and how much of other files was read for it."""

    bytes: LayerBytes
    read_bytes: int


class Layer(Protocol):
    """What all layers have in common."""

    @property
    def recipe(self) -> LayerRecipe | None:
        """What its bytes are a function of; None is not known."""

    @property
    def reason(self) -> str:
        """Why it is a layer, in words."""

    @property
    def size_bytes(self) -> int:
        """About how large it is, known without reading a file."""

    def packed(self, known: LayerBytes, *, follows_recipe: bool) -> PackedLayer:
        """Return the layer as a part of the image, with these bytes."""

    def make(self, sink: Sink) -> Making:
        """Write its blob to `sink`, in this thread.

        Raises `PackError`, `InputError`, `IntegrityError`.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreLayer:
    """A layer of store paths, or (`planned` is None) of the Nix database."""

    recipe: LayerRecipe
    tree: Callable[[], LayerTree]
    planned: PlannedLayer | None
    store: StoreRoot
    compression: Compression | None
    checks_contents: bool
    reason: str
    history: Mapping[str, str]
    infos: tuple[PathInfo, ...] = field(default=())

    @property
    def size_bytes(self) -> int:
        """The size of its paths; the database has next to none."""
        return 0 if self.planned is None else self.planned.nar_size_bytes

    def packed(self, known: LayerBytes, *, follows_recipe: bool) -> PackedLayer:
        """Return the layer as a part of the image, with these bytes."""
        return packed_layer(
            known,
            key=self.recipe.key if follows_recipe else None,
            compression=self.compression,
            infos=self.infos,
            reason=self.reason,
            history=self.history,
        )

    def walk(self) -> Walked:
        """Walk its files; runs where they will be read, maybe in another process.

        Raises `PackError`, `InputError`.
        """
        tree, planned = self.tree(), self.planned
        if planned is None:
            return Walked(tree=tree)
        return Walked(
            tree=tree,
            observer=ContentsCheck(planned, self.store) if self.checks_contents else None,
            follows_recipe=is_made_by_recipe(tree),
        )

    def make(self, sink: Sink) -> Making:
        """Write its blob to `sink`, in this thread.

        Raises `PackError`, `InputError`, `IntegrityError`.
        """
        tar = OwnTar(self.walk())
        found = blob_of(tar, sink, compression=self.compression)
        return Making(bytes=found, read_bytes=tar.contents_size_bytes)


@dataclass(frozen=True, kw_only=True, slots=True)
class CopiedLayer:
    """A layer of the base image, whose blob is taken as it is."""

    base: BaseLayer

    @property
    def recipe(self) -> LayerRecipe | None:
        """The blob itself, where its digest is known before it is read."""
        if self.base.digest is None:
            return None
        return LayerRecipe.of_blob(self.base.digest, self.base.diff_id)

    @property
    def reason(self) -> str:
        """Why it is a layer, in words."""
        return "of the base image"

    @property
    def size_bytes(self) -> int:
        """The size of its blob."""
        return self.base.size_bytes

    def packed(self, known: LayerBytes, *, follows_recipe: bool) -> PackedLayer:  # noqa: ARG002
        """Return the layer as a part of the image, with these bytes."""
        packed = self.base.packed(known)
        if self.recipe is None:
            return packed
        annotations = LayerAnnotations(key=self.recipe.key, tar_size_bytes=known.tar_size_bytes)
        return replace(
            packed, descriptor=replace(packed.descriptor, annotations=annotations.to_oci())
        )

    def make(self, sink: Sink) -> Making:
        """Copy its blob to `sink`, in this thread.

        Raises `IntegrityError`: it is not what manifest or config say.
        """
        return Making(bytes=self.base.copy_to(sink), read_bytes=self.base.size_bytes)


def layers_of(
    described: Described,
    layer_plan: LayerPlan,
    compression: Compression | None,
    *,
    checks_contents: bool,
) -> list[CopiedLayer | StoreLayer]:
    """Return the layers of an image from bottom to top, those of the base image first."""
    store, base = described.store, described.base
    copied = () if base is None else base.layers
    layers: list[CopiedLayer | StoreLayer] = [CopiedLayer(base=layer) for layer in copied]
    for planned in layer_plan.layers:
        # Whoever looks at the image reads why; a comment of the user's own says it better.
        own = planned.history
        layers.append(
            StoreLayer(
                recipe=LayerRecipe.of_layer(planned, compression),
                tree=lambda planned=planned: layer_tree(planned, store),  # type: ignore[misc]
                planned=planned,
                store=store,
                compression=compression,
                checks_contents=checks_contents,
                reason=planned.reason,
                history=own
                if described.description.is_n2c_exact
                else {"comment": planned.reason, **own},
                # A path may be in a layer twice: in the store, and its files at the root.
                infos=tuple({each.info.path: each.info for each in planned.paths}.values()),
            )
        )
    if layer_plan.nix_database is not None:
        layers.append(_database_layer(described, layer_plan, compression))
    return layers


def _database_layer(
    described: Described, layer_plan: LayerPlan, compression: Compression | None
) -> StoreLayer:
    request = layer_plan.nix_database
    if request is None:
        raise ValueError(layer_plan)
    in_store = layer_plan.registered
    is_n2c_exact = described.description.is_n2c_exact
    return StoreLayer(
        recipe=LayerRecipe.of_nix_database(in_store, request, compression),
        tree=lambda: nix_database_tree(in_store, request),
        planned=None,
        store=described.store,
        compression=compression,
        checks_contents=False,
        reason=NIX_DATABASE_REASON,
        history={} if is_n2c_exact else {"created_by": "nixbridge", "comment": NIX_DATABASE_REASON},
    )
