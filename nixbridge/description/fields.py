"""`Fields`: one JSON object that is read field by field, each checked and named by its place.

What is not here: which fields an image description has; that is `reader.py`. JSON's own types are
told apart exactly: `true` is no number, `1.0` is no whole number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType, NoneType
from typing import Any, Final, TypeVar

from nixbridge.errors import InputError, near_miss_hint

_Value = TypeVar("_Value")

_KINDS: Final[Mapping[type, str]] = MappingProxyType(
    {
        bool: "true or false",
        dict: "an object",
        float: "a number",
        int: "a whole number",
        list: "a list",
        str: "a string",
        NoneType: "null",
    }
)


class Fields:
    """A JSON object at `place` of the document `source`.

    Each method that reads raises `InputError`, which names the field by its place.
    """

    def __init__(self, value: object, *, source: str, place: str = "") -> None:
        self._source = source
        self._place = place
        self._values: dict[str, Any] = self._expect(value, dict, place)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def value(self, key: str) -> Any:
        """Return what `key` is, whatever that is."""
        return self._take(key)

    def is_null(self, key: str) -> bool:
        """Tell whether `key` is null."""
        return self._take(key) is None

    def text(self, key: str) -> str:
        """Return the string `key`."""
        text: str = self._expect(self._take(key), str, self._at(key))
        return text

    def text_or_none(self, key: str) -> str | None:
        """Return the string `key`, or None when it is null."""
        return None if self.is_null(key) else self.text(key)

    def number(self, key: str, *, at_least: int | None = None) -> int:
        """Return the whole number `key`."""
        number: int = self._expect(self._take(key), int, self._at(key))
        if at_least is not None and number < at_least:
            raise self.error(key, f"is {number}, below {at_least}")
        return number

    def decimal(self, key: str, *, at_least: float, at_most: float) -> float:
        """Return the number `key`, whole or not."""
        value = self._take(key)
        number: float = self._expect(value, int if type(value) is int else float, self._at(key))
        if not at_least <= number <= at_most:
            bound = f"below {at_least:g}" if number < at_least else f"above {at_most:g}"
            raise self.error(key, f"is {number:g}, {bound}")
        return float(number)

    def flag(self, key: str) -> bool:
        """Return the truth value `key`."""
        flag: bool = self._expect(self._take(key), bool, self._at(key))
        return flag

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the list of strings `key`."""
        return self.each(key, lambda value, place: str(self._expect(value, str, place)))

    def text_map(self, key: str) -> Mapping[str, str]:
        """Return the object of strings `key`."""
        fields = self.child(key)
        return MappingProxyType({name: fields.text(name) for name in fields})

    def empty_object_map(self, key: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the object `key`, whose values are all `{}`: how Go writes a set of strings."""
        fields = self.child(key)
        for name in fields:
            fields.child(name).allow_only(())
        return MappingProxyType({name: MappingProxyType({}) for name in fields})

    def child(self, key: str) -> Fields:
        """Return the object `key`, to be read itself."""
        return Fields(self._take(key), source=self._source, place=self._at(key))

    def children(self, key: str) -> tuple[Fields, ...]:
        """Return the list of objects `key`, each to be read itself."""
        return self.each(key, lambda value, place: Fields(value, source=self._source, place=place))

    def parsed(self, key: str, parse: Callable[[str], _Value]) -> _Value:
        """Return what `parse` makes of the string `key`."""
        return self._parse(parse, self.text(key), self._at(key))

    def all_parsed(self, key: str, parse: Callable[[str], _Value]) -> tuple[_Value, ...]:
        """Return what `parse` makes of each string in the list `key`."""
        return self.each(
            key,
            lambda value, place: self._parse(parse, self._expect(value, str, place), place),
        )

    def each(self, key: str, read: Callable[[object, str], _Value]) -> tuple[_Value, ...]:
        """Return what `read` makes of each value in the list `key` and its place."""
        values = self._expect(self._take(key), list, self._at(key))
        return tuple(read(value, f"{self._at(key)}[{at}]") for at, value in enumerate(values))

    def allow_only(self, known: Iterable[str]) -> None:
        """Refuse every field that is not `known`."""
        names = sorted(known)
        for key in self._values:
            if key not in names:
                raise self.error(key, "is not a key", hint=near_miss_hint(key, names))

    def error(self, key: str, problem: str, *, hint: str | None = None) -> InputError:
        """Return the error that says that the field `key` has `problem`."""
        return self._error(self._at(key), problem, hint=hint)

    def _take(self, key: str) -> Any:
        if key not in self._values:
            raise self.error(key, "is missing")
        return self._values[key]

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key

    def _expect(self, value: object, kind: type, place: str) -> Any:
        # A bool is an int to Python, and not to JSON; so the exact type is what counts.
        if type(value) is not kind:
            raise self._error(place, f"is {_KINDS[type(value)]} and should be {_KINDS[kind]}")
        return value

    def _parse(self, parse: Callable[[str], _Value], text: str, place: str) -> _Value:
        try:
            return parse(text)
        except InputError as error:
            raise self._error(place, f"cannot be used: {error.message}", hint=error.hint) from error

    def _error(self, place: str, problem: str, *, hint: str | None = None) -> InputError:
        subject = f"`{place}`" if place else "the document"
        return InputError(f"in `{self._source}`, {subject} {problem}", hint=hint)
