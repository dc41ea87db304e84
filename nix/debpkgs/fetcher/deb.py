"""What is in a Debian package, as far as it shows what the package needs at run time.

Paths are as the unit builder leaves them: without `usr/`, and with one `bin` (`flatten`). The
same rule is in unit-builder.sh; the two must agree.
"""

from __future__ import annotations

import posixpath
import struct
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .errors import DebpkgsError

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5
_ET_EXEC, _ET_DYN, _EM_X86_64 = 2, 3, 62


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file or symbolic link.

    `link` is where a link points, as a path of the same kind; `interpreter` is the program that
    runs a script (`bash`); `needed` are the libraries that an ELF file asks for.
    """

    link: str | None = None
    interpreter: str | None = None
    needed: tuple[str, ...] = ()
    is_program: bool = False


def flatten(path: str) -> str | None:
    """Return where the unit has a file of a package: no `usr`, one `bin`; None for no place."""
    path = posixpath.normpath(path).lstrip("/")
    if path in (".", "usr") or path.startswith(".."):
        return None
    path = path.removeprefix("usr/")
    head, slash, rest = path.partition("/")
    return ("bin" if head in ("sbin", "games") else head) + slash + rest


def script_interpreter(line: bytes) -> str | None:
    """Return the program that a `#!` line names, looking through `env`."""
    words = line[2:].decode("latin-1").split()
    if words and posixpath.basename(words[0]) == "env":
        words = [w for w in words[1:] if not w.startswith("-") and "=" not in w]
    return posixpath.basename(words[0]) if words else None


def elf_entry(image: bytes) -> Entry | None:
    """Return what an ELF file for x86-64 needs; None for anything else.

    https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.dynamic.html
    """
    if image[:6] != b"\x7fELF\x02\x01":
        return None
    kind, machine = struct.unpack_from("<HH", image, 16)
    if kind not in (_ET_EXEC, _ET_DYN) or machine != _EM_X86_64:
        return None
    segments = _segments(image)
    return Entry(
        needed=_needed(image, segments),
        is_program=any(segment.kind == _PT_INTERP for segment in segments),
    )


class _Segment(NamedTuple):
    kind: int
    flags: int
    offset: int
    address: int
    physical_address: int
    size_bytes: int


def _segments(image: bytes) -> list[_Segment]:
    (headers,) = struct.unpack_from("<Q", image, 32)
    header_size, header_count = struct.unpack_from("<HH", image, 54)
    return [
        _Segment(*struct.unpack_from("<IIQQQQ", image, headers + index * header_size))
        for index in range(header_count)
    ]


def _needed(image: bytes, segments: list[_Segment]) -> tuple[str, ...]:
    names: list[int] = []
    strings = 0
    for dynamic in (segment for segment in segments if segment.kind == _PT_DYNAMIC):
        for position in range(dynamic.offset, dynamic.offset + dynamic.size_bytes, 16):
            tag, value = struct.unpack_from("<qQ", image, position)
            if tag == _DT_NULL:
                break
            if tag == _DT_NEEDED:
                names.append(value)
            elif tag == _DT_STRTAB:
                strings = value
    # The table's address in memory, as a place in the file.
    for load in segments:
        if load.kind == _PT_LOAD and 0 <= strings - load.address < load.size_bytes:
            strings += load.offset - load.address
            break
    return tuple(
        image[strings + name : image.index(b"\0", strings + name)].decode("ascii") for name in names
    )


def read_package(path: Path) -> dict[str, Entry]:
    """Read the files and links of a .deb."""
    entries: dict[str, Entry] = {}
    try:
        with (
            subprocess.Popen(
                ["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE
            ) as unpack,
            tarfile.open(fileobj=unpack.stdout, mode="r|") as archive,
        ):
            for member in archive:
                name = flatten(member.name)
                entry = _read_member(archive, member)
                if name is None or entry is None:
                    continue
                # /bin/x may be a link to /usr/bin/x: one place here, and the file is what counts.
                if entry.link is None or name not in entries:
                    entries[name] = entry
    except tarfile.TarError as error:
        raise DebpkgsError(f"`{path}` is not a Debian package: {error}") from error
    return entries


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry | None:
    if member.issym():
        directory = posixpath.dirname(posixpath.normpath(member.name))
        return Entry(link=flatten(posixpath.join("/", directory, member.linkname)))
    if member.islnk():
        return Entry(link=flatten(member.linkname))
    file = archive.extractfile(member) if member.isfile() else None
    if file is None:
        return None
    head = file.read(256)
    if head.startswith(b"\x7fELF"):
        return elf_entry(head + file.read()) or Entry()
    if head.startswith(b"#!") and member.mode & 0o111:
        return Entry(interpreter=script_interpreter(head.partition(b"\n")[0]))
    return Entry()
