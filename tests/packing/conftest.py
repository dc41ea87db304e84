from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def every_mode(tmp_path: Path) -> None:
    """Skip where files of every mode cannot be made and read.

    Nix lets no build make one with setuid, and only root reads what nobody may.
    """
    probe = tmp_path / "probe"
    probe.touch()
    try:
        probe.chmod(0o4000)
        probe.read_bytes()
    except PermissionError as error:
        pytest.skip(f"files cannot have every mode here: {error}")
    probe.unlink()
