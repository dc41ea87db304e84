"""The order of nix2container, on its own examples."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from layering_tasks import graph_of, path_of, task_of
from nixbridge.closure import StorePath
from nixbridge.layering.popularity import paths_by_popularity, popularity

# The graph of nix2container's unit test (closure/layered_test.go).
REFERENCES = {
    "A": "A B G",
    "B": "B C E",
    "C": "C D E",
    "D": "D F",
    "E": "E F",
    "F": "F",
    "G": "G",
}


def test_order_is_that_of_the_unit_test_of_nix2container() -> None:
    ordered = paths_by_popularity(graph_of(REFERENCES))
    assert "".join(path.name for path in ordered) == "FEDCGBA"


def test_most_popular_paths_are_alone_and_the_rest_share_the_last_layer() -> None:
    graph = graph_of(REFERENCES)
    groups = popularity(task_of(graph, 3))
    assert [("".join(path.name for path in group.paths), group.reason) for group in groups] == [
        ("F", "popular: 2 paths refer to it"),
        ("E", "popular: 2 paths refer to it"),
        ("ABCDG", "the 5 least popular paths"),
    ]


def test_no_limit_gives_each_path_a_layer() -> None:
    graph = graph_of(REFERENCES)
    for max_layers in (0, -1, 7, 8):
        groups = popularity(task_of(graph, max_layers))
        assert [len(group.paths) for group in groups] == [1] * 7


def test_popularity_counts_paths_that_are_not_to_be_placed() -> None:
    graph = graph_of(REFERENCES)
    candidates = {path_of("A"), path_of("G"), path_of("B")}
    groups = popularity(task_of(graph, 0, candidates=candidates))
    assert [group.paths[0].name for group in groups] == ["G", "B", "A"]
    assert groups[2].reason == "alone: no path refers to it"


def test_popularity_does_not_overflow() -> None:
    # A ladder of 200 rungs: each path refers to both of the next rung, so ways double per rung.
    rungs = 200
    graph = graph_of(
        {
            f"{rung:03}{side}": f"{rung + 1:03}a {rung + 1:03}b" if rung + 1 < rungs else ""
            for rung in range(rungs)
            for side in "ab"
        }
    )
    ordered = paths_by_popularity(graph)
    assert [path.name for path in ordered[:4]] == ["199b", "199a", "198b", "198a"]
    assert ordered[-1].name == "000a"


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 8)), min_size=1, max_size=9))
def test_popularity_is_the_number_of_ways_down(references: list[set[int]]) -> None:
    # Path 3 may refer to 3 and to those before it.
    graph = graph_of(
        {
            str(number): " ".join(str(other) for other in others if other <= number)
            for number, others in enumerate(references)
        }
    )
    ends: Counter[StorePath] = Counter()

    def walk(path: StorePath) -> None:
        ends[path] += 1
        for reference in graph[path].references:
            if reference != path:
                walk(reference)

    for info in graph:
        walk(info.path)
    seen = [path for info in graph for path in (info.path, *info.references)]
    assert paths_by_popularity(graph) == sorted(
        graph.infos, key=lambda path: (-ends[path], -seen.index(path))
    )
