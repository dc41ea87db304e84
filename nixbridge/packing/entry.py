"""`Entry`, one member of a layer's tar, and `Listing`, the many that are walked in one directory.

A layer may have a million files, be it in one directory. So what was walked is kept in a few
columns for each directory, some 20 bytes and the name a file, and becomes entries again when it is
packed, a few thousand at a time. What a layer holds as a whole, and what two sources may bring
together, is `tree.py`'s.
"""

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import chain, islice, repeat
from operator import attrgetter
from typing import Final, NamedTuple

from nixbridge.closure import StorePath
from nixbridge.errors import PackError
from nixbridge.packing.header import (
    BLOCK_BYTES,
    DIRECTORY,
    REGULAR,
    ROOT,
    SYMLINK,
    Kind,
    Owner,
    Stamp,
    header_size_bytes,
    stamp_of,
)
from nixbridge.packing.perms import PermRules

SLASH: Final = b"/"
# Between names in a column, as it is in no name.
_NUL: Final = b"\0"
# A name takes five times as much memory outside of a column, so so many are taken out at a time.
_NAMES_AT_ONCE: Final = 1 << 12
# And so many are sorted at a time.
_NAMES_IN_A_RUN: Final = 1 << 16


class Origin(NamedTuple):
    """A store path on its way into the image: where it is read, and where it goes.

    `destination` is its name in the image, empty for a path that is copied to the root.
    """

    path: StorePath
    place: bytes
    destination: bytes

    def place_of(self, name: bytes) -> bytes:
        """Return where the file is read that is called `name` in the image."""
        return self.place + name[len(self.destination) :]

    def store_name_of(self, name: bytes) -> bytes:
        """Return what the file that is called `name` in the image is called in the store."""
        return self.path.text.encode() + name[len(self.destination) :]


