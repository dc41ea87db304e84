"""Which layer lies upon which: so that an engine that reuses layers from the bottom pulls little.

Docker is one: it pulls a layer again when that has changed, or any below it. What a push sends does
not depend on the order, nor what an engine pulls that keeps each layer by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import partial
from typing import Final

from nixbridge.layering.cost_model import CostModel
from nixbridge.layering.strategy import LayerTask, PathGroup

# As many as a runtime takes; to order thousands would take long.
_MOST_ORDERED: Final = 127


def order_groups(
    task: LayerTask, model: CostModel, groups: Iterable[PathGroup]
) -> tuple[PathGroup, ...]:
    """Return groups of a task's candidates from bottom to top: the large and steady ones lie low.

    What is no candidate is taken to lie below; when it changes, all of these are pulled in any
    order. Where names tell groups apart, hashes do not matter.
    """
    counted = model.own_bits(task.candidates)
    layers = [_Layer(model, group, counted) for group in groups]
    layers.sort(key=lambda layer: (layer.weight, layer.names))
    orders: list[Sequence[_Layer]] = [layers]
    if len(layers) <= _MOST_ORDERED:
        orders.append(_cheap_first(model, layers))
    return tuple(layer.group for layer in min(orders, key=partial(_pulled, model)))


class _Layer:
    """A group with what is known of it; `closure` has of its closure what is counted."""

    __slots__ = ("closure", "group", "names", "size_bytes", "weight")

    def __init__(self, model: CostModel, group: PathGroup, counted: int) -> None:
        self.group = group
        self.names = sorted((path.name, path) for path in group.paths)
        self.size_bytes = model.size_bytes(group.paths)
        closure = model.closure_bits(group.paths)
        self.weight = model.weigh(closure)
        self.closure = closure & counted


def _cheap_first(model: CostModel, layers: Iterable[_Layer]) -> list[_Layer]:
    """Put lowest the layers that make a change below others least likely, for their size.

    The best order would take too long to find. This is Smith's rule for jobs on one machine, some
    of which must be done before others (Sidney 1975): the jobs are the layers, what they take is
    the weight of the paths that come into play, and what they are worth their size.
    """
    ordered: list[_Layer] = []
    left = [(layer, layer.closure) for layer in layers]

    def rise(new: int) -> Fraction | float:
        # All that changes only when these do comes with them.
        size_bytes = sum(layer.size_bytes for layer, own in left if own & new == own)
        return Fraction(model.weigh(new), size_bytes) if size_bytes else math.inf

    while left:
        new = min((own for _, own in left), key=rise)
        ordered += [layer for layer, own in left if own & new == own]
        left = [(layer, own ^ (own & new)) for layer, own in left if own & new != own]
    return ordered


def _pulled(model: CostModel, layers: Iterable[_Layer]) -> int:
    """Return what is pulled on average, in bytes times weight."""
    cost = closure = 0
    for layer in layers:
        closure |= layer.closure
        cost += layer.size_bytes * model.weigh(closure)
    return cost
