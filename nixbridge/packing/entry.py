"""`Entry`, one member of a layer's tar, and `Listing`, the many that are walked in one directory.

A layer may have a million files, so what was walked is kept in a few columns for each directory,
some 40 bytes a file, and becomes entries again when it is packed. What a layer holds as a whole,
and what two sources may bring together, is `tree.py`'s.
"""

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Iterator
from functools import partial
from itertools import repeat
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


class Listing:
    """What is in one directory of a store path, without what is in the directories in it."""

    def __init__(self, directory: bytes, origin: Origin) -> None:
        self.directory = directory
        self.origin = origin
        self.stamps: list[Stamp] = []
        self.subdirectories: list[bytes] = []
        self._place = origin.place_of(directory) + SLASH
        # The columns: base names, sizes, and of symlinks alone what they point to.
        self._names = b""
        self._sizes_bytes = array("Q")
        self._link_targets = b""

    @classmethod
    def read(cls, directory: bytes, origin: Origin, rules: PermRules | None) -> Listing:
        """Walk the directory that is called `directory` in the image.

        Raises `PackError`: it holds what no layer can hold. Raises `OSError`, with the file's name.
        """
        listing = cls(directory, origin)
        names = os.listdir(listing._place)  # noqa: PTH208 - bytes
        names.sort()
        link_targets = []
        # Nearly all files have one of a few modes; with rules, the name has a say as well.
        known: dict[int, Stamp] = {}
        for base_name in names:
            status = os.lstat(listing._place + base_name)
            stamp = known.get(status.st_mode)
            if stamp is None:
                stamp = _stamp(directory + SLASH + base_name, status, origin, rules)
                if rules is None:
                    known[status.st_mode] = stamp
            listing.stamps.append(stamp)
            listing._sizes_bytes.append(status.st_size if stamp.kind == REGULAR else 0)
            if stamp.kind == DIRECTORY:
                listing.subdirectories.append(directory + SLASH + base_name)
            elif stamp.kind == SYMLINK:
                target = os.readlink(listing._place + base_name)  # noqa: PTH115 - bytes
                link_targets.append(target)
        listing._names = _NUL.join(names)
        listing._link_targets = _NUL.join(link_targets)
        return listing

    def __len__(self) -> int:
        """Return how many entries there are."""
        return len(self.stamps)

    def entries(self) -> Iterator[Entry]:
        """Yield the entries, sorted."""
        names = self._names.split(_NUL)
        targets = iter(self._link_targets.split(_NUL))
        columns = zip(
            map((self.directory + SLASH).__add__, names),
            self.stamps,
            self._sizes_bytes,
            (next(targets) if stamp.kind == SYMLINK else b"" for stamp in self.stamps)
            if self._link_targets
            else repeat(b""),
            map(self._place.__add__, names),
            repeat(self.origin),
            repeat(None),
            repeat(False),  # noqa: FBT003 - a column like the others
        )
        # What `Entry` itself does, without a step of Python's for each file.
        return map(partial(tuple.__new__, Entry), columns)

    @property
    def contents_size_bytes(self) -> int:
        """How many bytes its regular files have."""
        return sum(self._sizes_bytes)

    def size_in_tar_bytes(self) -> int:
        """Return how many bytes of the tar the entries take."""
        if not self._need_one_block_each():
            return sum(entry.size_in_tar_bytes() for entry in self.entries())
        blocks = len(self) + sum(-(-size_bytes // BLOCK_BYTES) for size_bytes in self._sizes_bytes)
        return blocks * BLOCK_BYTES

    def _need_one_block_each(self) -> bool:
        """Return whether the header of an entry with all that is longest here would fit a block."""
        if not (self._names.isascii() and self._link_targets.isascii()):
            return False
        name = self.directory + SLASH + max(self._names.split(_NUL), key=len)
        link_target = max(self._link_targets.split(_NUL), key=len)
        return all(
            header_size_bytes(name, stamp, max(self._sizes_bytes), link_target) == BLOCK_BYTES
            for stamp in set(self.stamps)
        )


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
