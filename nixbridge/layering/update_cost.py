"""The strategy `update-cost`: the layers of which an update sends the fewest bytes, on average.

Finding the very best ones would take too long. Greedy merging comes near, moving single paths
afterwards comes nearer, and what another of our strategies does better is taken from there: so none
of them is better with as many layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from nixbridge.closure import StorePath
from nixbridge.layering.auto import group_by_large_paths
from nixbridge.layering.cost_model import CostModel
from nixbridge.layering.merging import merge_greedily
from nixbridge.layering.moving import move_paths
from nixbridge.layering.ordering import order_groups
from nixbridge.layering.popularity import popularity
from nixbridge.layering.strategy import LayerTask, PathGroup

# Up to so many paths there is time to move paths in the plans of other strategies, too.
_FEW_PATHS: Final = 500

# What part of the bytes that a layer costs its paths would cost by themselves, for these words.
_AS_OFTEN: Final = 0.9
_NEARLY_AS_OFTEN: Final = 0.5


def update_cost(task: LayerTask) -> tuple[PathGroup, ...]:
    """Put together what changes together, so that an update sends few bytes."""
    model = CostModel(task.graph, task.weights)
    paths = sorted(task.candidates, key=lambda path: (path.name, path))
    if task.max_layers < 1 or len(paths) <= task.max_layers:
        groups: Iterable[Sequence[StorePath]] = [(path,) for path in paths]
    else:
        groups = min(_plans(task, model, paths), key=model.expected_bytes)
    return order_groups(
        task,
        model,
        (
            PathGroup(paths=tuple(sorted(group)), reason=_reason(task, model, group))
            for group in groups
        ),
    )


def _plans(
    task: LayerTask, model: CostModel, paths: Sequence[StorePath]
) -> list[Sequence[Sequence[StorePath]]]:
    graph, max_layers = task.graph, task.max_layers
    merged = merge_greedily(model, graph, paths, max_layers)
    others: list[Sequence[Sequence[StorePath]]] = [
        [group.paths for group in popularity(task)],
        [*group_by_large_paths(task).values()],
    ]
    if len(paths) <= _FEW_PATHS:
        others = [move_paths(model, graph, plan, max_layers) for plan in others]
    return [move_paths(model, graph, merged, max_layers), *others]


def _reason(task: LayerTask, model: CostModel, group: Sequence[StorePath]) -> str:
    """Name the largest path of a group, and say whether the others change as often as the layer."""
    if len(group) == 1:
        needed = model.closure_bits(group).bit_count() - 1
        if needed == 0:
            return "alone: needs no other path"
        return f"alone: needs {needed} other {'path' if needed == 1 else 'paths'}"
    largest = min(group, key=lambda path: (-task.graph[path].nar_size_bytes, path.name, path))
    cost = model.expected_bytes([group])
    share = model.floor_bytes(group) / cost if cost else 1.0
    if share >= _AS_OFTEN:
        return f"with {largest.name}, changes as often"
    if share >= _NEARLY_AS_OFTEN:
        return f"with {largest.name}, changes nearly as often"
    return f"with {largest.name}, for want of layers"
