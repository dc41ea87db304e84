"""Write beside the place where it shall appear, and make it appear by renaming.

What is here is shared by the destinations that are files. The invariant: a final name is either
absent or whole. A delivery that ends early removes what it staged; one that is killed leaves a
directory that says so by its name, and the next delivery to the same place removes it. The lock on
that directory, which the kernel takes from the dead, tells such a one from a delivery under way.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from nixbridge.errors import DestinationError, IntegrityError
from nixbridge.packing import PackedLayer

PARTIAL_PREFIX: Final = ".nixbridge-partial-"
# What we write is for everybody to read, whatever the umask of whoever runs us.
DIRECTORY_MODE: Final = 0o755
FILE_MODE: Final = 0o644

_STAGED_OUTPUT: Final = "output"
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def failing_at(place: Path | str, *, doing: str = "writing") -> Iterator[None]:
    """Say that writing `place`, or `doing` something else there, failed when the system refuses it.

    Raises `DestinationError`.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DestinationError(
            f"{doing} `{place}` failed: {reason[:1].lower()}{reason[1:]}",
            hint="make room there, or write elsewhere" if error.errno in _NO_SPACE else None,
        ) from error


class StagingDirectory:
    """A directory of our own in `parent`, on the same file system as what it is for."""

    def __init__(self, path: Path, lock: int) -> None:
        self._path = path
        self._lock = lock

    @classmethod
    def make(cls, parent: Path) -> Self:
        """Make one in `parent`, and remove those that killed deliveries left there."""
        _remove_leftovers(parent)
        while True:
            path = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=parent))
            # Another delivery may take the new directory for a leftover before it is locked.
            with suppress(FileNotFoundError):
                lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
                fcntl.flock(lock, fcntl.LOCK_EX)
                if path.exists():
                    return cls(path, lock)
                os.close(lock)

    def open(self, name: str) -> FileIO:
        """Open the new file `name` for writing and seeking."""
        return FileIO(self._path / name, "x+")

    def write(self, name: str, data: bytes) -> None:
        """Write the new file `name`."""
        with self.open(name) as file:
            write_all(file, data)

    def publish(self, name: str, target: Path) -> None:
        """Make the file `name` appear as `target`, in the place of what was there."""
        staged = self._path / name
        staged.chmod(FILE_MODE)
        staged.replace(target)

    def remove(self) -> None:
        """Remove the directory and all that was not published."""
        shutil.rmtree(self._path, ignore_errors=True)
        os.close(self._lock)


def _remove_leftovers(parent: Path) -> None:
    for leftover in sorted(parent.glob(PARTIAL_PREFIX + "*")):
        # Gone by now, or somebody else's: neither stands in our way.
        with suppress(OSError):
            lock = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(leftover)
            finally:
                os.close(lock)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other deliveries from changing `directory` meanwhile."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def make_directory(directory: Path) -> list[Path]:
    """Make `directory` and what is missing above it; return what was made, outermost first."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    made = []
    for path in reversed(missing):
        with suppress(FileExistsError):  # another delivery was quicker
            path.mkdir()
            path.chmod(DIRECTORY_MODE)
            made.append(path)
    if not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))
    return made


def remove_directories(made: Sequence[Path]) -> None:
    """Remove those directories that are empty, innermost first."""
    for path in reversed(made):
        with suppress(OSError):
            path.rmdir()


def write_all(file: FileIO, data: bytes | memoryview) -> None:
    """Write all of `data`; the system may take it in parts."""
    rest = memoryview(data).cast("B")
    while rest:
        written = file.write(rest)
        if written is None:  # a pipe that somebody made non-blocking, and that is full
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        rest = rest[written:]


class BlobSink:
    """One layer on its way into an open file, held to the size that was announced, if it was."""

    def __init__(
        self,
        file: FileIO,
        size_bytes: int | None,
        *,
        place: Path | str,
        finished: Callable[[PackedLayer], None],
    ) -> None:
        self._file = file
        self._size_bytes = size_bytes
        self._written_bytes = 0
        self._place = place
        self._finished = finished

    def write(self, data: bytes | memoryview, /) -> None:
        """Write `data`.

        Raises `DestinationError`.
        """
        self._written_bytes += memoryview(data).nbytes
        with failing_at(self._place):
            write_all(self._file, data)

    def finish(self, layer: PackedLayer) -> None:
        """Take note of the layer that was written.

        Raises `IntegrityError`, `DestinationError`.
        """
        announced_bytes = self._written_bytes if self._size_bytes is None else self._size_bytes
        if not announced_bytes == self._written_bytes == layer.descriptor.size_bytes:
            raise IntegrityError(
                f"layer `{layer.descriptor.digest}` has {self._written_bytes} bytes, was announced "
                f"with {announced_bytes} and describes itself as {layer.descriptor.size_bytes}"
            )
        with failing_at(self._place):
            self._finished(layer)


class Output:
    """An open file that takes bytes as they come, such as a pipe; what went in stays in."""

    def __init__(self, file: FileIO, *, place: Path | str) -> None:
        self.file = file
        self.place = place

    def publish(self) -> None:
        """Say that all was written."""
        self.file.close()

    def close(self) -> None:
        """End it; whether it was published or not."""
        self.file.close()


class FileOutput(Output):
    """A file that appears under its name when it is published, and never else."""

    def __init__(self, path: Path, staging: StagingDirectory, made: Sequence[Path]) -> None:
        super().__init__(staging.open(_STAGED_OUTPUT), place=path)
        # What a symlink points to is replaced, not the symlink.
        self._target = path.resolve()
        self._staging = staging
        self._made = made

    @classmethod
    def begin(cls, path: Path) -> Self:
        """Begin the file `path`, whose directory is made if need be."""
        if path.exists() and not path.is_file():
            raise FileExistsError(errno.EEXIST, "it is there, and it is no file", str(path))
        parent = path.resolve().parent
        made = make_directory(parent)
        return cls(path, StagingDirectory.make(parent), made)

    def publish(self) -> None:
        """Make the file appear, in the place of what was there."""
        super().publish()
        self._staging.publish(_STAGED_OUTPUT, self._target)

    def close(self) -> None:
        """Remove the file, unless it was published."""
        super().close()
        self._staging.remove()
        remove_directories(self._made)


class Delivery(ABC):
    """What all writers do at the end of their `with`: remove what was not committed."""

    @property
    def takes_layers_side_by_side(self) -> bool:
        """No: in most files one thing stands behind the other."""
        return False

    @property
    def publishes_by_renaming(self) -> bool:
        """Yes, as files are."""
        return True

    def give_up(self) -> None:  # noqa: B027 - most have nothing to do
        """Do nothing: a disk takes or refuses what is written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Remove what was not committed; called once."""
