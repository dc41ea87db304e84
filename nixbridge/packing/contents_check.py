"""Compare store paths with their NAR hashes while they are packed (`copy --check-contents`).

A NAR lists the files of a store path in the order of the tar, so both are made in one pass. What
perms change is not in a NAR, so the executable bit of a file with perms is looked up again.

https://nix.dev/manual/nix/2.26/protocols/nix-archive
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Final, NamedTuple

from nixbridge.closure import StoreRoot
from nixbridge.errors import IntegrityError
from nixbridge.layering import PlannedLayer, PlannedPath
from nixbridge.packing.entry import Entry, unreadable
from nixbridge.packing.header import REGULAR, SYMLINK, Kind

_SLASH: Final = b"/"
_STORE_PATH_PARTS: Final = 4  # "", "nix", "store", "HASH-NAME"


def _word(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text + bytes(-len(text) % 8)


def _words(*texts: bytes) -> bytes:
    return b"".join(_word(text) for text in texts)


_MAGIC: Final = b"nix-archive-1"


class NarHasher:
    """The hash of one NAR, fed file by file; names begin with a slash, the root's is empty."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(_words(_MAGIC))
        # The directories that we are in, and what ends the file that was begun last.
        self._directories: list[bytes] = []
        self._end = b""

    def begin(
        self,
        name: bytes,
        kind: Kind,
        *,
        is_executable: bool = False,
        size_bytes: int = 0,
        link_target: bytes = b"",
    ) -> None:
        """Begin a file; the contents of a regular one follow."""
        parent, _, base_name = name.rpartition(_SLASH)
        text = [self._end]
        if name:
            while self._directories[-1] != parent:
                self._directories.pop()
                text.append(_words(b")", b")"))
            text.append(_words(b"entry", b"(", b"name", base_name, b"node"))
        # Only what is not the root ends an entry as well.
        end = _words(b")", b")") if name else _words(b")")
        if kind == REGULAR:
            text.append(_words(b"(", b"type", b"regular"))
            if is_executable:
                text.append(_words(b"executable", b""))
            text.append(_words(b"contents") + size_bytes.to_bytes(8, "little"))
            self._end = bytes(-size_bytes % 8) + end
        elif kind == SYMLINK:
            text.append(_words(b"(", b"type", b"symlink", b"target", link_target))
            self._end = end
        else:
            text.append(_words(b"(", b"type", b"directory"))
            self._directories.append(name)
            self._end = b""
        self._hash.update(b"".join(text))

    def contents(self, data: bytes | memoryview, /) -> None:
        """Take some of the contents of the file that was begun last."""
        self._hash.update(data)

    def finish(self) -> str:
        """Return the hash in hex."""
        self._hash.update(self._end)
        for directory in reversed(self._directories):
            self._hash.update(_words(b")", b")") if directory else _words(b")"))
        return self._hash.hexdigest()


class _Checked(NamedTuple):
    """One store path on its way into the image; `destination` is empty at the image's root."""

    path: PlannedPath
    place: bytes
    destination: bytes
    hasher: NarHasher

    def has(self, name: bytes) -> bool:
        return os.path.lexists(self.place + name[len(self.destination) :])  # bytes


class ContentsCheck:
    """An observer of a layer that is packed from `store`."""

    def __init__(self, layer: PlannedLayer, store: StoreRoot) -> None:
        self._roots: list[_Checked] = []
        self._in_store: dict[bytes, _Checked] = {}
        self._feeding: list[NarHasher] = []
        for path in layer.paths:
            place = os.fsencode(store.locate(path.info.path))
            destination = b"" if path.copy_to_root else path.info.path.text.encode()
            checked = _Checked(path, place, destination, NarHasher())
            if path.copy_to_root:
                # Its directory becomes the image's root, which no entry stands for.
                checked.hasher.begin(b"", b"5")
                self._roots.append(checked)
            else:
                self._in_store[destination] = checked

    def begin(self, entry: Entry) -> None:
        """See that an entry begins.

        Raises `PackError`: its file is gone.
        """
        self._feeding = []
        if entry.origin is None or entry.is_implied:
            return
        for checked in self._bringing(entry):
            self._feeding.append(checked.hasher)
            checked.hasher.begin(
                entry.name[len(checked.destination) :],
                entry.kind,
                is_executable=_is_executable(entry, checked),
                size_bytes=entry.size_bytes,
                link_target=entry.link_target,
            )

    def contents(self, data: bytes | memoryview, /) -> None:
        """See some of the entry's contents."""
        for hasher in self._feeding:
            hasher.contents(data)

    def finish(self) -> None:
        """Compare all hashes.

        Raises `IntegrityError`: one is not what Nix knows.
        """
        all_checked = (*self._in_store.values(), *self._roots)
        self._in_store, self._roots = {}, []
        for checked in all_checked:
            info = checked.path.info
            found = checked.hasher.finish()
            if found != info.nar_hash.hex:
                raise IntegrityError(
                    f"the contents of `{info.path}` are not what Nix knows: they have the hash "
                    f"`sha256:{found}`, and should have `{info.nar_hash}`",
                    hint=f"repair it: `nix-store --repair-path {info.path}`",
                )

    def _bringing(self, entry: Entry) -> list[_Checked]:
        """Return the paths that bring this entry: several may bring the same file to the root."""
        in_store = self._in_store.get(_SLASH.join(entry.name.split(_SLASH)[:_STORE_PATH_PARTS]))
        found = [] if in_store is None else [in_store]
        if not self._roots:
            return found
        return [checked for checked in (*found, *self._roots) if checked.has(entry.name)]


def _is_executable(entry: Entry, checked: _Checked) -> bool:
    if entry.kind != REGULAR:
        return False
    if not checked.path.perms and (
        entry.origin is not None and entry.origin.path == checked.path.info.path
    ):
        return bool(entry.mode & stat.S_IXUSR)
    place = checked.place + entry.name[len(checked.destination) :]
    try:
        return bool(os.lstat(place).st_mode & stat.S_IXUSR)
    except OSError as error:
        raise unreadable(entry.describe_origin(), error) from error
