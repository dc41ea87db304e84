"""packages.toml as values: what the set contains and how units differ from Debian packages.

The Nix side reads the same file (default.nix, units.nix). Which suite has which package is not
known here: `unit` alternatives are settled when the archive answers (`apt`) or the lock is read.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import DebpkgsError


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitRule:
    """How one unit differs from a Debian package taken as it is."""

    debs: tuple[re.Pattern[str], ...] = ()
    same_as: str | None = None
    main: str | None = None
    with_: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    interpreters: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    provides: bool = True

    @classmethod
    def parse(cls, name: str, table: Mapping[str, Any]) -> UnitRule:
        """Read one `[units.NAME]` table, refusing keys that mean nothing."""
        known = {"debs", "same-as", "main", "with", "remove", "interpreters", "links", "needs"}
        unknown = sorted(set(table) - known - {"provides"})
        if unknown:
            raise DebpkgsError(
                f"packages.toml: [units.{name}] has unknown keys: {', '.join(unknown)}"
            )
        return cls(
            debs=tuple(re.compile(pattern) for pattern in table.get("debs", ())),
            same_as=table.get("same-as"),
            main=table.get("main"),
            with_=tuple(table.get("with", ())),
            remove=tuple(table.get("remove", ())),
            interpreters=tuple(table.get("interpreters", ())),
            links=dict(table.get("links", {})),
            needs=tuple(table.get("needs", ())),
            # A unit with another's packages would offer each library a second time.
            provides=bool(table.get("provides", "same-as" not in table)),
        )


NO_RULE = UnitRule()


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """packages.toml.

    `roots` holds one entry a wanted unit: the names it may have, the best first.
    """

    roots: tuple[tuple[str, ...], ...]
    lacks: Mapping[str, tuple[str, ...]]
    rules: Mapping[str, UnitRule]
    remove: tuple[str, ...]
    interpreters: tuple[str, ...]
    patchelf_version: str
    digest: str

    @classmethod
    def read(cls, path: Path) -> Spec:
        """Read packages.toml."""
        try:
            return cls.parse(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise DebpkgsError(f"cannot read `{path}`: {error}") from error

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read the text of packages.toml."""
        table = tomllib.loads(text)
        roots: list[tuple[str, ...]] = []
        for name, entry in table.get("packages", {}).items():
            unit = entry.get("unit", name)
            roots.append(tuple(unit) if isinstance(unit, list) else (unit,))
        roots += [(name,) for name in table.get("support", {}).get("units", ())]
        python = table.get("python", {}).get("packages", ())
        roots += [(f"python3-{name}",) for name in python]
        defaults = table.get("defaults", {})
        suites = table.get("suites", {})
        lacks = {suite: tuple(entry.get("lacks", ())) for suite, entry in suites.items()}
        # Only what a lock depends on: another program name or comment leaves locks as they are.
        relevant = {
            "roots": sorted(set(roots)),
            "lacks": lacks,
            "defaults": defaults,
            "units": table.get("units", {}),
            "bootstrap": table["bootstrap"],
        }
        canonical = json.dumps(relevant, sort_keys=True, separators=(",", ":"))
        return cls(
            roots=tuple(sorted(set(roots))),
            lacks=lacks,
            rules={n: UnitRule.parse(n, t) for n, t in table.get("units", {}).items()},
            remove=tuple(defaults.get("remove", ())),
            interpreters=tuple(defaults.get("interpreters", ())),
            patchelf_version=table["bootstrap"]["patchelf"],
            digest=hashlib.sha256(canonical.encode()).hexdigest(),
        )

    def roots_in(self, suite: str) -> tuple[tuple[str, ...], ...]:
        """Return the roots that a suite is supposed to have."""
        lacks = self.lacks.get(suite, ())
        return tuple(names for names in self.roots if not set(names) & set(lacks))

    def silent_needs(self, units: Iterable[str], suite: str) -> list[str]:
        """Return the units that these need without any file saying so, as the suite has them."""
        lacks = self.lacks.get(suite, ())
        return [need for unit in units for need in self.rule(unit).needs if need not in lacks]

    def rule(self, unit: str) -> UnitRule:
        """Return the unit's rule, an empty one when it has none."""
        return self.rules.get(unit, NO_RULE)

    def packages_asked_for(self, unit: str) -> tuple[str, ...]:
        """Return the Debian packages to ask apt for so that the unit is complete."""
        rule = self.rule(unit)
        if rule.same_as is not None:
            return self.packages_asked_for(rule.same_as)
        return (rule.main or unit, *rule.with_)

    def unit_of(self, deb: str) -> str:
        """Return the unit that a Debian package belongs to."""
        for name, rule in self.rules.items():
            if any(pattern.fullmatch(deb) for pattern in rule.debs):
                return name
        return deb
