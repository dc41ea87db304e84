"""What an installation carries: the package, the templates and the Nix files, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", str(folder), str(repository)],
        check=True,
    )  # fmt: skip
    return next(folder.glob("nixbridge-*.whl"))


def tracked(repository: Path, *folders: str) -> set[str]:
    words = ["git", "-C", str(repository), "ls-files", "-z", "--", *folders]
    listed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return {name for name in listed.split("\0") if name}


def test_it_holds_what_is_tracked(wheel: Path, repository: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    shared = {f"nixbridge/share/{name}" for name in tracked(repository, "nix", "templates")}
    package = tracked(repository, "nixbridge")
    # Files that a developer has not committed yet may be in the wheel as well.
    assert names >= shared | package
    assert {name for name in names if name.endswith((".pyc", ".sqlite"))} == set()


def test_an_installation_finds_its_templates(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target),
         str(wheel)],
        check=True,
    )  # fmt: skip
    (tmp_path / "nixbridge.toml").write_text('[image]\nname = "x"\npackages = ["hello"]\n')
    script = (
        "import nixbridge.share as share, sys; print(share.nix_directory()); "
        "from nixbridge.cli import main; sys.exit(main(['render']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
    )
    place, _, expression = result.stdout.partition("\n")
    assert Path(place) == target / "nixbridge" / "share" / "nix"
    assert (Path(place) / "debpkgs" / "default.nix").exists()
    assert "buildImage" in expression
