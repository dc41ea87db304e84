from __future__ import annotations

import pytest

from nixbridge.report.table import (
    LINES,
    NAME,
    NAMES,
    WORDS,
    Fit,
    fold,
    format_count,
    format_difference,
    format_percent,
    format_size,
    format_table,
)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.6, "1.0 kB"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_960, "10 kB"),
        (999_600, "1.0 MB"),
        (4_100_000, "4.1 MB"),
        (312_000_000, "312 MB"),
        (16_100_000_000, "16 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes(size_bytes: float, text: str) -> None:
    assert format_size(size_bytes) == text


def test_counts() -> None:
    assert format_count(1, "path") == "1 path"
    assert format_count(0, "path") == "0 paths"


def test_columns_are_aligned() -> None:
    table = format_table(("N", "NAME"), [("1", "a"), ("10", "long name")], right=frozenset({0}))
    assert table == " N  NAME\n 1  a\n10  long name"


def test_an_empty_table_is_its_header() -> None:
    assert format_table(("N", "NAME"), []) == "N  NAME"


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(0, "0 B"), (4_100_000, "+4.1 MB"), (-999, "-999 B")]
)
def test_differences_have_a_sign(size_bytes: int, text: str) -> None:
    assert format_difference(size_bytes) == text


def test_percents() -> None:
    assert [format_percent(part) for part in (0, 0.004, 0.344, 1)] == [
        "0 %",
        "<1 %",
        "34 %",
        "100 %",
    ]


NARROW_ROWS = [
    ("9.1 MB", "libcurl3t64-gnutls-8.14.1, zlib-1.3, … 4 more", "with libcurl3t64, for want of it"),
    ("31 MB", "nix-2.26", "alone"),
]


@pytest.mark.parametrize("width", [38, 50, 70])
def test_a_table_is_as_narrow_as_it_must(width: int) -> None:
    table = format_table(
        ("SIZE", "HOLDS", "REASON"), NARROW_ROWS, right=frozenset({0}), width=width,
        fits={1: NAMES, 2: WORDS},
    )  # fmt: skip
    header, first, second = table.splitlines()
    assert max(map(len, (header, first, second))) == width
    # Numbers, and what fits, are whole, and columns begin where their titles do.
    assert (first[:6], second[:6]) == ("9.1 MB", " 31 MB")
    assert second.split("  ")[1] == "nix-2.26"
    assert second[header.index("REASON") :] == "alone"


def test_a_table_that_fits_and_one_for_a_file_are_whole() -> None:
    header, fits = ("SIZE", "HOLDS", "REASON"), {1: NAMES, 2: WORDS}
    whole = format_table(header, NARROW_ROWS, fits=fits)
    assert all(cell in whole for row in NARROW_ROWS for cell in row)
    assert format_table(header, NARROW_ROWS, width=200, fits=fits) == whole


def test_no_column_vanishes_where_there_is_no_room_at_all() -> None:
    table = format_table(("SIZE", "HOLDS"), [("1 B", "x" * 90)], width=5, fits={1: NAMES})
    assert table == "SIZE  HOLDS\n1 B   xxxxxxxxxx…xxxxx"


@pytest.mark.parametrize(
    ("fit", "text", "lines"),
    [
        (NAME, "libcurl3t64-gnutls-8.14.1", ["libcurl3t6…14.1"]),
        (NAMES, "bash-5.2, glibc-2.41, … 7 more", ["bash-5.2 +8"]),
        (NAMES, "bash, curl, dash", ["bash, curl +1"]),
        (NAMES, "libcurl3t64-gnutls-8.14.1, … 7 more", ["libcurl3…4.1 +7"]),
        (NAMES, "libcurl3t64-gnutls-8.14.1", ["libcurl3t6…14.1"]),
        (WORDS, "alone: needs 57 other paths", ["alone: needs 5…"]),
        (LINES, "3.0.13 → 3.0.14-beta", ["3.0.13 →", "3.0.14-beta"]),
        (LINES, "a 400 kB → 450 kB", ["a 400 kB →", "450 kB"]),
        (LINES, '"/nix/store/abcdefgh"', ['"/nix/store/abc', 'defgh"']),
    ],
)
def test_what_is_too_wide_is_shortened_so_that_it_can_be_told(
    fit: Fit, text: str, lines: list[str]
) -> None:
    assert fit.write(text, 15) == lines
    assert max(map(len, lines)) <= 15


def test_sentences_are_folded_between_words_and_numbers_stay_with_their_units() -> None:
    text = "against oci:old\n  push  2 layers, 11 MB, about 4.1 MB\n  path  /nix/store/aaaaaaaaaaaa"
    assert fold(text, 25) == (
        "against oci:old\n"
        "  push  2 layers, 11 MB,\n"
        "    about 4.1 MB\n"
        "  path\n"
        "    /nix/store/aaaaaaaaaaaa"
    )
    assert fold(text, None) == text
