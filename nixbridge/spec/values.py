"""What a value of a spec must be: functions from a TOML value to ours.

Each takes any value that TOML has and returns ours, or raises `InvalidValueError`. TOML's types are
told apart exactly: `true` is no number, `1.0` is no whole number. A string must fit into Nix, so
it holds no NUL.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from nixbridge.errors import InputError, near_miss_hint
from nixbridge.oci import ImageReference
from nixbridge.plugins import PluginGroup, plugins
from nixbridge.spec.image_spec import ContainerUser, Debpkgs, LookupPath

_Value = TypeVar("_Value")

_KINDS: Final[Mapping[type, str]] = MappingProxyType(
    {
        bool: "true or false",
        dt.date: "a date",
        dt.datetime: "a date and time",
        dt.time: "a time of day",
        dict: "a table",
        float: "a number with a point",
        int: "a whole number",
        list: "a list",
        str: "a string",
    }
)

# https://toml.io/en/v1.0.0#keys
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)

_LEAST_WEIGHT: Final = 0.001
_MOST_WEIGHT: Final = 1_000_000

_NIX_MAX_INTEGER: Final = 2**63 - 1
_MAX_ID: Final = 2**32 - 2  # the last number is no user: it says "leave as it is" to chown
_MAX_PORT: Final = 2**16 - 1

# https://nix.dev/manual/nix/2.26/language/syntax#identifier; components may also begin with a
# digit or hold a `+`, which the template quotes: there are packages with such names.
_PACKAGE: Final = re.compile(r"[\w'+-]+(\.[\w'+-]+)*", re.ASCII)
# https://nix.dev/manual/nix/2.26/language/constructs/lookup-path
_LOOKUP_PATH: Final = re.compile(r"<[a-zA-Z0-9._+-]+(/[a-zA-Z0-9._+-]+)*>", re.ASCII)
_VARIABLE: Final = re.compile(r"[^=]+")
_PORT: Final = re.compile(r"(?P<number>[0-9]{1,5})(/(?P<protocol>tcp|udp|sctp))?", re.ASCII)
# useradd's rule, https://manpages.debian.org/trixie/passwd/useradd.8.en.html
_USER_NAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}", re.ASCII)
_USER_IDS: Final = re.compile(r"(?P<uid>[0-9]{1,10})(:(?P<gid>[0-9]{1,10}))?", re.ASCII)
_SUITE: Final = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)

_USER_ID: Final = 1000
_NOBODY_ID: Final = 65534


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What is wrong with the value at `place`, as the end of a sentence about it."""

    text: str
    hint: str | None = None
    place: str = ""

    def within(self, place: str) -> Problem:
        """Return the problem as one of the value at `place`, which holds this one."""
        return replace(self, place=place + self.place)


