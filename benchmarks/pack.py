"""How fast layers are packed, beside others that make a tar and its digest: `make bench`.

Each subject reads the same files (from the page cache), is a process of its own, and forgets what
it makes, but for its digest. They take turns, several rounds, first on one processor, then on all,
so that a noisy machine disturbs all alike; the best time of each counts. Of the Python programs
both times are told: that of the whole process, and that without the start of Python and the
imports. The processor's time (of the whole process, too) is what noise disturbs least. What is
claimed are the ratios. The tables go to stdout, the figures to `results/pack.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nixbridge.closure import StorePath, StoreRoot
from nixbridge.report.table import format_size, format_table

PACK_ONCE: Final = Path(__file__).with_name("pack_once.py")
RESULTS: Final = Path(__file__).parent / "results" / "pack.json"
MIB: Final = 1 << 20
GIB: Final = 1 << 30

LARGE_FILES: Final = 4
LARGE_FILE_BYTES: Final = 256 << 20
SMALL_FILES: Final = 60_000
# As in a Nix store: half of the files are below 3.4 kB, some are much larger. Their sum is 0.9 GB.
MEDIAN_FILE_BYTES: Final = 3_400
SIGMA: Final = 1.8
LARGEST_SMALL_FILE_BYTES: Final = 8 << 20
TINY_FILE_BYTES: Final = 4_000
FILES_A_DIRECTORY: Final = 300

MANY_FILES: Final = 1_000_000
FILES_IN_A_LINKED_DIRECTORY: Final = 1_000
HUGE_FILE_BYTES: Final = 9 * GIB
MEMORY_LIMIT_BYTES: Final = 120_000_000

ONE_LAYER: Final = "nixbridge"
LAYERS: Final = "nixbridge, a layer per path"
GNU_TAR: Final = "GNU tar | openssl"
TARFILE: Final = "Python tarfile"


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

    def count(self) -> tuple[int, int]:
        """Return the number of files, and the sum of their sizes in bytes."""
        sizes_bytes = [
            os.lstat(os.path.join(directory, name)).st_size  # noqa: PTH118 - 60,000 of them
            for place in self.places
            for directory, _, names in os.walk(self.root / place)
            for name in names
        ]
        return len(sizes_bytes), sum(sizes_bytes)


# What is measured.


PYTHON_TARFILE: Final = """
import hashlib, sys, tarfile, time
started = time.perf_counter()
class Hash:
    def __init__(self): self.sha256 = hashlib.sha256()
    def write(self, data): self.sha256.update(data); return len(data)
with tarfile.open(fileobj=Hash(), mode="w|", format=tarfile.GNU_FORMAT) as tar:
    for place in sys.argv[1:]:
        tar.add(place)
print(time.perf_counter() - started)
"""


def own_command(case: Case, workers: int) -> list[str]:
    """Return the command that packs a case with so many workers: without, as one layer."""
    words = (sys.executable, PACK_ONCE, workers, case.root, *case.paths)
    return [str(word) for word in words]


def subjects(case: Case, processors: int, scratch: Path) -> dict[str, list[str]]:
    """Return the commands that are compared, which are run in the case's root."""
    found = {ONE_LAYER: own_command(case, 0)}
    if len(case.paths) > 1:
        found[LAYERS] = own_command(case, processors)
    script = 'tar --create --sort=name --format=gnu "$@" | openssl dgst -sha256'
    found[GNU_TAR] = ["sh", "-c", script, "tar", *case.places]
    found[TARFILE] = [sys.executable, "-c", PYTHON_TARFILE, *case.places]
    return found | nix2container_subjects(case, scratch)


def nix2container_subjects(case: Case, scratch: Path) -> dict[str, list[str]]:
    """Return nix2container and its skopeo, where they are on PATH."""
    nix2container, skopeo = shutil.which("nix2container"), shutil.which("skopeo")
    if nix2container is None:
        return {}
    folder = scratch / "nix2container" / case.name.replace(" ", "-")
    graph, layers, image = folder / "graph.json", folder / "layers.json", folder / "image.json"
    command = [nix2container, "layers-from-reproducible-storepaths", str(layers), str(graph)]
    found = {"nix2container": command}
    if not folder.exists():
        folder.mkdir(parents=True)
        entries = [
            {"path": str(case.root / place), "references": [], "narHash": "", "narSize": 0}
            for place in case.places
        ]
        graph.write_text(json.dumps(entries))
        (folder / "config.json").write_text("{}")
        subprocess.run(command, check=True, capture_output=True)
        make_image = [nix2container, "image", str(image), f"{folder}/config.json", str(layers)]
        subprocess.run(make_image, check=True, capture_output=True)
    if skopeo is not None:
        probe = [skopeo, "--insecure-policy", "inspect", f"nix:{image}"]
        answer = subprocess.run(probe, check=False, capture_output=True, text=True)
        if "unknown transport" not in answer.stderr:
            found["skopeo nix:"] = [
                *("sh", "-c", '"$0" --insecure-policy copy "nix:$1" "dir:$2"; rm -r "$2"'),
                *(skopeo, str(image), str(folder / "copy")),
            ]
    return found


