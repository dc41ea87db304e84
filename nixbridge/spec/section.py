"""`Section`: what a table of a TOML file must look like, and how it is read.

Which sections a spec has is `read.py`; what a single value must be is `values.py`. Whatever is
wrong is collected, not raised, so that everything wrong with a file is reported at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nixbridge.spec.values import InvalidValueError, Problem, as_table, place_of

Parse = Callable[[object], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A table: `make` takes what its keys were read to, by their names.

    A key of the table is read by a function, or is a section itself. `make` may raise
    `InvalidValueError` about the whole. A section that is not in the file is left to the default
    of its parent's `make`, but for one that `is_required`: that is read as an empty table.
    """

    make: Callable[..., Any]
    keys: Mapping[str, Parse | Section]
    required: tuple[str, ...] = ()
    is_required: bool = False

    def all_keys(self, place: str = "") -> Iterator[str]:
        """Yield every key that is no section, with the names of the sections it is in."""
        for key, reader in self.keys.items():
            if isinstance(reader, Section):
                yield from reader.all_keys(_within(place, key))
            else:
                yield _within(place, key)

    def given_keys(self, values: Mapping[str, Any], place: str = "") -> Iterator[str]:
        """Yield those of `all_keys` that stand in `values`."""
        for key, reader in self.keys.items():
            if key in values and isinstance(reader, Section):
                yield from reader.given_keys(values[key], _within(place, key))
            elif key in values:
                yield _within(place, key)

    def read(
        self, values: Mapping[str, Any], place: str = "", everywhere: tuple[str, ...] | None = None
    ) -> Any:
        """Return what `make` makes of `values`; `everywhere` are all keys of the whole file.

        Raises `InvalidValueError`, with all problems there are.
        """
        everywhere = tuple(self.all_keys()) if everywhere is None else everywhere
        problems = [
            Problem(
                place=_within(place, key), text="is not a key", hint=self._hint(key, everywhere)
            )
            for key in values
            if key not in self.keys
        ]
        problems += [
            Problem(place=_within(place, key), text="is missing")
            for key in self.required
            if key not in values
        ]
        made = {}
        for key, reader in self.keys.items():
            try:
                if isinstance(reader, Section):
                    if key in values or reader.is_required:
                        table = _as_table_at(_within(place, key), values.get(key, {}))
                        made[key] = reader.read(table, _within(place, key), everywhere)
                elif key in values:
                    made[key] = _read_at(_within(place, key), reader, values[key])
            except InvalidValueError as error:
                problems += error.problems
        if problems:
            raise InvalidValueError(*problems)
        return self.make(**made)

    def _hint(self, key: str, everywhere: tuple[str, ...]) -> str:
        """Return a hint that names the key that was meant: of this table, else of another."""
        # The wrong case or dash is the commonest miss.
        plain = key.lower().replace("-", "_")
        near = difflib.get_close_matches(plain, self.keys, n=1)
        if near:
            return f"did you mean `{near[0]}`?"
        elsewhere = [known for known in everywhere if known.rpartition(".")[2] == plain]
        if elsewhere:
            return f"did you mean {' or '.join(f'`{known}`' for known in elsewhere)}?"
        return "known here: " + ", ".join(f"`{known}`" for known in self.keys)


def _read_at(place: str, parse: Parse, value: object) -> Any:
    try:
        return parse(value)
    except InvalidValueError as error:
        raise InvalidValueError(*(problem.within(place) for problem in error.problems)) from error


def _as_table_at(place: str, value: object) -> Mapping[str, Any]:
    table: Mapping[str, Any] = _read_at(place, as_table, value)
    return table


def _within(place: str, key: str) -> str:
    return place_of(place, key).removeprefix(".")
