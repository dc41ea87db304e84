"""What an update costs with a plan, beside what it would cost with other strategies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from nixbridge.description import ImageDescription
from nixbridge.errors import PlanError
from nixbridge.layering.options import PlanOptions
from nixbridge.layering.plan import LayerPlan
from nixbridge.layering.planner import cost_model_of, plan_layers
from nixbridge.layering.strategy import Strategy, find_strategy


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanCosts:
    """The bytes that an update sends on average, by the plan and by others.

    `floor_bytes` are those of a layer for each path, which no plan can beat. `others_bytes` has the
    other strategies by name, with no more layers than the plan: each that can do with so few.
    """

    expected_bytes: float
    floor_bytes: float
    others_bytes: Mapping[str, float]


def compare_strategies(
    description: ImageDescription,
    plan: LayerPlan,
    options: PlanOptions,
    strategies: Iterable[str],
    *,
    base_layer_count: int = 0,
    strategy_of: Callable[[str], Strategy] = find_strategy,
) -> PlanCosts:
    """Plan the image by each of `strategies` but its own; its `plan` was made with `options`.

    Raises `PlanError`, `InputError`: as `plan_layers`.
    """
    others: dict[str, float] = {}
    if description.layers:
        description = replace(description, plan=None)
        explicit = replace(description, layers=description.layers[:-1])
        own_count = len(plan.layers) - len(plan_layers(explicit, strategy_of=strategy_of).layers)
        own_strategy = options.strategy or description.layers[-1].strategy
        for name in sorted({*strategies} - {own_strategy}):
            other = replace(options, strategy=name, max_layers=max(1, own_count), previous=None)
            try:
                found = plan_layers(
                    description,
                    other,
                    base_layer_count=base_layer_count,
                    strategy_of=strategy_of,
                )
            except PlanError:
                continue  # a layer for each path, in fewer layers than there are paths
            others[name] = found.expected_bytes
    return PlanCosts(
        expected_bytes=plan.expected_bytes,
        floor_bytes=plan_floor_bytes(description, plan, options),
        others_bytes=MappingProxyType(others),
    )


def plan_floor_bytes(description: ImageDescription, plan: LayerPlan, options: PlanOptions) -> float:
    """Return the bytes that an update sends on average with a layer for each path of a plan."""
    return cost_model_of(description, options).floor_bytes(
        planned.info.path for layer in plan.layers for planned in layer.paths
    )
