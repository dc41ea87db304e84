"""The one error a user can see, raised by every module of the tool."""

from __future__ import annotations


class DebpkgsError(Exception):
    """What went wrong, and optionally what the user can do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
