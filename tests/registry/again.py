"""The same delivery in a process of its own, which a test kills."""

from __future__ import annotations

from pathlib import Path

from registry.shop import Shop


def deliver_again(directory: Path, reference: str, sizes: tuple[int, ...]) -> str:
    """Deliver the store that is in `directory` already; return the digest reference."""
    shop = Shop(directory, sizes)
    return shop.deliver(reference, with_cache=True, workers=2).references[0]
