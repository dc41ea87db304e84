"""Read small members of a tar archive; writing one is the destinations' (`header.py`)."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Archive:
    """The regular members of the tar archive at `path`: names and sizes."""

    path: Path
    sizes_bytes: Mapping[str, int]

    def read(self, name: str) -> bytes:
        """Return the contents of a member.

        Raises `KeyError`: there is none of that name. Raises `OSError`, `tarfile.TarError`.
        """
        with tarfile.open(self.path) as archive:
            file = archive.extractfile(name)
            if file is None:
                raise KeyError(name)
            return file.read()


def open_archive(path: Path) -> Archive:
    """Read the table of contents of the archive at `path`, compressed or not.

    Raises `ValueError`: it is no tar archive. Raises `OSError`.
    """
    try:
        with tarfile.open(path) as archive:
            return Archive(path, {info.name: info.size for info in archive if info.isreg()})
    except tarfile.TarError as error:
        raise ValueError(str(error)) from error
