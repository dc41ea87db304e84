"""The command, run as a user runs it, in a directory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def nixbridge(
    *argv: str, cwd: Path, env: Mapping[str, str] | None = None, umask: int = 0o022
) -> subprocess.CompletedProcess[str]:
    """Run the command, whatever comes of it; `env` is besides our own environment."""
    return subprocess.run(
        [sys.executable, "-m", "nixbridge", *argv],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        umask=umask,
    )


def said(*argv: str, cwd: Path) -> str:
    """Run the command, which must succeed; return what it prints."""
    result = nixbridge(*argv, cwd=cwd)
    assert result.returncode == 0, result.stderr
    return result.stdout
