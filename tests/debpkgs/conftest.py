"""What the tests of the package set share: small packages, and the real Nix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
SET = REPOSITORY / "nix/debpkgs"

# The tool is no part of the nixbridge package; it is reached by where it lies.
sys.path.insert(0, str(REPOSITORY))


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
            self.configuration,
        ]
        environment = {**os.environ, "NIX_CONFIG": "\n".join(settings)}
        if self.remote is not None:
            environment["NIX_REMOTE"] = self.remote
        return environment

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, capture_output=True, text=True, check=False, env=self.environment()
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


@pytest.fixture(scope="session")
def nix(require_tool: Callable[[str], str]) -> Nix:
    """The machine's Nix; what the two locks name is in its store."""
    require_tool("nix-store")
    for suite in ("trixie", "bookworm"):
        fetched = Nix().run(sys.executable, str(SET / "debpkgs.py"), "fetch", suite)
        assert fetched.returncode == 0, fetched.stderr
    return Nix()


@pytest.fixture
def make_deb(tmp_path: Path, require_tool: Callable[[str], str]) -> Callable[..., Path]:
    """Return a function that makes a .deb of a few files."""
    require_tool("dpkg-deb")

    def make(
        name: str,
        *,
        version: str = "1.0-1",
        files: dict[str, str | bytes] | None = None,
        links: dict[str, str] | None = None,
        depends: str = "",
    ) -> Path:
        tree = tmp_path / "trees" / f"{name}_{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
        control += "Maintainer: nobody <nobody@localhost>\nDescription: made for a test\n"
        control += f"Depends: {depends}\n" if depends else ""
        (tree / "DEBIAN/control").write_text(control)
        for path, content in (files or {}).items():
            file = tree / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
            file.chmod(0o755)
        for path, target in (links or {}).items():
            link = tree / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
        made = tmp_path / f"{name}_{version}_amd64.deb"
        argv = ["dpkg-deb", "--build", "--root-owner-group", str(tree), str(made)]
        subprocess.run(argv, check=True, capture_output=True)
        return made

    return make
