"""Regular expressions in Go's syntax (RE2), which perms are written in, on Python's `re`.

`compile_go_regex` translates what means the same in both, and refuses the rest: what Go refuses
(so that no image depends on Python's extras) and the few things that Python cannot say. Captures
and laziness are dropped, as only "does it match anywhere" is ever asked.

https://pkg.go.dev/regexp/syntax
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from nixbridge.errors import InputError

_LAST_CHARACTER: Final = 0x10FFFF
_MOST_REPETITIONS: Final = 1000

_Ranges = tuple[tuple[int, int], ...]


# Ranges of characters, each as its first and its last.

# Python's own \d, \s, \w know all of Unicode, Go's only ASCII; and Go's \s has no \v.
_PERL_CLASSES: Final = {
    "d": "09",
    "s": "\t\n\f\r  ",
    "w": "09AZ__az",
}
_POSIX_CLASSES: Final = {
    "alnum": "09AZaz",
    "alpha": "AZaz",
    "ascii": "\0\x7f",
    "blank": "\t\t  ",
    "cntrl": "\0\x1f\x7f\x7f",
    "digit": "09",
    "graph": "!~",
    "lower": "az",
    "print": " ~",
    "punct": "!/:@[`{~",
    "space": "\t\r  ",
    "upper": "AZ",
    "word": "09AZ__az",
    "xdigit": "09AFaf",
}
_CONTROL_ESCAPES: Final = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}

_GROUP: Final = re.compile(
    r"\((?:\?P?<(?P<name>[0-9A-Za-z_]+)>|\?(?P<flags>[imsU-]*)(?P<end>[:)]))?"
)
_FLAGS: Final = re.compile(r"[imsU]*(?:-[imsU]+)?")
_REPEAT: Final = re.compile(r"[*+?]|\{(?P<least>0|[1-9]\d*)(?:,(?P<most>0|[1-9]\d*)?)?\}", re.ASCII)
_NUMBER: Final = re.compile(
    r"x(?:\{(?P<long>[0-9A-Fa-f]+)\}|(?P<short>[0-9A-Fa-f]{2}))|(?P<octal>0[0-7]{0,2}|[1-7][0-7]{1,2})"
)
_POSIX_CLASS: Final = re.compile(r"\[:(?P<negated>\^?)(?P<name>.*?):\]", re.DOTALL)


def compile_go_regex(regex: str) -> re.Pattern[str]:
    """Return the pattern that matches where Go's `regexp.MatchString` does.

    Raises `InputError`: Go would refuse `regex`, or it uses what is not supported here.
    """
    translated = _Translation(regex).translate()
    try:
        return re.compile(translated)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"`{regex}` is not a regular expression: {error}") from error


class _Translation:
    """One pass over a regex, from left to right."""

    def __init__(self, regex: str) -> None:
        self._regex = regex
        self._at = 0
        # One entry per open group: is `$` the end of each line in it?
        self._multiline = [False]
        self._after_repeat = False

    def translate(self) -> str:
        parts = []
        while self._at < len(self._regex):
            parts.append(self._piece())
        return "".join(parts)

    def _refuse(self, reason: str, hint: str | None = None) -> NoReturn:
        raise InputError(f"`{self._regex}` is not a regular expression: {reason}", hint=hint)

    def _unsupported(self, what: str) -> NoReturn:
        raise InputError(
            f"the regular expression `{self._regex}` uses {what}, which is not supported",
            hint="say it with plain characters, classes like `[a-z]`, groups and repetitions",
        )

    def _piece(self) -> str:
        repeat = _REPEAT.match(self._regex, self._at)
        if repeat:
            return self._repetition(repeat)
        self._after_repeat = False
        character = self._regex[self._at]
        reader = {"(": self._group, ")": self._end_of_group, "[": self._class, "\\": self._escape}
        if character in reader:
            return reader[character]()
        self._at += 1
        if character == "$":
            # Without the flag m, Python's `$` also matches before a last newline; Go's does not.
            return "$" if self._multiline[-1] else r"\Z"
        return character if character in ".|^" else re.escape(character)

    def _repetition(self, repeat: re.Match[str]) -> str:
        if self._after_repeat:
            # Python would take `a++` for a possessive repetition, which Go does not have.
            self._refuse(f"`{repeat[0]}` repeats a repetition")
        for count in (repeat["least"], repeat["most"]):
            if count is not None and int(count) > _MOST_REPETITIONS:
                self._refuse(f"`{repeat[0]}` repeats more than {_MOST_REPETITIONS} times")
        self._after_repeat = True
        self._at = repeat.end()
        if self._regex.startswith("?", self._at):
            self._at += 1
        return repeat[0]

    def _group(self) -> str:
        group = _GROUP.match(self._regex, self._at)
        if group is None or self._regex[group.end() :].startswith("?") or group["flags"] == "-":
            self._refuse("a group begins with `(`, `(?:`, `(?P<name>` or flags like `(?i:`")
        flags = group["flags"] or ""
        if not _FLAGS.fullmatch(flags):
            self._refuse(f"`{flags}` are not flags")
        is_first = self._at == 0
        self._at = group.end()
        on, _, off = flags.replace("U", "").partition("-")
        multiline = "m" in on or (self._multiline[-1] and "m" not in off)
        if group["end"] == ")":
            if flags and (off or not is_first):
                self._unsupported("flags in the middle")
            self._multiline[-1] = multiline
            return f"(?{on})" if on else ""
        self._multiline.append(multiline)
        return f"(?{_python_flags(on, off)}:"

    def _end_of_group(self) -> str:
        if len(self._multiline) == 1:
            self._refuse("a `)` has no `(`")
        self._multiline.pop()
        self._at += 1
        return ")"

    def _escape(self) -> str:
        letter = self._regex[self._at + 1 : self._at + 2]
        if letter == "Q":
            literal, _, _ = self._regex[self._at + 2 :].partition("\\E")
            self._at += 2 + len(literal) + 2
            return re.escape(literal)
        simple = {"A": r"\A", "z": r"\Z", "b": r"(?a:\b)", "B": r"(?a:\B)"}.get(letter)
        if simple is not None:
            self._at += 2
            return simple
        ranges = self._perl_class()
        if ranges is not None:
            return f"[{_class_text(ranges)}]"
        return re.escape(chr(self._escaped_character()))

    def _perl_class(self) -> _Ranges | None:
        letter = self._regex[self._at + 1 : self._at + 2]
        if letter in {"p", "P"}:
            self._unsupported(rf"`\{letter}`")
        if letter.lower() not in _PERL_CLASSES:
            return None
        self._at += 2
        ranges = _ranges(_PERL_CLASSES[letter.lower()])
        return ranges if letter.islower() else _complement(ranges)

    def _escaped_character(self) -> int:
        """Read a backslash and what belongs to it, as one character."""
        number = _NUMBER.match(self._regex, self._at + 1)
        if number:
            digits = number["long"] or number["short"] or number["octal"]
            character = int(digits, 8 if number["octal"] else 16)
            if character > _LAST_CHARACTER:
                self._refuse(rf"`\{number[0]}` is not a character")
            self._at = number.end()
            return character
        letter = self._regex[self._at + 1 : self._at + 2]
        if not letter:
            self._refuse("it ends with a backslash")
        if letter.isalnum() or not letter.isascii():
            if letter not in _CONTROL_ESCAPES:
                self._refuse(rf"`\{letter}` has no meaning")
            character = _CONTROL_ESCAPES[letter]
        else:
            character = ord(letter)
        self._at += 2
        return character

    def _class(self) -> str:
        self._at += 1
        negated = self._regex.startswith("^", self._at)
        self._at += negated
        parts: list[str] = []
        while not (parts and self._regex.startswith("]", self._at)):
            parts.append(_class_text(self._class_member()))
        self._at += 1
        return f"[{'^' if negated else ''}{''.join(parts)}]"

    def _class_member(self) -> _Ranges:
        posix = _POSIX_CLASS.match(self._regex, self._at)
        if posix:
            if posix["name"] not in _POSIX_CLASSES:
                self._refuse(f"`{posix[0]}` is not a class of characters")
            self._at = posix.end()
            ranges = _ranges(_POSIX_CLASSES[posix["name"]])
            return _complement(ranges) if posix["negated"] else ranges
        if self._regex.startswith("\\", self._at):
            perl = self._perl_class()
            if perl is not None:
                return perl
        first = last = self._class_character()
        if self._regex.startswith("-", self._at) and not self._regex.startswith("-]", self._at):
            self._at += 1
            last = self._class_character()
        if last < first:
            self._refuse(f"the range `{chr(first)}-{chr(last)}` is backwards")
        return ((first, last),)

    def _class_character(self) -> int:
        if self._at >= len(self._regex):
            self._refuse("a `[` has no `]`")
        if self._regex[self._at] == "\\":
            return self._escaped_character()
        self._at += 1
        return ord(self._regex[self._at - 1])


def _python_flags(on: str, off: str) -> str:
    # Python wants every flag once, and not both on and off; in Go the later one counts.
    on = "".join(sorted(set(on) - set(off)))
    off = "".join(sorted(set(off)))
    return f"{on}-{off}" if off else on


def _ranges(text: str) -> _Ranges:
    return tuple((ord(text[at]), ord(text[at + 1])) for at in range(0, len(text), 2))


def _complement(ranges: _Ranges) -> _Ranges:
    gaps = []
    begin = 0
    for first, last in ranges:
        if begin < first:
            gaps.append((begin, first - 1))
        begin = last + 1
    if begin <= _LAST_CHARACTER:
        gaps.append((begin, _LAST_CHARACTER))
    return tuple(gaps)


def _class_text(ranges: _Ranges) -> str:
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in ranges)
