from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nixbridge.closure import ClosureGraph, NarHash, PathInfo, StorePath
from nixbridge.errors import PlanError


def path(number: int) -> StorePath:
    return StorePath(f"/nix/store/{number:032d}-p{number}")


def info(number: int, *references: int) -> PathInfo:
    return PathInfo(
        path=path(number),
        nar_hash=NarHash(f"{number:064x}"),
        nar_size_bytes=10**number,
        references=tuple(path(reference) for reference in sorted(references)),
    )


# 0 ← 1 ← 3, 0 ← 2 ← 3, 4 alone; 1 and 4 refer to themselves.
DIAMOND = (info(0), info(1, 0, 1), info(2, 0), info(3, 1, 2), info(4, 4))


@st.composite
def closures(draw: st.DrawFn) -> list[PathInfo]:
    """Closed sets of paths, each referring to some before it and perhaps to itself."""
    count = draw(st.integers(0, 8))
    return [
        info(number, *draw(st.sets(st.integers(0, number), max_size=number + 1)))
        for number in range(count)
    ]


def test_a_graph_is_sorted_whatever_the_order_of_its_paths() -> None:
    graph = ClosureGraph.of(reversed(DIAMOND))
    assert list(graph) == list(DIAMOND)
    assert len(graph) == 5
    assert graph[path(3)] == DIAMOND[3]
    assert path(3) in graph
    assert path(5) not in graph
    assert graph.closure_size_bytes == 11_111
    with pytest.raises(KeyError):
        graph[path(5)]


def test_the_closure_of_some_paths() -> None:
    graph = ClosureGraph.of(DIAMOND)
    part = graph.closure_of([path(2), path(2), path(4)])
    assert [one.path for one in part] == [path(0), path(2), path(4)]
    assert part.closure_size_bytes == 10_101
    assert not len(graph.closure_of([]))
    assert graph.closure_of([path(3), path(4)]) == graph


def test_the_closure_of_a_path_that_is_not_there() -> None:
    with pytest.raises(PlanError) as caught:
        ClosureGraph.of(DIAMOND).closure_of([path(5)])
    assert caught.value.message == f"`{path(5)}` is not in the closure"


def test_an_open_closure_is_refused() -> None:
    with pytest.raises(PlanError) as caught:
        ClosureGraph.of([info(1, 0)])
    assert caught.value.message == (
        f"the closure is open: `{path(1)}` refers to `{path(0)}`, which is not in it"
    )
    assert caught.value.hint is not None
    assert "`nix path-info --recursive --json`" in caught.value.hint


def test_a_cycle_is_refused_and_shown_in_the_direction_of_the_references() -> None:
    with pytest.raises(PlanError) as caught:
        ClosureGraph.of([info(0), info(1, 2, 0), info(2, 3), info(3, 1)])
    message = caught.value.message
    assert message.startswith("the closure has a cycle of references: ")
    names = message.partition(": ")[2].replace("`", "").split(" → ")
    around = [int(name.rpartition("-p")[2]) for name in names]
    assert around[0] == around[-1]
    assert set(itertools.pairwise(around)) == {(1, 2), (2, 3), (3, 1)}


def test_a_path_may_come_twice_if_it_says_the_same() -> None:
    deriver = StorePath(f"{path(9)}.drv")
    twice = [*DIAMOND, replace(DIAMOND[0], deriver=deriver)]
    assert len(ClosureGraph.of(twice)) == 5


@pytest.mark.parametrize(
    "other",
    [
        replace(DIAMOND[0], nar_hash=NarHash("f" * 64)),
        replace(DIAMOND[0], nar_size_bytes=2),
        replace(DIAMOND[0], references=(path(0),)),
    ],
)
def test_two_descriptions_of_a_path_are_refused(other: PathInfo) -> None:
    with pytest.raises(PlanError) as caught:
        ClosureGraph.of([*DIAMOND, other])
    assert caught.value.message == f"the closure describes `{path(0)}` in two different ways"


@given(closures(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(
    infos: list[PathInfo], shuffler: random.Random
) -> None:
    shuffled = list(infos)
    shuffler.shuffle(shuffled)
    assert ClosureGraph.of(shuffled) == ClosureGraph.of(infos)
    assert list(ClosureGraph.of(shuffled)) == infos


@given(closures(), st.data())
def test_a_closure_is_the_least_closed_set_that_holds_its_roots(
    infos: list[PathInfo], data: st.DataObject
) -> None:
    graph = ClosureGraph.of(infos)
    roots = data.draw(st.lists(st.sampled_from(infos))) if infos else []
    part = graph.closure_of([root.path for root in roots])
    assert part == ClosureGraph.of(part)  # closed and sorted
    assert all(root.path in part for root in roots)
    for member in part:  # nothing can be left out
        is_root = member in roots
        is_used = any(member.path in one.references for one in part if one != member)
        assert is_root or is_used
    assert part.closure_of([root.path for root in roots]) == part


@given(closures(), st.randoms(use_true_random=False))
def test_references_come_first(infos: list[PathInfo], shuffler: random.Random) -> None:
    shuffled = list(infos)
    shuffler.shuffle(shuffled)
    order = ClosureGraph.of(shuffled).references_first()
    assert order == ClosureGraph.of(infos).references_first()
    assert sorted(order) == [info.path for info in infos]
    place = {path: number for number, path in enumerate(order)}
    for one in infos:
        assert all(place[reference] <= place[one.path] for reference in one.references)
