"""The real Nix, and the package set that the tests are of."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SET = Path(__file__).parents[2] / "nix/debpkgs"


@dataclass(frozen=True, kw_only=True)
class Nix:
    """The real Nix, without what the machine's configuration may say."""

    configuration: str = ""
    remote: str | None = None

    def environment(self) -> dict[str, str]:
        settings = [
            "build-users-group =",
            "substitute = false",
            "experimental-features = nix-command flakes",
            # What Debian's Nix of trixie and later binds by default need not be there.
            "sandbox-paths =",
            # What the run itself had to set: no sandbox where the kernel has no namespaces.
            os.environ.get("NIX_CONFIG", ""),
            self.configuration,
        ]
        environment = {**os.environ, "NIX_CONFIG": "\n".join(settings)}
        if self.remote is not None:
            environment["NIX_REMOTE"] = self.remote
        return environment

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        # Nix 2.8 mixes bytes of no encoding into what it says about a builder that is not there.
        return subprocess.run(
            argv,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            env=self.environment(),
        )

    def evaluate(self, expression: str) -> Any:
        result = self.run(
            "nix-instantiate", "--eval", "--strict", "--json", "-E", _scope(expression)
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def fails(self, expression: str) -> str:
        result = self.run("nix-instantiate", "--eval", "--strict", "-E", _scope(expression))
        assert result.returncode != 0, result.stdout
        return result.stderr

    def build(self, expression: str) -> list[str]:
        result = self.run("nix-build", "--no-out-link", "-j2", "-E", _scope(expression))
        assert result.returncode == 0, result.stderr
        return result.stdout.split()

    def build_fails(self, expression: str) -> str:
        result = self.run("nix-build", "--no-out-link", "-E", _scope(expression))
        assert result.returncode != 0, result.stdout
        return result.stderr


def _scope(expression: str) -> str:
    """Let an expression say `trixie` and `bookworm` for the sets."""
    return f"""
      let
        trixie = import {SET} {{ }};
        bookworm = import {SET} {{ suite = "bookworm"; }};
      in
      {expression}
    """
