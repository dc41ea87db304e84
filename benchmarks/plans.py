"""What an update sends with each strategy, and how long planning takes: `make bench-plans`.

Four closures of different shape: the repository's own image, a Python application (both of the
embedded set of packages, by nix), many paths upon few, and a chain in which each path refers to the
one before. The bytes are expected ones (docs/layering.md), so they are the same on any machine; the
times are of the processor. The tables go to stdout, the figures to `results/plans.json`.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from nixbridge.closure import ClosureGraph, NarHash, PathInfo, StorePath
from nixbridge.description import describe_closure
from nixbridge.errors import PlanError
from nixbridge.layering import PlanOptions, cost_model_of, plan_layers
from nixbridge.oci import Platform
from nixbridge.report.table import format_size, format_table

REPOSITORY: Final = Path(__file__).parent.parent
RESULTS: Final = Path(__file__).parent / "results" / "plans.json"

STRATEGIES: Final = ("update-cost", "auto", "popularity", "single", "one-per-path")
LAYER_COUNTS: Final = (10, 20, 40, 70)
PATH_COUNTS: Final = (5_000, 20_000)
SECONDS: Final[Mapping[int, float]] = {5_000: 2, 20_000: 20}

APPLICATION: Final = """
{ pkgs ? import <nixbridge/debpkgs> { } }:
pkgs.python3.withPackages (
  packages: with packages; [ httpx jinja2 jsonschema requests rich typer zstandard ]
)
"""

# Half of the paths of a store are below 270 kB, and some are very large.
MEDIAN_BYTES: Final = 270_000
SIGMA: Final = 2.2


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--no-times", action="store_true", help="only the bytes of updates")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"updates": {}, "times": {}}
    closures = {
        "the repository's own image": closure_of(REPOSITORY / "nixbridge.toml"),
        "a Python application": application(),
        "many paths upon few": flat(3_000),
        "a chain": chain(150),
    }
    for title, graph in closures.items():
        results["updates"][title] = updates(title, graph)
    if not arguments.no_times:
        results["times"] = times()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(f"wrote {RESULTS}")


def updates(title: str, graph: ClosureGraph) -> dict[str, Any]:
    """Return and print the expected bytes of an update, for each strategy and number of layers."""
    model = cost_model_of(describe(graph), PlanOptions())
    floor_bytes = model.floor_bytes(graph.infos)
    costs: dict[str, dict[int, float]] = {}
    pulls: dict[str, dict[int, float]] = {}
    for strategy in STRATEGIES:
        costs[strategy], pulls[strategy] = {}, {}
        for count in LAYER_COUNTS:
            try:
                plan = plan_layers(
                    describe(graph), PlanOptions(strategy=strategy, max_layers=count)
                )
            except PlanError:
                continue  # a layer for each path, in fewer layers than there are paths
            costs[strategy][count] = plan.expected_bytes
            pulls[strategy][count] = model.expected_pull_bytes(
                [planned.info.path for planned in layer.paths] for layer in plan.layers
            )

    def row(strategy: str, of: Mapping[int, float]) -> list[str]:
        return [strategy, *(format_size(of[one]) if one in of else "-" for one in LAYER_COUNTS)]

    rows = [
        (*row(strategy, of), f"{of[20] / floor_bytes:.2f}" if 20 in of else "-")  # noqa: PLR2004
        for strategy, of in costs.items()
    ]
    header = ("STRATEGY", *(f"{count} LAYERS" for count in LAYER_COUNTS), "20 LAYERS/FLOOR")
    print(f"{title}: {len(graph)} paths, {format_size(graph.closure_size_bytes)}")
    print(f"an update sends, on average; no plan sends less than {format_size(floor_bytes)}\n")
    print(format_table(header, rows, right=frozenset(range(1, 6))), end="\n\n")
    print("an engine that reuses layers from the bottom only, as Docker does, pulls\n")
    rows = [tuple(row(strategy, of)) for strategy, of in pulls.items()]
    print(format_table(header[:-1], rows, right=frozenset(range(1, 5))), end="\n\n")
    return {
        "paths": len(graph),
        "sizeBytes": graph.closure_size_bytes,
        "floorBytes": floor_bytes,
        "expectedBytes": costs,
        "expectedPullBytes": pulls,
    }


def times() -> dict[str, Any]:
    """Return and print how long a plan takes, of the processor's time."""
    found: dict[str, Any] = {}
    rows = []
    for count in PATH_COUNTS:
        for name, graph in {"web": web(count), "flat": flat(count), "chain": chain(count)}.items():
            weighed = {f"p{number:05}": 1 + number % 50 / 8 for number in range(count)}
            for kind, options in {
                "equal": PlanOptions(strategy="update-cost"),
                "learned": PlanOptions(strategy="update-cost", learned=weighed),
            }.items():
                description = describe(graph)
                begin = time.process_time()
                plan_layers(description, options)
                seconds = time.process_time() - begin
                found.setdefault(str(count), {}).setdefault(name, {})[kind] = seconds
                rows.append((f"{count:,}", name, kind, f"{seconds:.1f} s", f"{SECONDS[count]} s"))
    print("planning by update-cost\n")
    print(format_table(("PATHS", "SHAPE", "WEIGHTS", "TIME", "AT MOST"), rows), end="\n\n")
    return found


