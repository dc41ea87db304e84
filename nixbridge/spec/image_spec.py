"""`ImageSpec`: what a `nixbridge.toml` says, one class a table of the file.

Values only; reading them is `read.py`, and `docs/spec.md` tells what each key means. A field that
is None, or empty, was not given and has no default of ours: the template decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

_Value = TypeVar("_Value")


def _no_entries() -> Mapping[str, _Value]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class LookupPath:
    """A set of packages that Nix finds itself, such as `<nixpkgs>`."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Debpkgs:
    """The embedded set of packages, of one suite of Debian."""

    suite: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NixSection:
    """`[nix]`: where packages come from. A `Path` is absolute."""

    packages: LookupPath | Debpkgs | Path = LookupPath(text="<nixpkgs>")


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerUser:
    """Who runs the image's program."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Healthcheck:
    """`[image.config.healthcheck]`: a command whose exit status tells whether all is well."""

    command: tuple[str, ...]
    interval_seconds: int | None = None
    timeout_seconds: int | None = None
    start_period_seconds: int | None = None
    retries: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigSection:
    """`[image.config]`: what the image runs, and how.

    `ports` are in OCI's spelling, `8080/tcp`.
    """

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=_no_entries)
    user: ContainerUser | None = None
    working_dir: str | None = None
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=_no_entries)
    stop_signal: str | None = None
    healthcheck: Healthcheck | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSection:
    """`[image]`: what the image is called and what is in it.

    `packages` are attribute paths in the set of packages, such as `python3Packages.flask`.
    """

    name: str
    tag: str = "latest"
    packages: tuple[str, ...] = ()
    ca_certificates: bool = True
    title: str | None = None
    description: str | None = None
    version: str | None = None
    revision: str | None = None
    source: str | None = None
    vendor: str | None = None
    annotations: Mapping[str, str] = field(default_factory=_no_entries)
    config: ConfigSection = ConfigSection()


@dataclass(frozen=True, kw_only=True, slots=True)
class LayeringSection:
    """`[layering]`: how store paths become layers.

    `layers` are the packages of explicit layers, from bottom to top; None when not given.
    `volatile` and the keys of `weights` are patterns of names of store paths. `plan` is the path of
    a saved plan, absolute.
    """

    strategy: str = "update-cost"
    max_layers: int = 40
    layers: tuple[tuple[str, ...], ...] | None = None
    plan: Path | None = None
    volatile: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=_no_entries)


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerSection:
    """`[docker]`: what only the template `docker`, an image with Nix inside, asks for."""

    bundle_nixpkgs: bool = True
    channel_name: str = "nixpkgs"
    channel_url: str = "https://channels.nixos.org/nixpkgs-unstable"
    nix_conf: Mapping[str, str | int | bool | tuple[str, ...]] = field(default_factory=_no_entries)
    flake_registry: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSpec:
    """A whole spec.

    `path` is the file it was read from. `template` is a template's name, or the absolute path of
    the user's own. `given` are the keys that stand in the file, with their tables' names.
    """

    path: Path
    template: str | Path = "image"
    nix: NixSection = NixSection()
    image: ImageSection
    layering: LayeringSection = LayeringSection()
    docker: DockerSection = DockerSection()
    given: frozenset[str] = frozenset()
