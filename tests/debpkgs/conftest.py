"""What the tests of the package set share: small packages, and the real Nix."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# The tool is no part of the nixbridge package; it is reached by where it lies.
sys.path.insert(0, str(Path(__file__).parents[2]))
# `pkgs.path` is the folder that the tool lies in: what Python leaves there would change its copies.
sys.dont_write_bytecode = True

from debpkgs.real_nix import SET, Nix  # noqa: E402  the path above leads to it


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
