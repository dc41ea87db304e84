"""What nix is asked to build or evaluate: a Nix file, a flake attribute, or store paths.

Pure values, and how they stand on nix's command line. Which of them a user means is
`nixbridge/source.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from nixbridge.closure import StorePath


@dataclass(frozen=True, kw_only=True, slots=True)
class FileInstallable:
    """A Nix file's value, or its attribute `attribute` (an attribute path: `packages.app`).

    Where the value is a function it is called with `expressions` (Nix expressions, `--arg`) and
    `strings` (`--argstr`); its other arguments must have defaults. `rendered_from` is the spec
    that a file of ours was made from: a user knows that one, and the file itself may be gone soon.
    """

    path: Path
    attribute: str | None = None
    expressions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    strings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    rendered_from: Path | None = None

    def arguments(self) -> tuple[str, ...]:
        """Return the words that name it to nix."""
        # Without the `./`, nix would read `-` as stdin, and `<x>` or `a://b` as no file at all.
        words = ["--file", str(self.path) if self.path.is_absolute() else f"./{self.path}"]
        for name, expression in self.expressions.items():
            words += ["--arg", name, expression]
        for name, string in self.strings.items():
            words += ["--argstr", name, string]
        return (*words, self.attribute) if self.attribute is not None else tuple(words)

    def __str__(self) -> str:
        path = self.rendered_from or self.path
        return f"{path} -A {self.attribute}" if self.attribute is not None else str(path)


@dataclass(frozen=True, slots=True)
class FlakeInstallable:
    """A flake reference with an attribute, as nix spells it: `.#app`."""

    reference: str

    def arguments(self) -> tuple[str, ...]:
        """Return the words that name it to nix."""
        return (self.reference,)

    def __str__(self) -> str:
        return self.reference


@dataclass(frozen=True, slots=True)
class StorePathInstallable:
    """Store paths that are there or can be substituted; no derivations."""

    paths: tuple[StorePath, ...]

    def arguments(self) -> tuple[str, ...]:
        """Return the words that name them to nix."""
        return tuple(str(path) for path in self.paths)

    def __str__(self) -> str:
        return " ".join(str(path) for path in self.paths)


Installable = FileInstallable | FlakeInstallable | StorePathInstallable
