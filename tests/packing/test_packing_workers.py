"""Several layers at the same time: the same bytes, the same errors, and no process left."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from nixbridge.closure import NarHash, PathInfo, StorePath, StoreRoot
from nixbridge.errors import IntegrityError, PackError
from nixbridge.layering import PlannedPath
from nixbridge.packing import LayerTree
from nixbridge.packing.entry import Entry
from nixbridge.packing.workers import TarSource, Walked, default_workers, pack_many

MIB = 1 << 20
LAYERS = 7
MODES = pytest.mark.parametrize(
    "mode",
    [
        {"workers": workers, "in_order": in_order}
        for workers in (1, 2, 3, LAYERS + 2)
        for in_order in (False, True)
    ],
    ids=str,
)
Packed = tuple[int, int, str, str, bool]


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []
    assert [thread.name for thread in threading.enumerate() if "pack" in thread.name] == []


@pytest.fixture
def walks(tmp_path: Path) -> list[Callable[[], Walked]]:
    """Walks of layers of all sizes, some of more than all buffers together."""
    sizes = [0, 5 * MIB + 17, 1, 511, 12 * MIB, MIB, 3 * MIB]
    assert len(sizes) == LAYERS
    return [walk_of(tmp_path, number, size) for number, size in enumerate(sizes)]


def path_of(number: int) -> StorePath:
    return StorePath(f"/nix/store/{number:032}-layer")


def walk_of(root: Path, number: int, size_bytes: int) -> Callable[[], Walked]:
    path = path_of(number)
    place = StoreRoot(root).locate(path)
    place.mkdir(parents=True)
    (place / "file").write_bytes(hashlib.shake_128(b"%d" % number).digest(size_bytes))
    info = PathInfo(path=path, nar_hash=NarHash("0" * 64), nar_size_bytes=1, references=())

    def walk() -> Walked:
        tree = LayerTree()
        tree.add_store_path(PlannedPath(info=info), StoreRoot(root))
        return Walked(tree=tree, follows_recipe=number != 3)

    return walk


def consume(number: int, source: TarSource) -> Packed:
    sink = io.BytesIO()
    diff_id = source.write_to(sink)
    digest = hashlib.sha256(sink.getvalue()).hexdigest()
    assert len(sink.getvalue()) == source.tar_size_bytes
    return number, source.tar_size_bytes, diff_id.hex, digest, source.follows_recipe


@MODES
def test_any_number_of_workers_makes_the_same(
    walks: Sequence[Callable[[], Walked]], mode: Any
) -> None:
    packed = pack_many(walks, consume, **mode)
    assert packed == pack_many(walks, consume, workers=1)
    assert [number for number, *_ in packed] == list(range(LAYERS))
    assert all(diff_id == digest for _, _, diff_id, digest, _ in packed)
    assert [follows for *_, follows in packed] == [True, True, True, False, True, True, True]


def test_in_order_is_in_the_order_and_thread_of_the_caller(
    walks: Sequence[Callable[[], Walked]],
) -> None:
    seen: list[tuple[int, int]] = []

    def note(number: int, source: TarSource) -> None:
        seen.append((number, threading.get_ident()))
        consume(number, source)

    pack_many(walks, note, workers=3, in_order=True)
    assert seen == [(number, threading.get_ident()) for number in range(LAYERS)]


def test_workers_read_and_we_write() -> None:
    places: list[int] = []

    def walk() -> Walked:
        tree = LayerTree()
        tree.add_file_bytes("/process", str(os.getpid()).encode())
        return Walked(tree=tree)

    def pid(_: int, source: TarSource) -> int:
        sink = io.BytesIO()
        source.write_to(sink)
        places.append(os.getpid())
        return int(sink.getvalue()[1024:1536].rstrip(b"\0"))

    assert os.getpid() not in pack_many([walk, walk], pid, workers=2)
    assert set(places) == {os.getpid()}
    assert pack_many([walk], pid, workers=2) == [os.getpid()]
    assert pack_many([], pid, workers=2) == []


@MODES
@pytest.mark.parametrize("broken", [0, 4, LAYERS - 1])
def test_errors_are_those_of_the_walk(
    walks: list[Callable[[], Walked]], mode: Any, broken: int
) -> None:
    def fail() -> Walked:
        raise PackError("`x` is not there", hint="look for it")

    walks[broken] = fail
    with pytest.raises(PackError) as caught:
        pack_many(walks, consume, **mode)
    assert (caught.value.message, caught.value.hint) == ("`x` is not there", "look for it")


@MODES
def test_errors_are_those_of_the_reading(
    tmp_path: Path, walks: list[Callable[[], Walked]], mode: Any
) -> None:
    whole = walks[4]

    def walk() -> Walked:
        walked = whole()
        os.truncate(StoreRoot(tmp_path).locate(path_of(4)) / "file", 9 * MIB)
        return walked

    walks[4] = walk
    with pytest.raises(PackError) as caught:
        pack_many(walks, consume, **mode)
    assert caught.value.message == (
        f"`{path_of(4)}/file` changed while it was packed: it should have {12 * MIB} bytes"
    )


@MODES
def test_errors_are_those_of_the_observer(walks: list[Callable[[], Walked]], mode: Any) -> None:
    class Doubt:
        def begin(self, entry: Entry) -> None:
            self.name = entry.name

        def contents(self, data: bytes | memoryview, /) -> None:
            self.data = bytes(data)

        def finish(self) -> None:
            raise IntegrityError(f"{self.name.decode()} ends in {self.data[-1:]!r}")

    tree = LayerTree()
    tree.add_file_bytes("/file", b"abc")
    walks[2] = lambda: Walked(tree=tree, observer=Doubt())
    with pytest.raises(IntegrityError, match=r"^/file ends in b'c'$"):
        pack_many(walks, consume, **mode)


@MODES
@pytest.mark.parametrize("error", [OSError(28, "no room"), KeyboardInterrupt()])
def test_errors_are_those_of_the_sink(
    walks: Sequence[Callable[[], Walked]], mode: Any, error: BaseException
) -> None:
    def fail(number: int, source: TarSource) -> Packed:
        if number == 1:
            raise error
        return consume(number, source)

    with pytest.raises(type(error)) as caught:
        pack_many(walks, fail, **mode)
    assert caught.value is error


@MODES
def test_bug_in_a_worker_says_where(walks: list[Callable[[], Walked]], mode: Any) -> None:
    def bug() -> Walked:
        raise ZeroDivisionError

    walks[1] = bug
    with pytest.raises(ZeroDivisionError) as caught:
        pack_many(walks, consume, **mode)
    if mode["workers"] > 1:
        (note,) = caught.value.__notes__
        assert note.startswith("in a worker:\nTraceback")
        assert "in bug" in note


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("workers", [2, LAYERS + 2])
def test_worker_that_is_killed_is_told_of(
    walks: list[Callable[[], Walked]], workers: int, *, in_order: bool
) -> None:
    def die() -> Walked:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    walks[1] = die
    with pytest.raises(PackError) as caught:
        pack_many(walks, consume, workers=workers, in_order=in_order)
    assert caught.value.message == "a process that reads files ended early, with status -9"
    assert caught.value.hint == "was memory short? try `--workers 1`"


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    # The parent is a process of its own, which tells its workers' numbers and then dies.
    walk = walk_of(tmp_path, 1, 40 * MIB)
    reader, writer = multiprocessing.Pipe(duplex=False)

    def parent() -> None:
        def die(_: int, _source: TarSource) -> None:
            writer.send([child.pid for child in multiprocessing.active_children()])
            os.kill(os.getpid(), signal.SIGKILL)

        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        pack_many([walk, walk, walk], die, workers=3, in_order=True)

    process = multiprocessing.get_context("fork").Process(target=parent)
    process.start()
    assert reader.poll(30)
    children = reader.recv()
    process.join(30)
    process.close()
    assert len(children) == 3
    for child in children:
        wait_for_the_end_of(child)


def wait_for_the_end_of(process: int) -> None:
    for _ in range(300):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):  # it may go while its file is read
            return
        if state == "Z":  # nobody waits for it here
            return
        threading.Event().wait(0.1)
    pytest.fail(f"process {process} is still there")


def test_default_is_a_worker_for_each_processor_that_we_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for processors, workers in ((1, 1), (3, 3), (8, 8), (64, 8)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, count=processors: set(range(count)))
        assert default_workers() == workers
    monkeypatch.setattr("sys.platform", "darwin")
    assert default_workers() == 1
