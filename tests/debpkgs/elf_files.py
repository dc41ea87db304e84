"""ELF files made from nothing, and the facts of real ones that an audit asks for."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_HEADER = 64
_SEGMENT = 56
_DF_1_NODEFLIB = 0x800


def make_elf(*, needed: tuple[str, ...] = (), interpreter: str | None = None) -> bytes:
    """Return a small x86-64 ELF image with these NEEDED entries; it does not run."""
    strings = b"\0"
    entries = []
    for name in needed:
        entries.append((1, len(strings)))
        strings += name.encode() + b"\0"
    count = 2 + (interpreter is not None)
    start = _HEADER + count * _SEGMENT
    interpreter_bytes = interpreter.encode() + b"\0" if interpreter else b""
    dynamic_at = start + len(interpreter_bytes)
    strings_at = dynamic_at + (len(entries) + 2) * 16
    address = 0x1000
    entries += [(5, strings_at + address), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    size = strings_at + len(strings)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, _HEADER, 0, 0, 64, 56, count, 0, 0, 0)
    segments = struct.pack("<IIQQQQQQ", 1, 5, 0, address, address, size, size, 4096)
    segments += struct.pack(
        "<IIQQQQQQ", 2, 6, dynamic_at, dynamic_at + address, 0, len(dynamic), len(dynamic), 8
    )
    if interpreter is not None:
        length = len(interpreter_bytes)
        segments += struct.pack("<IIQQQQQQ", 3, 4, start, start + address, 0, length, length, 1)
    return header + segments + interpreter_bytes + dynamic + strings


@dataclass(frozen=True, kw_only=True)
class ElfFacts:
    """What a dynamic ELF file says about where its libraries come from."""

    interpreter: str | None
    needed: tuple[str, ...]
    search: tuple[str, ...]
    ignores_default_directories: bool


def read_elf(path: Path) -> ElfFacts | None:
    """Read a dynamic x86-64 program or library; None for anything else."""
    image = path.read_bytes()
    if image[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", image, 16)[0] not in (2, 3):
        return None
    (table,) = struct.unpack_from("<Q", image, 32)
    (count,) = struct.unpack_from("<H", image, 56)
    segments = [struct.unpack_from("<IIQQQQ", image, table + _SEGMENT * i) for i in range(count)]
    interpreter = None
    facts: dict[int, list[int]] = {}
    for kind, _, offset, _, _, size in segments:
        if kind == 3:
            interpreter = image[offset : offset + size].rstrip(b"\0").decode()
        elif kind == 2:
            for position in range(offset, offset + size, 16):
                tag, value = struct.unpack_from("<qQ", image, position)
                if tag == 0:
                    break
                facts.setdefault(tag, []).append(value)
    if not facts:
        return None
    (strings,) = facts[5]
    place = next(
        o + strings - a for k, _, o, a, _, s in segments if k == 1 and a <= strings < a + s
    )

    def text(offset: int) -> str:
        return image[place + offset : image.index(b"\0", place + offset)].decode()

    search = [text(offset) for offset in facts.get(29, facts.get(15, []))]
    directories = [d for joined in search for d in joined.split(":") if d]
    return ElfFacts(
        interpreter=interpreter,
        needed=tuple(text(offset) for offset in facts.get(1, [])),
        search=tuple(d.replace("$ORIGIN", str(path.parent)) for d in directories),
        ignores_default_directories=bool(facts.get(0x6FFFFFFB, [0])[0] & _DF_1_NODEFLIB),
    )
