"""`LayerTree`: everything that one layer will hold, known before a byte of it is read.

Store paths are walked here and their facts remembered; reading the files is `tar.py`. Names are
bytes, as the file system has them, so no locale has a say. The rules are nix2container's: parents
that nobody brings are made (0755, root), everything is root's unless perms say otherwise, links
have mode 0777, a file with several names is several files. Two sources may bring the same name
only if they bring the same thing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final, NamedTuple

from nixbridge.closure import StorePath, StoreRoot
from nixbridge.errors import PackError
from nixbridge.layering import PlannedLayer, PlannedPath
from nixbridge.packing.header import (
    BLOCK_BYTES,
    DIRECTORY,
    END_OF_ARCHIVE,
    REGULAR,
    ROOT,
    SYMLINK,
    Kind,
    Owner,
    header,
    header_size_bytes,
)
from nixbridge.packing.perms import PermRules

_CHUNK_BYTES: Final = 1 << 20
_SLASH: Final = b"/"
_KIND_WORDS: Final = {REGULAR: "a file", SYMLINK: "a symlink", DIRECTORY: "a directory"}


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
    """One member of the tar. A plain tuple, as a layer may have a million of them.

    A regular file is read from its `origin`; what has none is made by nixbridge, a file from
    `data`. `is_implied` says that it is a parent that nobody brought, made for its `origin`.
    """

    name: bytes
    kind: Kind
    mode: int
    owner: Owner
    size_bytes: int = 0
    link_target: bytes = b""
    origin: Origin | None = None
    data: bytes | None = None
    is_implied: bool = False

    def header(self) -> bytes:
        """Return the bytes that stand before the file's own."""
        return header(
            self.name, self.kind, self.mode, self.owner, self.size_bytes, self.link_target
        )

    def size_in_tar_bytes(self) -> int:
        """Return how many bytes of the tar the entry takes."""
        return (
            header_size_bytes(
                self.name, self.kind, self.mode, self.owner, self.size_bytes, self.link_target
            )
            + self.size_bytes
            + -self.size_bytes % BLOCK_BYTES
        )

    def place(self) -> bytes:
        """Return where a file that has an origin is read."""
        if self.origin is None:
            raise ValueError(self.name)
        return self.origin.place_of(self.name)

    def describe_origin(self) -> str:
        """Say where the entry comes from, for messages."""
        if self.origin is None:
            return "nixbridge"
        return f"`{_text(self.origin.store_name_of(self.name))}`"


