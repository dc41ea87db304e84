"""How fast an image is pushed to a registry, and pushed again: part of `make bench`.

Each subject pushes the same store paths (from the page cache), a layer each, to a docker-registry
on loopback that is new for it, four times: cold; again, unchanged, with the memory of the first
time; again from an empty memory, as in CI; and with one path changed, from an empty memory. They
take turns, several rounds, and the best time of each counts. What is read is counted by the kernel
for a process and all that it waited for (reading its own program counts too), what is sent by the
loopback device, so nothing else may talk on it. The tables go to stdout, the figures to
`results/push.json`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nixbridge.report.table import format_size, format_table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from registry_server import RegistryServer, running_registry

REPOSITORY: Final = Path(__file__).parent.parent
RESULTS: Final = Path(__file__).parent / "results" / "push.json"
LOOPBACK_SENT: Final = Path("/sys/class/net/lo/statistics/tx_bytes")

STORE_PATHS: Final = 80
SIZE_BYTES: Final = 1_200_000_000
# As in a Nix store: half of the files are below 3.4 kB, some are much larger.
MEDIAN_FILE_BYTES: Final = 3_400
SIGMA: Final = 1.8
LARGEST_FILE_BYTES: Final = 8 << 20
FILES_A_DIRECTORY: Final = 300
# Of so much of real files the contents of ours are cut.
TEXT_BYTES: Final = 128 << 20

COLD: Final = "cold"
WITH_CACHE: Final = "again, with cache"
EMPTY_CACHE: Final = "again, empty cache"
ONE_CHANGED: Final = "one path changed, empty cache"
STEPS: Final = (COLD, WITH_CACHE, EMPTY_CACHE, ONE_CHANGED)

OURS: Final = "nixbridge"
OCI: Final = "skopeo copy oci:"
NIX2CONTAINER: Final = "nix2container"
STREAM: Final = "nixpkgs' stream | skopeo"


# What is pushed.


def real_text() -> bytes:
    """Return what the files of the repository's own image hold, as far as there is room.

    How fast a compressor is depends on what it compresses, and what programs are made of is not
    easily made up.
    """
    command = [sys.executable, "-m", "nixbridge", "closure", "--json", "--quiet"]
    done = subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    text = bytearray()
    for entry in json.loads(done.stdout)["paths"]:
        for directory, folders, names in os.walk(entry["path"]):
            folders.sort()
            for name in sorted(names):
                file = Path(directory) / name
                if not file.is_symlink() and len(text) < TEXT_BYTES:
                    text += file.read_bytes()
    return bytes(text)


def make_store_path(place: Path, number: int, size_bytes: int, text: bytes) -> None:
    """Write the files of one store path."""
    chance = random.Random(number)  # noqa: S311
    left_bytes, count = size_bytes, 0
    while left_bytes > 0:
        wanted = int(chance.lognormvariate(math.log(MEDIAN_FILE_BYTES), SIGMA))
        size = min(wanted + 1, LARGEST_FILE_BYTES, left_bytes)
        at = chance.randrange(len(text) - LARGEST_FILE_BYTES)
        folder = place / f"directory{count // FILES_A_DIRECTORY}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file{count}").write_bytes(b"%d %d\n" % (number, count) + text[at : at + size])
        left_bytes -= size
        count += 1


@contextlib.contextmanager
def store_paths(scratch: Path, scale: float) -> Iterator[tuple[list[str], str]]:
    """Add paths to the store, and one to replace the first; they are deleted in the end."""
    text = real_text()
    chance = random.Random(6)  # noqa: S311
    weights = [chance.lognormvariate(0, 1.2) for _ in range(STORE_PATHS)]
    sizes = [int(SIZE_BYTES * scale * weight / sum(weights)) + 1 for weight in weights]
    # The one that changes is of a usual size.
    sizes.append(sorted(sizes)[STORE_PATHS // 2])
    sizes[0] = sizes[-1]
    added: list[str] = []
    try:
        for number, size_bytes in enumerate(sizes):
            place = scratch / "paths" / f"bench-{number:02}"
            make_store_path(place, number, size_bytes, text)
            command = ["nix-store", "--add", str(place)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            added.append(done.stdout.strip())
            shutil.rmtree(place)
        yield added[:-1], added[-1]
    finally:
        subprocess.run(["nix-store", "--delete", *added], check=False, capture_output=True)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The image as each subject takes it, before and after one path changed."""

    description: Path
    layout: Path
    nix2container: Path | None
    stream_configuration: Path


