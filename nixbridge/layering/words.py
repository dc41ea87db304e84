"""Store paths in words, for the reasons of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nixbridge.closure import StorePath

_MOST_NAMES: Final = 4


def name_paths(paths: Sequence[StorePath]) -> str:
    """Name paths without their hashes, the first few of many: `bash-5.2, curl-8.14, 7 more`."""
    names = [path.name for path in paths]
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES - 1], f"{len(names) - _MOST_NAMES + 1} more"]
    return ", ".join(names)
