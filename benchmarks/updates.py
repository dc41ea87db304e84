"""What updates cost: bytes that successive pushes send to a registry: `make bench-updates`.

An image lives through real updates: the packages of one Debian release, then of the next; a changed
application, a changed leaf, changed libraries, packages that come and go. Each version is pushed to
a docker-registry of its own for each way to plan, and what the registry's store has grown by is
what was sent. What who has the version before pulls is counted from the manifests: of each layer by
itself, and from the bottom on, as Docker does. The table goes to stdout, the figures to
`results/updates.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nixbridge.report.table import format_size, format_table
from registry_server import RegistryServer, running_registry

REPOSITORY: Final = Path(__file__).parent.parent
RESULTS: Final = Path(__file__).parent / "results" / "updates.json"
# What is changed in a copy of the package set, so that all that needs it changes, as in Nix.
_UNIT: Final = "// (fixups.${name} or { });"
_CHANGED_UNIT: Final = "// (fixups.${name} or { }) // ((import ./changed.nix).${name} or { });"


@dataclass(frozen=True, kw_only=True)
class Version:
    """The image at one point of its life; `changed` units were changed so many times."""

    name: str
    suite: str = "trixie"
    application: int = 1
    extra: tuple[str, ...] = ()
    changed: Mapping[str, int] = field(default_factory=dict)


def versions() -> Iterator[Version]:
    """Yield the life of the image, each version with what is new in it."""
    yield Version(name="first push (bookworm)", suite="bookworm")
    yield Version(name="next release (trixie)")
    yield Version(name="application", application=2)
    yield Version(name="leaf (less)", application=2, changed={"less": 1})
    one = {"less": 1, "libssl3t64": 1}
    yield Version(name="library (openssl)", application=2, changed=one)
    yield Version(name="application", application=3, changed=one)
    yield Version(name="two packages added", application=3, changed=one, extra=("jq", "wget"))
    yield Version(name="application", application=4, changed=one, extra=("jq", "wget"))
    two = {**one, "zlib1g": 1}
    yield Version(name="library (zlib)", application=4, changed=two, extra=("jq", "wget"))
    yield Version(name="a package removed", application=4, changed=two, extra=("jq",))
    yield Version(name="leaf (git)", application=4, changed={**two, "git": 1}, extra=("jq",))
    yield Version(name="application", application=5, changed={**two, "git": 1}, extra=("jq",))
    three = {**two, "git": 1, "glibc": 1}
    yield Version(name="everything (glibc)", application=5, changed=three, extra=("jq",))
    yield Version(name="application", application=6, changed=three, extra=("jq",))


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to plan: a strategy, and whether against the version before."""

    strategy: str
    is_stable: bool

    def __str__(self) -> str:
        return f"{self.strategy}, stable" if self.is_stable else self.strategy


WAYS: Final = tuple(
    Way(strategy=strategy, is_stable=is_stable)
    for strategy in ("popularity", "update-cost")
    for is_stable in (False, True)
)


@dataclass(frozen=True, kw_only=True)
class Update:
    """What one update cost one way, in bytes."""

    pushed_bytes: int
    pulled_bytes: int
    pulled_from_bottom_bytes: int