class InvalidValueError(Exception):
    """A value is not what it must be. It never leaves this room: `Table` notes its problems."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems


def place_of(table: str, key: str) -> str:
    """Return the place of a key of the table at the place `table`, as TOML writes a dotted key.

    Without a table, it is to be put behind a place by `Problem.within`.
    """
    return f"{table}.{key if _BARE_KEY.fullmatch(key) else _quoted(key)}"


def _invalid(text: str, *, hint: str | None = None) -> InvalidValueError:
    return InvalidValueError(Problem(text=text, hint=hint))


def _expect(value: object, *kinds: type) -> Any:
    # A bool is an int to Python and not to TOML, so the exact type is what counts.
    if type(value) not in kinds:
        should = " or ".join(_KINDS[kind] for kind in kinds)
        raise _invalid(f"is {_KINDS[type(value)]} and should be {should}")
    return value


def as_table(value: object) -> Mapping[str, Any]:
    """Return a table."""
    table: Mapping[str, Any] = _expect(value, dict)
    return table


def as_flag(value: object) -> bool:
    """Return a truth value."""
    flag: bool = _expect(value, bool)
    return flag


def as_text(value: object) -> str:
    """Return a string."""
    text: str = _expect(value, str)
    if "\0" in text:
        raise _invalid("holds a NUL character, which no string in Nix can")
    return text


def as_word(value: object) -> str:
    """Return a string that is not empty."""
    text = as_text(value)
    if not text:
        raise _invalid("is empty")
    return text


def as_number(value: object, *, at_least: int) -> int:
    """Return a whole number."""
    number: int = _expect(value, int)
    if not at_least <= number <= _NIX_MAX_INTEGER:
        bound = f"below {at_least}" if number < at_least else f"above {_NIX_MAX_INTEGER}"
        raise _invalid(f"is {number}, {bound}")
    return number


def as_count(value: object) -> int:
    """Return a whole number from 1."""
    return as_number(value, at_least=1)


def as_weight(value: object) -> float:
    """Return how often something changes, where others do once."""
    number: float = _expect(value, int, float)
    if not _LEAST_WEIGHT <= number <= _MOST_WEIGHT:
        bound = f"below {_LEAST_WEIGHT}" if number < _LEAST_WEIGHT else f"above {_MOST_WEIGHT}"
        raise _invalid(f"is {number}, {bound}")
    return number


def list_of(parse: Callable[[object], _Value]) -> Callable[[object], tuple[_Value, ...]]:
    """Return the parser of a list whose elements `parse` reads."""

    def parse_list(value: object) -> tuple[_Value, ...]:
        if isinstance(value, str):
            raise _invalid(
                "is a string and should be a list", hint=f"write it as a list: `[{_quoted(value)}]`"
            )
        parsed, problems = [], []
        for index, element in enumerate(_expect(value, list)):
            try:
                parsed.append(parse(element))
            except InvalidValueError as error:
                problems += [problem.within(f"[{index}]") for problem in error.problems]
        if problems:
            raise InvalidValueError(*problems)
        return tuple(parsed)

    return parse_list


def table_of(
    parse: Callable[[object], _Value], *, key: Callable[[object], str] = as_word
) -> Callable[[object], Mapping[str, _Value]]:
    """Return the parser of a table with any keys, which `key` reads, and values `parse` reads."""

    def parse_table(value: object) -> Mapping[str, _Value]:
        if isinstance(value, list):
            raise _invalid(
                "is a list and should be a table", hint='write it as a table: `{ NAME = "value" }`'
            )
        parsed, problems = {}, []
        for name, element in as_table(value).items():
            try:
                parsed[key(name)] = parse(element)
            except InvalidValueError as error:
                problems += [problem.within(place_of("", name)) for problem in error.problems]
        if problems:
            raise InvalidValueError(*problems)
        return MappingProxyType(parsed)

    return parse_table


def as_command(value: object) -> tuple[str, ...]:
    """Return a program and its arguments."""
    words = list_of(as_text)(value)
    if words and not words[0]:
        raise _invalid("begins with an empty word, which names no program")
    return words


def as_variable(value: object) -> str:
    """Return the name of an environment variable."""
    name = as_text(value)
    if not _VARIABLE.fullmatch(name):
        raise _invalid("is not the name of a variable", hint="a name is not empty and has no `=`")
    return name


def as_image_name(value: object) -> str:
    """Return the name of an image, without a tag."""
    text = as_text(value)
    try:
        reference = ImageReference.parse(text)
    except InputError as error:
        raise _invalid(f"is no image name: `{text}`", hint=error.hint) from error
    if reference.tag is not None or reference.digest is not None:
        raise _invalid(f"holds more than a name: `{text}`", hint="the tag is a key: `image.tag`")
    return text


def as_tag(value: object) -> str:
    """Return the tag of an image."""
    text = as_text(value)
    try:
        ImageReference.parse(f"name:{text}")  # with a good name, what is refused is the tag
    except InputError as error:
        raise _invalid(
            f"is no tag: `{text}`",
            hint="a tag is up to 128 letters, digits, `_`, `.` and `-`, not `.` or `-` at first",
        ) from error
    return text


def as_strategy(value: object) -> str:
    """Return the name of a strategy that is registered."""
    name = as_word(value)
    known = tuple(plugins(PluginGroup.STRATEGIES))
    if name not in known:
        raise _invalid(f"is no strategy: `{name}`", hint=near_miss_hint(name, known))
    return name


def as_package(value: object) -> str:
    """Return the attribute path of a package."""
    text = as_text(value)
    if not _PACKAGE.fullmatch(text):
        raise _invalid(
            f"is no package name: `{text}`",
            hint="a package is named by its attribute, such as `curl` or `python3Packages.flask`",
        )
    return text


def as_absolute_path(value: object) -> str:
    """Return the path of a file in the image."""
    text = as_text(value)
    if not text.startswith("/"):
        raise _invalid(f"is `{text}` and should begin with `/`: it is a path in the image")
    return text


def as_port(value: object) -> str:
    """Return a port in OCI's spelling, `8080/tcp`, of a number or that spelling."""
    given = str(_expect(value, int, str))
    match = _PORT.fullmatch(given)
    if match is None or not 1 <= int(match["number"]) <= _MAX_PORT:
        raise _invalid(
            f"is no port: `{given}`",
            hint=f"a port is a number up to {_MAX_PORT}, or a string such as `53/udp`",
        )
    return f"{int(match['number'])}/{match['protocol'] or 'tcp'}"


