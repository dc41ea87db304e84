"""Programs that tests put in the place of real ones: scripts of the machine's shell."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

# Found before a test changes PATH. Nix's sandbox has none at `/bin/sh`.
SHELL: Final = shutil.which("sh") or "/bin/sh"


def write_program(place: Path, script: str) -> Path:
    """Write a program, with the directories above it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!{SHELL}\n{script}\n")
    place.chmod(0o755)
    return place
