"""A clean checkout of this repository as it stands, and the flake in it, run by versions of Nix.

What the flake's lock names cannot be had without a network; the embedded packages stand in for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def make_checkout(target: Path) -> Path:
    """Copy all files that git tracks, and nothing else, into a repository of their own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, copy = REPOSITORY / name, target / name
        if source.exists():  # or else it was removed, and the removal not yet committed
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
    make_repository(target)
    return target


def make_repository(directory: Path) -> None:
    for words in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *words], cwd=directory, check=True)


@dataclass(frozen=True)
class Flake:
    """A flake in `directory`, with inputs replaced, and the directory of the programs of Nix."""

    directory: Path
    inputs: Mapping[str, str]
    programs: Path | None = None

    def run(self, *words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run `nix WORDS`."""
        overrides = [
            word for name, at in self.inputs.items() for word in ("--override-input", name, at)
        ]
        # What follows `--command` or `--` is somebody else's.
        verb = 2 if words[0] == "flake" else 1
        settings = ["--no-write-lock-file", *overrides, *options]
        return subprocess.run(
            ["nix", *words[:verb], *settings, *words[verb:]],
            cwd=self.directory,
            check=False,
            capture_output=True,
            text=True,
            env=self.environment,
        )

    def output(self, *words: str, options: tuple[str, ...] = ()) -> str:
        result = self.run(*words, options=options)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def build(self, attribute: str, link: Path) -> Path:
        """Build an attribute and keep it from garbage collection by `link`."""
        self.output("build", f".#{attribute}", "--out-link", str(link))
        return link.resolve()

    @property
    def environment(self) -> dict[str, str]:
        path = os.environ["PATH"]
        if self.programs is not None:
            path = f"{self.programs}:{path}"
        return {**os.environ, "PATH": path}
