"""`Progress`: who is told how the work goes on."""

from __future__ import annotations

from typing import Protocol

from nixbridge.delivery import DeliveryListener
from nixbridge.evaluator import ProgressListener


class Progress(ProgressListener, DeliveryListener, Protocol):
    """Is told how the work goes on."""

    def progress(self, text: str) -> None:
        """Take note of what goes on now; called often."""

    def step(self, name: str, text: str, seconds: float) -> None:
        """Take note that a step is done, what came of it, and how long it took."""
