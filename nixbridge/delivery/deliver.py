"""Deliver an image: to several destinations at the same time, each layer read once at the most."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nixbridge.delivery.claims import read_claims
from nixbridge.delivery.events import DeliveredLayer, DeliveryListener
from nixbridge.delivery.known import Known, find_known
from nixbridge.delivery.layers import Described, layers_of
from nixbridge.delivery.run import Run
from nixbridge.destinations import Access, Destination
from nixbridge.destinations.stored_image import StoredImage
from nixbridge.errors import InputError
from nixbridge.image import Image, assemble
from nixbridge.layering import LayerPlan
from nixbridge.packing import Compression, LayerCache


@dataclass(frozen=True, kw_only=True, slots=True)
class PackOptions:
    """How layers are packed: compressed or not, from memory or not, checked or not.

    `believed` are images whose word is taken for the layers that they have in common with ours.
    With `checks_contents` every store path is read and compared with its NAR hash, whatever the
    cache knows and images say. Up to `workers` layers are packed at the same time.
    """

    compression: Compression | None = None
    cache: LayerCache | None = None
    believed: tuple[StoredImage, ...] = ()
    checks_contents: bool = False
    workers: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """An image, its digest references (one for each destination, in their order), its layers."""

    image: Image
    references: tuple[str, ...]
    layers: tuple[DeliveredLayer, ...]
    seconds: float

    @property
    def known_layer_count(self) -> int:
        """How many layers were at all destinations, and not packed."""
        return sum(not layer.is_packed for layer in self.layers)

    @property
    def read_bytes(self) -> int:
        """How much was read of the files in the store, or of the base image."""
        return sum(layer.read_bytes for layer in self.layers)

    @property
    def sent_bytes(self) -> int:
        """How much was sent of layers, to all destinations together."""
        return sum(layer.sent_bytes for layer in self.layers)


def choose_compression(
    destinations: Mapping[str, Destination], text: str | None
) -> Compression | None:
    """Return the compression that the user asks for, else the one that all destinations prefer.

    The destinations are keyed by what the user calls them.

    Raises `InputError`: one takes no compressed layers, and layers are to be compressed; or the
    user says nothing, and they do not prefer the same; or there is no such compressor here.
    """
    if text is None:
        text = _preferred(destinations)
    compression = Compression.parse(text)
    for name, destination in destinations.items():
        if compression is not None and not destination.takes_compressed_layers:
            raise InputError(
                f"`{name}` takes no compressed layers, as its format wants their size first",
                hint="leave out `--compression`, or compress the archive as a whole: "
                "`nixbridge copy SOURCE - | gzip`",
            )
    return compression


def _preferred(destinations: Mapping[str, Destination]) -> str:
    first, *others = (
        (name, destination.default_compression) for name, destination in destinations.items()
    )
    for other in others:
        if other[1] != first[1]:
            takers = [each.takes_compressed_layers for each in destinations.values()]
            kind = next(kind for kind in (first[1], other[1]) if kind != "none")
            ways = f" or `--compression {kind}`" if all(takers) else ""
            raise InputError(
                f"layers go to `{first[0]}` with compression `{first[1]}`, and to `{other[0]}` "
                f"with `{other[1]}`, if nothing else is said",
                hint=f"say what all shall have, `--compression none`{ways}; or deliver with two "
                "commands",
            )
    return first[1]


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
    started = time.monotonic()
    description = described.description
    layers = layers_of(
        described, layer_plan, options.compression, checks_contents=options.checks_contents
    )
    cache = options.cache
    with contextlib.ExitStack() as stack:
        name = f"{description.name}:{description.tag}"
        writers = [
            stack.enter_context(each.open(default_reference=name, access=access))
            for each in destinations
        ]
        run = Run(
            writers,
            listener,
            workers=options.workers,
            remember=(lambda _: None) if cache is None else cache.remember,
        )
        # Also what was learned before a failure is true.
        stack.callback(run.remember)
        known: list[Known | None] = [None] * len(layers)
        if not options.checks_contents:
            claims = read_claims(options.believed, listener.warn)
            known = find_known(layers, cache, claims, listener.warn)
        with run.telling_what_is_published():
            packed = run.write_layers(layers, known)
            image = assemble(description, packed, base=described.base)
            references = run.commit(image)
    return Delivery(
        image=image,
        references=references,
        layers=run.delivered(),
        seconds=time.monotonic() - started,
    )
