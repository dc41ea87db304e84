from __future__ import annotations

import sys

import pytest


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Pytest's own, without hypothesis, whose words at the end of a run take a second."""
    # pytest compiles a part of its pytester late, beside it: for root, in the Nix store as well.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    pytester.makeini("[pytest]\naddopts = -p no:hypothesispytest\n")
    return pytester
