#!/usr/bin/env python3
"""Fetch and lock the Debian packages that nix/debpkgs is made of; see README.md beside it."""

from __future__ import annotations

import sys
from pathlib import Path

# This folder is a flake: nothing that appears in it by the way may change what it is.
sys.dont_write_bytecode = True

from fetcher.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(home=Path(__file__).resolve().parent))