def nixbridge(*argv: str | Path) -> str:
    """Run the command, and return what it prints."""
    words = [sys.executable, "-m", "nixbridge", *map(str, argv)]
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(words)}` failed")
    return done.stdout


def package_set(folder: Path, changed: Mapping[str, int]) -> Path:
    """Copy the package set, with `changed` units changed so many times."""
    place = folder / "debpkgs"
    if not place.exists():
        shutil.copytree(REPOSITORY / "nix" / "debpkgs", place)
        units = place / "units.nix"
        text = units.read_text()
        if text.count(_UNIT) != 1:
            sys.exit(f"`{units}` is not what it was when this was written")
        units.write_text(text.replace(_UNIT, _CHANGED_UNIT))
    lines = [f'  "{name}".change = {number};' for name, number in sorted(changed.items())]
    (place / "changed.nix").write_text("\n".join(["{", *lines, "}\n"]))
    return place


def describe(folder: Path, version: Version) -> dict[str, Any]:
    """Build a version, and return its image description."""
    extra = " ".join(f'"{name}"' for name in version.extra)
    arguments = {
        "debpkgs": str(package_set(folder, version.changed)),
        "suite": f'"{version.suite}"',
        "application": str(version.application),
        "extra": f"[ {extra} ]",
    }
    words = [word for name, text in arguments.items() for word in ("--arg", name, text)]
    file = Path(__file__).with_name("updates.nix")
    print(f"  build {version.name}", file=sys.stderr)
    description: dict[str, Any] = json.loads(nixbridge("show", file, "--quiet", *words))
    return description


def plan_so(description: dict[str, Any], way: Way, max_layers: int) -> dict[str, Any]:
    """Return the description with the image's own part to be planned in this way."""
    *explicit, own = description["layers"]
    own = {**own, "strategy": way.strategy, "maxLayers": max_layers}
    return {**description, "layers": [*explicit, own]}


def manifest_of(registry: RegistryServer, reference: str) -> list[tuple[str, int]]:
    """Return the layers of an image in the registry: digest and size, from bottom to top."""
    digest = reference.rpartition("sha256:")[2]
    blobs = registry.directory / "data/docker/registry/v2/blobs/sha256"
    manifest = json.loads((blobs / digest[:2] / digest / "data").read_bytes())
    return [(layer["digest"], layer["size"]) for layer in manifest["layers"]]


def stored_bytes(registry: RegistryServer) -> int:
    """Return the size of all blobs that a registry has: layers, configs and manifests."""
    return sum(path.stat().st_size for path in (registry.directory / "data").rglob("data"))


def live_through(
    descriptions: Sequence[dict[str, Any]], way: Way, max_layers: int, program: str, folder: Path
) -> list[Update]:
    """Push all versions one after the other, and return what each cost."""
    updates: list[Update] = []
    before: list[tuple[str, int]] = []
    with running_registry(program, folder / "registry") as registry:
        for number, description in enumerate(descriptions):
            print(f"  {way}, {max_layers} layers: push {number + 1}", file=sys.stderr)
            file = folder / "image.json"
            file.write_text(json.dumps(plan_so(description, way, max_layers)))
            against = registry.reference(f"shop:{number - 1}")
            had_bytes = stored_bytes(registry)
            reference = nixbridge(
                *("copy", file, registry.reference(f"shop:{number}"), "--no-nix", "--quiet"),
                *("--dest-tls-verify=false",),
                *(("--against", against) if way.is_stable and number else ()),
            ).strip()
            layers = manifest_of(registry, reference)
            shared = 0
            while layers[:shared] == before[:shared] and shared < min(len(layers), len(before)):
                shared += 1
            shared -= layers[:shared] != before[:shared]
            updates.append(
                Update(
                    pushed_bytes=stored_bytes(registry) - had_bytes,
                    pulled_bytes=sum(
                        size for digest, size in layers if (digest, size) not in before
                    ),
                    pulled_from_bottom_bytes=sum(size for _, size in layers[shared:]),
                )
            )
            before = layers
    return updates


def main() -> None:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--layers", type=int, nargs="+", default=[20], help="budgets to try")
    options = parser.parse_args()
    # As an exception it ends the registry and removes what was written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    program = shutil.which("docker-registry")
    if program is None:
        sys.exit("docker-registry is not on PATH: `apt-get install docker-registry`")
    life = list(versions())
    document: dict[str, Any] = {"versions": [version.name for version in life], "runs": []}
    with tempfile.TemporaryDirectory(prefix="nixbridge-updates-") as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        descriptions = [describe(folder, version) for version in life]
        for max_layers in options.layers:
            results = {}
            for number, way in enumerate(WAYS):
                place = folder / f"{max_layers}-{number}"
                place.mkdir()
                results[way] = live_through(descriptions, way, max_layers, program, place)
                shutil.rmtree(place)
                document["runs"].append(
                    {
                        "maxLayers": max_layers,
                        "strategy": way.strategy,
                        "isStable": way.is_stable,
                        "updates": [
                            {
                                "pushedBytes": update.pushed_bytes,
                                "pulledBytes": update.pulled_bytes,
                                "pulledFromBottomBytes": update.pulled_from_bottom_bytes,
                            }
                            for update in results[way]
                        ],
                    }
                )
            print(f"\n{max_layers} layers: pushed (pulled from the bottom on)\n")
            print(table_of(life, results))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\nwrote {RESULTS}")


def table_of(life: Sequence[Version], results: Mapping[Way, Sequence[Update]]) -> str:
    """Return a row for each update, and the sum of all but the first push."""

    def cell(update: Update) -> str:
        pulled = format_size(update.pulled_from_bottom_bytes)
        return f"{format_size(update.pushed_bytes)} ({pulled})"

    rows = [
        (version.name, *(cell(updates[number]) for updates in results.values()))
        for number, version in enumerate(life)
    ]
    total = [
        Update(
            pushed_bytes=sum(update.pushed_bytes for update in updates[1:]),
            pulled_bytes=sum(update.pulled_bytes for update in updates[1:]),
            pulled_from_bottom_bytes=sum(update.pulled_from_bottom_bytes for update in updates[1:]),
        )
        for updates in results.values()
    ]
    rows.append(("all updates", *map(cell, total)))
    columns = frozenset(range(1, len(results) + 1))
    return format_table(("UPDATE", *map(str, results)), rows, right=columns)


if __name__ == "__main__":
    main()
