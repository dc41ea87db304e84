"""What every strategy must hold to, and what each is for."""

from __future__ import annotations

import dataclasses
import functools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layering_tasks import graph_of, names, path_of, paths_of, task_of
from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.layering import CostModel, LayerTask, PathGroup, find_strategy
from nixbridge.layering.merging import _ALL_PAIRS
from nixbridge.layering.update_cost import _FEW_PATHS

STRATEGIES = ("auto", "one-per-path", "popularity", "single", "update-cost")
WITH_A_BUDGET = ("auto", "popularity", "single", "update-cost")


# To look a strategy up takes longer than a small plan.
strategy_of = functools.cache(find_strategy)


def groups_of(strategy: str, task: LayerTask) -> tuple[PathGroup, ...]:
    return strategy_of(strategy)(task)


@st.composite
def tasks(draw: st.DrawFn) -> LayerTask:
    """Any closure with any sizes and weights, of which some paths lie in other layers already."""
    count = draw(st.integers(1, 24))
    # Sizes and weights from a few, so that there are ties.
    some_sizes = st.sampled_from([0, 1, 1, 7, 40, 1000]) | st.integers(0, 10**12)
    some_weights = st.sampled_from([1.0, 1.0, 1.0, 0.01, 20.0, 1000.0])
    references, sizes, weights = {}, {}, {}
    for number in range(count):
        name = f"n{number}"
        earlier = draw(st.sets(st.integers(0, number), max_size=5))
        references[name] = " ".join(f"n{other}" for other in sorted(earlier))
        sizes[name] = draw(some_sizes)
        weights[path_of(name)] = draw(some_weights)
    graph = graph_of(references, sizes)
    candidates = draw(st.sets(st.sampled_from(sorted(graph.infos)), min_size=1))
    max_layers = draw(st.integers(-1, 10))
    return task_of(graph, max_layers, candidates=candidates, weights=weights)


@settings(deadline=None, max_examples=150)
@given(tasks(), st.sampled_from(STRATEGIES))
def test_groups_are_a_partition_within_the_budget(task: LayerTask, strategy: str) -> None:
    if strategy == "one-per-path" and 1 <= task.max_layers < len(task.candidates):
        return
    groups = groups_of(strategy, task)
    placed = [path for group in groups for path in group.paths]
    assert sorted(placed) == sorted(task.candidates)
    assert all(group.paths and group.reason for group in groups)
    assert task.max_layers < 1 or len(groups) <= task.max_layers


