"""How fast layers are packed, beside others that make a tar and its digest: `make bench`.

Each subject reads the same files, in one process of its own, several rounds in turn, so that a
noisy machine disturbs all of them alike; the best time of each counts. What is claimed are the
ratios. The table goes to stdout, the figures to `benchmarks/results/pack.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nixbridge.closure import NarHash, PathInfo, StorePath, StoreRoot
from nixbridge.layering import PlannedLayer, PlannedPath
from nixbridge.packing import pack_layer
from nixbridge.report.table import format_size, format_table

RESULTS: Final = Path(__file__).parent / "results" / "pack.json"
HASH_PART: Final = "0" * 32
LARGE_FILES: Final = 4
LARGE_FILE_BYTES: Final = 256 << 20
SMALL_FILES: Final = 60_000
SMALL_FILE_BYTES: Final = 4_000
FILES_A_DIRECTORY: Final = 300
MIB: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Case:
    """Store paths below `root`."""

    name: str
    root: Path
    paths: tuple[StorePath, ...]

    @property
    def places(self) -> list[str]:
        """The same paths as an ordinary program is told of them, from `root`."""
        return [str(path).lstrip("/") for path in self.paths]

    def size_bytes(self) -> int:
        """The sum of the sizes of the files."""
        return sum(
            os.lstat(os.path.join(directory, name)).st_size  # noqa: PTH118 - 60,000 of them
            for place in self.places
            for directory, _, names in os.walk(self.root / place)
            for name in names
        )


class Null:
    """A sink that keeps nothing."""

    def write(self, data: bytes | memoryview, /) -> None:
        """Forget `data`."""


def pack_with_nixbridge(case: Case) -> None:
    """Pack the paths as one layer."""
    infos = (
        PathInfo(path=path, nar_hash=NarHash("0" * 64), nar_size_bytes=0, references=())
        for path in case.paths
    )
    layer = PlannedLayer(
        paths=tuple(PlannedPath(info=info) for info in infos), reason="benchmark", history={}
    )
    pack_layer(layer, StoreRoot(case.root), Null())


PYTHON_TARFILE: Final = """
import hashlib, sys, tarfile
class Hash:
    def __init__(self): self.sha256 = hashlib.sha256()
    def write(self, data): self.sha256.update(data); return len(data)
with tarfile.open(fileobj=Hash(), mode="w|", format=tarfile.GNU_FORMAT) as tar:
    for place in sys.argv[1:]:
        tar.add(place)
"""


def subjects() -> dict[str, Callable[[Case], Sequence[str]]]:
    """Return the commands that are compared, each as a process of its own."""
    return {
        "nixbridge": lambda case: (
            sys.executable,
            __file__,
            "--pack",
            str(case.root),
            *map(str, case.paths),
        ),
        "GNU tar | openssl": lambda case: (
            "sh",
            "-c",
            'tar --create --sort=name --format=gnu "$@" | openssl dgst -sha256',
            "tar",
            *case.places,
        ),
        "Python tarfile": lambda case: (sys.executable, "-c", PYTHON_TARFILE, *case.places),
    }


def run(argv: Sequence[str], case: Case) -> tuple[float, int]:
    """Return the seconds that a command took, and the most memory in bytes that it used."""
    started = time.perf_counter()
    with subprocess.Popen(argv, cwd=case.root, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{argv[0]} failed with status {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024


def sha256_rate() -> float:
    """Return the bytes a second that one core hashes, as `openssl speed` measures it."""
    words = subprocess.run(
        ["openssl", "speed", "-seconds", "1", "-bytes", str(MIB), "-evp", "sha256"],
        check=True,
        capture_output=True,
        text=True,
    )
    match = re.search(r"([\d.]+)k\s*$", words.stdout)
    if match is None:
        raise SystemExit("openssl speed prints something that is not understood")
    return float(match[1]) * 1000


def make_cases(scratch: Path, *, scale: float) -> list[Case]:
    """Write the files of the synthetic cases; what they hold does not compress."""
    large, small = (StorePath(f"/nix/store/{HASH_PART}-{name}") for name in ("large", "small"))
    block = os.urandom(MIB)
    for number in range(LARGE_FILES):
        place = scratch / str(large).lstrip("/") / f"file{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            for _ in range(int(LARGE_FILE_BYTES * scale) // MIB):
                file.write(block)
    for number in range(int(SMALL_FILES * scale)):
        directory = f"directory{number // FILES_A_DIRECTORY}"
        place = scratch / str(small).lstrip("/") / directory / f"file{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(block[number : number + SMALL_FILE_BYTES])
    return [
        Case(name="few large files", root=scratch, paths=(large,)),
        Case(name="many small files", root=scratch, paths=(small,)),
    ]


def image_case() -> Case:
    """Return the closure of the repository's own image."""
    command = [sys.executable, "-m", "nixbridge", "closure", "--json", "--quiet"]
    document = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    paths = tuple(StorePath(entry["path"]) for entry in document["paths"])
    return Case(name="own image", root=Path("/"), paths=paths)


def measure(case: Case, rounds: int) -> dict[str, dict[str, float]]:
    """Return seconds and memory of each subject: the best of `rounds`, taken in turn."""
    figures: dict[str, dict[str, float]] = {}
    for _ in range(rounds + 1):  # the first round fills the page cache, and may lose by it
        for name, command in subjects().items():
            seconds, memory_bytes = run(command(case), case)
            best = figures.setdefault(name, {"seconds": seconds, "memory_bytes": memory_bytes})
            best["seconds"] = min(best["seconds"], seconds)
            best["memory_bytes"] = max(best["memory_bytes"], memory_bytes)
    return figures


def table(results: Mapping[str, Mapping[str, Mapping[str, float]]], rate: float) -> str:
    """Write the figures with their ratios."""
    rows = []
    for case, figures in results.items():
        size_bytes = figures["nixbridge"]["size_bytes"]
        for name in subjects():
            seconds = figures[name]["seconds"]
            rows.append(
                (
                    case,
                    name,
                    f"{seconds:.2f}",
                    f"{format_size(size_bytes / seconds)}/s",
                    f"{size_bytes / seconds / rate:.2f}",
                    f"{seconds / figures['nixbridge']['seconds']:.2f}",
                    format_size(figures[name]["memory_bytes"]),
                )
            )
    header = ("CASE", "SUBJECT", "SECONDS", "SPEED", "OF SHA-256", "TIMES NIXBRIDGE", "MEMORY")
    return format_table(header, rows, right=frozenset({2, 3, 4, 5, 6}))


def main() -> None:
    """Measure, print the table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the synthetic cases")
    parser.add_argument("--pack", nargs="+", metavar="WORD", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pack:
        root, *paths = options.pack
        pack_with_nixbridge(
            Case(name="", root=Path(root), paths=tuple(StorePath(path) for path in paths))
        )
        return
    rate = sha256_rate()
    results: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="nixbridge-bench-") as scratch:
        for case in (*make_cases(Path(scratch), scale=options.scale), image_case()):
            results[case.name] = measure(case, options.rounds)
            for figures in results[case.name].values():
                figures["size_bytes"] = case.size_bytes()
    print(table(results, rate))
    print(f"SHA-256 on one core, by openssl: {format_size(rate)}/s")
    RESULTS.parent.mkdir(exist_ok=True)
    document = {"version": 1, "sha256_bytes_per_second": rate, "cases": results}
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
