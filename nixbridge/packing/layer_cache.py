"""What is known of the bytes of layers, kept from one run to the next.

An SQLite file in the user's cache directory, from a layer's key to its digests and sizes, and to
its recipe, so that `nixbridge cache verify` can make it again; and the repositories of registries
where blobs were seen. It is only a memory: whatever is wrong with it, an image can be made without
it, so a file that is not as we wrote it is begun anew.

One process uses the file at a time, for milliseconds, under the lock of another file; so it can be
removed and made again without SQLite's own locks and journals in the way. Each row carries a
checksum: SQLite notices damage to its pages, but not to the text in them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from nixbridge.errors import InputError
from nixbridge.oci import BlobDigest, DiffId
from nixbridge.packing.layer_recipe import LayerKey, LayerRecipe
from nixbridge.packing.packed_layer import LayerBytes

DEFAULT_LIMIT_BYTES: Final = 64 << 20

# "nixb": says of a file that it is ours. The version is of the tables below.
_APPLICATION_ID: Final = 0x6E697862
_VERSION: Final = 2
_SCHEMA: Final = f"""
create table layers (
    key text primary key not null,
    recipe blob not null,
    diff_id text not null,
    tar_size_bytes integer not null,
    blob_digest text not null,
    blob_size_bytes integer not null,
    checksum text not null,
    used_at integer not null,
    weight_bytes integer not null
) without rowid;
create table places (
    registry text not null,
    digest text not null,
    repository text not null,
    checksum text not null,
    seen_at integer not null,
    primary key (registry, digest, repository)
) without rowid;
pragma application_id = {_APPLICATION_ID};
pragma user_version = {_VERSION};
"""
# What a row takes besides its recipe, about.
_ROW_BYTES: Final = 400
# What a row of the other table takes, about, and the part of the limit that they have besides.
_PLACE_BYTES: Final = 250
_PLACES_PER_LIMIT: Final = 0.25
# A mount that comes to nothing costs a request, so few are tried.
_MOST_REPOSITORIES: Final = 4
# SQLite takes 999 variables in one statement, in old versions.
_KEYS_PER_QUERY: Final = 500

_LOCK_PATIENCE_SECONDS: Final = 10.0
_LOCK_INTERVAL_SECONDS: Final = 0.01
# The last is an error in our SQL, which is right for the tables that we made.
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
_PRIMARY_ERROR: Final = 0xFF

_T = TypeVar("_T")
_Row = tuple[str, bytes, str, int, str, int, str]
_COLUMNS: Final = "key, recipe, diff_id, tar_size_bytes, blob_digest, blob_size_bytes, checksum"


def layer_cache_path(environment: Mapping[str, str]) -> Path | None:
    """Return where a user's cache is, None where they have no directory for one.

    https://specifications.freedesktop.org/basedir-spec/0.8/
    """
    directory = environment.get("XDG_CACHE_HOME", "")
    if not directory.startswith("/"):
        home = environment.get("HOME", "")
        if not home.startswith("/"):
            return None
        directory = f"{home}/.cache"
    return Path(directory) / "nixbridge" / "layers.sqlite"


class Warn(Protocol):
    """Is told what went wrong and did not stop us, and what the user can do about it."""

    def __call__(self, message: str, hint: str | None = None) -> None:
        """Take note of a warning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerCacheInfo:
    """How much a cache holds, and how much it may."""

    path: Path
    layer_count: int
    size_bytes: int
    limit_bytes: int


class _DamageError(Exception):
    """The file is not as we wrote it; the text ends the sentence "the layer cache … "."""


