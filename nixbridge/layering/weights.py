"""How often a store path changes by itself, against others: its weight.

Said by the user for patterns of names; 1.0 where nobody said anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final

from nixbridge.closure import StorePath

EQUAL_WEIGHT: Final = 1.0


def weigh_paths(paths: Iterable[StorePath], weights: Mapping[str, float]) -> dict[StorePath, float]:
    """Return the weight of each path; `weights` are those of patterns of names (`my-app*`).

    Where several patterns fit, the longest counts, as it says most.
    """
    patterns = sorted(weights, key=lambda pattern: (-len(pattern), pattern))
    return {
        path: next(
            (weights[pattern] for pattern in patterns if fnmatchcase(path.name, pattern)),
            EQUAL_WEIGHT,
        )
        for path in paths
    }
