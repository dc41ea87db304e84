"""Pack store paths once and forget the bytes: `pack_once.py WORKERS ROOT PATH...`.

With no workers all paths become one layer, else each becomes a layer. What is printed is how many
seconds it took, without the start of Python and the imports. A program of its own, so that what
`pack.py` needs is not counted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from nixbridge.closure import NarHash, PathInfo, StorePath, StoreRoot
from nixbridge.layering import PlannedLayer, PlannedPath
from nixbridge.packing import TarSource, Walked, layer_tree, pack_many


class Nowhere:
    """A sink that keeps nothing."""

    def write(self, data: bytes | memoryview, /) -> None:
        """Forget `data`."""


def walk(store: StoreRoot, paths: Sequence[StorePath]) -> Walked:
    """Walk one layer."""
    planned = (
        PlannedPath(
            info=PathInfo(path=path, nar_hash=NarHash("0" * 64), nar_size_bytes=0, references=())
        )
        for path in paths
    )
    layer = PlannedLayer(paths=tuple(planned), reason="benchmark", history={})
    return Walked(tree=layer_tree(layer, store))


def read(_: int, source: TarSource) -> None:
    """Read one layer."""
    source.write_to(Nowhere())


def main() -> None:
    """Do what the command line says."""
    workers, root, *words = sys.argv[1:]
    paths = [StorePath(word) for word in words]
    layers = [[path] for path in paths] if int(workers) else [paths]
    started = time.perf_counter()
    store = StoreRoot(Path(root))
    pack_many([partial(walk, store, layer) for layer in layers], read, workers=int(workers))
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
