"""A Nix store made of plain files below a temporary directory, for tests that need no Nix.

Its paths have the modes that Nix gives, and their true NAR hashes, by a serialiser of this module's
own, which a test compares with `nix-store --dump`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from nixbridge.closure import ClosureGraph, NarHash, PathInfo, StorePath, StoreRoot
from nixbridge.containers.container import remove_tree
from nixbridge.delivery import DeliveryEvent, Described
from nixbridge.description import ImageDescription
from nixbridge.layering import LayerPlan, PlannedLayer, PlannedPath
from nixbridge.oci import Platform

# A directory, a file (contents, executable), or a link.
Node: TypeAlias = "dict[str, Node] | tuple[bytes, bool] | str"


@contextlib.contextmanager
def directory_for_a_store() -> Iterator[Path]:
    """A directory that is removed with the read-only ones in it, also for an ordinary user."""
    directory = Path(tempfile.mkdtemp())
    try:
        yield directory
    finally:
        remove_tree(directory)


def make(place: Path, node: Node) -> None:
    """Make files as Nix would leave them."""
    if isinstance(node, str):
        place.symlink_to(node)
    elif isinstance(node, tuple):
        place.write_bytes(node[0])
        place.chmod(0o555 if node[1] else 0o444)
    else:
        place.mkdir()
        for name, inner in node.items():
            make(place / name, inner)
        place.chmod(0o555)


def nar(place: Path) -> bytes:
    """Serialise a file as the manual has it: recursively, all in memory."""

    def word(text: bytes) -> bytes:
        return len(text).to_bytes(8, "little") + text + bytes(-len(text) % 8)

    def node(path: bytes) -> bytes:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            inner = word(b"symlink") + word(b"target") + word(os.readlink(path))  # noqa: PTH115 - bytes
        elif stat.S_ISREG(mode):
            executable = word(b"executable") + word(b"") if mode & 0o100 else b""
            contents = Path(os.fsdecode(path)).read_bytes()
            inner = word(b"regular") + executable + word(b"contents") + word(contents)
        else:
            inner = word(b"directory") + b"".join(
                b"".join(map(word, (b"entry", b"(", b"name", name, b"node")))
                + node(path + b"/" + name)
                + word(b")")
                for name in sorted(os.listdir(path))  # noqa: PTH208 - bytes
            )
        return word(b"(") + word(b"type") + inner + word(b")")

    return word(b"nix-archive-1") + node(os.fsencode(place))


def _store_path(name: str) -> StorePath:
    return StorePath.parse(f"/nix/store/{'0' * 32}-{name}")


@dataclass(frozen=True)
class FakeStore:
    directory: Path

    @property
    def root(self) -> StoreRoot:
        return StoreRoot(self.directory)

    def place(self, info: PathInfo) -> Path:
        return self.root.locate(info.path)

    def add(self, name: str, node: Node) -> PathInfo:
        """Make a store path; one of the same name must not be there."""
        place = self.root.locate(_store_path(name))
        place.parent.mkdir(parents=True, exist_ok=True)
        make(place, node)
        return self.info(name)

    def has(self, name: str) -> bool:
        """Return whether a store path was made."""
        return os.path.lexists(self.root.locate(_store_path(name)))

    def info(self, name: str) -> PathInfo:
        """Return what Nix would know of a store path that was made."""
        path = _store_path(name)
        data = nar(self.root.locate(path))
        return PathInfo(
            path=path,
            nar_hash=NarHash(hashlib.sha256(data).hexdigest()),
            nar_size_bytes=len(data),
            references=(),
        )

    def describe(self, infos: list[PathInfo]) -> Described:
        description = ImageDescription(
            name="shop",
            tag="1",
            platform=Platform(architecture="amd64"),
            created="1970-01-01T00:00:01Z",
            config={},
            annotations={},
            layers=(),
            nix_database=None,
            closure=ClosureGraph.of(infos),
        )
        return Described(description=description, store=self.root)


def planned(*paths: PathInfo | PlannedPath, reason: str = "a test") -> PlannedLayer:
    return PlannedLayer(
        paths=tuple(
            path if isinstance(path, PlannedPath) else PlannedPath(info=path) for path in paths
        ),
        reason=reason,
        history={},
    )


def one_layer_each(*infos: PathInfo) -> LayerPlan:
    return LayerPlan(layers=tuple(planned(info, reason=info.path.name) for info in infos))


class Listener:
    """Hears what goes on in a delivery."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.events: list[DeliveryEvent] = []

    def on_delivery_event(self, event: DeliveryEvent) -> None:
        self.events.append(event)

    def warn(self, message: str, hint: str | None = None) -> None:  # noqa: ARG002
        self.warnings.append(message)
