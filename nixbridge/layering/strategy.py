"""What a strategy is, and how one is found by its name.

A strategy is a pure function; ours and anybody's are registered as entry points of the group
`nixbridge.strategies`. What is placed is decided in `planner.py`, which also checks the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol, cast

from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.plugins import PluginGroup, load_plugin


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerTask:
    """What a strategy is asked: to group `candidates` into at most `max_layers` layers.

    `graph` is the closure that the layers are made for; it also holds paths that lie in other
    layers already. Where `max_layers` is below 1 there is no limit. `weights` tells of each path of
    the graph how often it changes by itself, against the others: 1.0 where nothing is known.
    """

    graph: ClosureGraph
    candidates: AbstractSet[StorePath]
    max_layers: int
    weights: Mapping[StorePath, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class PathGroup:
    """The store paths of one layer, and why they are together, in words."""

    paths: tuple[StorePath, ...]
    reason: str


class Strategy(Protocol):
    """Group a task's candidates into layers, from bottom to top.

    Each candidate must come in one group, none may be empty, and there may be no more than the task
    allows. The result may depend on nothing but the task.
    """

    def __call__(self, task: LayerTask, /) -> tuple[PathGroup, ...]:
        """Return the groups.

        Raises `PlanError`: the task cannot be done.
        """


def find_strategy(name: str) -> Strategy:
    """Return the strategy called `name`.

    Raises `InputError`: there is none.
    """
    refusal = f"`{name}` is no strategy that we know"
    return cast("Strategy", load_plugin(PluginGroup.STRATEGIES, name, refusal=refusal))
