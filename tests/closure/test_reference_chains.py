from __future__ import annotations

import itertools

from hypothesis import given

from closure.test_graph import DIAMOND, closures, info, path
from nixbridge.closure import ClosureGraph, PathInfo, reference_chains, referrers


def test_what_refers_to_a_path() -> None:
    assert referrers(ClosureGraph.of(DIAMOND)) == {
        path(0): (path(1), path(2)),
        path(1): (path(3),),
        path(2): (path(3),),
        path(3): (),
        path(4): (),
    }


def test_each_root_has_one_chain_and_the_shortest_comes_first() -> None:
    graph = ClosureGraph.of((*DIAMOND, info(5, 0)))
    chains = reference_chains(graph, [path(3), path(4), path(5), path(0)], path(0))
    assert chains == (
        (path(0),),
        (path(5), path(0)),
        (path(3), path(1), path(0)),
    )


def test_a_short_way_is_taken_before_one_that_sorts_first() -> None:
    graph = ClosureGraph.of((info(0), info(1, 0), info(2, 1), info(3, 0, 2)))
    assert reference_chains(graph, [path(3)], path(0)) == ((path(3), path(0)),)


@given(closures())
def test_a_chain_is_of_references_from_a_root_to_the_path(infos: list[PathInfo]) -> None:
    graph = ClosureGraph.of(infos)
    roots = [each.path for each in infos[1::2]]
    for target in graph:
        chains = reference_chains(graph, roots, target.path)
        reaching = {root for root in roots if target.path in graph.closure_of([root])}
        assert {chain[0] for chain in chains} == reaching
        for chain in chains:
            assert chain[-1] == target.path
            for referrer, reference in itertools.pairwise(chain):
                assert reference in graph[referrer].references
