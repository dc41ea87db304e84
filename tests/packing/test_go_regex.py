"""Go's regular expressions, judged by Go (frozen by `go_regexes.go`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nixbridge.errors import InputError
from nixbridge.packing.go_regex import compile_go_regex

FROZEN: dict[str, Any] = json.loads(Path(__file__).with_name("go_regexes.json").read_text())
TEXTS: list[str] = FROZEN["Texts"]
MATCHES: dict[str, str | None] = FROZEN["Matches"]


# Go takes these, Python's `re` cannot say them, or not without a second parser.
UNSUPPORTED = {
    r"\pN",
    r"\PN",
    r"\p{Greek}",
    r"[\pL]",
    "(a(?i)b)c",
    "a(?i)B",
    "a(?s).b",
    "(?i)(?s)A.B",
    "^*",
}
# Go also limits what nested repetitions multiply to, for its own memory's sake.
REFUSED_BY_GO_ONLY = {"(?:a{500}){3}"}


@pytest.mark.parametrize("regex", [regex for regex, matches in MATCHES.items() if matches])
def test_what_go_takes_matches_the_same_texts(regex: str) -> None:
    if regex in UNSUPPORTED:
        with pytest.raises(InputError):
            compile_go_regex(regex)
        return
    pattern = compile_go_regex(regex)
    matches = MATCHES[regex]
    assert matches is not None
    assert [text for text in TEXTS if pattern.search(text)] == [
        text for text, digit in zip(TEXTS, matches, strict=True) if digit == "1"
    ]


@pytest.mark.parametrize("regex", [regex for regex, matches in MATCHES.items() if not matches])
def test_what_go_refuses_is_refused_by_name(regex: str) -> None:
    if regex in REFUSED_BY_GO_ONLY:
        return
    with pytest.raises(InputError) as caught:
        compile_go_regex(regex)
    assert f"`{regex}` is not a regular expression: " in caught.value.message


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        (r"(?=a)", "a group begins with `(`, `(?:`, `(?P<name>` or flags like `(?i:`"),
        (r"(a)\1", r"`\1` has no meaning"),
        (r"a++", "`+` repeats a repetition"),
        (r"a{1001}", "`{1001}` repeats more than 1000 times"),
        (r"a\Z", r"`\Z` has no meaning"),
        (r"[[:foo:]]", "`[:foo:]` is not a class of characters"),
        (r"[c-a]", "the range `c-a` is backwards"),
        (r"[a", "a `[` has no `]`"),
        (r"a)", "a `)` has no `(`"),
        (r"*", "nothing to repeat at position 0"),
        ("a\\", "it ends with a backslash"),
    ],
)
def test_message_says_what_is_wrong(regex: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        compile_go_regex(regex)
    assert caught.value.message == f"`{regex}` is not a regular expression: {message}"


def test_message_says_what_is_not_supported() -> None:
    with pytest.raises(InputError) as caught:
        compile_go_regex(r"etc/\pN")
    assert caught.value.message == (
        r"the regular expression `etc/\pN` uses `\p`, which is not supported"
    )
    assert caught.value.hint == (
        "say it with plain characters, classes like `[a-z]`, groups and repetitions"
    )
