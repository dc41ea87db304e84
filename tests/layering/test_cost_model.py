"""What an update costs: the model."""

from __future__ import annotations

import pytest

from layering_tasks import graph_of, path_of, paths_of
from nixbridge.layering import CostModel
from nixbridge.layering.weights import weigh_paths

#     app ── lib ── libc      data
GRAPH = graph_of(
    {"app": "app lib libc", "lib": "lib libc", "libc": "libc", "data": ""},
    {"app": 10, "lib": 20, "libc": 40, "data": 80},
)


def test_layer_changes_when_anything_in_its_closure_does() -> None:
    model = CostModel(GRAPH, {})
    assert model.probability(paths_of("libc")) == 1 / 4
    assert model.probability(paths_of("app")) == 3 / 4
    assert model.probability(paths_of("libc data")) == 2 / 4
    assert model.probability(paths_of("app data")) == 1
    assert model.probability(()) == 0


def test_weights_tell_which_change_an_update_is() -> None:
    model = CostModel(GRAPH, {path_of("app"): 5.0, path_of("data"): 0.5})
    assert model.probability(paths_of("app")) == 7 / 7.5
    assert model.probability(paths_of("lib data")) == 2.5 / 7.5


def test_expected_bytes_are_those_of_the_layers_that_change() -> None:
    model = CostModel(GRAPH, {})
    groups = [paths_of("app lib"), paths_of("libc"), paths_of("data")]
    assert model.expected_bytes(groups) == 30 * 3 / 4 + 40 / 4 + 80 / 4
    assert model.floor_bytes(GRAPH.infos) == 10 * 3 / 4 + 20 * 2 / 4 + 40 / 4 + 80 / 4
    assert CostModel(graph_of({}), {}).expected_bytes([]) == 0


def test_who_reuses_layers_from_the_bottom_pulls_all_above_a_change() -> None:
    model = CostModel(GRAPH, {})
    groups = [paths_of("data"), paths_of("libc"), paths_of("app lib")]
    assert model.expected_pull_bytes(groups) == 80 / 4 + 40 * 2 / 4 + 30
    assert model.expected_pull_bytes(groups[::-1]) == 30 * 3 / 4 + 40 * 3 / 4 + 80
    assert CostModel(graph_of({}), {}).expected_pull_bytes([]) == 0


@pytest.mark.parametrize(
    ("name", "weight"),
    [("my-app-1.2", 20), ("my-app-data-1", 3), ("my-lib-2", 1), ("My-app", 1), ("x", 0.5)],
)
def test_longest_pattern_says_the_weight(name: str, weight: float) -> None:
    weights = {"my-app*": 20.0, "my-app-data*": 3.0, "[xy]": 0.5}
    assert weigh_paths(paths_of(name), [weights], {}) == {path_of(name): weight}
