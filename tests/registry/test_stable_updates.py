"""Successive pushes of an image that changes: what the registry is sent is what the plan said."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fake_store import FakeStore, Listener
from nixbridge.closure import ClosureGraph, PathInfo
from nixbridge.delivery import Described, Outcome, PackOptions, deliver_image
from nixbridge.description import LayerDescription
from nixbridge.destinations import Access, parse_destination
from nixbridge.image import Image as PackedImage
from nixbridge.layering import PlanOptions, plan_layers
from nixbridge.packing import Compression
from nixbridge.previous import Keeping, read_previous
from nixbridge.report.update import Update
from registry_server import RegistryServer

pytestmark = pytest.mark.tools

PLAIN = Access(verifies_tls=False)

# Name → kilobytes and what it refers to; `-2` and so on is the same package, changed.
Packages = Mapping[str, tuple[int, Sequence[str]]]
FIRST: Packages = {
    "libc": (400, []),
    "tls": (150, ["libc"]),
    "zip": (60, ["libc"]),
    "python": (800, ["libc", "tls", "zip"]),
    "git": (500, ["libc", "zip"]),
    "docs": (300, []),
    "fonts": (250, []),
    "shop": (20, ["python"]),
}


def renamed(packages: Packages, *changed: str) -> Packages:
    """Change packages, and so, as Nix does, all that refer to them."""
    names: dict[str, str] = {}
    for name, (_, references) in packages.items():
        is_new = name in changed or any(other in names for other in references)
        if is_new:
            names[name] = f"{name}'"
    return {
        names.get(name, name): (size, [names.get(one, one) for one in references])
        for name, (size, references) in packages.items()
    }


def life() -> list[Packages]:
    """Return what the image is made of, one update after the other."""
    application = renamed(FIRST, "shop")
    library = renamed(application, "tls")
    (shop,) = (name for name in library if name.startswith("shop"))
    added: Packages = {**library, "jq": (90, ["libc"])}
    return [FIRST, application, library, added, renamed(added, shop), renamed(added, "git", shop)]


@dataclass(frozen=True)
class Push:
    """A version that was pushed, and what was said before of what it would take."""

    reference: str
    image: PackedImage
    sent_bytes: int
    update: Update | None


class Image:
    """An image whose versions are pushed one after the other, planned in one way."""

    def __init__(self, store: FakeStore, registry: RegistryServer, strategy: str) -> None:
        self._store = store
        self._registry = registry
        self._strategy = strategy
        self._pushed = 0
        self._infos: dict[str, PathInfo] = {}

    def _describe(self, packages: Packages) -> Described:
        for name, (kilobytes, _) in packages.items():
            if name not in self._infos:
                # Of its own, so that no image finds layers of another in the registry.
                data = random.Random(f"{self._strategy} {name}").randbytes(kilobytes * 1000)
                self._infos[name] = self._store.add(name.replace("'", "-new"), (data, False))
        infos = [
            replace(
                self._infos[name],
                references=tuple(sorted(self._infos[one].path for one in references)),
            )
            for name, (_, references) in packages.items()
        ]
        described = self._store.describe([])
        description = replace(
            described.description,
            closure=ClosureGraph.of(infos),
            layers=(
                LayerDescription(
                    roots=tuple(info.path for info in infos),
                    max_layers=5,
                    strategy=self._strategy,
                    history={},
                ),
            ),
        )
        return replace(described, description=description)

    def push(self, packages: Packages, *, is_stable: bool) -> Push:
        """Push the next version, and see that the registry is sent what was said."""
        described = self._describe(packages)
        keeping = Keeping()
        if self._pushed:
            name = self._registry.reference(f"{self._strategy}:{self._pushed}")
            keeping = Keeping(previous=[read_previous(name, PLAIN)])
        listener = Listener()
        previous = keeping.plan_for(described.description, listener.warn) if is_stable else None
        layer_plan = plan_layers(described.description, PlanOptions(previous=previous))
        self._pushed += 1
        had = self._registry.blobs()
        delivery = deliver_image(
            described,
            layer_plan,
            [parse_destination(self._registry.reference(f"{self._strategy}:{self._pushed}"))],
            PackOptions(compression=Compression.parse("zlib:1"), believed=keeping.images),
            listener,
            PLAIN,
        )
        sent = {
            number: layer.descriptor.size_bytes
            for number, layer in enumerate(delivery.image.layers, 1)
            if str(layer.descriptor.digest) in self._registry.blobs() - had
        }
        assert [layer.has(Outcome.SENT) for layer in delivery.layers] == [
            number in sent for number in range(1, len(delivery.layers) + 1)
        ]
        update = None
        if keeping.previous:
            update = keeping.update(described.description, None, layer_plan, listener.warn)
            assert set(update.push.numbers) == set(sent)
            # What is random is as large after compression, and so is the estimate.
            assert update.push.stored_size_bytes == pytest.approx(sum(sent.values()), rel=0.02)
        assert listener.warnings == []
        return Push(
            reference=f"{self._registry.host}/{self._strategy}:{self._pushed}",
            image=delivery.image,
            sent_bytes=sum(sent.values()),
            update=update,
        )


def pushed(
    registry: RegistryServer, directory: Path, strategy: str, *, is_stable: bool
) -> list[int]:
    directory.mkdir()
    image = Image(FakeStore(directory), registry, strategy)
    return [image.push(packages, is_stable=is_stable).sent_bytes for packages in life()]


def test_updates_send_what_their_plans_said(
    docker_registry: RegistryServer, tmp_path: Path
) -> None:
    stable = pushed(docker_registry, tmp_path / "stable", "update-cost", is_stable=True)
    popular = pushed(docker_registry, tmp_path / "popular", "popularity", is_stable=False)
    kilobytes = [[round(size / 10_000) * 10 for size in sizes] for sizes in (stable, popular)]
    # First the whole image; then the application; the library with python and the application; jq,
    # which has no room of its own and so goes with the application, and again; git as well.
    assert kilobytes == [
        [2480, 20, 970, 110, 110, 560],
        [2480, 1070, 2020, 1160, 1160, 1160],
    ]
