from __future__ import annotations

import pytest

from nixbridge.report.table import (
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
        (1000, "1.0 kB"),
        (4_100_000, "4.1 MB"),
        (312_000_000, "312 MB"),
        (16_100_000_000, "16 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes(size_bytes: int, text: str) -> None:
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
