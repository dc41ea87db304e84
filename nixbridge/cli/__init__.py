"""The command line: parse, call `pipeline.py`, hand results to `console.py`.

One function a verb, and no logic: what a verb does is in `pipeline.py`. Only this room knows typer.
"""

from __future__ import annotations

from nixbridge.cli.main import main, run

__all__ = ["main", "run"]
