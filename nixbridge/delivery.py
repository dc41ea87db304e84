"""Pack the layers of an image into its destinations at the same time, each read once at the most.

A layer that the cache knows, and that a destination has, is neither walked nor read. What is
packed is `packing/`'s, where it goes `destinations/`'s; which layers there are was planned before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

from nixbridge.closure import PathInfo, StoreRoot
from nixbridge.description import ImageDescription
from nixbridge.destinations import (
    Access,
    BlobState,
    Destination,
    ImageWriter,
    LayerLostError,
    LayerSink,
)
from nixbridge.errors import InputError, IntegrityError, PackError
from nixbridge.image import BaseImage, BaseLayer, Image, assemble, nix_database_tree
from nixbridge.layering import NIX_DATABASE_REASON, LayerPlan, PlannedLayer
from nixbridge.oci import BlobDigest, Descriptor
from nixbridge.packing import (
    Compression,
    ContentsCheck,
    LayerBytes,
    LayerCache,
    LayerKey,
    LayerRecipe,
    LayerTree,
    OwnTar,
    PackedLayer,
    Sink,
    TarSource,
    Walked,
    blob_of,
    is_made_by_recipe,
    layer_tree,
    pack_many,
    packed_layer,
    write_blob,
)

# How often a layer is packed once more for a destination that lost it.
_MOST_REWRITES: Final = 3


class DeliveryListener(Protocol):
    """Is told how the delivery goes on."""

    def progress(self, text: str) -> None:
        """Take note of what goes on now; called often."""

    def warn(self, message: str, hint: str | None = None) -> None:
        """Take note of what went wrong and did not stop us."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """An image description, and where the files of the store paths that it names lie.

    `base` is the image of another tool that it builds upon.
    """

    description: ImageDescription
    store: StoreRoot
    base: BaseImage | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackOptions:
    """How layers are packed: compressed or not, from memory or not, checked or not.

    With `checks_contents` every store path is read and compared with its NAR hash, whatever the
    cache knows. Up to `workers` layers are packed at the same time.
    """

    compression: Compression | None = None
    cache: LayerCache | None = None
    checks_contents: bool = False
    workers: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """An image, its digest references (one for each destination, in their order).

    `known_layer_count` counts the layers that were at all destinations, and not packed.
    """

    image: Image
    references: tuple[str, ...]
    known_layer_count: int


def check_destinations(
    destinations: Mapping[str, Destination], compression: Compression | None
) -> None:
    """See that all destinations, by what they are called, can take compressed layers.

    Raises `InputError`: one cannot, and layers are to be compressed.
    """
    for name, destination in destinations.items():
        if compression is not None and not destination.takes_compressed_layers:
            raise InputError(
                f"`{name}` takes no compressed layers, as its format wants their size first",
                hint="leave out `--compression`, or compress the archive as a whole: "
                "`nixbridge copy SOURCE - | gzip`",
            )


def deliver_image(
    described: Described,
    layer_plan: LayerPlan,
    destinations: Sequence[Destination],
    options: PackOptions,
    listener: DeliveryListener,
    access: Access,
) -> Delivery:
    """Write all layers, those of the base image first, and make the image visible everywhere.

    Raises `PackError`, `DestinationError`, `InputError`, `IntegrityError`.
    """
    description, base = described.description, described.base
    layers = _layers(layer_plan, described.store, options.compression)
    if description.is_n2c_exact:
        layers = [replace(layer, history=layer.own_history) for layer in layers]
    with contextlib.ExitStack() as stack:
        name = f"{description.name}:{description.tag}"
        writers = [
            stack.enter_context(each.open(default_reference=name, access=access))
            for each in destinations
        ]
        run = _Run(writers, described.store, options, listener)
        packed = [] if base is None else run.copy(base.layers)
        packed += run.pack(layers)
        image = assemble(description, packed, base=base)
        references = run.commit(image)
    if options.cache is not None:
        options.cache.remember(run.learned)
    return Delivery(image=image, references=references, known_layer_count=run.known_layer_count)


def is_right(recipe: LayerRecipe, known: LayerBytes, store: StoreRoot) -> bool | None:
    """Pack a layer by its recipe, to nowhere, and return whether what is known of it is right.

    None: it cannot be packed, as its store paths are gone or are not what they were (a path that
    was built again may have another NAR hash), as its compressor is of another version now, or as
    it was a base image's.
    """
    try:
        compression = Compression.of_identity(recipe.compression_identity)
        layer, database = recipe.layer(), recipe.nix_database()
        if database is not None:
            tree = nix_database_tree(*database)
            return write_blob(tree, _Nowhere(), compression=compression) == known
        if layer is None:
            return None
        tree, check = layer_tree(layer, store), ContentsCheck(layer, store)
        found = write_blob(tree, _Nowhere(), compression=compression, observer=check)
    except (InputError, IntegrityError, PackError):
        return None
    return found == known if is_made_by_recipe(tree, layer) else None


class _Nowhere:
    def write(self, data: bytes | memoryview, /) -> None:
        pass


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layer:
    """A layer that is about to be delivered; its files are not looked at before `tree`."""

    recipe: LayerRecipe
    key: LayerKey
    tree: Callable[[], LayerTree]
    # None: the layer is no store paths', but the Nix database.
    planned: PlannedLayer | None
    infos: tuple[PathInfo, ...] = ()
    reason: str
    history: Mapping[str, str]
    # What of it the user said.
    own_history: Mapping[str, str]


def _layers(
    layer_plan: LayerPlan, store: StoreRoot, compression: Compression | None
) -> list[_Layer]:
    layers = [_planned_layer(layer, store, compression) for layer in layer_plan.layers]
    request = layer_plan.nix_database
    if request is not None:
        in_store = layer_plan.registered
        recipe = LayerRecipe.of_nix_database(in_store, request, compression)
        layers.append(
            _Layer(
                recipe=recipe,
                key=recipe.key,
                tree=lambda: nix_database_tree(in_store, request),
                planned=None,
                reason=NIX_DATABASE_REASON,
                history={"created_by": "nixbridge", "comment": NIX_DATABASE_REASON},
                own_history={},
            )
        )
    return layers


def _planned_layer(
    layer: PlannedLayer, store: StoreRoot, compression: Compression | None
) -> _Layer:
    recipe = LayerRecipe.of_layer(layer, compression)
    return _Layer(
        recipe=recipe,
        key=recipe.key,
        tree=lambda: layer_tree(layer, store),
        planned=layer,
        # A path may be in a layer twice: in the store, and its files at the root.
        infos=tuple({planned.info.path: planned.info for planned in layer.paths}.values()),
        reason=layer.reason,
        # Whoever looks at the image reads why; a comment of the user's own says it better.
        history={"comment": layer.reason, **layer.history},
        own_history=layer.history,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Errand:
    """A layer with what the cache knows of it, and the writers that have not got its blob."""

    layer: _Layer
    known: LayerBytes | None
    without: Sequence[ImageWriter]


class _Run:
    """One delivery on its way; `learned` is what the cache shall remember of it."""

    def __init__(
        self,
        writers: Sequence[ImageWriter],
        store: StoreRoot,
        options: PackOptions,
        listener: DeliveryListener,
    ) -> None:
        self._writers = writers
        self._store = store
        self._options = options
        self._listener = listener
        self._layer_count = 0
        self._made = _Made()
        self.known_layer_count = 0
        self.learned: dict[LayerRecipe, LayerBytes] = {}

    def copy(self, layers: Sequence[BaseLayer]) -> list[PackedLayer]:
        """Copy the layers of the base image that are not known, or not at all destinations."""
        recipes = [
            None if layer.digest is None else LayerRecipe.of_blob(layer.digest, layer.diff_id)
            for layer in layers
        ]
        known = self._find([recipe.key for recipe in recipes if recipe is not None])
        return [
            self._copy(layer, recipe, None if recipe is None else known.get(recipe.key))
            for layer, recipe in zip(layers, recipes, strict=True)
        ]

    def _copy(
        self, layer: BaseLayer, recipe: LayerRecipe | None, known: LayerBytes | None
    ) -> PackedLayer:
        self._tell("copy", "of the base image")
        without = tuple(self._writers)
        packed = None
        if known is not None:
            packed = layer.packed(known)
            without = self._writers_without(packed.descriptor)
        if packed is None or without:
            tee = _Tee(without, layer.size_bytes)
            known = layer.copy_to(tee)
            packed = layer.packed(known)
            self._made.add(packed, layer.copy_to)
            self._finish(tee, packed)
        else:
            self.known_layer_count += 1
        self._made.add(packed, layer.copy_to)
        for writer in self._writers:
            if writer not in without:
                writer.reuse_layer(packed)
        if recipe is not None and known is not None:
            self.learned[recipe] = known
        return packed

    def pack(self, layers: Sequence[_Layer]) -> list[PackedLayer]:
        """Pack the layers that are not known, or not at all destinations."""
        known = self._find([layer.key for layer in layers])
        errands = [self._errand(layer, known.get(layer.key)) for layer in layers]
        to_write = [errand for errand in errands if errand.without]
        written = iter(
            pack_many(
                [partial(self._walk, errand.layer) for errand in to_write],
                lambda number, source: self._write(to_write[number], source),
                workers=self._options.workers,
                in_order=not all(writer.takes_layers_side_by_side for writer in self._writers),
            )
        )
        return [next(written) if errand.without else self._reuse(errand) for errand in errands]

    def _errand(self, layer: _Layer, known: LayerBytes | None) -> _Errand:
        without = tuple(self._writers)
        if known is not None:
            blob = self._packed(layer, known, key=layer.key).descriptor
            without = self._writers_without(blob)
        return _Errand(layer=layer, known=known, without=without)

    def _find(self, keys: Sequence[LayerKey]) -> Mapping[LayerKey, LayerBytes]:
        cache = self._options.cache
        return {} if cache is None or self._options.checks_contents else cache.find(keys)

    def _writers_without(self, blob: Descriptor) -> tuple[ImageWriter, ...]:
        return tuple(
            writer for writer in self._writers if writer.find_blob(blob) is BlobState.ABSENT
        )

    def _reuse(self, errand: _Errand) -> PackedLayer:
        """Name a layer that all destinations have."""
        known = errand.known
        if known is None:
            raise ValueError(errand)
        packed = self._packed(errand.layer, known, key=errand.layer.key)
        self._made.add(packed, partial(self._make, errand.layer))
        self.known_layer_count += 1
        self.learned[errand.layer.recipe] = known
        for writer in self._writers:
            writer.reuse_layer(packed)
        return packed

    def _walk(self, layer: _Layer) -> Walked:
        """Walk the files of a layer; runs where they will be read, maybe in another process."""
        tree, planned = layer.tree(), layer.planned
        if planned is None:
            return Walked(tree=tree)
        return Walked(
            tree=tree,
            observer=ContentsCheck(planned, self._store) if self._options.checks_contents else None,
            follows_recipe=is_made_by_recipe(tree, planned),
        )

    def _write(self, errand: _Errand, source: TarSource) -> PackedLayer:
        """Write a layer where it is missing; runs in several threads at the same time."""
        layer, known, without = errand.layer, errand.known, errand.without
        self._tell("pack", layer.reason)
        compression = self._options.compression
        size_bytes = source.tar_size_bytes if compression is None else None
        tee = _Tee(without, size_bytes)
        found = blob_of(source, tee, compression=compression)
        if known is not None and found != known:
            self._refuse_difference(
                layer, found, known, is_reused=len(without) < len(self._writers)
            )
        if source.follows_recipe:
            self.learned[layer.recipe] = found
        packed = self._packed(layer, found, key=layer.key if source.follows_recipe else None)
        self._made.add(packed, partial(self._make, layer))
        self._finish(tee, packed)
        for writer in self._writers:
            if writer not in without:
                writer.reuse_layer(packed)
        return packed

    def _finish(self, tee: _Tee, packed: PackedLayer) -> None:
        """Finish a layer, and write it again where it was lost.

        Raises `DestinationError`: it was lost too often.
        """
        tee.finish(packed)
        for writer, loss in tee.lost.items():
            self._write_again(writer, packed, loss)

    def _write_again(self, writer: ImageWriter, packed: PackedLayer, loss: LayerLostError) -> None:
        for _ in range(_MOST_REWRITES):
            # It may be there all the same, when only the answer to its last byte was lost.
            if writer.find_blob(packed.descriptor) is not BlobState.ABSENT:
                writer.reuse_layer(packed)
                return
            try:
                sink = writer.begin_layer(packed.descriptor.size_bytes)
                self._made.write_layer(packed, sink)
                sink.finish(packed)
            except LayerLostError as lost_again:
                loss = lost_again
            else:
                return
        raise loss.error

    def _make(self, layer: _Layer, sink: Sink) -> LayerBytes:
        return blob_of(OwnTar(self._walk(layer)), sink, compression=self._options.compression)

    def commit(self, image: Image) -> tuple[str, ...]:
        """Publish the image everywhere, where it is likeliest to fail first.

        Raises `DestinationError`.
        """
        references: dict[int, str] = {}
        in_order = sorted(enumerate(self._writers), key=lambda each: each[1].publishes_by_renaming)
        for number, writer in in_order:
            references[number] = writer.commit(image, self._made)
        return tuple(references[number] for number in range(len(self._writers)))

    def _refuse_difference(
        self, layer: _Layer, found: LayerBytes, known: LayerBytes, *, is_reused: bool
    ) -> None:
        """Warn that the cache was wrong.

        Raises `IntegrityError`: a destination relied on it.
        """
        message = (
            f"the layer cache knows a layer ({layer.reason}) as `{known.blob_digest}`, and packing "
            f"it gives `{found.blob_digest}`"
        )
        if is_reused:
            raise IntegrityError(
                message, hint="find out which is right: `nixbridge cache verify`, then run it again"
            )
        self._listener.warn(message, "find out which is right: `nixbridge copy --check-contents`")

    def _packed(self, layer: _Layer, known: LayerBytes, *, key: LayerKey | None) -> PackedLayer:
        return packed_layer(
            known,
            key=key,
            compression=self._options.compression,
            infos=layer.infos,
            reason=layer.reason,
            history=layer.history,
        )

    def _tell(self, verb: str, reason: str) -> None:
        self._layer_count += 1
        self._listener.progress(f"  {verb:<9} layer {self._layer_count}: {reason}")


class _Made:
    """How each layer can be made once more."""

    def __init__(self) -> None:
        self._make: dict[BlobDigest, Callable[[Sink], LayerBytes]] = {}

    def add(self, layer: PackedLayer, make: Callable[[Sink], LayerBytes]) -> None:
        """Take note of how a layer is made."""
        self._make[layer.descriptor.digest] = make

    def write_layer(self, layer: PackedLayer, sink: Sink) -> None:
        """Make the blob of a layer once more.

        Raises `PackError`, `InputError`; `IntegrityError`: it has not the digest that it should.
        """
        found = self._make[layer.descriptor.digest](sink)
        if found.blob_digest != layer.descriptor.digest:
            raise IntegrityError(
                f"a layer ({layer.reason}) is `{layer.descriptor.digest}`, and packing it once "
                f"more gives `{found.blob_digest}`",
                hint="did its files change, or was what is known of it wrong? run it again with "
                "`--check-contents`",
            )


class _Tee:
    """A sink that hands what it gets to a layer's sinks, as long as they do not lose it."""

    def __init__(self, writers: Sequence[ImageWriter], size_bytes: int | None) -> None:
        self.lost: dict[ImageWriter, LayerLostError] = {}
        self._sinks: dict[ImageWriter, LayerSink] = {}
        for writer in writers:
            with self._noticing_loss(writer):
                self._sinks[writer] = writer.begin_layer(size_bytes)

    def write(self, data: bytes | memoryview, /) -> None:
        for writer, sink in tuple(self._sinks.items()):
            with self._noticing_loss(writer):
                sink.write(data)

    def finish(self, layer: PackedLayer) -> None:
        """Finish the layer where it was not lost."""
        for writer, sink in tuple(self._sinks.items()):
            with self._noticing_loss(writer):
                sink.finish(layer)

    @contextlib.contextmanager
    def _noticing_loss(self, writer: ImageWriter) -> Iterator[None]:
        try:
            yield
        except LayerLostError as loss:
            self._sinks.pop(writer, None)
            self.lost[writer] = loss