class LayerTree:
    """The entries of a layer, by name."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Entry] = {}

    def entries(self) -> list[Entry]:
        """Return the entries in the order of the tar: a directory, then what is in it.

        Siblings are sorted as bytes. With NUL for the slash, which sorts before all that a name
        can contain, this is the plain order of names: `a`, `a/x`, `a-b`.
        """
        return sorted(self._entries.values(), key=lambda entry: entry.name.replace(_SLASH, b"\0"))

    @property
    def tar_size_bytes(self) -> int:
        """The size of the tar, known without reading a file."""
        return len(END_OF_ARCHIVE) + sum(
            entry.size_in_tar_bytes() for entry in self._entries.values()
        )

    @property
    def contents_size_bytes(self) -> int:
        """How much is read of other files to write the tar."""
        return sum(entry.size_bytes for entry in self._entries.values() if entry.origin is not None)

    def add_directory(self, path: str, *, mode: int = 0o755, owner: Owner = ROOT) -> None:
        """Add a directory.

        Raises `PackError`: there is something else of this name.
        """
        self._put(Entry(_name(path), DIRECTORY, mode, owner))

    def add_file_bytes(
        self, path: str, data: bytes, *, mode: int = 0o644, owner: Owner = ROOT
    ) -> None:
        """Add a regular file that consists of `data`.

        Raises `PackError`: there is something else of this name.
        """
        self._put(Entry(_name(path), REGULAR, mode, owner, len(data), data=data))

    def add_symlink(
        self, path: str, target: str, *, mode: int = 0o777, owner: Owner = ROOT
    ) -> None:
        """Add a symlink.

        Raises `PackError`: there is something else of this name.
        """
        self._put(Entry(_name(path), SYMLINK, mode, owner, link_target=_name(target)))

    def add_store_path(self, path: PlannedPath, store: StoreRoot) -> None:
        """Walk a store path and add all that is in it.

        Raises `PackError`: the path is unreadable, holds what no layer can hold, cannot be copied
        to the root, or clashes with what is there. Raises `InputError`: its perms cannot be used.
        """
        store_path = path.info.path
        place = os.fsencode(store.locate(store_path))
        rules = PermRules(path.perms) if path.perms else None
        destination = b"" if path.copy_to_root else store_path.text.encode()
        origin = Origin(store_path, place, destination)
        try:
            self._walk(origin, rules)
        except OSError as error:
            # The kernel's errors here name the file: lstat, scandir, stat and readlink.
            rest = os.fsencode(error.filename).removeprefix(place)
            raise _unreadable(f"`{store_path}{_text(rest)}`", error) from error

    def _walk(self, origin: Origin, rules: PermRules | None) -> None:
        status = os.lstat(origin.place)
        if origin.destination:
            self._put(_entry(origin.destination, status, origin, rules))
        elif not stat.S_ISDIR(status.st_mode):
            raise PackError(
                f"`{origin.path}` cannot be copied to the root, as it is not a directory",
                hint="put it in a directory, for example with `buildEnv`",
            )
        # Names in the image of directories to be read.
        waiting = [origin.destination] if stat.S_ISDIR(status.st_mode) else []
        while waiting:
            directory = waiting.pop()
            # What is walked was put before what is in it; only the root may still be missing.
            put = self._put_below_known if directory else self._put
            prefix = directory + _SLASH
            with os.scandir(origin.place_of(directory)) as listing:
                for item in sorted(listing, key=_file_name):
                    name = prefix + item.name
                    entry = _entry(name, item.stat(follow_symlinks=False), origin, rules)
                    put(entry)
                    if entry.kind == DIRECTORY:
                        waiting.append(name)

    def _put(self, entry: Entry) -> None:
        parent = _parent(entry.name)
        if parent is not None:
            known_parent = self._entries.get(parent)
            if known_parent is None:
                implied = Entry(
                    parent, DIRECTORY, 0o755, ROOT, origin=entry.origin, is_implied=True
                )
                self._put(implied)
            elif known_parent.kind != DIRECTORY:
                raise PackError(
                    f"`{_text(parent)}` would be {_KIND_WORDS[known_parent.kind]} from "
                    f"{known_parent.describe_origin()} and the directory of "
                    f"{entry.describe_origin()}"
                )
        self._put_below_known(entry)

    def _put_below_known(self, entry: Entry) -> None:
        known = self._entries.setdefault(entry.name, entry)
        if known is entry:
            return
        if known.is_implied and entry.kind == DIRECTORY:
            self._entries[entry.name] = entry
        else:
            _refuse_difference(known, entry)


def layer_tree(layer: PlannedLayer, store: StoreRoot) -> LayerTree:
    """Walk all paths of a planned layer.

    Raises `PackError` and `InputError`, as `LayerTree.add_store_path` does.
    """
    tree = LayerTree()
    for path in layer.paths:
        tree.add_store_path(path, store)
    return tree


def _file_name(item: os.DirEntry[bytes]) -> bytes:
    return item.name


def _name(path: str) -> bytes:
    # Not `os.fsencode`: what is made here must not depend on the locale.
    return path.encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _parent(name: bytes) -> bytes | None:
    parent, slash, base_name = name.rpartition(_SLASH)
    return parent or (_SLASH if slash and base_name else None)


def _entry(name: bytes, status: os.stat_result, origin: Origin, rules: PermRules | None) -> Entry:
    mode = stat.S_IMODE(status.st_mode)
    kind: Kind
    size_bytes = 0
    link_target = b""
    if stat.S_ISREG(status.st_mode):
        kind = REGULAR
        size_bytes = status.st_size
    elif stat.S_ISDIR(status.st_mode):
        kind = DIRECTORY
    elif stat.S_ISLNK(status.st_mode):
        kind = SYMLINK
        mode = 0o777  # some file systems give links other modes
        link_target = os.readlink(origin.place_of(name))  # noqa: PTH115 - bytes
    else:
        raise PackError(
            f"`{_text(origin.store_name_of(name))}` is neither a file, a directory nor a symlink"
        )
    owner = ROOT
    if rules is not None:
        mode, owner = rules.apply(origin.store_name_of(name), mode, owner)
    return Entry(name, kind, mode, owner, size_bytes, link_target, origin)


def _refuse_difference(known: Entry, entry: Entry) -> None:
    differences = (
        (_KIND_WORDS[known.kind], _KIND_WORDS[entry.kind]),
        (f"mode {known.mode:04o}", f"mode {entry.mode:04o}"),
        (_owner_words(known.owner), _owner_words(entry.owner)),
        (f"a link to `{_text(known.link_target)}`", f"a link to `{_text(entry.link_target)}`"),
        (f"{known.size_bytes} bytes", f"{entry.size_bytes} bytes"),
    )
    for ours, theirs in differences:
        if ours != theirs:
            raise PackError(
                f"`{_text(entry.name)}` would be two things: {ours} from "
                f"{known.describe_origin()} and {theirs} from {entry.describe_origin()}",
                hint="put them into two layers, the lower one first, or leave one of them out",
            )
    if entry.kind == REGULAR and not _have_same_contents(known, entry):
        raise PackError(
            f"`{_text(entry.name)}` would be two things: {known.describe_origin()} and "
            f"{entry.describe_origin()} differ in their contents",
            hint="put them into two layers, the lower one first, or leave one of them out",
        )


def _owner_words(owner: Owner) -> str:
    return f"owner {owner.uid}:{owner.gid} ({owner.uname}:{owner.gname})"


def _have_same_contents(one: Entry, other: Entry) -> bool:
    return all(a == b for a, b in zip_longest(_chunks(one), _chunks(other)))


def _chunks(entry: Entry) -> Iterator[bytes]:
    if entry.origin is None:
        data = entry.data or b""
        yield from (data[at : at + _CHUNK_BYTES] for at in range(0, len(data), _CHUNK_BYTES))
        return
    try:
        with open(entry.place(), "rb") as file:  # noqa: PTH123 - bytes
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise unreadable(entry, error) from error


def unreadable(entry: Entry, error: OSError) -> PackError:
    """Return the error that says that an entry's file could not be read, and why."""
    return _unreadable(entry.describe_origin(), error)


def _unreadable(what: str, error: OSError) -> PackError:
    if isinstance(error, FileNotFoundError):
        return PackError(
            f"{what} is not there",
            hint="was it collected as garbage? build it again, and keep it while packing",
        )
    return PackError(f"reading {what} failed: {(error.strerror or str(error)).lower()}")
