"""`registries.conf`: what a machine's users and owner say of registries, as skopeo reads it.

Which are `insecure` or `blocked`, where a name's images really lie (`location`), and which mirrors
are asked first. The latter two are for reading only: a push goes where its name says. Short names,
aliases and `credential-helpers` are not for us; version 1 of the format is refused where it says
something that counts.

- https://github.com/containers/image/blob/v5.23.1/docs/containers-registries.conf.5.md
- https://github.com/containers/image/blob/v5.23.1/pkg/sysregistriesv2/system_registries_v2.go
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nixbridge.destinations.destination import Access, UnreachableError
from nixbridge.destinations.repository import PublishedName, Repository
from nixbridge.errors import DestinationError
from nixbridge.packing import Warn

_NAMED_BY: Final = "CONTAINERS_REGISTRIES_CONF"
_SYSTEM: Final = Path("/etc/containers")
_FILE: Final = "registries.conf"
_DROP_INS: Final = "registries.conf.d"
_ANY_SUBDOMAIN: Final = "*."
_MIRROR_KEYS: Final = frozenset({"location", "insecure", "pull-from-mirror"})
_REGISTRY_KEYS: Final = frozenset(
    {"prefix", "location", "insecure", "blocked", "mirror", "mirror-by-digest-only"}
)
# What version 1 says that changes what we may do, by the key of version 2.
_VERSION_1: Final = {"insecure": "insecure", "block": "blocked"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where an image is asked for; one that a mirror has not is looked for at the next place."""

    name: PublishedName
    is_insecure: bool = False
    is_mirror: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Endpoint:
    """A registry, or a part of one; an empty `location` is where the image's name says."""

    location: str
    is_insecure: bool
    # `all`, `digest-only`, `tag-only`.
    is_for: str = "all"

    def fits(self, name: PublishedName) -> bool:
        """Return whether an image is looked for here, as a mirror."""
        return self.is_for in {"all", "tag-only" if name.digest is None else "digest-only"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """A `[[registry]]` of the file `path`."""

    path: Path
    prefix: str
    primary: _Endpoint
    is_blocked: bool
    mirrors: tuple[_Endpoint, ...]

    def place(self, name: PublishedName, endpoint: _Endpoint) -> Place:
        """Return where an image lies at an endpoint.

        Raises `DestinationError`.
        """
        found = name
        if endpoint.location:
            text = endpoint.location + str(name)[_matched(str(name), self.prefix) or 0 :]
            found = PublishedName.parse(text)
            if str(found) != text:
                # It would be a name of Docker Hub's.
                raise DestinationError(
                    f"the location `{endpoint.location}` in `{self.path}` names no registry"
                )
        return Place(
            name=found, is_insecure=endpoint.is_insecure, is_mirror=endpoint is not self.primary
        )


def places_to_read(name: PublishedName, access: Access) -> tuple[Place, ...]:
    """Return where an image is looked for, one place after the other.

    Raises `DestinationError`: a file cannot be used. Raises `UnreachableError`: it is blocked.
    """
    entry = _find(name.repository, access)
    if entry is None:
        return (Place(name=name),)
    mirrors = (mirror for mirror in entry.mirrors if mirror.fits(name))
    return tuple(entry.place(name, endpoint) for endpoint in (*mirrors, entry.primary))


def place_to_write(name: PublishedName, access: Access) -> Place:
    """Return where an image is put: where its name says.

    Raises `DestinationError`: a file cannot be used. Raises `UnreachableError`: it is blocked.
    """
    entry = _find(name.repository, access)
    return Place(name=name, is_insecure=entry is not None and entry.primary.is_insecure)


def _find(repository: Repository, access: Access) -> _Entry | None:
    """Return the entry with the longest prefix of a name."""
    files = tuple(_files(access.environment))
    # A function has a hash, which its type does not say.
    entries = _read_all(files, access.warn)  # type: ignore[arg-type]
    fitting = [entry for entry in entries if _matched(str(repository), entry.prefix) is not None]
    entry = max(fitting, key=lambda entry: len(entry.prefix), default=None)
    if entry is not None and entry.is_blocked:
        raise UnreachableError(
            f"`{repository}` must not be used: `{entry.prefix}` is blocked in `{entry.path}`"
        )
    return entry


def _matched(name: str, prefix: str) -> int | None:
    """Return how many characters of a name a prefix stands for; None is that it is none of it."""
    end = len(prefix) if name.startswith(prefix) else -1
    if prefix.startswith(_ANY_SUBDOMAIN):
        domain = prefix.removeprefix("*")
        at = name.find(domain)
        end = -1 if at < 0 or "/" in name[:at] else at + len(domain)
    # A host stands for its ports, too, as it does for skopeo.
    return end if end >= 0 and name[end : end + 1] in {"", "/", ":", "@"} else None


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    """Return what is read, in its order: the user's file in the place of the system's.

    Raises `DestinationError`: the user named one that is not there.
    """
    home = environment.get("HOME")
    own = Path(home, ".config/containers") if home else None
    named = environment.get(_NAMED_BY)
    folders = [_SYSTEM] if own is None else [_SYSTEM, own]
    if named:
        if not Path(named).exists():
            raise DestinationError(f"`{_NAMED_BY}` names `{named}`, which is not there")
        yield Path(named)
    elif own is not None and (own / _FILE).exists():
        yield own / _FILE
        folders = [own]
    elif (_SYSTEM / _FILE).exists():
        yield _SYSTEM / _FILE
    for folder in folders:
        yield from sorted((folder / _DROP_INS).glob("*.conf"))


@functools.cache
def _read_all(paths: tuple[Path, ...], warn: Warn) -> tuple[_Entry, ...]:
    """Read files, once; an entry of a later one takes the place of one with the same prefix.

    Raises `DestinationError`.
    """
    entries: dict[str, _Entry] = {}
    for path in paths:
        entries |= _read(path, warn)
    return tuple(entries.values())


def _read(path: Path, warn: Warn) -> dict[str, _Entry]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DestinationError(
            f"`{path}` cannot be read: {(error.strerror or '').lower()}"
        ) from error
    except ValueError as error:  # of TOML, of UTF-8
        raise DestinationError(f"`{path}` cannot be read: {error}") from error
    _refuse_version_1(document, path)
    reader = _Reader(path, warn)
    found: dict[str, _Entry] = {}
    for table in reader.tables(document, "registry"):
        entry = reader.entry(table)
        for other in found.values():
            reader.check_conflict(entry, other)
        found.setdefault(entry.prefix, entry)
    return found


def _refuse_version_1(document: Mapping[str, Any], path: Path) -> None:
    old = document.get("registries")
    for name, key in _VERSION_1.items():
        part = old.get(name) if isinstance(old, dict) else None
        if isinstance(part, dict) and part.get("registries"):
            raise DestinationError(
                f"`{path}` has `registries.{name}`, which is of version 1 and not read",
                hint=f"write it as `[[registry]]`, with `location` and `{key} = true`",
            )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads tables of one file; every error and warning names it."""

    path: Path
    warn: Warn

    def entry(self, table: Mapping[str, Any]) -> _Entry:
        location, prefix = self._place(table, "location"), self._place(table, "prefix")
        is_wild = prefix.startswith(_ANY_SUBDOMAIN)
        if not location and not is_wild:
            raise self._error("a `[[registry]]` has no `location`")
        prefix = prefix or location
        if prefix.startswith(_ANY_SUBDOMAIN) and set(prefix) & set("/@:"):
            raise self._error(f"the prefix `{prefix}` is none: write `*.` and a domain")
        self._tell_unknown(table, _REGISTRY_KEYS, "registry")
        digests_only = self._is(table, "mirror-by-digest-only")
        return _Entry(
            path=self.path,
            prefix=prefix,
            primary=_Endpoint(location=location, is_insecure=self._is(table, "insecure")),
            is_blocked=self._is(table, "blocked"),
            mirrors=tuple(
                self._mirror(mirror, digests_only=digests_only)
                for mirror in self.tables(table, "mirror")
            ),
        )

    def _mirror(self, table: Mapping[str, Any], *, digests_only: bool) -> _Endpoint:
        location = self._place(table, "location")
        if not location:
            raise self._error("a `[[registry.mirror]]` has no `location`")
        self._tell_unknown(table, _MIRROR_KEYS, "registry.mirror")
        is_for = self._text(table, "pull-from-mirror")
        if is_for and digests_only:
            raise self._error("`pull-from-mirror` and `mirror-by-digest-only` exclude each other")
        if is_for not in {"", "all", "digest-only", "tag-only"}:
            raise self._error(f"`pull-from-mirror` cannot be `{is_for}`")
        return _Endpoint(
            location=location,
            is_insecure=self._is(table, "insecure"),
            is_for="digest-only" if digests_only else is_for or "all",
        )

    def tables(self, table: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
        found = table.get(key, [])
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise self._error(f"`{key}` is no array of tables")
        return found

    def check_conflict(self, entry: _Entry, other: _Entry) -> None:
        place = entry.primary.location or entry.prefix
        if place == (other.primary.location or other.prefix) and (
            entry.primary.is_insecure != other.primary.is_insecure
            or entry.is_blocked != other.is_blocked
        ):
            raise self._error(f"`{place}` is `insecure` or `blocked` once, and once not")

    def _place(self, table: Mapping[str, Any], key: str) -> str:
        text = self._text(table, key).rstrip("/")
        if text.startswith(("http://", "https://")):
            raise self._error(f"the {key} `{text}` has a scheme, and must not")
        return text

    def _text(self, table: Mapping[str, Any], key: str) -> str:
        found = table.get(key, "")
        if not isinstance(found, str):
            raise self._error(f"`{key}` is no string")
        return found

    def _is(self, table: Mapping[str, Any], key: str) -> bool:
        found = table.get(key, False)
        if not isinstance(found, bool):
            raise self._error(f"`{key}` is neither `true` nor `false`")
        return found

    def _tell_unknown(self, table: Mapping[str, Any], known: frozenset[str], where: str) -> None:
        for key in sorted(table.keys() - known):
            self.warn(f"`{self.path}` has `{where}.{key}`, which is not understood")

    def _error(self, what: str) -> DestinationError:
        return DestinationError(f"`{self.path}` cannot be used: {what}")