def as_user(value: object) -> ContainerUser:
    """Return the user that a name, a number, or `UID:GID` stands for."""
    given = str(_expect(value, int, str))
    if given == "root":
        return ContainerUser(name="root", uid=0, gid=0)
    if given == "nobody":
        return ContainerUser(name="nobody", uid=_NOBODY_ID, gid=_NOBODY_ID)
    if _USER_NAME.fullmatch(given):
        return ContainerUser(name=given, uid=_USER_ID, gid=_USER_ID)
    match = _USER_IDS.fullmatch(given)
    if match is None:
        raise _invalid(
            f"is no user: `{given}`",
            hint="a user is a name such as `app`, a number, or `UID:GID`",
        )
    uid, gid = int(match["uid"]), int(match["gid"] or match["uid"])
    if max(uid, gid) > _MAX_ID:
        raise _invalid(f"is `{given}`, above {_MAX_ID}")
    names = {0: "root", _NOBODY_ID: "nobody"}
    return ContainerUser(name=names.get(uid, "user"), uid=uid, gid=gid)


def as_nix_setting(value: object) -> str | int | bool | tuple[str, ...]:
    """Return the value of a line in nix.conf."""
    if isinstance(value, list):
        return list_of(_as_line)(value)
    if isinstance(value, str):
        return _as_line(value)
    setting: int | bool = _expect(value, bool, int, str, list)
    return setting


def _as_line(value: object) -> str:
    text = as_text(value)
    if "\n" in text:
        raise _invalid("holds the end of a line, and has to be one line")
    return text


def as_line(value: object) -> str:
    """Return a string of one line that is not empty."""
    return _as_line(as_word(value))


def as_choice(choices: Sequence[str]) -> Callable[[object], str]:
    """Return the parser of one of `choices`."""

    def parse_choice(value: object) -> str:
        text = as_text(value)
        if text not in choices:
            raise _invalid(f"is unknown: `{text}`", hint=near_miss_hint(text, choices))
        return text

    return parse_choice


def as_suite(value: object) -> str:
    """Return the name of a suite of Debian."""
    text = as_text(value)
    if not _SUITE.fullmatch(text):
        raise _invalid(f"is no suite: `{text}`", hint="a suite is a word such as `trixie`")
    return text


def path_from(directory: Path) -> Callable[[object], Path]:
    """Return the parser of a path on this machine, which is relative to `directory`."""

    def parse_path(value: object) -> Path:
        return (directory / as_word(value)).absolute()

    return parse_path


def packages_from(directory: Path) -> Callable[[object], LookupPath | Debpkgs | Path]:
    """Return the parser of a set of packages; a path is relative to `directory`."""

    def parse_packages(value: object) -> LookupPath | Debpkgs | Path:
        text = as_text(value)
        if text == "debpkgs":
            return Debpkgs()
        if _LOOKUP_PATH.fullmatch(text):
            return LookupPath(text=text)
        if "/" in text:
            return path_from(directory)(text)
        raise _invalid(
            f"is no set of packages: `{text}`",
            hint="it is `<nixpkgs>` or the like, `debpkgs`, or a path such as `./packages`",
        )

    return parse_packages


def template_from(directory: Path) -> Callable[[object], str | Path]:
    """Return the parser of a template: a name, or a file that is relative to `directory`."""

    def parse_template(value: object) -> str | Path:
        text = as_word(value)
        is_file = "/" in text or text.endswith(".j2")
        return path_from(directory)(text) if is_file else text

    return parse_template


def _quoted(text: str) -> str:
    """Return `text` as TOML writes a string, near enough for a message."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
