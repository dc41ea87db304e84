"""What a strategy is, and how one is found by its name.

A strategy is a pure function; ours and anybody's are registered as entry points of the group
`nixbridge.strategies`. What is placed is decided in `planner.py`, which also checks the result.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Protocol, cast

from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.errors import InputError

STRATEGY_GROUP: Final = "nixbridge.strategies"


@dataclass(frozen=True, kw_only=True, slots=True)
class PathGroup:
    """The store paths of one layer, and why they are together, in words."""

    paths: tuple[StorePath, ...]
    reason: str


class Strategy(Protocol):
    """Group `candidates` into layers, from bottom to top.

    `graph` is the closure that the layers are made for; it also holds paths that lie in other
    layers already. Each candidate must come in one group, none may be empty, and unless
    `max_layers` is below 1 there may be at most that many. The result may depend on nothing else.
    """

    def __call__(
        self, graph: ClosureGraph, candidates: AbstractSet[StorePath], max_layers: int
    ) -> tuple[PathGroup, ...]:
        """Return the groups."""


def strategy_entry_points() -> dict[str, EntryPoint]:
    """Return what is registered, by name, sorted."""
    found = entry_points(group=STRATEGY_GROUP)
    return {name: found[name] for name in sorted(found.names)}


def find_strategy(name: str) -> Strategy:
    """Return the strategy called `name`.

    Raises `InputError`: there is none.
    """
    known = strategy_entry_points()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise InputError(
            f"`{name}` is not a strategy: there are {', '.join(f'`{one}`' for one in known)}",
            hint=f"did you mean `{near[0]}`?" if near else None,
        )
    return cast("Strategy", known[name].load())
