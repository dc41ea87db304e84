from __future__ import annotations

import pytest


@pytest.fixture
def pytester(pytester: pytest.Pytester) -> pytest.Pytester:
    """Pytest's own, without hypothesis, whose words at the end of a run take a second."""
    pytester.makeini("[pytest]\naddopts = -p no:hypothesispytest\n")
    return pytester
