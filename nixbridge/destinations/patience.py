"""How long a registry is waited for, and how often it is asked again.

The clock, the dice and how one waits are fields, so that tests need not wait.
"""

from __future__ import annotations

import email.utils
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """Waits that grow: after the first failure `first_wait_seconds`, then twice that, and so on.

    From each up to a half is taken away by chance, so that many clients do not come back at once.
    A registry that asks for more than `longest_asked_wait_seconds` (Retry-After) is not waited for.
    """

    attempts: int = 6
    # A registry that was not reached once yet may be a name mistyped.
    first_contact_attempts: int = 3
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 20.0
    longest_asked_wait_seconds: float = 120.0
    connect_seconds: float = 20.0
    answer_seconds: float = 60.0
    # A whole answer, from when all was sent: some peers say something now and then, for ever.
    longest_seconds: float = 900.0
    # Some registries copy a blob to its place before they say that they have it.
    complete_seconds: float = 300.0
    # Waits until the event is set, or so many seconds.
    wait_for: Callable[[threading.Event, float], object] = threading.Event.wait
    chance: Callable[[], float] = random.random
    unix_seconds: Callable[[], float] = time.time

    def wait(
        self, is_given_up: threading.Event, failures: int, asked_seconds: float | None = None
    ) -> None:
        """Wait after that many failures in a row, or as long as the registry asked for.

        That ends early when it `is_given_up`.
        """
        if asked_seconds is None:
            longest = min(self.first_wait_seconds * 2 ** (failures - 1), self.longest_wait_seconds)
            self.wait_for(is_given_up, longest * (1 - self.chance() / 2))
        else:
            # A little more: the registry's clock is not ours.
            self.wait_for(is_given_up, asked_seconds + self.chance() / 2)

    def allows(self, asked_seconds: float | None) -> bool:
        """Return whether so long a wait is one that we wait."""
        return (asked_seconds or 0) <= self.longest_asked_wait_seconds

    def asked_seconds(self, retry_after: str | None) -> float | None:
        """Return what a `Retry-After` asks for, seconds or a date; None for what is neither.

        https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
        """
        if retry_after is None:
            return None
        text = retry_after.strip()
        if text.isascii() and text.isdigit():
            return float(text)
        try:
            date = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(date.timestamp() - self.unix_seconds(), 0.0)
