"""Lix's own `docker.nix`, unmodified: evaluated, built, booted, and compared with nix2container.

Nothing of Lix or nix2container is in this repository. `NIXBRIDGE_LIX_DOCKER_NIX` names the file
of Lix, which all of it needs. The comparison needs `NIXBRIDGE_N2C_REPOSITORY` (a checkout) and
`NIXBRIDGE_N2C_PROGRAM` (a directory with `bin/nix2container`, from there, by `CGO_ENABLED=0 go
build`) besides. `tests/nixside/test_nixside_layer_rule.py` holds the rule without any of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from image_files import Layout
from nixbridge import cli
from nixbridge.containers import Bubblewrap
from nixbridge.destinations.oci_layout import OciLayout
from nixside.nix_functions import NIX, NixProgram

pytestmark = [pytest.mark.nix, pytest.mark.tools]

LIX, REPOSITORY, PROGRAM = (
    "NIXBRIDGE_LIX_DOCKER_NIX",
    "NIXBRIDGE_N2C_REPOSITORY",
    "NIXBRIDGE_N2C_PROGRAM",
)
VARIANTS = {
    "as it is": "",
    "maxLayers 1": "maxLayers = 1;",
    "maxLayers 2": "maxLayers = 2;",
    "maxLayers 5": "maxLayers = 5;",
    "maxLayers 20": "maxLayers = 20;",
    "maxLayers 100": "maxLayers = 100;",
    "extraPkgs": "extraPkgs = with import <nixbridge/debpkgs> { }; [ jq hello ];",
    "nixConf": 'nixConf = { sandbox = "true"; substituters = [ "a" "b" ]; };',
    "registry file": "flake-registry = ./registry/flake-registry.json;",
    "registry directory": "flake-registry = ./registry;",
}
BUILD = (
    'derivation { name = "x"; system = builtins.currentSystem; builder = "/bin/sh"; '
    'args = [ "-c" "echo made inside > $out" ]; }'
)


@pytest.fixture(scope="module")
def named() -> Callable[[str], Path]:
    """Return the path that an environment variable names, or skip."""

    def find(variable: str) -> Path:
        value = os.environ.get(variable)
        if not value:
            pytest.skip(f"{variable} names nothing")
        return Path(value).resolve()

    return find


@pytest.fixture(scope="module")
def callers(named: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an expression for each variant; `functions` are ours if not given."""
    lix = named(LIX)
    folder = tmp_path_factory.mktemp("seed")
    (folder / "registry").mkdir()
    (folder / "registry/flake-registry.json").write_text('{"flakes":[],"version":2}')
    for number, arguments in enumerate(VARIANTS.values()):
        (folder / f"variant{number}.nix").write_text(
            "{ pkgs ? import <nixbridge/debpkgs> { }\n"
            ", nix2container ? (import <nixbridge> { inherit pkgs; }).nix2container\n"
            f"}}:\nimport {lix} {{ inherit pkgs nix2container; {arguments} }}\n"
        )
    return folder


@pytest.fixture(scope="module")
def newer_nix() -> NixProgram:
    """The Nix of the package set: with a flake registry, the file needs one of 2.14 or later."""
    nix = NixProgram().output("nix-build", "--no-out-link", NIX / "debpkgs", "-A", "nix")
    return NixProgram(Path(nix) / "bin")


@pytest.fixture(params=range(len(VARIANTS)), ids=list(VARIANTS))
def variant(
    request: pytest.FixtureRequest,
    callers: Path,
    newer_nix: NixProgram,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    if "flake-registry" in list(VARIANTS.values())[request.param]:
        monkeypatch.setenv("PATH", f"{newer_nix.directory}:{os.environ['PATH']}")
    return callers / f"variant{request.param}.nix"


def copy(variant: Path, folder: Path) -> Layout:
    assert cli.main(["copy", str(variant), f"oci:{folder / 'image'}:test", "-q"]) == 0
    return Layout(folder / "image", "test")


def test_it_boots(variant: Path, tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    require_tool("bwrap")
    layout = copy(variant, tmp_path)
    with Bubblewrap.open(OciLayout(directory=layout.directory, name="test")) as container:
        script = (
            "nix --version && git --version && nix-store --verify --check-contents && "
            f"cat $(nix-build --no-out-link --expr '{BUILD}')"
        )
        ran = container.run(["/bin/sh", "-ec", script])
    assert ran.status == 0, ran.stderr
    assert ran.stdout.startswith("nix (Nix) 2.26")
    assert "made inside" in ran.stdout
    assert "disappeared" not in ran.stderr


def their_digests(variant: Path, named: Callable[[str], Path], *, database: bool) -> list[str]:
    """Return the layers that nix2container makes, without that of the database; [] if it fails."""
    theirs = (
        f"import {Path(__file__).parent}/nixside/real_nix2container.nix "
        f"{{ repository = {named(REPOSITORY)}; program = {named(PROGRAM)}; }}"
    )
    functions = f"let theirs = {theirs}; in theirs // {{ buildImage = arguments: "
    change = "" if database else "// { initializeNixDatabase = false; }"
    functions += f"theirs.buildImage (arguments {change}); }}"
    result = NixProgram().run(
        "nix-build",
        "--no-out-link",
        *("-I", f"nixbridge={NIX}"),
        variant,
        *("--arg", "nix2container", functions),
    )
    if result.returncode != 0:
        assert database, result.stderr
        # Its known fault: base-system and the database's /nix in one layer.
        assert "the file '/nix' already exists in the tar with perms" in result.stderr
        return []
    image = json.loads(Path(result.stdout.split()[-1]).read_text())
    return [
        layer["digest"]
        for layer in image["layers"]
        if not any(path["path"].endswith("-nix-database") for path in layer["paths"])
    ]


def test_its_layers_are_those_of_nix2container(
    variant: Path, named: Callable[[str], Path], tmp_path: Path
) -> None:
    without = their_digests(variant, named, database=False)
    ours = copy(variant, tmp_path).config["rootfs"]["diff_ids"]
    # Ours has the database on top.
    assert ours[:-1] == without
    # With the database among its paths, nix2container breaks ties in another order, or fails.
    assert set(their_digests(variant, named, database=True)) in (set(), set(without))
