"""What changed from one image to another: packages, config, and which layers are sent.

Pure. Packages are told apart by the names and versions of their store paths (`PackageName`), as
`nix store diff-closures` does it. A layer of the new image that the old one has is *kept*: whoever
has the old image has it already. All other layers are *sent*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from nixbridge.closure import PackageName, StorePath
from nixbridge.description.document import plain_value
from nixbridge.report.contents import Contents, LayerContents

# Objects of the config whose entries are compared one by one, and texts `NAME=VALUE`.
_BY_ENTRY: Final = ("ExposedPorts", "Healthcheck", "Labels", "Volumes")
_VARIABLES: Final = "Env"


class PackageChangeKind(StrEnum):
    """What became of a package; *rebuilt* is the same version with another hash."""

    ADDED = "added"
    REMOVED = "removed"
    VERSION = "version"
    REBUILT = "rebuilt"


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageChange:
    """A package, or another output of one, whose store paths are not the same in both images.

    Only those paths are told and counted that one image has and the other has not.
    """

    kind: PackageChangeKind
    package: str
    old_paths: tuple[StorePath, ...]
    new_paths: tuple[StorePath, ...]
    old_size_bytes: int
    new_size_bytes: int

    @property
    def difference_bytes(self) -> int:
        """How much the package has grown; below zero, it shrank."""
        return self.new_size_bytes - self.old_size_bytes

    @property
    def old_versions(self) -> tuple[str, ...]:
        """The versions that the old image has, sorted."""
        return _versions(self.old_paths)

    @property
    def new_versions(self) -> tuple[str, ...]:
        """The versions that the new image has, sorted."""
        return _versions(self.new_paths)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigChange:
    """A key of the config that differs, `Env.TZ` or the like; None is not there."""

    key: str
    old: Any
    new: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageDiff:
    """What changed from `old` to `new`.

    `packages` is None where one of them tells of no store path; `notes` say what could not be
    compared. `dropped` are layers of the old image that the new one has not.
    """

    old: Contents
    new: Contents
    packages: tuple[PackageChange, ...] | None
    config: tuple[ConfigChange, ...]
    kept: tuple[LayerContents, ...]
    sent: tuple[LayerContents, ...]
    dropped: tuple[LayerContents, ...]
    notes: tuple[str, ...]


def compare(old: Contents, new: Contents) -> ImageDiff:
    """Tell what changed from `old` to `new`."""
    old_names = {name for layer in old.layers for name in layer.names}
    new_names = {name for layer in new.layers for name in layer.names}
    return ImageDiff(
        old=old,
        new=new,
        packages=None if _is_mute(old) or _is_mute(new) else compare_packages(old, new),
        config=compare_configs(old.config, new.config),
        kept=tuple(layer for layer in new.layers if layer.names & old_names),
        sent=tuple(layer for layer in new.layers if not layer.names & old_names),
        dropped=tuple(layer for layer in old.layers if not layer.names & new_names),
        notes=tuple(note for side in (old, new) for note in _notes(side)),
    )


def _is_mute(contents: Contents) -> bool:
    return 0 < len(contents.layers) == contents.untold_layer_count


def _notes(contents: Contents) -> Iterable[str]:
    if _is_mute(contents):
        yield (
            f"`{contents.title}` does not say which store paths it holds, so that only config and "
            "layers are compared"
        )
    elif contents.untold_layer_count:
        yield (
            f"{contents.untold_layer_count} of the {len(contents.layers)} layers of "
            f"`{contents.title}` do not say which store paths they hold"
        )


def compare_packages(old: Contents, new: Contents) -> tuple[PackageChange, ...]:
    """Return the packages whose paths differ: by kind, then by how much they grew or shrank."""
    gone = _by_package(old.nar_sizes_bytes.keys() - new.nar_sizes_bytes.keys())
    come = _by_package(new.nar_sizes_bytes.keys() - old.nar_sizes_bytes.keys())
    changes = []
    for package in gone.keys() | come.keys():
        old_paths, new_paths = gone.get(package, ()), come.get(package, ())
        changes.append(
            PackageChange(
                kind=_kind(old_paths, new_paths),
                package=package,
                old_paths=old_paths,
                new_paths=new_paths,
                old_size_bytes=sum(old.nar_sizes_bytes[path] for path in old_paths),
                new_size_bytes=sum(new.nar_sizes_bytes[path] for path in new_paths),
            )
        )
    kinds = list(PackageChangeKind)
    changes.sort(
        key=lambda each: (kinds.index(each.kind), -abs(each.difference_bytes), each.package)
    )
    return tuple(changes)


def _by_package(paths: Iterable[StorePath]) -> dict[str, tuple[StorePath, ...]]:
    found: dict[str, list[StorePath]] = {}
    for path in sorted(paths):
        found.setdefault(PackageName.parse(path.name).package, []).append(path)
    return {package: tuple(members) for package, members in found.items()}


def _kind(old_paths: tuple[StorePath, ...], new_paths: tuple[StorePath, ...]) -> PackageChangeKind:
    if not old_paths:
        return PackageChangeKind.ADDED
    if not new_paths:
        return PackageChangeKind.REMOVED
    if _versions(old_paths) != _versions(new_paths):
        return PackageChangeKind.VERSION
    return PackageChangeKind.REBUILT


def _versions(paths: Iterable[StorePath]) -> tuple[str, ...]:
    return tuple(sorted({PackageName.parse(path.name).version for path in paths}))


def compare_configs(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[ConfigChange, ...]:
    """Return the keys that differ, sorted; objects and variables are compared entry by entry."""
    before, after = _flat(old), _flat(new)
    return tuple(
        ConfigChange(key=key, old=before.get(key), new=after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    )


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config with an entry for each thing that is compared, as JSON has it.

    What is null is not there: some tools write it so.
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if key == _VARIABLES and isinstance(value, list | tuple):
            for variable in value:
                name, _, text = str(variable).partition("=")
                flat[f"{key}.{name}"] = text
        elif key in _BY_ENTRY and isinstance(value, Mapping):
            flat.update({f"{key}.{name}": plain_value(each) for name, each in value.items()})
        elif value is not None:
            flat[key] = plain_value(value)
    return flat
