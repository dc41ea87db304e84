"""Learn from past closures how often packages change by themselves.

A package is what a store path is named without its version: what changes from one release to the
next is its hash. The hash also changes when that of a path it refers to does, and that says nothing
of the package itself. So a package counts as changed by itself where its version is another one, or
where it has another hash and nothing that it refers to has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final, Self

from nixbridge.closure import PackageName, PathInfo, StorePath

# A package is taken to have changed as often as the average in so many releases besides those seen.
_SMOOTHING: Final = 1.0
# Weights are rounded to parts of one, which makes plans faster.
_STEPS: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """The store paths of one past image.

    `references` has what each path refers to, where that is known; an image that is out tells its
    paths and nothing of that.
    """

    paths: frozenset[StorePath]
    references: Mapping[StorePath, tuple[StorePath, ...]]

    @classmethod
    def of_infos(cls, infos: Iterable[PathInfo]) -> Self:
        """Return a release of which is known what its paths refer to."""
        references = {info.path: info.references for info in infos}
        return cls(paths=frozenset(references), references=MappingProxyType(references))

    @classmethod
    def of_paths(cls, paths: Iterable[StorePath]) -> Self:
        """Return a release of which the paths are all that is known."""
        return cls(paths=frozenset(paths), references=MappingProxyType({}))


def package_of(path: StorePath) -> str:
    """Return the package that a path is of: its name without the version, and its output."""
    return PackageName.parse(path.name).package


def learn_weights(releases: Sequence[Release]) -> Mapping[str, float]:
    """Return the weight of each package that two releases in a row have; the oldest come first.

    It is how often the package changed by itself against the average of all; 1 is the average.
    """
    known = _known_needs(releases)
    seen: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    for old, new in pairwise(map(_by_package, releases)):
        both = old.keys() & new.keys()
        seen.update(both)
        others = {package for package in both if old[package] != new[package]}
        changed.update(
            package
            for package in others
            if _versions(old[package]) != _versions(new[package])
            or not known.get(package, frozenset()) & others
        )
    if not changed:
        return MappingProxyType({})
    average = changed.total() / seen.total()
    return MappingProxyType(
        {
            package: _rounded(
                (changed[package] / average + _SMOOTHING) / (seen[package] + _SMOOTHING)
            )
            for package in sorted(seen)
        }
    )


def _by_package(release: Release) -> Mapping[str, frozenset[StorePath]]:
    packages: dict[str, set[StorePath]] = {}
    for path in release.paths:
        packages.setdefault(package_of(path), set()).add(path)
    return {package: frozenset(paths) for package, paths in packages.items()}


def _versions(paths: Iterable[StorePath]) -> frozenset[str]:
    return frozenset(path.name for path in paths)


def _known_needs(releases: Sequence[Release]) -> Mapping[str, frozenset[str]]:
    """Return the packages that each package refers to in any release."""
    needs: dict[str, set[str]] = {}
    for release in releases:
        for path, references in release.references.items():
            package = package_of(path)
            needs.setdefault(package, set()).update(
                need for reference in references if (need := package_of(reference)) != package
            )
    return {package: frozenset(others) for package, others in needs.items()}


def _rounded(weight: float) -> float:
    return max(1, round(weight * _STEPS)) / _STEPS
