"""`LayerTree`: everything that one layer will hold, known before a byte of it is read.

Store paths are walked here and their facts remembered; reading the files is `tar.py`. Names are
bytes, as the file system has them, so no locale has a say. The rules are nix2container's: parents
that nobody brings are made (0755, root), everything is root's unless perms say otherwise, links
have mode 0777, a file with several names is several files. Two sources may bring the same name
only if they bring the same thing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

from nixbridge.closure import StoreRoot
from nixbridge.errors import PackError
from nixbridge.layering import PlannedLayer, PlannedPath
from nixbridge.packing.entry import SLASH, Entry, Listing, Origin, entry_of, text_of, unreadable
from nixbridge.packing.header import (
    DIRECTORY,
    END_OF_ARCHIVE,
    REGULAR,
    ROOT,
    SYMLINK,
    Owner,
    stamp_of,
)
from nixbridge.packing.perms import PermRules

_CHUNK_BYTES: Final = 1 << 20
_KIND_WORDS: Final = {REGULAR: "a file", SYMLINK: "a symlink", DIRECTORY: "a directory"}
# The directory that those are in that have no parent.
_NOWHERE: Final = b""


class LayerTree:
    """The entries of a layer, by name."""

    def __init__(self) -> None:
        # What is in each directory that is not empty: as it was walked, or, where several sources
        # bring something, or what we make is in it, by name.
        self._contents: dict[bytes, Listing | dict[bytes, Entry]] = {}
        self._found_modes: set[int] = set()

    def entries(self) -> Iterator[Entry]:
        """Yield the entries in the order of the tar: a directory, then what is in it.

        Siblings are sorted as bytes, so `a-b` comes after all that is in `a`.
        """
        under_way = [self._entries_in(_NOWHERE)]
        while under_way:
            for entry in under_way[-1]:
                yield entry
                if entry.stamp.kind == DIRECTORY and entry.name in self._contents:
                    under_way.append(self._entries_in(entry.name))
                    break
            else:
                under_way.pop()

    def _entries_in(self, directory: bytes) -> Iterator[Entry]:
        contents = self._contents.get(directory, {})
        if isinstance(contents, Listing):
            return contents.entries()
        return iter(sorted(contents.values(), key=lambda entry: entry.name))

    @property
    def tar_size_bytes(self) -> int:
        """The size of the tar, known without reading a file."""
        return len(END_OF_ARCHIVE) + sum(
            contents.size_in_tar_bytes()
            if isinstance(contents, Listing)
            else sum(entry.size_in_tar_bytes() for entry in contents.values())
            for contents in self._contents.values()
        )

    @property
    def contents_size_bytes(self) -> int:
        """How much is read of other files to write the tar."""
        return sum(
            contents.contents_size_bytes
            if isinstance(contents, Listing)
            else sum(entry.size_bytes for entry in contents.values() if entry.origin is not None)
            for contents in self._contents.values()
        )

    @property
    def found_modes(self) -> frozenset[int]:
        """The modes that files have in the store, with their kinds (`st_mode`)."""
        return frozenset(self._found_modes)

    def add_directory(self, path: str, *, mode: int = 0o755, owner: Owner = ROOT) -> None:
        """Add a directory.

        Raises `PackError`: there is something else of this name.
        """
        self._put(Entry(_name(path), stamp_of(DIRECTORY, mode, owner)))

    def add_file_bytes(
        self, path: str, data: bytes, *, mode: int = 0o644, owner: Owner = ROOT
    ) -> None:
        """Add a regular file that consists of `data`.

        Raises `PackError`: there is something else of this name.
        """
        self._put(Entry(_name(path), stamp_of(REGULAR, mode, owner), len(data), data=data))

    def add_symlink(
        self, path: str, target: str, *, mode: int = 0o777, owner: Owner = ROOT
    ) -> None:
        """Add a symlink.

        Raises `PackError`: there is something else of this name.
        """
        stamp = stamp_of(SYMLINK, mode, owner)
        self._put(Entry(_name(path), stamp, link_target=_name(target)))

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
            # The kernel's errors here name the file: lstat, listdir and readlink.
            rest = os.fsencode(error.filename).removeprefix(place).rstrip(SLASH)
            raise unreadable(f"`{store_path}{text_of(rest)}`", error) from error

    def _walk(self, origin: Origin, rules: PermRules | None) -> None:
        status = os.lstat(origin.place)
        self._found_modes.add(status.st_mode)
        top = entry_of(origin.destination, status, origin, rules)
        if origin.destination:
            self._put(top)
        elif top.kind != DIRECTORY:
            raise PackError(
                f"`{origin.path}` cannot be copied to the root, as it is not a directory",
                hint="put it in a directory, for example with `buildEnv`",
            )
        # Names in the image of directories to be read.
        waiting = [origin.destination] if top.kind == DIRECTORY else []
        while waiting:
            listing = Listing.read(waiting.pop(), origin, rules, self._found_modes)
            waiting.extend(listing.subdirectories)
            self._put_all(listing)

    def _put_all(self, listing: Listing) -> None:
        """Put what was walked in one directory; the directory itself was put before."""
        if not len(listing):
            return
        directory = listing.directory
        if not directory:
            # The image's root, which no store path brings.
            directory = SLASH
            self._put_below_known(_implied(directory, listing.origin))
        if directory not in self._contents:
            self._contents[directory] = listing
            return
        for entry in listing.entries():
            self._put_below_known(entry)

    def _put(self, entry: Entry) -> None:
        parent = _parent(entry.name)
        if parent:
            known_parent = self._by_name(_parent(parent)).get(parent)
            if known_parent is None:
                self._put(_implied(parent, entry.origin))
            elif known_parent.kind != DIRECTORY:
                raise PackError(
                    f"`{text_of(parent)}` would be {_KIND_WORDS[known_parent.kind]} from "
                    f"{known_parent.describe_origin()} and the directory of "
                    f"{entry.describe_origin()}"
                )
        self._put_below_known(entry)

    def _put_below_known(self, entry: Entry) -> None:
        siblings = self._by_name(_parent(entry.name))
        known = siblings.setdefault(entry.name, entry)
        if known is entry:
            return
        if entry.is_implied and known.kind == DIRECTORY:
            return
        if known.is_implied and entry.kind == DIRECTORY:
            siblings[entry.name] = entry
        else:
            _refuse_difference(known, entry)

    def _by_name(self, directory: bytes) -> dict[bytes, Entry]:
        """Return what is in a directory so that something can be put there."""
        contents = self._contents.setdefault(directory, {})
        if isinstance(contents, Listing):
            contents = {entry.name: entry for entry in contents.entries()}
            self._contents[directory] = contents
        return contents


def _implied(name: bytes, origin: Origin | None) -> Entry:
    return Entry(name, stamp_of(DIRECTORY, 0o755, ROOT), origin=origin, is_implied=True)


def layer_tree(layer: PlannedLayer, store: StoreRoot) -> LayerTree:
    """Walk all paths of a planned layer.

    Raises `PackError` and `InputError`, as `LayerTree.add_store_path` does.
    """
    tree = LayerTree()
    for path in layer.paths:
        tree.add_store_path(path, store)
    return tree


def _name(path: str) -> bytes:
    # Not `os.fsencode`: what is made here must not depend on the locale.
    return path.encode("utf-8", "surrogateescape")


def _parent(name: bytes) -> bytes:
    parent, slash, base_name = name.rpartition(SLASH)
    return parent or (SLASH if slash and base_name else _NOWHERE)


def _refuse_difference(known: Entry, entry: Entry) -> None:
    differences = (
        (_KIND_WORDS[known.kind], _KIND_WORDS[entry.kind]),
        (f"mode {known.mode:04o}", f"mode {entry.mode:04o}"),
        (_owner_words(known.owner), _owner_words(entry.owner)),
        (f"a link to `{text_of(known.link_target)}`", f"a link to `{text_of(entry.link_target)}`"),
        (f"{known.size_bytes} bytes", f"{entry.size_bytes} bytes"),
    )
    for ours, theirs in differences:
        if ours != theirs:
            raise PackError(
                f"`{text_of(entry.name)}` would be two things: {ours} from "
                f"{known.describe_origin()} and {theirs} from {entry.describe_origin()}",
                hint="put them into two layers, the lower one first, or leave one of them out",
            )
    if entry.kind == REGULAR and not _have_same_contents(known, entry):
        raise PackError(
            f"`{text_of(entry.name)}` would be two things: {known.describe_origin()} and "
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
        with open(entry.place, "rb") as file:  # noqa: PTH123 - bytes
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise unreadable(entry.describe_origin(), error) from error
