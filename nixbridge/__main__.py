"""`python -m nixbridge` is the `nixbridge` command."""

from __future__ import annotations

from nixbridge.cli import run

if __name__ == "__main__":
    run()
