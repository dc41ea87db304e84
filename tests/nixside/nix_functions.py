"""Evaluate and build with the functions in `nix/`, by real Nix.

`tiny` is a set of packages that evaluates in a blink; what is built comes from the embedded set.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent.parent
NIX = REPOSITORY / "nix"
TINY = Path(__file__).parent / "tiny.nix"

# What an expression of a test begins with.
PRELUDE = f"""
let
  pkgs = import {TINY} {{ }};
  inherit (import {NIX} {{ inherit pkgs; }}) buildImage buildLayer nix2container;
  # Not what is built, but what is asked for.
  describe = arguments: (buildImage arguments).drvAttrs.description;
  package = name: derivation {{ inherit name; system = "x86_64-linux"; builder = "/bin/sh"; }};
in
"""


@dataclass(frozen=True)
class NixProgram:
    """One version of Nix: the directory of its programs, or None for those on PATH."""

    directory: Path | None = None

    def run(
        self, name: str, *arguments: str | Path, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        program = name if self.directory is None else str(self.directory / name)
        argv = [program, *(str(argument) for argument in arguments)]
        return subprocess.run(argv, cwd=cwd, capture_output=True, check=False, text=True)

    def output(self, name: str, *arguments: str | Path, cwd: Path | None = None) -> str:
        result = self.run(name, *arguments, cwd=cwd)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def build(self, file: Path, *arguments: str | Path) -> Path:
        search_path = f"nixbridge={NIX}"
        return Path(self.output("nix-build", "--no-out-link", "-I", search_path, file, *arguments))


def evaluate(expression: str, *options: str) -> Any:
    """Return the value of an expression that may use what `PRELUDE` names."""
    argv = ["nix-instantiate", "--eval", "--strict", "--json", "--readonly-mode", *options]
    return json.loads(NixProgram().output(*argv, "--expr", PRELUDE + expression))


def evaluation_error(expression: str) -> str:
    """Return what Nix says of an expression that it refuses."""
    argv = ["nix-instantiate", "--eval", "--strict", "--readonly-mode", "--expr"]
    result = NixProgram().run(*argv, PRELUDE + expression)
    assert result.returncode != 0, result.stdout
    return result.stderr


def evaluate_all(expressions: Sequence[str]) -> list[Any]:
    """Return the values of many expressions, in one run."""
    values: list[Any] = evaluate("[\n" + "\n".join(f"({e})" for e in expressions) + "\n]")
    return values


def build_expression(expression: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build an expression that may use `pkgs` (the embedded set) and our functions."""
    file = folder / "expression.nix"
    file.write_text(
        f"let pkgs = import {NIX}/debpkgs {{ }}; "
        f"inherit (import {NIX} {{ inherit pkgs; }}) buildImage buildLayer; in\n{expression}"
    )
    return NixProgram().run("nix-build", "--no-out-link", file)
