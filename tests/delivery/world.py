"""A store of plain files, a cache, and a place for images: what a delivery needs, without Nix."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from fake_store import FakeStore, Listener, one_layer_each
from nixbridge.containers.container import remove_tree
from nixbridge.delivery import Delivery, PackOptions, deliver_image
from nixbridge.description import NixDatabaseRequest
from nixbridge.destinations import Access, Destination, parse_destination
from nixbridge.destinations.stored_image import Inspectable, StoredImage
from nixbridge.image import BaseImage
from nixbridge.layering import LayerPlan
from nixbridge.packing import Compression, LayerCache


def stored(text: str) -> StoredImage:
    destination = parse_destination(text)
    assert isinstance(destination, Inspectable)
    return destination.inspect(Access())


class World:
    """A store, a cache and a place for images, in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = FakeStore(directory / "root")
        self.listener = Listener()
        self.layout = directory / "out"
        self.workers = 1

    @property
    def cache(self) -> LayerCache:
        return LayerCache(self.directory / "layers.sqlite", warn=self.listener.warn)

    def deliver(
        self,
        layer_plan: LayerPlan,
        *destinations: str | Destination,
        compression: str = "none",
        with_cache: bool = True,
        checks_contents: bool = False,
        base: BaseImage | None = None,
        believed: Sequence[StoredImage] = (),
    ) -> Delivery:
        infos = {path.info.path: path.info for each in layer_plan.layers for path in each.paths}
        return deliver_image(
            dataclasses.replace(self.store.describe(list(infos.values())), base=base),
            layer_plan,
            [
                parse_destination(each) if isinstance(each, str) else each
                for each in destinations or (f"oci:{self.layout}:x",)
            ],
            PackOptions(
                compression=Compression.parse(compression),
                cache=self.cache if with_cache else None,
                believed=tuple(believed),
                checks_contents=checks_contents,
                workers=self.workers,
            ),
            self.listener,
            Access(),
        )

    def lose_store(self) -> None:
        """Take all files away: whoever looks at one now fails."""
        remove_tree(self.directory / "root")

    def sample(self) -> LayerPlan:
        return dataclasses.replace(
            one_layer_each(
                self.store.add("one", {"bin": {"one": (b"1" * 70_000, True)}}),
                self.store.add("two", {"lib": {"two": (b"2", False), "link": "two"}}),
            ),
            nix_database=NixDatabaseRequest(),
        )
