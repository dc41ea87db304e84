from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closure.test_graph import closures, info, path
from nixbridge.closure import ClosureGraph, DominatorTree, PathInfo
from nixbridge.errors import PlanError


def test_what_is_reached_by_two_ways_depends_on_where_they_part() -> None:
    # 4 → 3 → {1, 2} → 0, and 3 → 5.
    graph = ClosureGraph.of(
        (info(0), info(1, 0), info(2, 0), info(5), info(3, 1, 2, 5), info(4, 3))
    )
    tree = DominatorTree.of(graph, [path(4)])
    assert tree.parents == {
        path(4): None,
        path(3): path(4),
        path(1): path(3),
        path(2): path(3),
        path(0): path(3),
        path(5): path(3),
    }
    assert tree.dominated_by(path(3)) == tuple(path(number) for number in (0, 1, 2, 3, 5))
    assert tree.dominated_size_bytes(graph)[path(3)] == 10**0 + 10**1 + 10**2 + 10**3 + 10**5


def test_a_root_is_there_of_its_own_accord() -> None:
    graph = ClosureGraph.of((info(0), info(1, 0)))
    assert DominatorTree.of(graph, [path(0), path(1)]).parents == {path(1): None, path(0): None}
    assert DominatorTree.of(graph, [path(0)]).parents == {path(0): None}


def test_a_root_must_be_in_the_graph() -> None:
    with pytest.raises(PlanError, match="is not in the closure"):
        DominatorTree.of(ClosureGraph.of(()), [path(0)])


@given(closures(), st.randoms(use_true_random=False))
def test_what_depends_on_a_path_is_what_is_gone_without_it(
    infos: list[PathInfo], chance: random.Random
) -> None:
    graph = ClosureGraph.of(infos)
    roots = [each.path for each in infos if chance.random() < 0.4]
    reached = {each.path for each in graph.closure_of(roots)}
    tree = DominatorTree.of(graph, roots)
    assert tree.parents.keys() == reached
    sizes = tree.dominated_size_bytes(graph)
    for gone in reached:
        left = set[object]()
        waiting = [root for root in roots if root != gone]
        while waiting:
            at = waiting.pop()
            if at not in left:
                left.add(at)
                waiting += [each for each in graph[at].references if each != gone]
        assert set(tree.dominated_by(gone)) == reached - left
        assert sizes[gone] == sum(graph[each].nar_size_bytes for each in reached - left)
