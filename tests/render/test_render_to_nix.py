"""`to_nix`, with Nix itself as the judge: a value is itself again, or is refused."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from nixbridge.errors import InputError
from nixbridge.render import to_nix
from render.nix_values import compare_floats, evaluate_all, nix_json, tagged

# Hundreds of values in one run of nix, and a few runs.
few_runs = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)

# What means something to Nix's reader of strings and expressions, and what nearly does.
_PIECES = (
    "$", "{", "}", "${", "$${", "\\", '"', "'", "''", "''$", "\n", "\r", "\r\n", "\t", " ", ";",
    "#", "/*", "*/", "(", ")", "[", "]", "=", ".", "..", "/", "~", "<", ">", "<nixpkgs>", "in",
    "let", "1", "-1", "e", "\x01", "\x7f", "\ufeff", "\u2028", "é", "\U0001f600",
    'builtins.abort "x"', "a", "outPath", "__functor", "https://a.b/c", "x: x", "rec",
)  # fmt: skip

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.lists(st.sampled_from(_PIECES), max_size=6).map("".join),
)
integers = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.sampled_from((0, -1, 2**63 - 1, -(2**63), -(2**63) + 1))
)
names = st.one_of(
    texts, st.sampled_from(("or", "rec", "if", "inherit", "a-b", "a'", "-a", "1a", "_", "", "a.b"))
)
scalars = st.one_of(st.none(), st.booleans(), integers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=8,
)


@pytest.mark.nix
@few_runs
@given(st.lists(values, min_size=60, max_size=120))
def test_a_value_is_itself_again(tmp_path: Path, many: list[Any]) -> None:
    assert evaluate_all([to_nix(value) for value in many], tmp_path) == [tagged(v) for v in many]


@pytest.mark.nix
@few_runs
@given(st.lists(values, min_size=60, max_size=120), st.integers(0, 8))
def test_a_value_is_itself_within_others_and_indented(
    tmp_path: Path, many: list[Any], indent: int
) -> None:
    literals = [to_nix({"first": value, "second": [value]}, indent=indent) for value in many]
    expected = [tagged({"first": value, "second": [value]}) for value in many]
    assert evaluate_all(literals, tmp_path) == expected


@pytest.mark.nix
@few_runs
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=60, max_size=120))
def test_a_float_is_exactly_itself(tmp_path: Path, many: list[float]) -> None:
    numbers = [number for number in many if number == 0 or abs(number) >= sys.float_info.min]
    numbers += [0.0, 1e16, 1e-5, 0.1, 123456.789, -2.5, sys.float_info.max, sys.float_info.min]
    assert all(compare_floats([(to_nix(number), number) for number in numbers], tmp_path))
    assert evaluate_all([to_nix(n) for n in numbers], tmp_path) == [["float"] for _ in numbers]


@pytest.mark.nix
def test_the_sign_of_a_negative_zero_is_kept(tmp_path: Path) -> None:
    # A division tells the two zeros apart nowhere in Nix, but JSON does.
    (tmp_path / "zero.nix").write_text(f"builtins.toJSON {to_nix(-0.0)}")
    assert nix_json(tmp_path / "zero.nix") in {"-0.0", "-0"}


@pytest.mark.nix
def test_a_path_is_a_path(tmp_path: Path) -> None:
    paths = [
        Path(text) for text in ("/a/b-c+d_e.f", "/with space/${x}/\"'", "/", "/ä", "/a~b", "/.")
    ]
    assert evaluate_all([to_nix(path) for path in paths], tmp_path) == [tagged(p) for p in paths]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\0b", "'a\\x00b' holds a NUL character, which no string in Nix can"),
        ("\ud800", "'\\ud800' holds half a character, which no file can"),
        ({"\0": 1}, "'\\x00' holds a NUL character, which no string in Nix can"),
        (Path("/\0"), "'/\\x00' holds a NUL character, which no string in Nix can"),
        (2**63, "9223372036854775808 does not fit into 64 bits, as numbers in Nix must"),
        (-(2**63) - 1, "-9223372036854775809 does not fit into 64 bits, as numbers in Nix must"),
        (math.nan, "nan is no number in Nix"),
        (-math.inf, "-inf is no number in Nix"),
        (5e-324, "5e-324 is too near to zero for a number in Nix"),
        (b"bytes", "a value of the type `bytes` has no literal in Nix"),
        ({1: 1}, "a value of the type `int` cannot name an attribute"),
        (object(), "a value of the type `object` has no literal in Nix"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_what_nix_has_not_is_refused(value: object, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        to_nix(value)
    assert refusal.value.message == message


def test_literals_have_the_shape_of_nixfmt() -> None:
    assert to_nix({"a": [], "b": {}, "c": ["x"], "or": [1, -1], "e f": {"g": None}}, indent=2) == (
        "{\n"
        "    a = [ ];\n"
        "    b = { };\n"
        '    c = [ "x" ];\n'
        '    "or" = [\n'
        "      1\n"
        "      (-1)\n"
        "    ];\n"
        '    "e f" = {\n'
        "      g = null;\n"
        "    };\n"
        "  }"
    )