# A process that is made of a large one counts as large itself, so a small one stands between.
MEASURE: Final = """
import json, os, sys, time
started = time.perf_counter()
process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(process, 0)
seconds = time.perf_counter() - started
cpu_seconds = usage.ru_utime + usage.ru_stime
status = os.waitstatus_to_exitcode(status)
print(json.dumps([seconds, cpu_seconds, status, usage.ru_maxrss]), file=sys.stderr)
"""


def run(argv: Sequence[str], folder: Path) -> dict[str, float]:
    """Return the seconds that a command took, what it says itself, and the most memory it used.

    The memory is that of the largest process: the command's own, or one that it waited for.
    """
    command = [sys.executable, "-S", "-E", "-c", MEASURE, *argv]
    result = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    seconds, cpu_seconds, status, memory_kib = json.loads(result.stderr.splitlines()[-1])
    if status != 0:
        raise SystemExit(f"{argv} failed with status {status}: {result.stderr}")
    own = re.fullmatch(r"[\d.e-]+\s*", result.stdout)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "own_seconds": float(result.stdout) if own else seconds,
        "memory_bytes": memory_kib * 1024,
    }


def sha256_rate() -> float:
    """Return the bytes a second that one core hashes, as `openssl speed` measures it."""
    command = ["openssl", "speed", "-seconds", "1", "-bytes", str(MIB), "-evp", "sha256"]
    words = subprocess.run(command, check=True, capture_output=True, text=True)
    match = re.search(r"([\d.]+)k\s*$", words.stdout)
    if match is None:
        raise SystemExit("openssl speed prints something that is not understood")
    return float(match[1]) * 1000


# What it is measured on.


def store_path(name: str) -> StorePath:
    """Return a store path of that name."""
    return StorePath(f"/nix/store/{'0' * 32}-{name}")


def large_files(root: Path, scale: float) -> Case:
    """Write a few large files, in two store paths; what they hold does not compress."""
    paths = (store_path("large-one"), store_path("large-two"))
    block = os.urandom(MIB)
    for number in range(LARGE_FILES):
        place = StoreRoot(root).locate(paths[number % 2]) / f"file{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            for _ in range(int(LARGE_FILE_BYTES * scale) // MIB):
                file.write(block)
    return Case(name="few large files", root=root, paths=paths)