def describe(graph: ClosureGraph) -> Any:
    """Describe an image of a whole closure."""
    roots = [info.path for info in graph]
    return describe_closure(
        graph, roots, name="image", tag="1", platform=Platform(architecture="amd64")
    )


def closure_of(source: Path) -> ClosureGraph:
    """Build what `source` is, and return its closure."""
    argv = [sys.executable, "-m", "nixbridge", "closure", str(source), "--json", "--quiet"]
    document = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout)
    return ClosureGraph.of(
        PathInfo(
            path=StorePath(entry["path"]),
            nar_hash=NarHash.parse(entry["narHash"]),
            nar_size_bytes=entry["narSizeBytes"],
            references=tuple(map(StorePath, entry["references"])),
        )
        for entry in document["paths"]
    )


def application() -> ClosureGraph:
    """Return the closure of Python with some packages."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "application.nix"
        file.write_text(APPLICATION)
        return closure_of(file)


def flat(count: int) -> ClosureGraph:
    """Return many paths, each of which refers to some of forty."""
    randomness = random.Random(count)  # noqa: S311 - the same each time
    few = 40
    return graph_of(
        [
            [] if number < few else randomness.sample(range(few), randomness.randint(1, 8))
            for number in range(count)
        ],
        randomness,
    )


def chain(count: int) -> ClosureGraph:
    """Return paths of which each refers to the one before."""
    randomness = random.Random(count)  # noqa: S311
    return graph_of([[number - 1] if number else [] for number in range(count)], randomness)


def web(count: int) -> ClosureGraph:
    """Return paths that refer to earlier ones, most to those that many others refer to."""
    randomness = random.Random(count)  # noqa: S311
    references: list[list[int]] = []
    popular: list[int] = []
    for number in range(count):
        some = randomness.choices(popular, k=randomness.randint(0, 8)) if popular else []
        references.append(sorted({*some}))
        popular += [number, *references[-1]]
    return graph_of(references, randomness)


def graph_of(references: list[list[int]], randomness: random.Random) -> ClosureGraph:
    """Return a closure of numbered paths of random sizes."""

    def path_of(number: int) -> StorePath:
        return StorePath(f"/nix/store/{number:032}-p{number:05}")

    return ClosureGraph.of(
        PathInfo(
            path=path_of(number),
            nar_hash=NarHash("0" * 64),
            nar_size_bytes=int(randomness.lognormvariate(0, SIGMA) * MEDIAN_BYTES),
            references=tuple(map(path_of, sorted(others))),
        )
        for number, others in enumerate(references)
    )


if __name__ == "__main__":
    main()
