"""`cost_curves`: what an update would cost with other strategies and other numbers of layers.

Pure. Each point is a plan that is made and weighed, so how many there are is bounded by the size of
the closure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from nixbridge.description import ImageDescription
from nixbridge.errors import PlanError
from nixbridge.layering import (
    MOST_LAYERS,
    LayerPlan,
    PlanOptions,
    Strategy,
    find_strategy,
    plan_floor_bytes,
    plan_layers,
)

# For closures of up to so many paths, how many layers the image's own part may have.
_LAYER_COUNTS: Final = (
    (1_000, (1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 56, 80, 110)),
    (5_000, (1, 3, 10, 20, 40, 80, 110)),
    (None, (20, 100)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CostPoint:
    """The bytes that an update sends on average where the image has so many layers.

    All of them count: the base image's, explicit ones, and the Nix database, too.
    """

    layer_count: int
    expected_bytes: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CostCurve:
    """The points of a strategy, by the number of layers; there may be one, and no more."""

    strategy: str
    points: tuple[CostPoint, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CostCurves:
    """The curves of all strategies that can plan the image, and where its own plan lies.

    `floor_bytes` is the cost of a layer for each path, which no plan can beat. `fixed_layer_count`
    are the layers that are there whatever `max_layers` says, which is of the image's own part.
    """

    curves: tuple[CostCurve, ...]
    floor_bytes: float
    own_strategy: str
    own: CostPoint
    fixed_layer_count: int


def cost_curves(
    description: ImageDescription,
    plan: LayerPlan,
    options: PlanOptions,
    strategies: Iterable[str],
    *,
    base_layer_count: int = 0,
    strategy_of: Callable[[str], Strategy] = find_strategy,
) -> CostCurves:
    """Weigh plans of the image by each of `strategies`; its own `plan` was made with `options`.

    `base_layer_count` are the layers of the image that it builds upon.

    Raises `PlanError`, `InputError`: as `plan_layers`, but for a strategy that cannot keep to so
    few layers.
    """

    def weighed(layer_plan: LayerPlan) -> CostPoint:
        database_count = 0 if layer_plan.nix_database is None else 1
        return CostPoint(
            layer_count=base_layer_count + len(layer_plan.layers) + database_count,
            expected_bytes=layer_plan.expected_bytes,
        )

    def point(strategy: str, max_layers: int) -> CostPoint:
        fresh = replace(options, strategy=strategy, max_layers=max_layers, previous=None)
        return weighed(
            plan_layers(
                description, fresh, base_layer_count=base_layer_count, strategy_of=strategy_of
            )
        )

    # What strategies make of it, not what a saved plan does.
    description = replace(description, plan=None)
    explicit = replace(description, layers=description.layers[:-1])
    fixed = weighed(plan_layers(explicit, strategy_of=strategy_of)).layer_count
    counts = {*_counts(len(description.closure)), *_own_count(description, options)}
    own_strategy = options.strategy
    if own_strategy is None:
        own_strategy = description.layers[-1].strategy if description.layers else ""
    found = []
    for name in strategies:
        points = _points(partial(point, name), counts, fixed)
        if points:
            found.append(CostCurve(strategy=name, points=points))
    return CostCurves(
        curves=tuple(found),
        floor_bytes=plan_floor_bytes(description, plan, options),
        own_strategy=own_strategy,
        own=weighed(plan),
        fixed_layer_count=fixed,
    )


def _counts(path_count: int) -> tuple[int, ...]:
    return next(
        counts
        for most_paths, counts in _LAYER_COUNTS
        if most_paths is None or path_count <= most_paths
    )


def _own_count(description: ImageDescription, options: PlanOptions) -> Iterator[int]:
    """Yield how many layers the image's own plan may have, unless there is no limit."""
    count = options.max_layers
    if count is None and description.layers:
        count = description.layers[-1].max_layers
    if count is not None and 1 <= count <= MOST_LAYERS:
        yield count


def _points(
    point_of: Callable[[int], CostPoint], counts: Iterable[int], fixed_layer_count: int
) -> tuple[CostPoint, ...]:
    """Return the points of a strategy, which makes one of how many layers its part may have."""
    points: list[CostPoint] = []
    for count in sorted(counts, reverse=True):
        if points and points[-1].layer_count - fixed_layer_count <= count:
            continue  # the last plan needed no more layers, so it is this one, too
        try:
            point = point_of(count)
        except PlanError:
            break  # a layer for each path cannot be made of fewer
        if not points or point.layer_count < points[-1].layer_count:
            points.append(point)
    return tuple(reversed(points))
