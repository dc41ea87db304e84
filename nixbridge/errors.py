"""Every error that a user can see.

An error carries what happened (the message: what we were doing, then what went wrong), an
optional hint (something the user can do), a code (stable, for `--json`) and an exit status. It
never prints, exits, or contains the word "error:"; `console.py` does the presentation.

    NixbridgeError
    ├── InputError          2   wrong flag, spec key, template, reference, destination
    ├── NixError            3   nix missing or too old, evaluation, build, an unknown JSON shape
    ├── PlanError           4   open closure, budget that cannot be met
    ├── PackError           5   a path that vanished, an unreadable file, two files on one name
    ├── IntegrityError      6   a digest or size that is not what was promised
    └── DestinationError    7   registry, engine, layout, credentials

What is not a `NixbridgeError` is a bug in nixbridge (exit 70), an interrupt is exit 130.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import ClassVar, Final

EXIT_BUG: Final = 70
EXIT_INTERRUPTED: Final = 130


class NixbridgeError(Exception):
    """The root of all errors that are shown to the user; never raised itself.

    `message` is lower case at its start, has no final full stop, and puts paths, commands and
    literals in backticks. `details` are lines shown below it as they are (nix's own last words).
    """

    exit_status: ClassVar[int]
    code: ClassVar[str]

    def __init__(
        self, message: str, *, hint: str | None = None, details: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def add_detail(self, line: str) -> None:
        """Add a line to the details."""
        self.details = line if self.details is None else f"{self.details}\n{line}"


class InputError(NixbridgeError):
    """What the user wrote (flag, spec, template, reference, description) cannot be used."""

    exit_status = 2
    code = "input"


class NixError(NixbridgeError):
    """`nix` is missing, too old, failed, or printed something we do not know."""

    exit_status = 3
    code = "nix"


class PlanError(NixbridgeError):
    """The closure cannot be planned into layers as asked."""

    exit_status = 4
    code = "plan"


class PackError(NixbridgeError):
    """A planned layer cannot be written: a path vanished, is unreadable, or clashes."""

    exit_status = 5
    code = "pack"


class IntegrityError(NixbridgeError):
    """A digest or a size is not what was promised."""

    exit_status = 6
    code = "integrity"


class DestinationError(NixbridgeError):
    """The place to deliver to refused, failed, or holds something unexpected."""

    exit_status = 7
    code = "destination"


def near_miss_hint(word: str, known: Sequence[str]) -> str:
    """Return a hint that names the `known` word that `word` was meant to be, else all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    # The wrong case is the commonest miss, and difflib compares case sensitively.
    near = near or [name for name in known if name.lower() == word.lower()]
    if near:
        return f"did you mean `{near[0]}`?"
    if not known:
        return "nothing may stand here"
    return "known here: " + ", ".join(f"`{name}`" for name in known)