class LayerCache:
    """The cache at `path`, whose directory is made when there is something to remember.

    `find` and `remember`, `repositories` and `remember_places` never fail: they warn, once, and go
    on without.
    """

    def __init__(self, path: Path, *, warn: Warn, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._path = path
        self._warn = warn
        self._limit_bytes = limit_bytes
        self._is_off = False

    def find(self, keys: Sequence[LayerKey]) -> dict[LayerKey, LayerBytes]:
        """Return what is known of the layers with `keys`."""

        def select(connection: sqlite3.Connection) -> dict[LayerKey, LayerBytes]:
            found: dict[LayerKey, LayerBytes] = {}
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                words = [str(key) for key in keys[start : start + _KEYS_PER_QUERY]]
                marks = ",".join("?" * len(words))
                query = f"select {_COLUMNS} from layers where key in ({marks})"  # noqa: S608
                for row in connection.execute(query, words):
                    recipe, known = _read_row(row)
                    found[recipe.key] = known
            return found

        return self._without_failing(
            lambda: self._run(select) if self._is_there() else {}, otherwise={}
        )

    def remember(self, layers: Mapping[LayerRecipe, LayerBytes]) -> None:
        """Keep what is known of the layers with these recipes, which were all used just now."""
        if layers:
            rows = [_row(recipe, known) for recipe, known in layers.items()]
            self._without_failing(
                lambda: self._run(lambda connection: self._insert(connection, rows)), otherwise=None
            )

    def _insert(self, connection: sqlite3.Connection, rows: Sequence[_Row]) -> None:
        now = int(time.time())
        connection.execute("begin immediate")
        # Else what was used while the clock was wrong would outlive all that is used after that.
        connection.execute("update layers set used_at = ? where used_at > ?", (now, now))
        connection.executemany(
            f"insert or replace into layers ({_COLUMNS}, used_at, weight_bytes) "  # noqa: S608
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(*row, now, _ROW_BYTES + len(row[1])) for row in rows],
        )
        # What was used longest ago goes first.
        connection.execute(
            "delete from layers where key in (select key from (select key, sum(weight_bytes) over "
            "(order by used_at desc, key) as total from layers) where total > ?)",
            (self._limit_bytes,),
        )
        connection.execute("commit")

    def repositories(self, registry: str, digest: BlobDigest) -> tuple[str, ...]:
        """Return the repositories of `registry` that had the blob, the last seen first."""

        def select(connection: sqlite3.Connection) -> tuple[str, ...]:
            rows = connection.execute(
                "select registry, digest, repository, checksum from places "
                "where registry = ? and digest = ? order by seen_at desc, repository limit ?",
                (registry, str(digest), _MOST_REPOSITORIES),
            )
            return tuple(_read_place(row) for row in rows)

        return self._without_failing(
            lambda: self._run(select) if self._is_there() else (), otherwise=()
        )

    def remember_places(
        self, registry: str, repository: str, digests: Iterable[BlobDigest]
    ) -> None:
        """Keep in mind that `repository` has these blobs."""
        places = [(registry, str(digest), repository) for digest in digests]
        if places:
            self._without_failing(
                lambda: self._run(lambda connection: self._insert_places(connection, places)),
                otherwise=None,
            )

    def _insert_places(
        self, connection: sqlite3.Connection, places: Sequence[tuple[str, str, str]]
    ) -> None:
        now = int(time.time())
        connection.execute("begin immediate")
        connection.execute("update places set seen_at = ? where seen_at > ?", (now, now))
        connection.executemany(
            "insert or replace into places (registry, digest, repository, checksum, seen_at) "
            "values (?, ?, ?, ?, ?)",
            [(*place, _checksum(place), now) for place in places],
        )
        connection.execute(
            "delete from places where (registry, digest, repository) in (select registry, digest, "
            "repository from places order by seen_at desc, registry, digest limit -1 offset ?)",
            (int(self._limit_bytes * _PLACES_PER_LIMIT) // _PLACE_BYTES,),
        )
        connection.execute("commit")

    def layers(self) -> dict[LayerRecipe, LayerBytes]:
        """Return all that is known.

        Raises `InputError`: the cache cannot be used.
        """

        def select(connection: sqlite3.Connection) -> dict[LayerRecipe, LayerBytes]:
            rows = connection.execute(f"select {_COLUMNS} from layers order by key")  # noqa: S608
            return dict(_read_row(row) for row in rows)

        return self._run(select) if self._is_there() else {}

    def forget(self, recipes: Sequence[LayerRecipe]) -> None:
        """Remove what is known of the layers with these recipes.

        Raises `InputError`: the cache cannot be used.
        """
        keys = [(str(recipe.key),) for recipe in recipes]
        self._run(lambda connection: connection.executemany("delete from layers where key=?", keys))

    def info(self) -> LayerCacheInfo:
        """Return how much is in it.

        Raises `InputError`: the cache cannot be used.
        """

        def count(connection: sqlite3.Connection) -> int:
            (number,) = connection.execute("select count(*) from layers").fetchone()
            return int(number)

        is_there = self._is_there()
        return LayerCacheInfo(
            path=self._path,
            layer_count=self._run(count) if is_there else 0,
            size_bytes=self._path.stat().st_size if is_there else 0,
            limit_bytes=int(self._limit_bytes * (1 + _PLACES_PER_LIMIT)),
        )

    def clear(self) -> None:
        """Remove all.

        Raises `InputError`: it cannot be removed.
        """
        if self._is_there():
            with self._refusing(), self._locked():
                self._remove()

    def _without_failing(self, operation: Callable[[], _T], *, otherwise: _T) -> _T:
        if self._is_off:
            return otherwise
        try:
            return operation()
        except InputError as error:
            self._is_off = True
            self._warn(f"going on without the layer cache: {error.message}", error.hint)
            return otherwise

    def _is_there(self) -> bool:
        with self._refusing():
            return self._path.exists()

    def _run(self, operation: Callable[[sqlite3.Connection], _T]) -> _T:
        with self._refusing(), self._locked():
            try:
                with self._opened() as connection:
                    return operation(connection)
            except _DamageError as damage:
                self._remove()
                self._warn(f"the layer cache `{self._path}` {damage}: it was begun anew")
            with self._opened() as connection:
                return operation(connection)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, _DamageError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise InputError(
                f"`{self._path}` cannot be used: {reason[:1].lower()}{reason[1:]}",
                hint="let `XDG_CACHE_HOME` name a directory that you can write to",
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = os.open(self._path.with_suffix(".lock"), flags, 0o600)
        try:
            deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        reason = "another process does not give back its lock"
                        raise TimeoutError(error.errno, reason) from error
                    time.sleep(_LOCK_INTERVAL_SECONDS)
            yield
        finally:
            os.close(lock)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file, which is made if it is not there; the lock is held."""
        is_new = not self._path.exists()
        with _noticing_damage(), closing(sqlite3.connect(self._path, isolation_level=None)) as it:
            # What a power failure leaves is noticed as well as any other damage.
            it.execute("pragma synchronous = off")
            if is_new:
                self._make_tables(it)
            (application_id,) = it.execute("pragma application_id").fetchone()
            (version,) = it.execute("pragma user_version").fetchone()
            if application_id != _APPLICATION_ID:
                raise _DamageError("is damaged")
            if version != _VERSION:
                raise _DamageError("is of another version of nixbridge")
            yield it

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        try:
            connection.executescript(f"begin immediate; {_SCHEMA} commit;")
        except sqlite3.Error:
            # A full disk: what is left there would be taken for damage by the next run.
            self._remove()
            raise

    def _remove(self) -> None:
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)


@contextmanager
def _noticing_damage() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        # Without a code: Python could not decode a text that we did not write.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if code & _PRIMARY_ERROR in _DAMAGE:
            raise _DamageError("is damaged") from error
        raise
    except UnicodeDecodeError as error:
        # Newer Pythons say so when SQLite's own message quotes what is damaged.
        raise _DamageError("is damaged") from error


def _row(recipe: LayerRecipe, known: LayerBytes) -> _Row:
    values = (
        str(recipe.key),
        recipe.text,
        str(known.diff_id),
        known.tar_size_bytes,
        str(known.blob_digest),
        known.blob_size_bytes,
    )
    return (*values, _checksum(values))


def _read_row(row: _Row) -> tuple[LayerRecipe, LayerBytes]:
    _key, text, diff_id, tar_size_bytes, blob_digest, blob_size_bytes, checksum = row
    if _checksum(row[:-1]) != checksum:
        raise _DamageError("is damaged")
    recipe = LayerRecipe(text)
    return recipe, LayerBytes(
        diff_id=DiffId(diff_id),
        tar_size_bytes=tar_size_bytes,
        blob_digest=BlobDigest(blob_digest),
        blob_size_bytes=blob_size_bytes,
    )


def _read_place(row: tuple[str, str, str, str]) -> str:
    *place, checksum = row
    if _checksum(tuple(place)) != checksum:
        raise _DamageError("is damaged")
    return place[-1]


def _checksum(values: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()
