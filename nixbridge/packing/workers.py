"""Pack several layers at the same time, as Python alone uses one processor.

What keeps Python busy is done in worker processes: walking the files of a layer, making headers,
reading. The buffers that a worker fills are in memory that it shares with us, so no byte is copied
on the way; hashing, compressing and writing happen here, in a thread for each worker, as all these
let go of the interpreter's lock. So sinks never see a process, and what is packed is the same for
any number of workers.

Workers are forks, which know the jobs without being told. They end with us: when their pipe breaks.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import multiprocessing
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from nixbridge.errors import NixbridgeError, PackError
from nixbridge.oci import DiffId
from nixbridge.packing.packed_layer import Sink
from nixbridge.packing.tar import (
    BUFFER_BYTES,
    BUFFER_COUNT,
    Observer,
    Stream,
    fill,
    processor_count,
    split_buffers,
    write_tar,
)
from nixbridge.packing.tree import LayerTree

Result = TypeVar("Result")

_MOST_WORKERS: Final = 8
_GONE: Final = (EOFError, ConnectionError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Walked:
    """A layer whose files were walked, and who wants to see them packed.

    `follows_recipe` is for whoever consumes the tar to know.
    """

    tree: LayerTree
    observer: Observer | None = None
    follows_recipe: bool = True


class TarSource(Protocol):
    """A tar that is ready to be written."""

    @property
    def tar_size_bytes(self) -> int:
        """How many bytes it will have."""

    @property
    def contents_size_bytes(self) -> int:
        """How many of them are read from other files."""

    @property
    def follows_recipe(self) -> bool:
        """What the walk said."""

    def write_to(self, sink: Sink) -> DiffId:
        """Write it, once; return its digest.

        Raises `PackError`, `IntegrityError`.
        """


def default_workers() -> int:
    """Return how many workers this machine is good for."""
    # Elsewhere a fork of a program that has used the system's libraries may not be safe.
    if sys.platform != "linux":
        return 1
    return min(processor_count(), _MOST_WORKERS)


def pack_many(
    walks: Sequence[Callable[[], Walked]],
    consume: Callable[[int, TarSource], Result],
    *,
    workers: int,
    in_order: bool = False,
    failing: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> list[Result]:
    """Call `consume` with the number and the tar of each layer, and return what it returns.

    A walk runs where its layer is read, be it in a worker. `consume` is called in one thread per
    worker; with `in_order` in the caller's, layer by layer, while the next ones are being read.
    `failing` is a context that is left by an error before other threads are waited for: it may make
    their `consume` fail as well.

    Raises what a walk, reading or `consume` raises; by then no worker is left.
    """
    workers = min(workers, len(walks))
    if workers <= 1:
        return [consume(number, OwnTar(walk())) for number, walk in enumerate(walks)]
    with _started(walks, workers) as crew:
        if in_order:
            return _one_after_the_other(crew, len(walks), consume)
        return _side_by_side(crew, len(walks), consume, failing)


def _one_after_the_other(
    crew: Sequence[_Worker], count: int, consume: Callable[[int, TarSource], Result]
) -> list[Result]:
    for number, worker in enumerate(crew):
        worker.begin(number)
    results = []
    for number in range(count):
        worker = crew[number % len(crew)]
        results.append(consume(number, worker.tar()))
        if number + len(crew) < count:
            worker.begin(number + len(crew))
    return results


def _side_by_side(
    crew: Sequence[_Worker],
    count: int,
    consume: Callable[[int, TarSource], Result],
    failing: Callable[[], AbstractContextManager[None]],
) -> list[Result]:
    results: dict[int, Result] = {}
    numbers = iter(range(count))
    lock = threading.Lock()

    def drive(worker: _Worker) -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            worker.begin(number)
            results[number] = consume(number, worker.tar())

    with ThreadPoolExecutor(max_workers=len(crew), thread_name_prefix="pack") as threads, failing():
        try:
            futures = [threads.submit(drive, worker) for worker in crew]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            # Ends the other threads, which the executor waits for.
            for worker in crew:
                worker.kill()
            raise
    return [results[number] for number in range(count)]


class OwnTar:
    """A tar that is made in this process."""

    def __init__(self, walked: Walked) -> None:
        self._walked = walked
        self.tar_size_bytes = walked.tree.tar_size_bytes
        self.contents_size_bytes = walked.tree.contents_size_bytes
        self.follows_recipe = walked.follows_recipe

    def write_to(self, sink: Sink) -> DiffId:
        """Write it, once; return its digest.

        Raises `PackError`, `IntegrityError`.
        """
        return write_tar(self._walked.tree, sink, observer=self._walked.observer)


# What is said through the pipe. To a worker: the number of the layer to pack, and after that None
# for each buffer that is free again. From it, for each layer: `_Begin`, then for each buffer how
# many bytes it was filled with, then None. Or, at any time, an error. Buffers are used in turn,
# from the first one on, and given back in that order.


class _Begin(NamedTuple):
    tar_size_bytes: int
    contents_size_bytes: int
    follows_recipe: bool


class _Worker:
    """What the parent has of a worker."""

    def __init__(
        self, process: multiprocessing.process.BaseProcess, pipe: Connection, memory: mmap.mmap
    ) -> None:
        self._process = process
        self._pipe = pipe
        self._buffers = split_buffers(memoryview(memory))

    def begin(self, number: int) -> None:
        """Have the worker walk and read a layer."""
        with self._alive():
            self._pipe.send(number)

    def tar(self) -> TarSource:
        """Return what the worker makes, as soon as it has walked the files."""
        return _SharedTar(self, self.receive())

    def receive(self) -> Any:
        """Return what the worker says next; raise it, if it is an error."""
        with self._alive():
            message = self._pipe.recv()
        if isinstance(message, BaseException):
            raise message
        return message

    def read(self, number: int, filled_bytes: int, use: Callable[[memoryview], None]) -> None:
        """Use what is in a buffer, and give it back."""
        use(self._buffers[number][:filled_bytes])
        with self._alive():
            self._pipe.send(None)

    def kill(self) -> None:
        """End the worker, whatever it does."""
        self._process.kill()

    def close(self) -> None:
        """End the worker and wait for that."""
        self._pipe.close()
        self.kill()
        self._process.join()
        self._process.close()

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except _GONE as error:
            self._process.join()
            raise PackError(
                f"a process that reads files ended early, with status {self._process.exitcode}",
                hint="was memory short? try `--workers 1`",
            ) from error


class _SharedTar:
    """A tar that a worker makes."""

    def __init__(self, worker: _Worker, begin: _Begin) -> None:
        self._worker = worker
        self.tar_size_bytes = begin.tar_size_bytes
        self.contents_size_bytes = begin.contents_size_bytes
        self.follows_recipe = begin.follows_recipe

    def write_to(self, sink: Sink) -> DiffId:
        sha256 = hashlib.sha256()

        def use(data: memoryview) -> None:
            sha256.update(data)
            sink.write(data)

        numbers = cycle(range(BUFFER_COUNT))
        while (filled_bytes := self._worker.receive()) is not None:
            self._worker.read(next(numbers), filled_bytes, use)
        return DiffId.from_hex(sha256.hexdigest())


@contextlib.contextmanager
def _started(walks: Sequence[Callable[[], Walked]], count: int) -> Iterator[list[_Worker]]:
    context = multiprocessing.get_context("fork")
    crew: list[_Worker] = []
    ours: list[Connection] = []
    try:
        for _ in range(count):
            our_end, their_end = context.Pipe()
            ours.append(our_end)
            memory = mmap.mmap(-1, BUFFER_COUNT * BUFFER_BYTES)
            process = context.Process(
                target=_work, args=(walks, their_end, memory, tuple(ours)), daemon=True
            )
            process.start()
            their_end.close()
            crew.append(_Worker(process, our_end, memory))
        yield crew
    finally:
        for worker in crew:
            worker.close()


class _SharedStream(Stream):
    """Goes to the parent."""

    def __init__(self, memory: mmap.mmap, pipe: Connection) -> None:
        super().__init__(memoryview(memory))
        self._pipe = pipe
        self._used = 0

    def pass_on(self, number: int, filled_bytes: int) -> None:  # noqa: ARG002 - they are in turn
        self._pipe.send(filled_bytes)
        self._used += 1

    def wait_for(self, number: int) -> None:  # noqa: ARG002 - they come back in their order
        if self._used == BUFFER_COUNT:
            self._take_back()

    def finish(self) -> None:
        """Wait until all that was passed on is used."""
        while self._used:
            self._take_back()

    def _take_back(self) -> None:
        self._pipe.recv()
        self._used -= 1


def _work(
    walks: Sequence[Callable[[], Walked]],
    pipe: Connection,
    memory: mmap.mmap,
    parents_ends: Sequence[Connection],
) -> None:
    """Be a worker."""
    # An interrupt from the terminal comes to all of us; it is the parent that knows what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for end in parents_ends:
        end.close()
    with contextlib.suppress(*_GONE):
        while True:
            walk = walks[pipe.recv()]
            try:
                walked = walk()
                tree = walked.tree
                pipe.send(
                    _Begin(tree.tar_size_bytes, tree.contents_size_bytes, walked.follows_recipe)
                )
                stream = _SharedStream(memory, pipe)
                fill(stream, walked.tree, walked.observer)
                stream.finish()
                pipe.send(None)
            except _GONE:
                raise
            except Exception as error:  # noqa: BLE001 - it is raised in the parent
                if not isinstance(error, NixbridgeError):
                    error.add_note(f"in a worker:\n{traceback.format_exc()}")
                pipe.send(error)
                # What was passed on before is used first, and given back.
                while True:
                    pipe.recv()
