"""Fixtures of the tests that talk to registries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nixbridge.destinations import registry_upload
from registry.fake_registry import FakeRegistry
from registry.shop import Shop


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry().running() as registry:
        yield registry


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send layers in pieces that are small already."""
    monkeypatch.setattr(registry_upload, "SMALL_LAYER_BYTES", 50_000)
    monkeypatch.setattr(registry_upload, "_PIECE_BYTES", 10_000)
