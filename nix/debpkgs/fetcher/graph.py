"""Units and their edges, found in what packages contain and not in what they declare.

Debian's Depends is cyclic (libc6 and libgcc-s1, perl, python, debconf) and names much that only
maintainer scripts use. So a unit needs the units that really have its libraries, interpreters
and link targets; Depends decides only between several that do. The exception is Python: nothing
in a file says what it imports, so units of Python packages keep Debian's word (`requires`).

The graph of `needs` has no cycle, or there would be no way to build the units: that is checked.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .apt import Package
from .deb import Entry
from .errors import DebpkgsError
from .spec import Spec

LIBRARY_DIRECTORIES = ("lib", "lib64", "lib/x86_64-linux-gnu")
PYTHON_PACKAGES = "lib/python3/dist-packages/"

_LIBRARY = re.compile(r"\.so(\.|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """One store path to be.

    `needs` are units it refers to, `drop` its scripts that stay out, `requires` the units of the
    Python packages that it imports. All are sorted.
    """

    name: str
    version: str
    debs: tuple[str, ...]
    needs: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


def upstream_version(version: str) -> str:
    """Return the upstream part of a Debian version: no epoch, revision or repacking mark."""
    version = version.partition(":")[2] or version
    version = version.rpartition("-")[0] or version
    version = re.sub(r"[+~.]?(dfsg|ds|repack)[0-9.]*", "", version)
    really = re.split(r"\+\d*\.?really\.?", version)[-1]
    return re.sub(r"[^A-Za-z0-9+._?=-]", "_", really)


def find_units(
    spec: Spec,
    packages: Mapping[str, Package],
    contents: Mapping[str, Mapping[str, Entry]],
    roots: Iterable[str],
) -> dict[str, Unit]:
    """Return the units that the roots need, by name."""
    members = _group(spec, packages)
    files: dict[str, dict[str, Entry]] = {}
    drops: dict[str, tuple[str, ...]] = {}
    for unit, debs in members.items():
        files[unit], drops[unit] = _kept(spec, unit, [contents[deb] for deb in debs])
    providers = _Providers.of({u: f for u, f in files.items() if spec.rule(u).provides})
    declared = _declared(spec, packages, members)

    needs: dict[str, tuple[str, ...]] = {}
    lacks: dict[str, tuple[str, ...]] = {}
    for unit, own in files.items():
        found, lacks[unit] = providers.needs_of(own, prefer=declared[unit])
        extra = [name for name in spec.rule(unit).needs if name in members]
        needs[unit] = tuple(sorted({*found, *extra} - {unit}))
    _refuse_cycles(needs)

    requires = {
        unit: tuple(sorted(d for d in declared[unit] if d != unit and is_python(d, files[d])))
        if is_python(unit, files[unit])
        else ()
        for unit in members
    }
    reached = _reach(roots, {u: (*needs[u], *requires[u]) for u in members})
    lacking = [f"{unit}: {what}" for unit in sorted(reached) for what in lacks[unit]]
    if lacking:
        raise DebpkgsError(
            "\n  ".join(["libraries that no package has:", *lacking]),
            hint="add the package, or remove the files, in packages.toml",
        )
    return {
        unit: Unit(
            name=unit,
            version=upstream_version(packages[_main(spec, unit, members[unit])].version),
            debs=members[unit],
            needs=needs[unit],
            drop=drops[unit],
            requires=requires[unit],
        )
        for unit in sorted(reached)
    }


def is_python(unit: str, files: Iterable[str]) -> bool:
    """Tell whether a unit is a Python package, and not Python itself."""
    return unit != "python3" and any(path.startswith(PYTHON_PACKAGES) for path in files)


def _group(spec: Spec, packages: Iterable[str]) -> dict[str, tuple[str, ...]]:
    members: dict[str, list[str]] = defaultdict(list)
    for deb in sorted(packages):
        members[spec.unit_of(deb)].append(deb)
    for unit, rule in spec.rules.items():
        if rule.same_as in members:
            members[unit] = members[rule.same_as]
    return {unit: tuple(debs) for unit, debs in sorted(members.items())}


def _main(spec: Spec, unit: str, debs: Sequence[str]) -> str:
    asked_for = spec.packages_asked_for(unit)[0]
    return asked_for if asked_for in debs else debs[0]


def _kept(
    spec: Spec, unit: str, contents: Sequence[Mapping[str, Entry]]
) -> tuple[dict[str, Entry], tuple[str, ...]]:
    """Return what a unit keeps of its packages, and the scripts that it drops."""
    rule = spec.rule(unit)
    together = {path: entry for package in contents for path, entry in package.items()}
    interpreters = {*spec.interpreters, *rule.interpreters}
    if is_python(unit, together):
        interpreters.add("python3")
    kept: dict[str, Entry] = {}
    drop: list[str] = []
    for path, entry in together.items():
        if _matches(path, (*spec.remove, *rule.remove)):
            continue
        if entry.interpreter and _unversioned(entry.interpreter) not in {
            _unversioned(name) for name in interpreters
        }:
            drop.append(path)
        else:
            kept[path] = entry
    for path, target in rule.links.items():
        joined = posixpath.join(posixpath.dirname(path), target)
        kept.setdefault(path, Entry(link=posixpath.normpath(joined)))
    return kept, tuple(sorted(drop))


def _unversioned(program: str) -> str:
    return program.rstrip("0123456789.")


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, p) or fnmatchcase(path, p + "/*") for p in patterns)


def _declared(
    spec: Spec, packages: Mapping[str, Package], members: Mapping[str, Sequence[str]]
) -> dict[str, set[str]]:
    """Return the units that each unit's packages name in Depends."""
    provider: dict[str, str] = {}
    for name in sorted(packages):
        for virtual in packages[name].provides:
            provider.setdefault(virtual, name)
    provider.update({name: name for name in packages})
    declared: dict[str, set[str]] = {}
    for unit, debs in members.items():
        clauses = [clause for deb in debs for clause in packages[deb].depends]
        first = [next((provider[n] for n in clause if n in provider), None) for clause in clauses]
        declared[unit] = {spec.unit_of(name) for name in first if name is not None}
    return declared


