"""A closure of 100,000 files, and one of a file of 9 GiB, in the memory that a worker may use."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nixbridge.closure import NarHash, PathInfo, StorePath, StoreRoot
from nixbridge.layering import PlannedLayer, PlannedPath
from nixbridge.packing import layer_tree
from nixbridge.packing.header import DIRECTORY

MEMORY_LIMIT_BYTES = 120_000_000
# So that a million files stay below the limit: Python takes some 30 MB without any.
MEMORY_LIMIT_OF_100_000_FILES_BYTES = 40_000_000
PATHS = tuple(StorePath(f"/nix/store/{number:032}-scale") for number in range(2))

# Packs both paths side by side; the file holds what the second one became, but for its zeros.
PACK = """
import resource, sys
from functools import partial
from pathlib import Path
from nixbridge.closure import NarHash, PathInfo, StorePath, StoreRoot
from nixbridge.layering import PlannedLayer, PlannedPath
from nixbridge.packing import Walked, layer_tree, pack_many

root, target, workers, *paths = sys.argv[1:]

def walk(path):
    info = PathInfo(
        path=StorePath(path), nar_hash=NarHash("0" * 64), nar_size_bytes=1, references=()
    )
    layer = PlannedLayer(paths=(PlannedPath(info=info),), reason="test", history={})
    return Walked(tree=layer_tree(layer, StoreRoot(Path(root))))

class Sparse:
    def __init__(self, file): self.file = file
    def write(self, data):
        if any(memoryview(data)[:4096]) or data[-4096:] != bytes(len(data[-4096:])):
            self.file.write(data)
        else:
            self.file.seek(len(data), 1)

def write(number, source):
    with open(f"{target}{number}", "wb") as file:
        digest = source.write_to(Sparse(file))
        file.truncate()
    return digest

digests = pack_many([partial(walk, path) for path in paths], write, workers=int(workers))
print(*(digest.hex for digest in digests))
for line in Path("/proc/self/status").read_text().splitlines():
    if line.startswith("VmHWM"):
        print(line.split()[1])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder where a file with holes costs nothing: in memory, where there is such."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


def pack(folder: Path, workers: int, limit_bytes: int) -> list[str]:
    """Pack `PATHS` below `folder` into `layer0` and `layer1`; return the digests."""
    words = (folder, folder / "layer", workers, *PATHS)
    printed = subprocess.run(
        [sys.executable, "-c", PACK, *map(str, words)], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    for kib in printed[1:]:
        assert int(kib) << 10 < limit_bytes
    return printed[0].split()


@pytest.mark.tools
def test_file_of_9_gib(folder: Path, require_tool: Callable[[str], str]) -> None:
    for path in PATHS:
        place = StoreRoot(folder).locate(path)
        place.mkdir(parents=True)
        with (place / "file").open("wb") as file:
            file.truncate(9 << 30 if path is PATHS[1] else 1)
        (place / "file").chmod(0o444)
        place.chmod(0o555)
    digests = pack(folder, 2, MEMORY_LIMIT_BYTES)
    # What nix2container makes of it, at 20d3395.
    assert digests[1] == "6ca43357b87c991d56da600664b5e9e01e95e3d15e0e8f58c9638a9f9f9c3585"
    layer = folder / "layer1"
    assert layer.stat().st_size == 9663681024
    for tool in ("tar", "bsdtar"):
        listing = subprocess.run(
            [require_tool(tool), "-t", "-v", "-f", str(layer)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        assert f" {9 << 30} " in listing[-1]
    with tarfile.open(layer) as archive:
        assert archive.getmembers()[-1].size == 9 << 30


@pytest.mark.parametrize("workers", [1, 2])
def test_100_000_files(folder: Path, workers: int) -> None:
    for path in PATHS:
        for directory in range(100):
            place = StoreRoot(folder).locate(path) / f"directory{directory}"
            place.mkdir(parents=True)
            for number in range(1000 if path is PATHS[1] else 1):
                (place / f"file{number}").touch()
    pack(folder, workers, MEMORY_LIMIT_OF_100_000_FILES_BYTES)
    with tarfile.open(f"{folder}/layer1") as archive:
        assert sum(member.isfile() for member in archive) == 100_000


@pytest.mark.parametrize(
    ("directories", "files", "most_bytes_a_file"),
    # Names of 10 bytes. What a directory takes is a file's here, where each has one.
    [(1, 100_000, 80), (10_000, 10_000, 650)],
)
def test_what_is_kept_of_a_file(
    folder: Path, directories: int, files: int, most_bytes_a_file: int
) -> None:
    store = StoreRoot(folder)
    root = store.locate(PATHS[0])
    names = [
        f"{number % directories:05}/{'link' if number % 10 == 7 else 'file'}{number:06}"
        for number in range(files)
    ]
    for directory in range(directories):
        (root / f"{directory:05}").mkdir(parents=True)
    for name in names:
        place = Path(f"{root}/{name}")
        if "link" in name:
            place.symlink_to(name)
        else:
            place.write_bytes(name.encode())
    info = PathInfo(path=PATHS[0], nar_hash=NarHash("0" * 64), nar_size_bytes=1, references=())
    layer = PlannedLayer(paths=(PlannedPath(info=info),), reason="test", history={})
    expected = iter(sorted(names, key=lambda name: name.split("/")))
    tracemalloc.start()
    try:
        tree = layer_tree(layer, store)
        found = 0
        for entry in tree.entries():
            if entry.kind == DIRECTORY:
                continue
            name = next(expected)
            assert entry.name.decode() == f"{PATHS[0]}/{name}"
            assert entry.link_target.decode() == (name if "link" in name else "")
            assert entry.size_bytes == (0 if "link" in name else len(name))
            found += 1
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == files
    assert most_bytes < most_bytes_a_file * files
