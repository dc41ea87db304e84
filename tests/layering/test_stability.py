"""Plans that keep the layers which are out already."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layering_tasks import graph_of, names, path_of, paths_of, task_of
from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.description import PreviousLayer
from nixbridge.errors import PlanError
from nixbridge.layering import (
    CostModel,
    LayerTask,
    PathGroup,
    PreviousPlan,
    Repacking,
    find_strategy,
    stable_groups,
)


def previous_of(*layers: str, within: int = 10, is_followed: bool = False) -> PreviousPlan:
    return PreviousPlan(
        layers=tuple(
            PreviousLayer(paths=frozenset(paths_of(layer)), reason=f"old {number}")
            for number, layer in enumerate(layers)
        ),
        repack_within_updates=within,
        is_followed=is_followed,
    )


def stable(
    task: LayerTask, previous: PreviousPlan, strategy: str = "popularity"
) -> tuple[tuple[PathGroup, ...], Repacking | None]:
    model = CostModel(task.graph, task.weights)
    return stable_groups(task, previous, find_strategy(strategy), model)


#     shop ── curl ── openssl ── libc        data
SHOP = {
    "shop": "shop curl openssl libc",
    "curl": "openssl libc",
    "openssl": "libc",
    "libc": "",
    "data": "",
}


def changed(name: str, by: str) -> dict[str, str]:
    """Give one path another hash: of the shop, as nothing refers to it."""
    graph = {other: refers.replace(name, by) for other, refers in SHOP.items() if other != name}
    return {**graph, by: SHOP[name].replace(name, by)}


def test_layers_whose_paths_all_survive_are_kept_and_lie_below_what_is_new() -> None:
    task = task_of(graph_of(changed("shop", "shop2")), 5)
    groups, _ = stable(task, previous_of("data", "libc openssl", "shop curl"))
    # What is left of the layer that lost the shop must be sent anyway, so it is grouped anew.
    assert names(groups) == ["data", "libc openssl", "curl", "shop2"]
    assert [group.reason for group in groups[:2]] == ["old 0", "old 1"]


def test_kept_layer_that_changes_often_lies_above_what_is_large_and_new() -> None:
    sizes = {"libc": 400, "openssl": 5, "curl": 6, "data2": 900, "shop": 1}
    task = task_of(graph_of(changed("data", "data2"), sizes), 5)
    layers = ("libc", "data", "openssl curl", "shop")
    # Who reuses layers from the bottom would pull the data with each update of the shop.
    groups, _ = stable(task, previous_of(*layers))
    assert names(groups) == ["libc", "data2", "curl openssl", "shop"]


def test_image_that_did_not_change_keeps_its_plan() -> None:
    layers = ("data shop", "libc", "curl openssl")
    groups, repacking = stable(task_of(graph_of(SHOP), 3), previous_of(*layers, within=0))
    assert names(groups) == list(layers)
    assert repacking is None or not repacking.is_done


def test_without_anything_to_keep_the_strategy_decides_alone() -> None:
    task = task_of(graph_of(SHOP), 3)
    fresh = find_strategy("popularity")(task)
    assert stable(task, previous_of("libc shop2", "other")) == (fresh, None)


def test_new_paths_share_what_is_left_of_the_budget() -> None:
    graph = graph_of({**SHOP, "bash": "libc", "less": "libc"})
    groups, _ = stable(task_of(graph, 4), previous_of("libc", "openssl curl", "data shop"))
    assert names(groups) == ["libc", "curl openssl", "data shop", "bash less"]


def test_smallest_layer_is_given_up_where_there_is_no_room() -> None:
    sizes = {"libc": 40, "openssl": 5, "curl": 6, "data": 90, "shop": 10, "bash": 1}
    graph = graph_of({**SHOP, "bash": "libc"}, sizes)
    task = task_of(graph, 4)
    previous = previous_of("libc", "openssl curl", "data", "shop", within=0)
    groups, _ = stable(task, previous)
    assert names(groups) == ["libc", "curl openssl", "data", "bash shop"]


def test_fewer_layers_than_before_give_up_as_many_as_they_must() -> None:
    sizes = {"libc": 40, "openssl": 5, "curl": 6, "data": 90, "shop": 10}
    task = task_of(graph_of(SHOP, sizes), 3)
    groups, _ = stable(task, previous_of("libc", "openssl", "curl", "data", "shop", within=0))
    assert names(groups) == ["libc", "data", "curl openssl shop"]


def test_strategy_that_makes_one_layer_is_not_given_two() -> None:
    task = task_of(graph_of({**SHOP, "bash": ""}), 9)
    groups, _ = stable(task, previous_of("curl data libc openssl shop"), "single")
    assert names(groups) == ["bash curl data libc openssl shop"]


# One layer holds what changes with everything and what never does.
WASTEFUL = ("data shop", "libc", "openssl", "curl")
SIZES = {"libc": 40, "openssl": 5, "curl": 6, "data": 90, "shop": 10}


@pytest.mark.parametrize(("within", "is_done"), [(0, False), (1, False), (2, True), (10, True)])
def test_all_is_packed_anew_when_that_is_earned_back_soon_enough(
    within: int, *, is_done: bool
) -> None:
    task = task_of(graph_of(SHOP, SIZES), 5)
    groups, repacking = stable(task, previous_of(*WASTEFUL, within=within), "one-per-path")
    # All 100 bytes of the layer change with every path: 90 would every fifth time, 10 four times.
    assert repacking == Repacking(cost_bytes=100, saving_bytes=74.0, is_done=is_done)
    kept = sorted(WASTEFUL) if not is_done else sorted(SHOP)
    assert sorted(names(groups)) == kept


def test_plan_that_is_followed_is_never_packed_anew() -> None:
    task = task_of(graph_of(SHOP, SIZES), 5)
    previous = previous_of(*WASTEFUL, is_followed=True)
    groups, repacking = stable(task, previous, "one-per-path")
    assert (names(groups), repacking) == (list(WASTEFUL), None)


def test_plan_that_is_followed_keeps_what_is_left_of_a_layer() -> None:
    task = task_of(graph_of(changed("shop", "shop2")), 5)
    previous = previous_of("data shop", "libc curl", "openssl", is_followed=True)
    groups, _ = stable(task, previous)
    assert names(groups) == ["data", "curl libc", "openssl", "shop2"]


def test_layer_is_kept_by_one_part_of_the_image_alone() -> None:
    previous = previous_of("a", "a b", "b", "a")
    left = previous.without([PathGroup(paths=paths_of("a"), reason="")])
    assert left == PreviousPlan(layers=previous.layers[1:])
    followed = previous_of("a b", "b c", is_followed=True)
    left = followed.without([PathGroup(paths=paths_of("b"), reason="")])
    assert [layer.paths for layer in left.layers] == [
        frozenset(paths_of("a")),
        frozenset(paths_of("b c")),
    ]


def test_what_the_strategy_cannot_do_is_refused_as_ever() -> None:
    with pytest.raises(PlanError, match="5 paths cannot have a layer each in 4 layers"):
        stable(task_of(graph_of(SHOP), 4), previous_of("libc"), "one-per-path")


# Properties.

STRATEGIES = ("auto", "popularity", "single", "update-cost")


def sizes_and_graph(
    draw: st.DrawFn, labels: Sequence[str]
) -> tuple[dict[str, str], dict[str, int]]:
    references = {
        name: " ".join(sorted(draw(st.sets(st.sampled_from(labels[: number + 1]), max_size=3))))
        for number, name in enumerate(labels)
    }
    return references, {name: draw(st.integers(0, 50)) for name in labels}


def update(
    references: Mapping[str, str], sizes: Mapping[str, int], changed: Iterable[str]
) -> tuple[dict[str, str], dict[str, int]]:
    """Change some paths, and so, as Nix does, all that refer to them."""
    renamed: dict[str, str] = {}
    for name, refers in references.items():
        is_new = name in changed or any(other in renamed for other in refers.split())
        if is_new:
            renamed[name] = f"{name}-new"
    return (
        {
            renamed.get(name, name): " ".join(renamed.get(one, one) for one in refers.split())
            for name, refers in references.items()
        },
        {renamed.get(name, name): size for name, size in sizes.items()},
    )


@st.composite
def updates(draw: st.DrawFn) -> tuple[LayerTask, PreviousPlan, str]:
    """An image that is out, planned in any way, and what it shall become."""
    labels = [f"n{number:02}" for number in range(draw(st.integers(1, 12)))]
    references, sizes = sizes_and_graph(draw, labels)
    old = graph_of(references, sizes)
    strategy = draw(st.sampled_from(STRATEGIES))
    before = find_strategy(draw(st.sampled_from(STRATEGIES)))(task_of(old, draw(st.integers(0, 8))))
    previous = PreviousPlan(
        layers=tuple(
            PreviousLayer(paths=frozenset(group.paths), reason=group.reason) for group in before
        ),
        repack_within_updates=draw(st.integers(0, 12)),
        is_followed=draw(st.booleans()),
    )
    references, sizes = update(references, sizes, draw(st.sets(st.sampled_from(labels))))
    for name in draw(st.sets(st.sampled_from(["added-1", "added-2"]))):
        references[name] = " ".join(draw(st.sets(st.sampled_from(sorted(references)), max_size=3)))
        sizes[name] = draw(st.integers(0, 50))
    weights = {path_of(name): float(draw(st.integers(1, 3))) for name in references}
    new = graph_of(references, sizes)
    return task_of(new, draw(st.integers(0, 8)), weights=weights), previous, strategy


def sent_bytes(task: LayerTask, groups: Iterable[PathGroup], previous: PreviousPlan) -> int:
    old = {layer.paths for layer in previous.layers}
    new = [group.paths for group in groups if frozenset(group.paths) not in old]
    return sum(task.graph[path].nar_size_bytes for paths in new for path in paths)


@settings(deadline=None)
@given(updates())
def test_stable_plan_is_a_partition_within_the_budget(
    case: tuple[LayerTask, PreviousPlan, str],
) -> None:
    task, previous, strategy = case
    groups, _ = stable(task, previous, strategy)
    placed = [path for group in groups for path in group.paths]
    assert sorted(placed) == sorted(task.candidates)
    assert all(group.paths and group.reason for group in groups)
    assert task.max_layers < 1 or len(groups) <= task.max_layers


@settings(deadline=None)
@given(updates())
def test_stable_plan_sends_no_more_than_the_fresh_one_and_its_bound(
    case: tuple[LayerTask, PreviousPlan, str],
) -> None:
    task, previous, strategy = case
    if previous.is_followed:
        return
    fresh = find_strategy(strategy)(task)
    groups, repacking = stable(task, previous, strategy)
    now = sent_bytes(task, groups, previous)
    fresh_now = sent_bytes(task, fresh, previous)
    assert now <= fresh_now
    model = CostModel(task.graph, task.weights)
    later = model.expected_bytes(group.paths for group in groups)
    fresh_later = model.expected_bytes(group.paths for group in fresh)
    within = previous.repack_within_updates
    assert (later - fresh_later) * within <= fresh_now - now + 1e-6
    if repacking is None or not repacking.is_done:
        # Nothing that survives whole is sent, but where the budget wants it.
        kept = [layer.paths for layer in previous.layers if layer.paths <= task.candidates]
        missing = task.candidates - frozenset[StorePath]().union(*kept)
        budget = task.max_layers if task.max_layers >= 1 else len(task.candidates)
        if kept and len(fresh) > 1 and len(kept) + bool(missing) <= budget:
            placed = [frozenset(group.paths) for group in groups]
            assert [paths for paths in placed if paths in kept] == kept


@settings(deadline=None)
@given(updates(), st.randoms(use_true_random=False))
def test_stable_plan_does_not_depend_on_the_order_of_input(
    case: tuple[LayerTask, PreviousPlan, str], randomness: random.Random
) -> None:
    task, previous, strategy = case
    infos, candidates = list(task.graph), list(task.candidates)
    randomness.shuffle(infos)
    randomness.shuffle(candidates)
    weights = dict(randomness.sample(sorted(task.weights.items()), len(task.weights)))
    shuffled = task_of(
        ClosureGraph.of(infos), task.max_layers, candidates=frozenset(candidates), weights=weights
    )
    assert stable(shuffled, previous, strategy) == stable(task, previous, strategy)
