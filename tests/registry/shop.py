"""An image of a small store that is delivered as `nixbridge copy` does it, and again, changed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from fake_store import FakeStore, Listener, one_layer_each
from nixbridge.closure import PathInfo
from nixbridge.delivery import Delivery, PackOptions, deliver_image
from nixbridge.destinations import Access, parse_destination
from nixbridge.destinations.patience import Patience
from nixbridge.destinations.registry import Registry
from nixbridge.packing import Compression, LayerCache

PLAIN = Access(verifies_tls=False, option_prefix="--dest-")
# A small layer is kept and sent at once, a large one in pieces (see the fixture `small_pieces`).
SMALL_BYTES, LARGE_BYTES = 2_000, 300_000


@dataclass
class Waits:
    """What was waited for; nobody waits."""

    seconds: list[float] = field(default_factory=list)

    @property
    def patience(self) -> Patience:
        return Patience(
            wait_for=lambda _, seconds: self.seconds.append(seconds),
            chance=lambda: 0.0,
            connect_seconds=2,
            answer_seconds=1,
            complete_seconds=1,
        )


class Shop:
    """A store with some paths, each of which becomes a layer."""

    def __init__(
        self, directory: Path, sizes: tuple[int, ...] = (SMALL_BYTES, LARGE_BYTES)
    ) -> None:
        self.store = FakeStore(directory / "root")
        self.directory = directory
        self.waits = Waits()
        self.listener = Listener()
        self.infos = [self.add(f"path-{number}", size) for number, size in enumerate(sizes)]

    def add(self, name: str, size_bytes: int) -> PathInfo:
        """Make a store path, unless an earlier run made it."""
        if self.store.has(name):
            return self.store.info(name)
        return self.store.add(name, (random.Random(name).randbytes(size_bytes), False))

    @property
    def cache(self) -> LayerCache:
        return LayerCache(self.directory / "layers.sqlite", warn=self.listener.warn)

    def registry(self, reference: str) -> Registry:
        destination = parse_destination(reference)
        assert isinstance(destination, Registry)
        return replace(destination, patience=self.waits.patience)

    def deliver(
        self,
        *references: str,
        access: Access = PLAIN,
        infos: list[PathInfo] | None = None,
        with_cache: bool = False,
        workers: int = 1,
        compression: Compression | None = None,
    ) -> Delivery:
        infos = self.infos if infos is None else infos
        return deliver_image(
            self.store.describe(infos),
            one_layer_each(*infos),
            [self.registry(reference) for reference in references],
            PackOptions(
                cache=self.cache if with_cache else None, workers=workers, compression=compression
            ),
            self.listener,
            access,
        )
