"""Container images from Nix closures.

The file to read first is `pipeline.py`; `ARCHITECTURE.md` draws the rooms.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
