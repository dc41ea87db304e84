"""Plain tables and sizes, readable without colour and in a log.

There are no escape codes. A table is as wide as what is in it, unless it is told how wide it may
be: on a terminal, but not in a file or a pipe, where all is to be found.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest
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
_GAP: Final = "  "
_BEFORE_UNIT: Final = re.compile(r"(?<=\d) (?=[kMGT]?B\b|%)")
_NO_BREAK: Final = "\N{NO-BREAK SPACE}"
_MORE: Final = re.compile(r"… (\d+) more")


def format_size(size_bytes: float) -> str:
    """Write a number of bytes in decimal units: `0 B`, `4.1 MB`, `312 MB`."""
    unit = 0
    # Rounded first: there is no `1000 kB`, nor a `10.0 MB`.
    while round(size_bytes) >= _THOUSAND and unit < len(_UNITS) - 1:
        size_bytes /= _THOUSAND
        unit += 1
    digits = 1 if unit and round(size_bytes, 1) < _TEN else 0
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """How the cells of a column are made narrower: `write` returns the lines of one.

    No column is made narrower than `least_width`, nor than its title.
    """

    write: Callable[[str, int], list[str]]
    least_width: int


def format_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: frozenset[int] = frozenset(),
    width: int | None = None,
    fits: Mapping[int, Fit] = MappingProxyType({}),
) -> str:
    """Align `rows` below `header`; the columns numbered in `right` are flush right.

    Where they are wider than `width`, the columns of `fits` are made narrower, the widest first.
    """
    natural = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    widths = _narrowed(natural, header, fits, width)

    def lines(row: Sequence[str]) -> Iterator[str]:
        cells = [
            fits[column].write(cell, widths[column]) if len(cell) > widths[column] else [cell]
            for column, cell in enumerate(row)
        ]
        for parts in zip_longest(*cells, fillvalue=""):
            aligned = (
                part.rjust(widths[column]) if column in right else part.ljust(widths[column])
                for column, part in enumerate(parts)
            )
            yield _GAP.join(aligned).rstrip()

    return "\n".join(line for row in (header, *rows) for line in lines(row))


def _narrowed(
    natural: Sequence[int], header: Sequence[str], fits: Mapping[int, Fit], width: int | None
) -> list[int]:
    """Return the widths of columns that fit into `width`, as far as they can."""
    widths = list(natural)
    least = {column: max(len(header[column]), fits[column].least_width) for column in fits}
    while width is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        wide = [column for column in sorted(fits) if widths[column] > least[column]]
        if not wide:
            break
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _without_middle(name: str, width: int) -> list[str]:
    # A name's beginning and its version tell it from others.
    if len(name) <= width:
        return [name]
    tail = (width - 1) // 3
    return [f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"]


def _without_last_names(text: str, width: int) -> list[str]:
    names = text.split(", ")
    more = _MORE.fullmatch(names[-1])
    untold = int(more[1]) if more else 0
    names = names[:-1] if more else names
    while len(names) > 1 and len(", ".join(names) + _untold(untold)) > width:
        names.pop()
        untold += 1
    words = _untold(untold)
    return [_without_middle(", ".join(names), width - len(words))[0] + words]


def _untold(count: int) -> str:
    return f" +{count}" if count else ""


def _without_end(text: str, width: int) -> list[str]:
    return [f"{text[: width - 1].rstrip()}…"]


def _in_lines(text: str, width: int) -> list[str]:
    return _broken(text, width)


# Of a name, the middle is left out; of a list of names, the last ones, which are counted:
# `bash-5.2 +7`; of words, the end; of texts in lines, nothing.
NAME: Final = Fit(write=_without_middle, least_width=12)
NAMES: Final = Fit(write=_without_last_names, least_width=16)
WORDS: Final = Fit(write=_without_end, least_width=10)
LINES: Final = Fit(write=_in_lines, least_width=10)


def fold(text: str, width: int | None) -> str:
    """Break the lines of a text between words; what is broken goes on a little further right."""
    if width is None:
        return text
    return "\n".join(_folded(line, width) for line in text.splitlines())


def _folded(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    start = line[: len(line) - len(line.lstrip())]
    return "\n".join(_broken(line, width, indent=f"{start}  "))


def _broken(text: str, width: int, *, indent: str = "") -> list[str]:
    """Break a text between words, but not between a number and its unit."""
    lines = textwrap.wrap(
        _BEFORE_UNIT.sub(_NO_BREAK, text),
        width,
        subsequent_indent=indent,
        break_long_words=not indent,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]
