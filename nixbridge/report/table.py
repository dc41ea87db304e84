"""Plain tables and sizes, readable without colour and in a log.

No escape codes and no terminal width here: a wide row is for the terminal to wrap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from nixbridge.errors import InputError

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_THOUSAND: Final = 1000
_TEN: Final = 10
_SIZE: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>[A-Za-z]*)", re.ASCII)
_UNIT_SIZES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "": 1,
        "B": 1,
        "KB": 10**3,
        "MB": 10**6,
        "GB": 10**9,
        "TB": 10**12,
        "KIB": 2**10,
        "MIB": 2**20,
        "GIB": 2**30,
        "TIB": 2**40,
    }
)
_SMALLEST_PART: Final = 0.005


def format_size(size_bytes: float) -> str:
    """Write a number of bytes in decimal units: `0 B`, `4.1 MB`, `312 MB`."""
    unit = 0
    while size_bytes >= _THOUSAND and unit < len(_UNITS) - 1:
        size_bytes /= _THOUSAND
        unit += 1
    digits = 1 if unit and size_bytes < _TEN else 0
    return f"{size_bytes:.{digits}f} {_UNITS[unit]}"


def parse_size(text: str) -> int:
    """Read `50MB`, `1.5 GB`, `64MiB` or a plain number of bytes.

    Raises `InputError`.
    """
    match = _SIZE.fullmatch(text)
    unit = None if match is None else _UNIT_SIZES.get(match["unit"].upper())
    if match is None or unit is None:
        raise InputError(f"`{text}` is not a size", hint="a size is written `50MB` or `1.5GB`")
    return int(Decimal(match["number"]) * unit)


def format_difference(size_bytes: int) -> str:
    """Write by how much a size has changed: `+4.1 MB`, `-312 kB`, `0 B`."""
    sign = "+" if size_bytes > 0 else "-" if size_bytes < 0 else ""
    return sign + format_size(abs(size_bytes))


def format_percent(part: float) -> str:
    """Write a part of 1: `34 %`; what is not nothing is not written as nothing: `<1 %`."""
    return "<1 %" if 0 < part < _SMALLEST_PART else f"{part * 100:.0f} %"


def format_count(count: int, noun: str) -> str:
    """Write `1 path`, `2 paths`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()
) -> str:
    """Align `rows` below `header`; the columns numbered in `right` are flush right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in (header, *rows))
