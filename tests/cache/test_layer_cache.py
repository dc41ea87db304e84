"""The cache of layers: what it keeps, how much, and that no damage to it does any harm."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nixbridge.closure import NarHash, PathInfo, StorePath
from nixbridge.errors import InputError
from nixbridge.layering import PlannedLayer, PlannedPath
from nixbridge.oci import BlobDigest, DiffId
from nixbridge.packing import LayerBytes, LayerCache, LayerRecipe, layer_cache, layer_cache_path


def recipe(number: int, *, paths: int = 1) -> LayerRecipe:
    planned = tuple(
        PlannedPath(
            info=PathInfo(
                path=StorePath.parse(f"/nix/store/{'a' * 32}-{number}-{each}"),
                nar_hash=NarHash(f"{number:064x}"),
                nar_size_bytes=1,
                references=(),
            )
        )
        for each in range(paths)
    )
    return LayerRecipe.of_layer(PlannedLayer(paths=planned, reason="", history={}), None)


def known(number: int) -> LayerBytes:
    return LayerBytes(
        diff_id=DiffId.of(b"tar %d" % number),
        tar_size_bytes=number + 1000,
        blob_digest=BlobDigest.of(b"blob %d" % number),
        blob_size_bytes=number,
    )


def layers(numbers: Iterable[int]) -> dict[LayerRecipe, LayerBytes]:
    return {recipe(number): known(number) for number in numbers}


class Cache:
    """A cache in a directory, opened anew for each call, as another run would; and its warnings."""

    def __init__(self, directory: Path, limit_bytes: int = 1 << 20) -> None:
        self.path = directory / "nixbridge" / "layers.sqlite"
        self.limit_bytes = limit_bytes
        self.warnings: list[str] = []

    def open(self) -> LayerCache:
        def warn(message: str, hint: str | None = None) -> None:  # noqa: ARG001
            self.warnings.append(message)

        return LayerCache(self.path, warn=warn, limit_bytes=self.limit_bytes)

    def remember(self, numbers: Iterable[int]) -> None:
        self.open().remember(layers(numbers))

    def find(self, numbers: Iterable[int]) -> set[int]:
        """Return those of `numbers` that are found, which must be right."""
        wanted = list(numbers)
        found = self.open().find([recipe(number).key for number in wanted])
        for number in wanted:
            assert found.get(recipe(number).key) in {None, known(number)}
        return {number for number in wanted if recipe(number).key in found}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/nixbridge/layers.sqlite"),
        ({"HOME": "/h"}, "/h/.cache/nixbridge/layers.sqlite"),
        ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/nixbridge/layers.sqlite"),
        # The specification: a path that is not absolute is to be ignored.
        ({"XDG_CACHE_HOME": "c", "HOME": "/h"}, "/h/.cache/nixbridge/layers.sqlite"),
        ({}, None),
        ({"HOME": ""}, None),
    ],
)
def test_where_it_is(environment: dict[str, str], path: str | None) -> None:
    assert layer_cache_path(environment) == (None if path is None else Path(path))


def test_what_is_remembered_is_found(cache: Cache) -> None:
    cache.remember(range(3))
    assert cache.find(range(5)) == {0, 1, 2}
    cache.remember([3])
    assert cache.find(range(5)) == {0, 1, 2, 3}
    assert cache.warnings == []


def test_more_than_sqlite_takes_in_one_question(cache: Cache) -> None:
    cache.remember(range(1200))
    assert cache.find(range(1200)) == set(range(1200))


def test_looking_for_something_makes_nothing(cache: Cache) -> None:
    assert cache.find(range(3)) == set()
    cache.remember([])
    assert not cache.path.parent.exists()


def test_only_the_user_can_read_it(cache: Cache) -> None:
    cache.remember([1])
    assert cache.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_new_value_replaces_the_old(cache: Cache) -> None:
    cache.open().remember({recipe(1): known(99)})
    cache.remember([1])
    assert cache.find([1]) == {1}


def test_what_was_not_used_for_long_goes_first(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.limit_bytes = 20 * (400 + len(recipe(10).text))
    for number in range(10, 60):
        monkeypatch.setattr(time, "time", lambda now=number: float(now))
        cache.remember([10, number])
    left = cache.find(range(10, 60))
    assert left == {10, *range(41, 60)}
    for number in range(60, 99):
        cache.remember([number])
    # Rows come and go, and the file stays.
    assert cache.path.stat().st_size < 3 * cache.limit_bytes


def test_a_clock_that_was_ahead(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was used while it was wrong does not stay for ever, and all else is kept as ever."""
    cache.limit_bytes = 20 * (400 + len(recipe(10).text))
    for number in range(60):
        clock_seconds = 4_000_000_000 if number < 20 else 1_000_000_000 + number
        monkeypatch.setattr(time, "time", lambda now=clock_seconds: float(now))
        cache.remember([number])
        cache.open().remember_places("r", "a", [digest(number)])
    assert cache.find(range(60)) == set(range(40, 60))
    one_run = cache.open()
    assert [number for number in range(60) if one_run.repositories("r", digest(number))] == [
        *range(60 - cache.limit_bytes // 1000, 60)
    ]


def test_a_layer_that_is_too_large_alone_is_not_kept(cache: Cache) -> None:
    cache.limit_bytes = 5000
    cache.open().remember({recipe(1, paths=100): known(1)})
    assert cache.open().layers() == {}


def test_info_forget_clear(cache: Cache) -> None:
    assert cache.open().info().layer_count == 0
    assert not cache.path.parent.exists()
    cache.open().clear()
    cache.remember(range(4))
    info = cache.open().info()
    assert (info.path, info.layer_count, info.limit_bytes) == (cache.path, 4, 5 << 18)
    assert info.size_bytes == cache.path.stat().st_size
    assert cache.open().layers() == layers(range(4))
    cache.open().forget([recipe(2)])
    assert cache.find(range(4)) == {0, 1, 3}
    cache.open().clear()
    assert not cache.path.exists()
    assert cache.find(range(4)) == set()
    assert cache.warnings == []


# Places: where blobs were seen.


def digest(number: int) -> BlobDigest:
    return BlobDigest.from_hex(f"{number:064x}")


def test_a_blob_is_found_where_it_was_seen(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    for now, repository in enumerate(["a", "b", "c/d", "b"]):
        monkeypatch.setattr(time, "time", lambda now=now: float(now))
        cache.open().remember_places("r.example:5000", repository, [digest(1), digest(2)])
    cache.open().remember_places("other", "x", [digest(1)])
    one_run = cache.open()
    assert one_run.repositories("r.example:5000", digest(1)) == ("b", "c/d", "a")
    assert one_run.repositories("other", digest(1)) == ("x",)
    assert one_run.repositories("other", digest(2)) == ()
    assert cache.warnings == []


def test_looking_for_a_place_makes_nothing(cache: Cache) -> None:
    assert cache.open().repositories("r", digest(1)) == ()
    cache.open().remember_places("r", "a", [])
    assert not cache.path.parent.exists()


def test_places_that_were_not_seen_for_long_go_first(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.limit_bytes = 10_000  # a quarter of it holds ten places
    cache.remember(range(5))
    for number in range(30):
        monkeypatch.setattr(time, "time", lambda now=number: float(now))
        cache.open().remember_places("r", "a", [digest(number), digest(99)])
    one_run = cache.open()
    left = {number for number in range(100) if one_run.repositories("r", digest(number))}
    assert left == {*range(21, 30), 99}
    assert cache.find(range(5)) == set(range(5))


def test_few_places_are_named_for_one_blob(cache: Cache) -> None:
    for number in range(9):
        cache.open().remember_places("r", f"a{number}", [digest(1)])
    assert len(cache.open().repositories("r", digest(1))) == 4


@pytest.mark.parametrize(
    "statement",
    ["drop table places", "update places set repository = 'b'", "update places set seen_at = 'x'"],
)
def test_changed_places(cache: Cache, statement: str) -> None:
    cache.open().remember_places("r", "a", [digest(1)])
    with closing(sqlite3.connect(cache.path, isolation_level=None)) as connection:
        connection.execute(statement)
    found = cache.open().repositories("r", digest(1))
    if "seen_at" in statement:  # only the order is lost
        assert (found, cache.warnings) == (("a",), [])
    else:
        assert (found, cache.warnings) == ((), begun_anew(cache, "is damaged"))


def test_places_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file")
    one_run = cache.open()
    assert one_run.repositories("r", digest(1)) == ()
    one_run.remember_places("r", "a", [digest(1)])
    assert len(cache.warnings) == 1


# Damage.


def begun_anew(cache: Cache, why: str) -> list[str]:
    return [f"the layer cache `{cache.path}` {why}: it was begun anew"]


def check_recovers(cache: Cache, why: str) -> None:
    """It is noticed, said once, and all goes on."""
    assert cache.find(range(5)) == set()
    assert cache.warnings == begun_anew(cache, why)
    cache.remember(range(5))
    assert cache.find(range(5)) == set(range(5))
    assert cache.warnings == begun_anew(cache, why)


def test_no_database_at_all(cache: Cache) -> None:
    cache.remember(range(5))
    cache.path.write_bytes(b"this is not a database, whatever its name says" * 100)
    check_recovers(cache, "is damaged")


@pytest.mark.parametrize("size_bytes", [0, 1, 50, 100, 512, 4096, 5000])
def test_truncated(cache: Cache, size_bytes: int) -> None:
    cache.remember(range(200))
    os.truncate(cache.path, size_bytes)
    check_recovers(cache, "is damaged")


@pytest.mark.parametrize("version", [0, 1, 1000])
def test_another_version(cache: Cache, version: int) -> None:
    cache.remember(range(5))
    with closing(sqlite3.connect(cache.path)) as connection:
        connection.execute(f"pragma user_version = {version}")
    check_recovers(cache, "is of another version of nixbridge")


def test_somebody_elses_database(cache: Cache) -> None:
    cache.path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(cache.path)) as connection:
        connection.execute("create table layers (key text)")
    check_recovers(cache, "is damaged")


@pytest.mark.parametrize(
    "statement",
    [
        "drop table layers",
        "alter table layers rename column diff_id to x",
        "update layers set diff_id = 'sha256:' || substr(blob_digest, 8)",
        "update layers set tar_size_bytes = tar_size_bytes + 1",
        "update layers set blob_size_bytes = 'a'",
        "update layers set recipe = cast(recipe as text)",
        "update layers set checksum = ''",
        "update layers set diff_id = cast(x'ff' as text)",
    ],
)
def test_changed_rows(cache: Cache, statement: str) -> None:
    cache.remember(range(5))
    with closing(sqlite3.connect(cache.path, isolation_level=None)) as connection:
        connection.execute(statement)
    check_recovers(cache, "is damaged")


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_damage_is_harmless(data: st.DataObject) -> None:
    """Whatever bytes are changed, cut off or overwritten: what is found is right."""
    with tempfile.TemporaryDirectory() as directory:
        cache = Cache(Path(directory))
        cache.remember(range(30))
        contents = bytearray(cache.path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(contents) - 1))
            contents[at] ^= data.draw(st.integers(1, 255))
        cut = data.draw(st.integers(0, len(contents)) | st.just(len(contents)))
        cache.path.write_bytes(contents[:cut])
        cache.find(range(30))
        cache.remember(range(30))
        cache.remember(range(30, 35))
        assert cache.find(range(35)) >= {30, 31, 32, 33, 34}
        for warning in cache.warnings:
            assert "begun anew" in warning


def test_a_journal_that_was_left(cache: Cache) -> None:
    """A killed process leaves its journal: SQLite rolls it back, and we begin anew at the worst."""
    cache.remember(range(5))
    Path(f"{cache.path}-journal").write_bytes(os.urandom(5000))
    assert cache.find(range(5)) in ({0, 1, 2, 3, 4}, set())
    cache.remember(range(5))
    assert cache.find(range(5)) == set(range(5))


# Where nothing can be written.


def test_no_directory_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file")
    one_run = cache.open()
    assert one_run.find([recipe(1).key]) == {}
    one_run.remember(layers([1]))
    one_run.remember(layers([2]))
    [warning] = cache.warnings
    assert warning.startswith(f"going on without the layer cache: `{cache.path}` cannot be used: ")


def test_a_file_system_that_nobody_writes_to() -> None:
    cache = Cache(Path("/proc/self"))
    one_run = cache.open()
    one_run.find([recipe(1).key])
    one_run.remember(layers([1]))
    one_run.remember(layers([2]))
    assert len(cache.warnings) == 1
    assert "going on without the layer cache" in cache.warnings[0]


def test_a_directory_in_its_place(cache: Cache) -> None:
    (cache.path / "x").mkdir(parents=True)
    one_run = cache.open()
    assert one_run.find([recipe(1).key]) == {}
    one_run.remember(layers([1]))
    reason = "unable to open database file"
    assert cache.warnings == [
        f"going on without the layer cache: `{cache.path}` cannot be used: {reason}"
    ]
    with pytest.raises(InputError, match=f"cannot be used: {reason}") as caught:
        cache.open().info()
    assert caught.value.hint == "let `XDG_CACHE_HOME` name a directory that you can write to"


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from test_layer_cache import Cache, layers, recipe
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
cache = Cache(Path(sys.argv[2]))
one_run = cache.open()
print(len(one_run.find([recipe(number).key for number in range(5)])))
one_run.remember(layers(range(1000, 1400)))
one_run.remember(layers(range(1400, 1800)))
print(*cache.warnings, sep="\\n")
"""


@pytest.mark.parametrize("room_bytes", [0, 3000, 10_000, 60_000])
def test_a_full_disk(cache: Cache, tmp_path: Path, room_bytes: int) -> None:
    cache.remember(range(5))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, Path(__file__).parent, tmp_path, str(room_bytes)],
        check=True,
        capture_output=True,
        text=True,
    )
    found, *warnings = done.stdout.splitlines()
    assert found == "5"
    assert len(warnings) == 1
    assert warnings[0].startswith("going on without the layer cache: ")
    # What was there is still there.
    assert cache.find(range(5)) == set(range(5))
    assert cache.warnings == []


@pytest.mark.parametrize("room_bytes", [0, 3000, 10_000])
def test_a_disk_that_is_full_from_the_begin(cache: Cache, tmp_path: Path, room_bytes: int) -> None:
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", FULL_DISK, Path(__file__).parent, tmp_path, str(room_bytes)],
            check=True,
            capture_output=True,
            text=True,
        )
        # It is no damage that the run before could not write anything.
        found, warning = done.stdout.splitlines()
        assert found == "0"
        assert warning.startswith("going on without the layer cache: ")
    assert not cache.path.exists()


def test_a_lock_that_is_never_given_back(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_cache, "_LOCK_PATIENCE_SECONDS", 0.2)
    cache.remember([1])
    with cache.path.with_suffix(".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        one_run = cache.open()
        assert one_run.find([recipe(1).key]) == {}
        one_run.remember(layers([2]))
    reason = "another process does not give back its lock"
    assert cache.warnings == [
        f"going on without the layer cache: `{cache.path}` cannot be used: {reason}"
    ]


# Several at a time.


def work(directory: str, seed: int) -> list[str]:
    cache = Cache(Path(directory))
    for turn in range(15):
        numbers = range(seed * 20, seed * 20 + turn)
        cache.remember(numbers)
        assert cache.find(numbers) == set(numbers)
    return cache.warnings


def test_many_processes_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(max_workers=6, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(work, [str(tmp_path)] * 6, range(6)))
    assert results == [[]] * 6
    cache = Cache(tmp_path)
    assert cache.find(range(120)) == {number for number in range(120) if number % 20 < 14}


def disturb(directory: str, seed: int) -> list[str]:
    """Work while the file is damaged again and again: nothing wrong is found, nothing is raised."""
    cache = Cache(Path(directory))
    for turn in range(10):
        if seed == 0:
            # It is not there in the moment in which it is begun anew.
            with suppress(FileNotFoundError), cache.path.open("r+b") as file:
                file.write(b"damage" * turn)
            time.sleep(0.01)
        else:
            cache.remember(range(20))
            cache.find(range(20))
    return cache.warnings


def test_many_processes_and_damage(tmp_path: Path) -> None:
    Cache(tmp_path).remember([1])
    with ProcessPoolExecutor(max_workers=4, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(disturb, [str(tmp_path)] * 4, range(4)))
    # Damaged anew while it is begun anew, it is left alone for the rest of the run.
    expected = ("begun anew", "cannot be used: is damaged")
    warnings = [warning for each in results for warning in each]
    assert [one for one in warnings if not any(words in one for words in expected)] == []
    after = Cache(tmp_path)
    after.remember(range(20))
    assert after.find(range(20)) == set(range(20))
