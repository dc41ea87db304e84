"""The Nix code in README.md and docs/, evaluated as it stands there; the packages are ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from nixside.nix_functions import NIX, REPOSITORY, NixProgram

pytestmark = pytest.mark.nix

PACKAGES = f"import {NIX}/debpkgs {{ }}"


def blocks(document: str) -> list[str]:
    text = (REPOSITORY / document).read_text()
    return re.findall(r"^```nix\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def evaluate(expression: str) -> Any:
    argv = ["nix-instantiate", "--eval", "--strict", "--json", "--readonly-mode"]
    argv += ["-I", f"nixbridge={NIX}", "-I", f"nixpkgs={NIX}/debpkgs"]
    return json.loads(NixProgram().output(*argv, "--expr", expression))


def test_the_flake_of_the_readme(tmp_path: Path) -> None:
    [flake, _] = blocks("README.md")
    (tmp_path / "flake.nix").write_text(flake)
    outputs = (
        f"(import {tmp_path}/flake.nix).outputs {{ "
        f"nixpkgs.legacyPackages.x86_64-linux = {PACKAGES}; "
        f"nixbridge.lib = pkgs: import {NIX} {{ inherit pkgs; }}; }}"
    )
    app = evaluate(
        f"let outputs = {outputs}; app = outputs.packages.x86_64-linux.app; in "
        "{ inherit (app) imageName; config = app.drvAttrs.description.config; "
        "inherit (outputs.apps.x86_64-linux.app) type program; tarball = app.tarball.drvPath; }"
    )
    assert app["imageName"] == "ghcr.io/me/app"
    assert re.fullmatch(r"/nix/store/\w{32}-hello-[\d.]+/bin/hello", app["config"]["Entrypoint"][0])
    assert app["type"] == "app"
    assert app["program"].startswith("/nix/store/")
    assert app["tarball"].endswith(".drv")


@pytest.mark.parametrize("document", ["README.md", "docs/migrating.md"])
def test_a_file_of_the_documents_is_an_image(tmp_path: Path, document: str) -> None:
    file = tmp_path / "image.nix"
    file.write_text(blocks(document)[-1])
    image = evaluate(
        f"let image = import {file} {{ }}; in "
        "{ inherit (image) imageName drvPath; description = image.drvAttrs.description; }"
    )
    assert image["imageName"] == ("hello" if document == "README.md" else "shop")
    assert image["drvPath"].endswith(".drv")
    if document == "docs/migrating.md":
        [perm] = image["description"]["layers"][-1]["perms"]
        assert (perm["mode"], perm["uid"], perm["gid"]) == ("0750", 1000, 1000)


def test_all_nix_code_of_the_documents_is_nix() -> None:
    found = [block for path in sorted(REPOSITORY.glob("docs/*.md")) for block in blocks(str(path))]
    assert found
    for block in found:
        NixProgram().output("nix-instantiate", "--parse", "--expr", f"{{ pullImage }}: {block}")
