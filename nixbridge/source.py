"""SOURCE on the command line: the station at which the user enters the way of the data.

Pure but for looking at what kind of file a path is. What each kind means is `pipeline.py`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from nixbridge.closure import DEFAULT_STORE_DIR, StorePath
from nixbridge.errors import InputError
from nixbridge.plugins import PluginGroup, plugins

SPEC_FILE_NAME: Final = "nixbridge.toml"

# `.#x`, `nixpkgs#x`, `github:owner/repo`, `path:/x?dir=y`: what no file name is likely to be.
_FLAKE_REFERENCE: Final = re.compile(r"[^#]*#.*|[a-z][a-z0-9+]*:\S+")
# What may be meant as the name of a package.
_PACKAGE: Final = re.compile(r"[A-Za-z][\w-]*")

_KINDS: Final = (
    "a source is a spec (`nixbridge.toml` or its directory), a Nix file (`docker.nix`), a flake "
    "attribute (`.#dockerImage`), an image description (`image-….json`) or a store path"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecSource:
    """A `nixbridge.toml`."""

    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class NixFileSource:
    """A Nix file whose value, or whose attribute `attribute`, is an image."""

    path: Path
    attribute: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FlakeSource:
    """A flake reference with an attribute, as nix spells it."""

    reference: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DescriptionSource:
    """An image description that was built before and lies outside the store."""

    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class StorePathSource:
    """A store path: an image description, or anything whose closure becomes an image."""

    path: StorePath


Source = SpecSource | NixFileSource | FlakeSource | DescriptionSource | StorePathSource


@dataclass(frozen=True, kw_only=True, slots=True)
class NixArguments:
    """What a Nix file's function is called with: `--arg` expressions and `--argstr` strings."""

    expressions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    strings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def parse_source(text: str, *, attribute: str | None = None) -> Source:
    """Find out what `text` is; `attribute` is what `-A` picks of a Nix file.

    Raises `InputError`: it is nothing we know, does not exist, or takes no `-A`.
    """
    source = _parse(text, attribute)
    if attribute is not None and not isinstance(source, NixFileSource):
        raise InputError(
            f"`-A {attribute}` picks an attribute of a Nix file, and `{text}` is none",
            hint="a flake's attribute stands behind the `#`: `.#dockerImage`",
        )
    return source


def _parse(text: str, attribute: str | None) -> Source:
    if not text:
        raise InputError("the source is empty", hint=_KINDS)
    path = Path(text)
    if text.startswith(DEFAULT_STORE_DIR + "/"):
        return StorePathSource(path=StorePath.parse(text.rstrip("/")))
    if path.is_dir():
        return _directory(text, path)
    if path.suffix in {".nix", ".toml", ".json"}:
        return _file(path, attribute)
    if path.exists() or path.is_symlink():
        resolved = path.resolve()
        if str(resolved).startswith(DEFAULT_STORE_DIR + "/"):
            return StorePathSource(path=StorePath.parse(str(resolved)))
        raise InputError(f"`{text}` is a file of a kind that cannot be made an image", hint=_KINDS)
    if text.partition(":")[0] in plugins(PluginGroup.DESTINATIONS):
        raise InputError(
            f"`{text}` is a place where an image is, and no source of one",
            hint=f"look into it with `nixbridge inspect {shlex.quote(text)}`; {_KINDS}",
        )
    if _FLAKE_REFERENCE.fullmatch(text):
        return FlakeSource(reference=text)
    hint = (
        f"a package of nixpkgs is `nixpkgs#{text}`; {_KINDS}"
        if _PACKAGE.fullmatch(text)
        else _KINDS
    )
    raise InputError(f"there is no `{text}`", hint=hint)


def _file(path: Path, attribute: str | None) -> Source:
    if not path.exists():
        raise InputError(f"there is no file `{path}`", hint=_KINDS)
    if path.suffix == ".nix":
        return NixFileSource(path=path, attribute=attribute)
    if path.suffix == ".toml":
        return SpecSource(path=path)
    return DescriptionSource(path=path)


def _directory(text: str, path: Path) -> Source:
    if (path / SPEC_FILE_NAME).exists():
        return SpecSource(path=path / SPEC_FILE_NAME)
    if (path / "flake.nix").exists():
        return FlakeSource(reference=text)
    if path.is_symlink() and str(path.resolve()).startswith(DEFAULT_STORE_DIR + "/"):
        return StorePathSource(path=StorePath.parse(str(path.resolve())))
    raise InputError(
        f"the directory `{text}` holds no `{SPEC_FILE_NAME}` and no `flake.nix`", hint=_KINDS
    )