def small_files(root: Path, name: str, sizes_bytes: Iterator[int], count: int) -> Case:
    """Write many small files, in two store paths."""
    word = re.sub(r"[ ,]", "-", name)
    paths = (store_path(f"{word}-one"), store_path(f"{word}-two"))
    block = os.urandom(2 * LARGEST_SMALL_FILE_BYTES)
    for number in range(count):
        folder = StoreRoot(root).locate(paths[number * 2 // count])
        place = folder / f"directory{number // FILES_A_DIRECTORY}" / f"file{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(block[number : number + next(sizes_bytes)])
    return Case(name=name, root=root, paths=paths)


def sizes_as_in_a_store() -> Iterator[int]:
    """Yield the sizes of small files, the same every time."""
    chance = random.Random(4)  # noqa: S311 - not a secret
    while True:
        size_bytes = int(chance.lognormvariate(math.log(MEDIAN_FILE_BYTES), SIGMA))
        yield min(size_bytes, LARGEST_SMALL_FILE_BYTES)


def one_size(size_bytes: int) -> Iterator[int]:
    """Yield one size."""
    while True:
        yield size_bytes


def image_case() -> Case:
    """Return the closure of the repository's own image."""
    command = [sys.executable, "-m", "nixbridge", "closure", "--json", "--quiet"]
    document = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    paths = tuple(StorePath(entry["path"]) for entry in document["paths"])
    return Case(name="own image", root=Path("/"), paths=paths)


def make_cases(scratch: Path, scale: float) -> Iterator[Case]:
    """Write the files of one case after the other; those of the one before are removed."""
    count = int(SMALL_FILES * scale)
    makers: tuple[Callable[[], Case], ...] = (
        lambda: large_files(scratch / "large", scale),
        lambda: small_files(scratch / "small", "small files", sizes_as_in_a_store(), count),
        lambda: small_files(scratch / "tiny", "files of 4 kB", one_size(TINY_FILE_BYTES), count),
        image_case,
    )
    for make in makers:
        case = make()
        yield case
        if case.root != Path("/"):
            shutil.rmtree(case.root)


def measure(case: Case, rounds: int, scratch: Path) -> dict[str, Any]:
    """Return for one processor and for all of them what each subject took, and the hash's rate."""
    processors = sorted(os.sched_getaffinity(0))
    figures: dict[str, dict[str, dict[str, float]]] = {}
    rate = 0.0
    for _ in range(rounds + 1):  # the first round fills the page cache, and may lose by it
        rate = max(rate, sha256_rate())
        for count in sorted({1, len(processors)}):
            pinned = ["taskset", "--cpu-list", ",".join(map(str, processors[:count]))]
            best = figures.setdefault(str(count), {})
            for name, command in subjects(case, count, scratch).items():
                one = run([*pinned, *command], case.root)
                known = best.setdefault(name, one)
                for key in ("seconds", "cpu_seconds", "own_seconds"):
                    known[key] = min(known[key], one[key])
                known["memory_bytes"] = max(known["memory_bytes"], one["memory_bytes"])
    files, size_bytes = case.count()
    return {
        "files": files,
        "size_bytes": size_bytes,
        "store_paths": len(case.paths),
        "sha256_bytes_per_second": rate,
        "processors": figures,
    }


def many_files(root: Path, count: int) -> Case:
    """Write a great many files, in two store paths; links of a few, as that is quicker."""
    paths = (store_path("many-one"), store_path("many-two"))
    directories = max(count // FILES_IN_A_LINKED_DIRECTORY, 2)
    for number in range(directories):
        place = StoreRoot(root).locate(paths[number % 2]) / f"directory{number}"
        place.mkdir(parents=True)
        (place / "file0").write_bytes(b"x" * 100)
        for file in range(1, FILES_IN_A_LINKED_DIRECTORY):
            os.link(place / "file0", place / f"file{file}")
    return Case(name=f"{count:,} files", root=root, paths=paths)


def huge_file(root: Path, size_bytes: int) -> Case:
    """Write one file of zeros that take no room."""
    case = Case(
        name=f"one file of {format_size(size_bytes)}", root=root, paths=(store_path("huge"),)
    )
    place = StoreRoot(root).locate(case.paths[0]) / "file"
    place.parent.mkdir(parents=True)
    with place.open("wb") as file:
        file.truncate(size_bytes)
    return case


def measure_memory(scratch: Path, scale: float) -> dict[str, dict[str, float]]:
    """Pack a great many files, as one layer and as two side by side, and one huge file."""
    figures = {}
    case = many_files(scratch / "many", int(MANY_FILES * scale))
    for workers, words in ((0, "as one layer"), (2, "as two layers")):
        figures[f"{case.name} {words}"] = run(own_command(case, workers), case.root)
    shutil.rmtree(case.root)
    # Where there is one, on a file system whose holes need no page cache.
    memory_folder = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    folder = tempfile.mkdtemp(dir=memory_folder if memory_folder.is_dir() else scratch)
    case = huge_file(Path(folder), int(HUGE_FILE_BYTES * scale))
    figures[case.name] = run(own_command(case, 2), case.root)
    shutil.rmtree(case.root)
    return figures


# What is told of it.


def speed_table(results: Mapping[str, Any]) -> str:
    """Write the figures of all subjects."""
    rows = []
    for case, result in results.items():
        for count, figures in result["processors"].items():
            for name, figure in figures.items():
                rate = result["size_bytes"] / figure["own_seconds"]
                rows.append(
                    (
                        case,
                        count,
                        name,
                        f"{figure['seconds']:.2f}",
                        f"{figure['cpu_seconds']:.2f}",
                        f"{figure['own_seconds']:.2f}",
                        f"{format_size(rate)}/s",
                        f"{rate / result['sha256_bytes_per_second']:.2f}",
                        f"{figure['own_seconds'] / figures[ONE_LAYER]['own_seconds']:.2f}",
                        format_size(figure["memory_bytes"]),
                    )
                )
    header = (
        *("CASE", "CPUS", "SUBJECT", "PROCESS s", "CPU s", "PACKING s", "SPEED"),
        *("OF SHA-256", "TO NIXBRIDGE", "MEMORY"),
    )
    return format_table(header, rows, right=frozenset({1, 3, 4, 5, 6, 7, 8, 9}))


def ratios(results: Mapping[str, Any], memory: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what is to be reached, and what was."""
    found: list[dict[str, Any]] = []

    def claim(what: str, value: float, least: float) -> None:
        found.append({"what": what, "ratio": value, "to_reach": least})

    for case, result in results.items():
        cpus = result["processors"]
        for count, figures in cpus.items():
            ours = figures[ONE_LAYER]
            best = min(figures[name]["own_seconds"] for name in (ONE_LAYER, LAYERS))
            rate = result["size_bytes"] / ours["own_seconds"]
            if case == "few large files":
                of_rate = rate / result["sha256_bytes_per_second"]
                claim(f"{case}, {count} CPU: of the SHA-256 rate of one core", of_rate, 0.8)
            if case in {"small files", "files of 4 kB"}:
                by_tarfile = figures[TARFILE]["own_seconds"] / best
                claim(f"{case}, {count} CPU: times as fast as tarfile", by_tarfile, 4)
            tar = figures[GNU_TAR]["seconds"]
            claim(f"{case}, {count} CPU: times as fast as GNU tar | openssl", tar / best, 1)
            whole = min(figures[name]["seconds"] for name in (ONE_LAYER, LAYERS))
            claim(f"{case}, {count} CPU: the same, the start of Python included", tar / whole, 1)
        if len(cpus) > 1:
            one, all_of_them = (figures[LAYERS]["own_seconds"] for figures in cpus.values())
            count = list(cpus)[-1]
            layers = result["store_paths"]
            claim(f"{case}, {layers} layers on {count} CPUs: times one", one / all_of_them, 1.8)
        one = cpus["1"]
        least = min(one[name]["cpu_seconds"] for name in (ONE_LAYER, LAYERS))
        by_tar = one[GNU_TAR]["cpu_seconds"] / least
        claim(f"{case}, 1 CPU: its time in GNU tar | openssl, times that in ours", by_tar, 1)
    for name, figure in memory.items():
        used = MEMORY_LIMIT_BYTES / figure["memory_bytes"]
        claim(f"{name}: {format_size(MEMORY_LIMIT_BYTES)}, times what was used", used, 1)
    return found


def ratio_table(claims: Sequence[Mapping[str, Any]]) -> str:
    """Write the ratios."""
    rows = [
        (
            claim["what"],
            f"{claim['ratio']:.2f}",
            f"{claim['to_reach']:.1f}",
            "yes" if claim["ratio"] >= claim["to_reach"] else "no",
        )
        for claim in claims
    ]
    return format_table(("RATIO", "IS", "TO REACH", "REACHED"), rows, right=frozenset({1, 2}))


def verdict(claims: Sequence[Mapping[str, Any]]) -> str:
    """Say how many targets are reached, and name the others."""
    missed = [claim for claim in claims if claim["ratio"] < claim["to_reach"]]
    lines = [f"{len(claims) - len(missed)} of {len(claims)} targets are reached."]
    if missed:
        lines.append("Not reached:")
    lines += [
        f"  {claim['what']}: {claim['ratio']:.2f} of {claim['to_reach']:.1f}" for claim in missed
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print the tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the synthetic cases")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nixbridge-bench-") as name:
        scratch = Path(name)
        results = {
            case.name: measure(case, options.rounds, scratch)
            for case in make_cases(scratch, options.scale)
        }
        memory = measure_memory(scratch, options.scale)
    claims = ratios(results, memory)
    print(speed_table(results))
    for name, figure in memory.items():
        print(f"{name}: {figure['seconds']:.1f} s, {format_size(figure['memory_bytes'])} of memory")
    print()
    print(ratio_table(claims))
    print()
    print(verdict(claims))
    RESULTS.parent.mkdir(exist_ok=True)
    document = {"version": 3, "cases": results, "memory": memory, "ratios": claims}
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