def make_sources(scratch: Path, name: str, paths: Sequence[str]) -> Sources:
    """Write what the subjects start from; making it is not measured."""
    folder = scratch / name
    folder.mkdir()
    description = folder / "image.json"
    description.write_text(json.dumps(describe(paths)))
    layout = folder / "layout"
    copy = [sys.executable, "-m", "nixbridge", "copy", str(description), f"oci:{layout}:x"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    subprocess.run([*copy, "--no-nix"], check=True, capture_output=True, env=environment)
    stream = folder / "stream.json"
    stream.write_text(json.dumps(stream_configuration(folder, paths)))
    return Sources(
        description=description,
        layout=layout,
        nix2container=nix2container_image(folder, paths),
        stream_configuration=stream,
    )


def describe(paths: Sequence[str]) -> dict[str, Any]:
    """Return an image description: a layer for each path."""
    show = [sys.executable, "-m", "nixbridge", "show", paths[0]]
    shown = subprocess.run(show, check=True, capture_output=True).stdout
    document: dict[str, Any] = json.loads(shown)
    query = ["nix-store", "--query"]

    def ask(flag: str) -> list[str]:
        answer = subprocess.run([*query, flag, *paths], check=True, capture_output=True, text=True)
        return answer.stdout.split()

    document["closure"] = [
        {"path": path, "narHash": nar_hash, "narSize": int(size), "references": []}
        for path, nar_hash, size in sorted(zip(paths, ask("--hash"), ask("--size"), strict=True))
    ]
    [layer] = document["layers"]
    layer.update(roots=sorted(paths), strategy="one-per-path", maxLayers=0)
    return document


def nix2container_image(folder: Path, paths: Sequence[str]) -> Path | None:
    """Make what nix2container builds in Nix, where its program is on PATH."""
    program = shutil.which("nix2container")
    if program is None:
        return None
    graph, layers, image = folder / "graph.json", folder / "layers.json", folder / "n2c.json"
    entries = [{"path": each, "references": [], "narHash": "", "narSize": 0} for each in paths]
    graph.write_text(json.dumps(entries))
    (folder / "config.json").write_text("{}")
    make_layers = [program, "layers-from-reproducible-storepaths", str(layers), str(graph)]
    for command in (
        [*make_layers, "--max-layers", str(len(paths))],
        [program, "image", str(image), str(folder / "config.json"), str(layers)],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return image


def stream_configuration(folder: Path, paths: Sequence[str]) -> dict[str, Any]:
    """Return what nixpkgs' `streamLayeredImage` gives to its script."""
    top = folder / "top"
    top.mkdir()
    empty = bytes(10240)
    (top / "layer.tar").write_bytes(empty)
    (top / "checksum").write_text(hashlib.sha256(empty).hexdigest())
    epoch = "1970-01-01T00:00:01+00:00"
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "created": epoch,
        "mtime": epoch,
        "uid": "0",
        "gid": "0",
        "uname": "root",
        "gname": "root",
        "from_image": None,
        "store_dir": "/nix/store",
        "store_layers": [[path] for path in paths],
        "customisation_layer": str(top),
        "repo_tag": "bench:latest",
    }


# Who pushes it.

# From the sources, the registry and a directory for what is remembered, to a command line.
Command = Callable[[Sources, RegistryServer, Path], list[str]]


def skopeo_with_memory(memory: Path) -> list[str]:
    """Return skopeo, which keeps what it knows of blobs in `memory`."""
    skopeo = str(shutil.which("skopeo"))
    home = {"XDG_DATA_HOME": str(memory)}
    command = ["env", *(f"{name}={value}" for name, value in home.items()), skopeo]
    if os.geteuid() == 0:
        # Root's memory is always in this directory.
        place = "/var/lib/containers/cache"
        memory.mkdir(parents=True, exist_ok=True)
        command = ["bwrap", "--dev-bind", "/", "/", "--bind", str(memory), place, *command]
        Path(place).mkdir(parents=True, exist_ok=True)
    return [*command, "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]


def ours(sources: Sources, registry: RegistryServer, memory: Path) -> list[str]:
    """Return our command."""
    return [
        *("env", f"XDG_CACHE_HOME={memory}", sys.executable, "-m", "nixbridge", "copy", "--no-nix"),
        *(str(sources.description), registry.reference("bench:1"), "--dest-tls-verify", "false"),
    ]


def oci(sources: Sources, registry: RegistryServer, memory: Path) -> list[str]:
    """Return skopeo, which takes the layers from an OCI layout and compresses them."""
    return [
        *skopeo_with_memory(memory),
        *(f"oci:{sources.layout}:x", registry.reference("bench:1")),
    ]


def nix2container(sources: Sources, registry: RegistryServer, memory: Path) -> list[str]:
    """Return nix2container's skopeo, which makes the layers that the image names."""
    return [
        *skopeo_with_memory(memory),
        *(f"nix:{sources.nix2container}", registry.reference("bench:1")),
    ]


def stream(sources: Sources, registry: RegistryServer, memory: Path) -> list[str]:
    """Return nixpkgs' script, whose archive skopeo takes.

    From a pipe it takes compressed ones only (https://github.com/containers/image/issues/1317).
    nixpkgs' manual says `gzip --fast`, which Debian's skopeo 1.9 cannot read, and zstd is faster.
    """
    words = [str(shutil.which("stream_layered_image.py")), str(sources.stream_configuration)]
    copy = [*skopeo_with_memory(memory), "docker-archive:/dev/stdin", registry.reference("bench:1")]
    script = f'python3 "$1" "$2" | zstd --fast --quiet | "${{@:{len(words) + 1}}}"'
    return ["bash", "-euo", "pipefail", "-c", script, "bench", *words, *copy]


def subjects(sources: Sources) -> dict[str, Command]:
    """Return who can push here."""
    found: dict[str, Command] = {OURS: ours}
    if shutil.which("skopeo") is None:
        return found
    found[OCI] = oci
    if sources.nix2container is not None and knows_nix_transport():
        found[NIX2CONTAINER] = nix2container
    if shutil.which("stream_layered_image.py") is not None and shutil.which("zstd") is not None:
        found[STREAM] = stream
    return found


def knows_nix_transport() -> bool:
    """Return whether skopeo is nix2container's."""
    probe = [str(shutil.which("skopeo")), "--insecure-policy", "inspect", "nix:/nowhere"]
    answer = subprocess.run(probe, check=False, capture_output=True, text=True)
    return "unknown transport" not in answer.stderr


# How it is measured.

# A process that is made of a large one counts as large itself, so a small one stands between. The
# kernel adds what a process read to the one that waited for it.
MEASURE: Final = """
import json, os, sys, time
def read_bytes():
    return int(dict(line.split(": ") for line in open("/proc/self/io"))["rchar"])
before = read_bytes()
started = time.perf_counter()
process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(process, 0)
seconds = time.perf_counter() - started
status = os.waitstatus_to_exitcode(status)
print(json.dumps([seconds, status, usage.ru_maxrss, read_bytes() - before]), file=sys.stderr)
"""


def run(command: Sequence[str]) -> dict[str, float]:
    """Return how long a command took, its largest process, what it read, what was sent."""
    sent_before = int(LOOPBACK_SENT.read_text())
    measured = [sys.executable, "-S", "-E", "-c", MEASURE, *command]
    result = subprocess.run(measured, check=False, capture_output=True, text=True)
    sent_bytes = int(LOOPBACK_SENT.read_text()) - sent_before
    *said, last = result.stderr.splitlines()
    seconds, status, memory_kib, read_bytes = json.loads(last)
    if status != 0:
        raise SystemExit(f"{command} failed with status {status}:\n" + "\n".join(said))
    return {
        "seconds": seconds,
        "memory_bytes": memory_kib * 1024,
        "read_bytes": read_bytes,
        "sent_bytes": sent_bytes,
    }


def measure_one(
    command: Command, before: Sources, after: Sources, scratch: Path
) -> dict[str, dict[str, float]]:
    """Return what the four pushes of one subject took."""
    with (
        tempfile.TemporaryDirectory(dir=scratch) as name,
        running_registry(str(shutil.which("docker-registry")), Path(name) / "registry") as registry,
    ):
        memories = [Path(name) / f"memory{number}" for number in range(3)]
        return {
            COLD: run(command(before, registry, memories[0])),
            WITH_CACHE: run(command(before, registry, memories[0])),
            EMPTY_CACHE: run(command(before, registry, memories[1])),
            ONE_CHANGED: run(command(after, registry, memories[2])),
        }


def measure(scratch: Path, scale: float, rounds: int) -> dict[str, Any]:
    """Return the figures of all subjects: the best time, and the most of all else."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    with store_paths(scratch, scale) as (paths, changed):
        before = make_sources(scratch, "before", paths)
        after = make_sources(scratch, "after", [changed, *paths[1:]])
        for _ in range(rounds):
            for name, command in subjects(before).items():
                found = measure_one(command, before, after, scratch)
                known = figures.setdefault(name, found)
                for step, figure in found.items():
                    best = known[step]
                    known[step] = {key: max(best[key], figure[key]) for key in figure}
                    known[step]["seconds"] = min(best["seconds"], figure["seconds"])
        closure = json.loads(before.description.read_text())["closure"]
    return {
        "store_paths": len(closure),
        "size_bytes": sum(entry["narSize"] for entry in closure),
        "subjects": figures,
    }


# What is told of it.


def table(results: Mapping[str, Any]) -> str:
    """Write the figures of all subjects."""
    rows = [
        (
            step,
            name,
            f"{figures[step]['seconds']:.2f}",
            f"{figures[step]['seconds'] / results['subjects'][OURS][step]['seconds']:.1f}",
            format_size(figures[step]["read_bytes"]),
            format_size(figures[step]["sent_bytes"]),
            format_size(figures[step]["memory_bytes"]),
        )
        for step in STEPS
        for name, figures in results["subjects"].items()
    ]
    header = ("PUSH", "SUBJECT", "SECONDS", "TO NIXBRIDGE", "READ", "SENT", "MEMORY")
    return format_table(header, rows, right=frozenset({2, 3, 4, 5, 6}))


def ratios(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return how many times as fast we are, and how many times it is to be."""
    to_reach = {(NIX2CONTAINER, COLD): 3.0, (NIX2CONTAINER, EMPTY_CACHE): 20.0}
    mine = results["subjects"][OURS]
    return [
        {
            "what": f"{step}: times as fast as {name}",
            "ratio": figures[step]["seconds"] / mine[step]["seconds"],
            "to_reach": to_reach.get((name, step), 1.0),
        }
        for name, figures in results["subjects"].items()
        if name != OURS
        for step in STEPS
    ]


def ratio_table(claims: Sequence[Mapping[str, Any]]) -> str:
    """Write the ratios."""
    rows = [
        (
            claim["what"],
            f"{claim['ratio']:.1f}",
            f"{claim['to_reach']:.0f}",
            "yes" if claim["ratio"] >= claim["to_reach"] else "no",
        )
        for claim in claims
    ]
    return format_table(("RATIO", "IS", "TO REACH", "REACHED"), rows, right=frozenset({1, 2}))


def main() -> None:
    """Measure, print the tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of what is pushed: 1 is 1.2 GB")
    options = parser.parse_args()
    if shutil.which("docker-registry") is None:
        raise SystemExit("there is no docker-registry on PATH: `scripts/setup test` installs it")
    # As an exception it lets the store be tidied up.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="nixbridge-bench-") as name:
        results = measure(Path(name), options.scale, options.rounds)
    claims = ratios(results)
    print(f"{results['store_paths']} store paths, {format_size(results['size_bytes'])}")
    print(table(results))
    print()
    print(ratio_table(claims))
    RESULTS.parent.mkdir(exist_ok=True)
    document = {"version": 1, **results, "ratios": claims}
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