class Entry(NamedTuple):
    """One member of the tar.

    A regular file is read at its `place`, from its `origin`; what has no origin is made by
    nixbridge, a file from `data`. `is_implied` says that it is a parent that nobody brought, made
    for its `origin`.
    """

    name: bytes
    stamp: Stamp
    size_bytes: int = 0
    link_target: bytes = b""
    place: bytes = b""
    origin: Origin | None = None
    data: bytes | None = None
    is_implied: bool = False

    @property
    def kind(self) -> Kind:
        """Whether it is a file, a directory or a symlink."""
        return self.stamp.kind

    @property
    def mode(self) -> int:
        """The mode that it has in the image."""
        return self.stamp.mode

    @property
    def owner(self) -> Owner:
        """The owner that it has in the image."""
        return self.stamp.owner

    def size_in_tar_bytes(self) -> int:
        """Return how many bytes of the tar the entry takes."""
        head = header_size_bytes(self.name, self.stamp, self.size_bytes, self.link_target)
        return head + self.size_bytes + -self.size_bytes % BLOCK_BYTES

    def describe_origin(self) -> str:
        """Say where the entry comes from, for messages."""
        if self.origin is None:
            return "nixbridge"
        return f"`{text_of(self.origin.store_name_of(self.name))}`"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Listing:
    """What is in one directory of a store path, without what is in the directories in it.

    `stamps` and `sizes_bytes` have an item for each entry; an item of `names` has the base names of
    some of them, and that of `link_targets` what the symlinks among these point to.
    """

    directory: bytes
    origin: Origin
    subdirectories: tuple[bytes, ...]
    stamps: tuple[Stamp, ...]
    sizes_bytes: array[int]
    names: tuple[bytes, ...]
    link_targets: tuple[bytes, ...]

    @classmethod
    def read(
        cls, directory: bytes, origin: Origin, rules: PermRules | None, found_modes: set[int]
    ) -> Listing:
        """Walk the directory that is called `directory` in the image.

        `found_modes` gets the modes that the files have in the store, with their kinds.
        Raises `PackError`: it holds what no layer can hold. Raises `OSError`, with the file's name.
        """
        place = origin.place_of(directory) + SLASH
        subdirectories, stamps, sizes_bytes = [], [], array("Q")
        name_columns, target_columns = [], []
        # Nearly all files have one of a few modes; with rules, the name has a say as well.
        known: dict[int, Stamp] = {}
        for names in _sorted_names(place):
            link_targets = []
            for base_name in names:
                status = os.lstat(place + base_name)
                stamp = known.get(status.st_mode)
                if stamp is None:
                    stamp = _stamp(directory + SLASH + base_name, status, origin, rules)
                    found_modes.add(status.st_mode)
                    if rules is None:
                        known[status.st_mode] = stamp
                stamps.append(stamp)
                sizes_bytes.append(status.st_size if stamp.kind == REGULAR else 0)
                if stamp.kind == DIRECTORY:
                    subdirectories.append(directory + SLASH + base_name)
                elif stamp.kind == SYMLINK:
                    link_targets.append(os.readlink(place + base_name))  # noqa: PTH115 - bytes
            name_columns.append(_NUL.join(names))
            target_columns.append(_NUL.join(link_targets))
        return cls(
            directory=directory,
            origin=origin,
            subdirectories=tuple(subdirectories),
            stamps=tuple(stamps),
            sizes_bytes=sizes_bytes,
            names=tuple(name_columns),
            link_targets=tuple(target_columns),
        )

    def __len__(self) -> int:
        """Return how many entries there are."""
        return len(self.stamps)

    def entries(self) -> Iterator[Entry]:
        """Yield the entries, sorted."""
        return chain.from_iterable(self._entries_at_once())

    def _entries_at_once(self) -> Iterator[Iterator[Entry]]:
        """Yield the entries, some at a time."""
        place = self.origin.place_of(self.directory) + SLASH
        start = 0
        for names, link_targets in zip(map(_split, self.names), self.link_targets, strict=True):
            end = start + len(names)
            stamps = self.stamps[start:end]
            targets = iter(_split(link_targets))
            columns = zip(
                map((self.directory + SLASH).__add__, names),
                stamps,
                self.sizes_bytes[start:end],
                [next(targets) if stamp.kind == SYMLINK else b"" for stamp in stamps]
                if link_targets
                else repeat(b""),
                map(place.__add__, names),
                repeat(self.origin),
                repeat(None),
                repeat(False),  # noqa: FBT003 - a column like the others
            )
            # What `Entry` itself does, without a step of Python's for each file.
            yield map(partial(tuple.__new__, Entry), columns)
            start = end

    @property
    def contents_size_bytes(self) -> int:
        """How many bytes its regular files have."""
        return sum(self.sizes_bytes)

    def size_in_tar_bytes(self) -> int:
        """Return how many bytes of the tar the entries take."""
        if not self._need_one_block_each():
            return sum(entry.size_in_tar_bytes() for entry in self.entries())
        blocks = len(self) + sum(-(-size_bytes // BLOCK_BYTES) for size_bytes in self.sizes_bytes)
        return blocks * BLOCK_BYTES

    def _need_one_block_each(self) -> bool:
        """Return whether the header of an entry with all that is longest here would fit a block."""
        if not all(map(bytes.isascii, chain(self.names, self.link_targets))):
            return False
        name = self.directory + SLASH + _longest(self.names)
        link_target = _longest(self.link_targets)
        return all(
            header_size_bytes(name, stamp, max(self.sizes_bytes), link_target) == BLOCK_BYTES
            for stamp in set(self.stamps)
        )


def _split(column: bytes) -> list[bytes]:
    return column.split(_NUL)


def _longest(columns: tuple[bytes, ...]) -> bytes:
    return max(chain.from_iterable(map(_split, columns)), key=len)


def _sorted_names(place: bytes) -> Iterator[list[bytes]]:
    """Yield the names of all that is in a directory, sorted, some at a time.

    Raises `OSError`, with the directory's name.
    """
    # Each run is sorted, and in pieces, so that it shrinks while it is merged with the others.
    runs: list[list[bytes]] = []
    with os.scandir(place) as entries:
        names = map(attrgetter("name"), entries)
        run = sorted(islice(names, _NAMES_IN_A_RUN))
        while len(run) > _NAMES_AT_ONCE or (run and runs):
            pieces = range(0, len(run), _NAMES_AT_ONCE)
            runs.append([_NUL.join(run[at : at + _NAMES_AT_ONCE]) for at in pieces])
            run = sorted(islice(names, _NAMES_IN_A_RUN))
    if run:
        # All that most directories have.
        yield run
    in_order = merge(*map(_consume, runs))
    while at_once := list(islice(in_order, _NAMES_AT_ONCE)):
        yield at_once


def _consume(pieces: list[bytes]) -> Iterator[bytes]:
    while pieces:
        yield from _split(pieces.pop(0))


def entry_of(name: bytes, status: os.stat_result, origin: Origin, rules: PermRules | None) -> Entry:
    """Return the entry of a file that is called `name` in the image.

    Raises `PackError`: no layer can hold it. Raises `OSError`.
    """
    stamp = _stamp(name, status, origin, rules)
    place = origin.place_of(name)
    return Entry(
        name,
        stamp,
        status.st_size if stamp.kind == REGULAR else 0,
        os.readlink(place) if stamp.kind == SYMLINK else b"",  # noqa: PTH115 - bytes
        place,
        origin,
    )


def _stamp(name: bytes, status: os.stat_result, origin: Origin, rules: PermRules | None) -> Stamp:
    mode = stat.S_IMODE(status.st_mode)
    kind: Kind
    if stat.S_ISREG(status.st_mode):
        kind = REGULAR
    elif stat.S_ISDIR(status.st_mode):
        kind = DIRECTORY
    elif stat.S_ISLNK(status.st_mode):
        kind = SYMLINK
        mode = 0o777  # some file systems give links other modes
    else:
        raise PackError(
            f"`{text_of(origin.store_name_of(name))}` is neither a file, a directory nor a symlink"
        )
    owner = ROOT
    if rules is not None:
        mode, owner = rules.apply(origin.store_name_of(name), mode, owner)
    return stamp_of(kind, mode, owner)


def text_of(name: bytes) -> str:
    """Return a name as a message shows it."""
    return name.decode("utf-8", "backslashreplace")


def unreadable(what: str, error: OSError) -> PackError:
    """Return the error that says that `what` could not be read, and why."""
    if isinstance(error, FileNotFoundError):
        return PackError(
            f"{what} is not there",
            hint="was it collected as garbage? build it again, and keep it while packing",
        )
    return PackError(f"reading {what} failed: {(error.strerror or str(error)).lower()}")