@settings(deadline=None, max_examples=150)
@given(tasks(), st.sampled_from(WITH_A_BUDGET), st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order_of_input(
    task: LayerTask, strategy: str, randomness: random.Random
) -> None:
    infos = list(task.graph)
    randomness.shuffle(infos)
    candidates = list(task.candidates)
    randomness.shuffle(candidates)
    weights = list(task.weights.items())
    randomness.shuffle(weights)
    shuffled = LayerTask(
        graph=ClosureGraph.of(infos),
        candidates=dict.fromkeys(candidates).keys(),
        max_layers=task.max_layers,
        weights=dict(weights),
    )
    assert groups_of(strategy, shuffled) == groups_of(strategy, task)


def with_other_hashes(task: LayerTask, randomness: random.Random) -> LayerTask:
    """Return the same task as after a change that all paths were built anew for."""
    digits = randomness.sample(range(10**9), len(task.graph))
    new = {
        path: StorePath(f"/nix/store/{number:032}-{path.name}")
        for path, number in zip(task.graph.infos, digits, strict=True)
    }
    return LayerTask(
        graph=ClosureGraph.of(
            dataclasses.replace(
                info,
                path=new[info.path],
                references=tuple(sorted(new[other] for other in info.references)),
            )
            for info in task.graph
        ),
        candidates=frozenset(new[path] for path in task.candidates),
        max_layers=task.max_layers,
        weights={new[path]: weight for path, weight in task.weights.items()},
    )


def sorted_names(groups: tuple[PathGroup, ...]) -> list[tuple[list[str], str]]:
    return [(sorted(path.name for path in group.paths), group.reason) for group in groups]


# nix2container's order, which `popularity` keeps to, is that of the hashes where paths are equal.
@settings(deadline=None, max_examples=200)
@given(
    tasks(), st.sampled_from(["auto", "single", "update-cost"]), st.randoms(use_true_random=False)
)
def test_hashes_decide_nothing_where_names_differ(
    task: LayerTask, strategy: str, randomness: random.Random
) -> None:
    other = with_other_hashes(task, randomness)
    assert sorted_names(groups_of(strategy, other)) == sorted_names(groups_of(strategy, task))


@settings(deadline=None, max_examples=500)
@given(tasks())
def test_update_cost_is_nowhere_worse_than_another_strategy(task: LayerTask) -> None:
    model = CostModel(task.graph, task.weights)

    def cost(strategy: str) -> float:
        return model.expected_bytes(group.paths for group in groups_of(strategy, task))

    ours = cost("update-cost")
    assert all(ours <= cost(strategy) for strategy in ("auto", "popularity", "single"))
    assert ours >= model.floor_bytes(task.candidates)
    if task.max_layers < 1 or len(task.candidates) <= task.max_layers:
        assert ours == cost("one-per-path")


@settings(deadline=None, max_examples=200)
@given(tasks(), st.sampled_from(["auto", "one-per-path", "update-cost"]))
def test_layers_lie_so_that_less_is_pulled_than_by_what_changes_seldom_alone(
    task: LayerTask, strategy: str
) -> None:
    task = dataclasses.replace(task, candidates=task.graph.infos.keys())
    if strategy == "one-per-path" and 1 <= task.max_layers < len(task.candidates):
        return
    model = CostModel(task.graph, task.weights)
    groups = [group.paths for group in groups_of(strategy, task)]
    by_probability = sorted(
        groups,
        key=lambda paths: (
            model.probability(paths),
            sorted((path.name, path) for path in paths),
        ),
    )
    pulled = model.expected_pull_bytes(groups)
    assert pulled <= model.expected_pull_bytes(by_probability)
    assert pulled >= model.expected_bytes(groups)


def test_what_is_large_lies_below_what_is_small_and_changes_as_often_or_less() -> None:
    graph = graph_of(
        {"app": "libc", "libc": "", "a": "", "b": "a libc", "c": ""}, {"app": 1000, "c": 50}
    )
    for strategy in ("update-cost", "auto", "one-per-path"):
        # An engine that reuses layers from the bottom would pull `app` with whatever lies below.
        groups = groups_of(strategy, task_of(graph, 5))
        assert names(groups) == ["libc", "app", "c", "a", "b"]
        # What lies below the layers anyway does not speak for one of them, nor against it.
        above = task_of(graph, 4, candidates=set(paths_of("app a b c")))
        assert names(groups_of(strategy, above)) == ["app", "c", "a", "b"]
        above = task_of(graph, 3, candidates=set(paths_of("a b c")))
        assert names(groups_of(strategy, above)) == ["c", "a", "b"]


def large_graph(count: int) -> ClosureGraph:
    """Make a closure like those of real images, of which neighbours are looked at only."""
    randomness = random.Random(count)
    references, sizes = {}, {}
    for number in range(count):
        some = randomness.choices(range(number), k=min(number, 4)) if number else []
        references[f"n{number}"] = " ".join(f"n{other}" for other in {*some} - {number})
        sizes[f"n{number}"] = int(randomness.lognormvariate(13, 2))
    return graph_of(references, sizes)


@pytest.mark.parametrize("weight_count", [1, 20])
@pytest.mark.parametrize("count", [_ALL_PAIRS + 1, _FEW_PATHS + 50])
def test_large_closures_are_planned_as_well(count: int, weight_count: int) -> None:
    graph = large_graph(count)
    weights = {path: 1.0 + number % weight_count for number, path in enumerate(graph.infos)}
    task = task_of(graph, 30, weights=weights)
    model = CostModel(graph, task.weights)
    costs = {}
    for strategy in WITH_A_BUDGET:
        groups = groups_of(strategy, task)
        assert sorted(path for group in groups for path in group.paths) == sorted(graph.infos)
        assert len(groups) <= 30
        costs[strategy] = model.expected_bytes(group.paths for group in groups)
    assert costs["update-cost"] < costs["auto"] / 2 < costs["popularity"] / 2


#   shop ── flask ── python ── libc      data
#   tool ── python
SHOP = graph_of(
    {
        "libc": "",
        "python": "libc python",
        "flask": "python",
        "shop": "flask",
        "tool": "python",
        "data": "",
    },
    {"libc": 30, "python": 90, "flask": 5, "shop": 1, "tool": 2, "data": 500},
)


@pytest.mark.parametrize(
    ("max_layers", "groups"),
    [
        (1, ["data flask libc python shop tool"]),
        (2, ["data", "flask libc python shop tool"]),
        (3, ["data", "libc python", "flask shop tool"]),
        (4, ["data", "libc", "python", "flask shop tool"]),
        (5, ["data", "libc", "python", "flask shop", "tool"]),
        (6, ["data", "libc", "python", "flask", "tool", "shop"]),
    ],
)
def test_update_cost_keeps_apart_what_costs_most_together(
    max_layers: int, groups: list[str]
) -> None:
    assert names(groups_of("update-cost", task_of(SHOP, max_layers))) == groups


def test_update_cost_says_why() -> None:
    task = task_of(SHOP, 4)
    assert [group.reason for group in groups_of("update-cost", task)] == [
        "alone: needs no other path",
        "alone: needs no other path",
        "alone: needs 1 other path",
        "with flask, changes nearly as often",
    ]
    assert [group.reason for group in groups_of("update-cost", task_of(SHOP, 6))][3:] == [
        "alone: needs 2 other paths",
        "alone: needs 2 other paths",
        "alone: needs 3 other paths",
    ]
    twins = graph_of({"a": "", "b": "a", "c": "b"}, {"a": 1, "b": 1000, "c": 1000})
    (group,) = groups_of("update-cost", task_of(twins, 1))
    assert group.reason == "with b, changes nearly as often"
    (group,) = groups_of("update-cost", task_of(twins, 1, candidates={*paths_of("c b")}))
    assert group.reason == "with b, changes nearly as often"


def test_update_cost_heeds_weights() -> None:
    graph = graph_of({"app": "", "lib": "", "data": ""}, {"app": 10, "lib": 10, "data": 10})
    assert names(groups_of("update-cost", task_of(graph, 2))) == ["lib", "app data"]
    weights = {path_of("data"): 20.0, path_of("app"): 1.0, path_of("lib"): 1.0}
    task = task_of(graph, 2, weights=weights)
    assert names(groups_of("update-cost", task)) == ["app lib", "data"]


def test_update_cost_counts_what_lies_in_other_layers_already() -> None:
    # `b` and `c` change with `a`, which is not to be placed, and `d` does not.
    graph = graph_of({"a": "", "b": "a", "c": "a", "d": ""}, dict.fromkeys("abcd", 10))
    task = task_of(graph, 2, candidates={*paths_of("b c d")})
    assert names(groups_of("update-cost", task)) == ["d", "b c"]


def test_auto_gives_large_paths_layers_with_what_only_they_need() -> None:
    #   a ── x ── base      b ── y ── base      c ── z
    graph = graph_of(
        {"a": "x", "x": "base", "b": "y", "y": "base", "base": "", "c": "z", "z": "", "d": ""},
        {"a": 100, "b": 90, "c": 80, "x": 3, "y": 3, "z": 3, "base": 2, "d": 1},
    )
    groups = groups_of("auto", task_of(graph, 5))
    assert [(name, group.reason) for name, group in zip(names(groups), groups, strict=True)] == [
        ("c z", "c and what only it needs"),
        ("base", "what a, b need"),
        ("a x", "a and what only it needs"),
        ("b y", "b and what only it needs"),
        ("d", "what no large path needs"),
    ]
    assert names(groups_of("auto", task_of(graph, 2))) == ["a base x", "b c d y z"]
    assert names(groups_of("auto", task_of(graph, 1))) == ["a b base c d x y z"]


def test_large_path_of_auto_hides_what_it_needs_from_its_users() -> None:
    graph = graph_of(
        {"app": "python", "python": "libc", "libc": ""}, {"app": 50, "python": 90, "libc": 5}
    )
    assert names(groups_of("auto", task_of(graph, 2))) == ["libc python", "app"]
