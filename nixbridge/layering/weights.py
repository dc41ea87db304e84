"""How often a store path changes by itself, against others: its weight.

Said by the user for patterns of names, on the command line or in the image's description, or
learned from past closures (`history.py`); 1.0 where nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from nixbridge.closure import StorePath
from nixbridge.layering.history import package_of

EQUAL_WEIGHT: Final = 1.0


def weigh_paths(
    paths: Iterable[StorePath],
    said: Sequence[Mapping[str, float]],
    learned: Mapping[str, float],
) -> dict[StorePath, float]:
    """Return the weight of each path.

    `said` are weights of patterns of names (`my-app*`); what comes first has the first word, and
    where several patterns of one fit, the longest counts, as it says most. `learned` are those of
    packages, for what nobody said anything of.
    """
    rules = [
        (pattern, weights[pattern])
        for weights in said
        for pattern in sorted(weights, key=lambda pattern: (-len(pattern), pattern))
    ]
    return {
        path: next(
            (weight for pattern, weight in rules if fnmatchcase(path.name, pattern)),
            learned.get(package_of(path), EQUAL_WEIGHT),
        )
        for path in paths
    }
