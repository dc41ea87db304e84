"""nixbridge as a Nix package: the files in pynixify's layout say what pyproject.toml says."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

# What a requirement begins with: the name of the distribution.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

# Calls a package with its arguments' own names, so that what it says of them can be read.
READ_PACKAGE = """
let
  package = import ./nix/packages/nixbridge;
  arguments = builtins.mapAttrs (name: _: name) (builtins.functionArgs package);
in
package (
  arguments
  // {
    buildPythonPackage = attributes: {
      inherit (attributes) buildInputs meta pname propagatedBuildInputs version;
      src = toString attributes.src;
    };
    lib.cleanSource = path: path;
  }
)
"""


def names(requirements: list[str]) -> list[str]:
    found = [NAME.match(requirement) for requirement in requirements]
    return sorted(match[0].lower() for match in found if match is not None)


@pytest.fixture
def document(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text())


@pytest.mark.nix
def test_the_package_says_what_pyproject_says(repository: Path, document: dict[str, Any]) -> None:
    argv = ["nix-instantiate", "--eval", "--strict", "--json", "--expr", READ_PACKAGE]
    result = subprocess.run(argv, cwd=repository, check=True, capture_output=True, text=True)
    package = json.loads(result.stdout)
    project = document["project"]
    assert (package["pname"], package["version"]) == (project["name"], project["version"])
    assert package["meta"]["description"] == project["description"]
    assert sorted(package["buildInputs"]) == names(document["build-system"]["requires"])
    assert sorted(package["propagatedBuildInputs"]) == names(project["dependencies"])
    assert package["src"] == str(repository)


@pytest.mark.nix
def test_pynixify_is_told_what_pyproject_says(
    repository: Path, document: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text((repository / "pyproject.toml").read_text())
    argv = ["nix-build", "--no-out-link", "nix/pynixify-requirements.nix"]
    arguments = {"file": str(tmp_path), "pkgs": "import ./nix/debpkgs { }"}
    words = [word for name, value in arguments.items() for word in ("--arg", name, value)]
    built = subprocess.run(
        [*argv, *words], cwd=repository, check=True, capture_output=True, text=True
    )
    told = {path.name: path.read_text() for path in Path(built.stdout.strip()).iterdir()}
    project = document["project"]
    assert told["setup_requires.txt"].split("\n") == document["build-system"]["requires"]
    assert told["install_requires.txt"].split("\n") == project["dependencies"]
    assert told["tests_requires.txt"] == ""
    assert json.loads(told["meta.json"]) == {
        "description": project["description"],
        "license": None,
        "url": None,
        "version": project["version"],
    }


def test_the_developer_shell_has_what_the_tests_import(
    repository: Path, document: dict[str, Any]
) -> None:
    project = document["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    shell = set(re.findall(r"[\w-]+", (repository / "nix/devshell.nix").read_text()))
    # Hooks of git are of use where `pre-commit install` has been run, which brings its own.
    assert set(names(wanted)) - {"pre-commit"} <= shell
