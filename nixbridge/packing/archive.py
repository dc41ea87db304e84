"""Read tar archives: small members of an image archive, and all that a layer holds.

Writing one is `header.py` and `tar.py`.
"""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

MemberKind = Literal["directory", "file", "link", "other"]

_KINDS: Final[Mapping[bytes, MemberKind]] = {
    tarfile.DIRTYPE: "directory",
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.LNKTYPE: "file",  # another name of a file that stands before it
    tarfile.SYMTYPE: "link",
}


@dataclass(frozen=True, slots=True)
class Archive:
    """The regular members of the tar archive at `path`: names and sizes."""

    path: Path
    sizes_bytes: Mapping[str, int]

    def read(self, name: str) -> bytes:
        """Return the contents of a member.

        Raises `KeyError`: there is none of that name. Raises `OSError`, `tarfile.TarError`.
        """
        with self.open(name) as file:
            return file.read()

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a member for reading; a link is what it points to in the archive.

        Raises `KeyError`: there is none of that name. Raises `OSError`, `tarfile.TarError`.
        """
        with tarfile.open(self.path) as archive:
            file = archive.extractfile(name)
            if file is None:
                raise KeyError(name)
            with file:
                yield file


@dataclass(frozen=True, kw_only=True, slots=True)
class TarMember:
    """What a tar says of one file; `target` is a symbolic link's, `name` is as it is written."""

    name: str
    kind: MemberKind
    mode: int
    uid: int
    gid: int
    size_bytes: int
    target: str


def list_members(path: Path) -> tuple[TarMember, ...]:
    """Return all that the tar archive at `path` holds, in its order.

    Raises `ValueError`: it is no tar archive. Raises `OSError`.
    """
    try:
        with tarfile.open(path) as archive:
            return tuple(
                TarMember(
                    name=info.name,
                    kind=_KINDS.get(info.type, "other"),
                    mode=info.mode,
                    uid=info.uid,
                    gid=info.gid,
                    size_bytes=info.size,
                    target=info.linkname if info.issym() else "",
                )
                for info in archive
            )
    except tarfile.TarError as error:
        raise ValueError(str(error)) from error


def open_archive(path: Path) -> Archive:
    """Read the table of contents of the archive at `path`, compressed or not.

    Raises `ValueError`: it is no tar archive. Raises `OSError`.
    """
    try:
        with tarfile.open(path) as archive:
            return Archive(path, {info.name: info.size for info in archive if info.isreg()})
    except tarfile.TarError as error:
        raise ValueError(str(error)) from error
