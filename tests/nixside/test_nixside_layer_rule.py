"""Which path is in which layer of a `docker.nix`, by a model of nix2container's rule.

The model is written from the description of the rule (closure/*.go, nix/layers.go) and knows none
of our own planning. That the bytes of a layer are nix2container's too is tests/packing.
`tests/test_seed.py` compares with nix2container itself where that is at hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from image_files import ImageFiles, Layout
from nixbridge import cli
from nixbridge.render import render
from nixbridge.spec import read_spec
from nixside.nix_functions import NixProgram

pytestmark = pytest.mark.nix

_STORE_PATH = re.compile(r"/nix/store/[0-9a-z]{32}-[^/]+")

# By itself, a rendered file is split into layers by our own functions.
AS_NIX2CONTAINER = """
{
  pkgs ? import <nixbridge/debpkgs> { suite = "trixie"; },
  maxLayers,
}:
import ./docker.nix {
  inherit maxLayers pkgs;
  inherit (import <nixbridge> { inherit pkgs; }) nix2container;
}
"""

Graph = Mapping[str, list[str]]


def reach(graph: Graph, roots: list[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += graph[path]
    return found


def by_popularity(graph: Graph, paths: set[str]) -> list[str]:
    """Sort by the number of ways down that end in a path; the later it is seen, the earlier."""
    numbers: dict[str, int] = {}
    for path in sorted(paths):
        for one in (path, *sorted(graph[path])):
            numbers.setdefault(one, len(numbers))
    ways: dict[str, int] = {}

    def count(path: str) -> int:
        if path not in ways:
            referrers = [p for p in paths if path in graph[p] and p != path]
            ways[path] = 1 + sum(count(p) for p in referrers)
        return ways[path]

    return sorted(paths, key=lambda path: (-count(path), -numbers[path]))


def model(description: Mapping[str, Any]) -> list[set[str]]:
    """Return the paths of each layer from bottom to top, without the database's."""
    graph = {info["path"]: info["references"] for info in description["closure"]}
    layers: list[set[str]] = []
    for layer in description["layers"]:
        paths = reach(graph, layer["roots"] + layer["copyToRoot"])
        below = set().union(*layers)
        ordered = [path for path in by_popularity(graph, paths) if path not in below]
        at = 0
        while at < len(ordered):
            end = len(ordered) if at == layer["maxLayers"] - 1 else at + 1
            layers.append(set(ordered[at:end]))
            at = end
    return layers


def found(image: ImageFiles, at_root: str) -> list[set[str]]:
    """Return the store paths in each layer's tar; `at_root` is the one whose files are at `/`."""
    layers = []
    for members in image.layers[:-1]:
        paths = {name for name in members if _STORE_PATH.fullmatch(name)}
        layers.append(paths | ({at_root} if "/etc/passwd" in members else set()))
    return layers


@pytest.mark.parametrize("max_layers", [1, 2, 5, 20, 100, 0])
def test_each_path_is_in_the_layer_where_nix2container_has_it(
    max_layers: int, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "docker.nix").write_text(render(read_spec(repository / "nixbridge.toml")))
    file = tmp_path / "as-nix2container.nix"
    file.write_text(AS_NIX2CONTAINER)
    arguments = ("--arg", "maxLayers", str(max_layers))
    assert cli.main(["copy", str(file), f"oci:{tmp_path / 'image'}:test", *arguments, "-q"]) == 0
    description = json.loads(NixProgram().build(file, *arguments).read_text())
    [base_system] = description["layers"][-1]["copyToRoot"]
    image = ImageFiles(Layout(tmp_path / "image", "test"))
    assert found(image, base_system) == model(description)