@dataclass(frozen=True, kw_only=True, slots=True)
class _Providers:
    """Which units have a library, a program, any path."""

    libraries: Mapping[str, list[str]]
    private_libraries: Mapping[str, list[str]]
    paths: Mapping[str, list[str]]

    @classmethod
    def of(cls, files: Mapping[str, Mapping[str, Entry]]) -> _Providers:
        libraries: dict[str, list[str]] = defaultdict(list)
        private_libraries: dict[str, list[str]] = defaultdict(list)
        paths: dict[str, list[str]] = defaultdict(list)
        for unit, entries in files.items():
            for path in entries:
                directory, name = posixpath.split(path)
                if _LIBRARY.search(name) and directory in LIBRARY_DIRECTORIES:
                    libraries[name].append(unit)
                elif _LIBRARY.search(name) and directory.startswith("lib/"):
                    private_libraries[name].append(unit)
                paths[path].append(unit)
        return cls(libraries=libraries, private_libraries=private_libraries, paths=paths)

    def needs_of(
        self, files: Mapping[str, Entry], prefer: set[str]
    ) -> tuple[set[str], tuple[str, ...]]:
        """Return the units that have what these files need, and the libraries nobody has."""
        own_names = {posixpath.basename(path) for path in files}
        needs: set[str] = set()
        lacks: set[str] = set()

        def take(candidates: Sequence[str] | None) -> bool:
            if candidates:
                needs.add(next((c for c in candidates if c in prefer), candidates[0]))
            return bool(candidates)

        for path, entry in files.items():
            for library in entry.needed:
                if library in own_names:
                    continue
                if not take(self.libraries.get(library) or self.private_libraries.get(library)):
                    lacks.add(f"{path} needs {library}")
            if entry.is_program:
                take(self.libraries.get("ld-linux-x86-64.so.2"))
            if entry.interpreter and f"bin/{entry.interpreter}" not in files:
                take(self.paths.get(f"bin/{entry.interpreter}"))
            if entry.link is not None and entry.link not in files:
                is_directory = any(path.startswith(entry.link + "/") for path in files)
                take(None if is_directory else self.paths.get(entry.link))
        return needs, tuple(sorted(lacks))


def _reach(roots: Iterable[str], edges: Mapping[str, Iterable[str]]) -> set[str]:
    reached: set[str] = set()
    todo = list(roots)
    while todo:
        unit = todo.pop()
        if unit not in reached:
            reached.add(unit)
            todo.extend(edges[unit])
    return reached


def _refuse_cycles(needs: Mapping[str, Sequence[str]]) -> None:
    """Raise an error that shows a cycle, if there is one."""
    done: set[str] = set()
    for start in needs:
        trail: list[str] = []
        # Each frame is a unit and an iterator over what it needs.
        frames = [iter((start,))]
        while frames:
            unit = next(frames[-1], None)
            if unit is None:
                frames.pop()
                if trail:
                    done.add(trail.pop())
            elif unit in trail:
                circle = " -> ".join([*trail[trail.index(unit) :], unit])
                raise DebpkgsError(
                    f"units need each other: {circle}",
                    hint="make them one unit, or remove the files that cause it, in packages.toml",
                )
            elif unit not in done:
                trail.append(unit)
                frames.append(iter(needs[unit]))
