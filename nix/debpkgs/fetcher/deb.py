"""What is in a Debian package, as far as it shows what the package needs at run time.

Paths are as the unit builder leaves them: without `usr/`, and with one `bin` (`flatten`). The
same rule is in unit-builder.sh; the two must agree.
"""

from __future__ import annotations

import posixpath
import struct
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
    (headers,) = struct.unpack_from("<Q", image, 32)
    header_size, header_count = struct.unpack_from("<HH", image, 54)
    is_program, dynamic, loads = False, None, []
    for index in range(header_count):
        segment, _, offset, address, _, size = struct.unpack_from(
            "<IIQQQQ", image, headers + index * header_size
        )
        if segment == _PT_INTERP:
            is_program = True
        elif segment == _PT_DYNAMIC:
            dynamic = range(offset, offset + size, 16)
        elif segment == _PT_LOAD:
            loads.append((address, offset, size))
    names: list[int] = []
    strings = 0
    for position in dynamic or ():
        tag, value = struct.unpack_from("<qQ", image, position)
        if tag == _DT_NULL:
            break
        if tag == _DT_NEEDED:
            names.append(value)
        elif tag == _DT_STRTAB:
            strings = next(o + value - a for a, o, size in loads if a <= value < a + size)
    needed = tuple(
        image[strings + n : image.index(b"\0", strings + n)].decode("ascii") for n in names
    )
    return Entry(needed=needed, is_program=is_program)


def read_package(path: Path) -> dict[str, Entry]:
    """Read the files and links of a .deb."""
    entries: dict[str, Entry] = {}
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE) as unpack:
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as archive:
            for member in archive:
                name = flatten(member.name)
                entry = _read_member(archive, member)
                if name is None or entry is None:
                    continue
                # /bin/x may be a link to /usr/bin/x: one place here, and the file is what counts.
                if entry.link is None or name not in entries:
                    entries[name] = entry
    if unpack.returncode != 0:
        raise DebpkgsError(f"`dpkg-deb` cannot read `{path}`")
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
