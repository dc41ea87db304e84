"""Images that are planned together share layers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layering_tasks import graph_of, path_of, paths_of
from nixbridge.description import ImageDescription, LayerDescription, Perm
from nixbridge.errors import PlanError
from nixbridge.layering import LayerPlan, PlannedPath, PlanOptions, plan_family, plan_layers
from nixbridge.oci import Platform

OPTIONS = PlanOptions(strategy="popularity")


def part(
    roots: str, max_layers: int, *, at_root: str = "", perms: tuple[Perm, ...] = ()
) -> LayerDescription:
    return LayerDescription(
        roots=paths_of(roots),
        copy_to_root=paths_of(at_root),
        perms=perms,
        max_layers=max_layers,
        history={},
    )


def image_of(
    references: Mapping[str, str], *parts: LayerDescription, sizes: Mapping[str, int] | None = None
) -> ImageDescription:
    graph = graph_of(references, sizes)
    roots = [root for one in parts for root in (*one.roots, *one.copy_to_root)]
    return ImageDescription(
        name="test",
        tag="latest",
        platform=Platform(architecture="amd64"),
        created="0001-01-01T00:00:00Z",
        config={},
        annotations={},
        layers=parts,
        nix_database=None,
        closure=graph.closure_of(roots),
    )


def words(plan: LayerPlan) -> list[str]:
    return [
        " ".join(("/" if one.copy_to_root else "") + one.info.path.name for one in layer.paths)
        for layer in plan.layers
    ]


def distinct(plans: Mapping[str, LayerPlan]) -> dict[tuple[PlannedPath, ...], int]:
    """Return the sizes of the layers of all images, each layer once."""
    return {layer.paths: layer.nar_size_bytes for plan in plans.values() for layer in plan.layers}


GRAPH = {"web": "orm libc", "worker": "orm libc", "cron": "libc", "orm": "libc", "libc": ""}
SIZES = {"web": 3, "worker": 4, "cron": 5, "orm": 20, "libc": 50}
FAMILY = {name: image_of(GRAPH, part(name, 5), sizes=SIZES) for name in ("web", "worker", "cron")}


def test_paths_that_the_same_images_need_are_layers_together() -> None:
    plans = plan_family(FAMILY, OPTIONS)
    assert {name: words(plan) for name, plan in plans.items()} == {
        "web": ["libc", "orm", "web"],
        "worker": ["libc", "orm", "worker"],
        "cron": ["libc", "cron"],
    }
    assert [layer.reason for layer in plans["web"].layers[:2]] == [
        "shared by cron, web, worker",
        "shared by web, worker",
    ]
    assert sum(distinct(plans).values()) == sum(SIZES.values())


def test_image_that_may_not_have_so_many_layers_gives_up_the_smallest_shares() -> None:
    family = FAMILY | {"web": image_of(GRAPH, part("web", 2), sizes=SIZES)}
    plans = plan_family(family, OPTIONS)
    assert {name: words(plan) for name, plan in plans.items()} == {
        "web": ["libc", "orm web"],
        "worker": ["libc", "orm", "worker"],
        "cron": ["libc", "cron"],
    }
    alone = plan_family(FAMILY | {"web": image_of(GRAPH, part("web", 1), sizes=SIZES)}, OPTIONS)
    assert words(alone["web"]) == ["libc orm web"]


def test_layers_go_where_each_saves_most() -> None:
    graph = {"a": "x y z p q", "b": "x y z", "x": "", "y": "", "z": "", "p": "", "q": ""}
    sizes = {"x": 90, "y": 80, "z": 70, "p": 1, "q": 2, "a": 3, "b": 4}
    family = {
        "a": image_of(graph, part("a", 4), sizes=sizes),
        "b": image_of(graph, part("b", 9), sizes=sizes),
    }
    plans = plan_family(family, OPTIONS)
    # The image with the smaller budget has its large paths apart, and its small ones together.
    assert words(plans["a"]) == ["z", "y", "x", "a p q"]
    assert words(plans["b"]) == ["z", "y", "x", "b"]


def test_path_that_is_packed_in_another_way_is_not_shared() -> None:
    perm = Perm(path=path_of("libc"), regex="", mode=0o700)
    family = {
        "plain": image_of(GRAPH, part("orm", 5)),
        "other": image_of(GRAPH, part("orm", 5, perms=(perm,))),
        "files": image_of(GRAPH, part("orm", 5, at_root="libc")),
    }
    plans = plan_family(family, OPTIONS)
    assert {name: words(plan) for name, plan in plans.items()} == {
        "plain": ["orm", "libc"],
        "other": ["orm", "libc"],
        "files": ["orm", "libc /libc"],
    }
    assert len(distinct(plans)) == 4


def test_explicit_layers_keep_to_what_they_hold() -> None:
    family = {
        "web": image_of(GRAPH, part("orm", 1), part("web", 5), sizes=SIZES),
        "cron": image_of(GRAPH, part("cron", 5), sizes=SIZES),
    }
    plans = plan_family(family, OPTIONS)
    # The explicit layer may be one only, so libc is not shared.
    assert {name: words(plan) for name, plan in plans.items()} == {
        "web": ["libc orm", "web"],
        "cron": ["libc", "cron"],
    }


def test_images_that_know_different_things_of_a_path_are_refused() -> None:
    family = {
        "a": image_of({"libc": ""}, part("libc", 1), sizes={"libc": 1}),
        "b": image_of({"libc": ""}, part("libc", 1), sizes={"libc": 2}),
    }
    with pytest.raises(PlanError) as caught:
        plan_family(family, OPTIONS)
    assert caught.value.message == (
        f"the closure describes `{path_of('libc')}` in two different ways"
    )


def test_family_keeps_to_the_layers_that_a_runtime_takes() -> None:
    names = [f"n{number:03}" for number in range(200)]
    graph = dict.fromkeys(names, "")
    family = {
        "a": image_of(graph, part("n000", 1), part(" ".join(names), 0)),
        "b": image_of(graph, part(" ".join(names[50:]), 0)),
    }
    plans = plan_family(
        family, PlanOptions(strategy="popularity", leave_layers=7), base_layer_counts={"a": 20}
    )
    assert len(plans["a"].layers) <= 127 - 7 - 20
    assert len(plans["b"].layers) <= 127 - 7
    # What both need is in layers of both.
    assert sum(distinct(plans).values()) == len(names)


@st.composite
def families(draw: st.DrawFn) -> dict[str, ImageDescription]:
    labels = [f"n{number}" for number in range(draw(st.integers(1, 10)))]
    graph = {
        name: " ".join(sorted(draw(st.sets(st.sampled_from(labels[: number + 1]), max_size=3))))
        for number, name in enumerate(labels)
    }
    sizes = {name: draw(st.integers(0, 50)) for name in labels}
    some = st.lists(st.sampled_from(labels), max_size=3, unique=True).map(" ".join)
    return {
        name: image_of(
            graph,
            *(
                part(draw(some), draw(st.integers(-1, 5)), at_root=draw(some))
                for _ in range(draw(st.integers(1, 3)))
            ),
            sizes=sizes,
        )
        for name in "abc"[: draw(st.integers(1, 3))]
    }


@settings(deadline=None)
@given(families(), st.sampled_from(["popularity", "single", "update-cost"]))
def test_each_image_of_a_family_has_all_that_it_has_alone(
    family: dict[str, ImageDescription], strategy: str
) -> None:
    options = PlanOptions(strategy=strategy)
    plans = plan_family(family, options)
    for name, description in family.items():
        alone = plan_layers(description, options)
        placed = [planned for layer in plans[name].layers for planned in layer.paths]
        assert sorted(map(str, placed)) == sorted(
            str(planned) for layer in alone.layers for planned in layer.paths
        )
        for layer in description.layers:
            own = [one for one in plans[name].layers if one.history is layer.history]
            assert layer.max_layers < 1 or len(own) <= layer.max_layers


@settings(deadline=None)
@given(families())
def test_family_has_each_byte_once_where_layers_are_not_counted(
    family: dict[str, ImageDescription],
) -> None:
    options = PlanOptions(strategy="popularity", max_layers=0)
    one_part = {
        name: ImageDescription(
            **{
                **{
                    field: getattr(description, field) for field in description.__dataclass_fields__
                },
                "layers": description.layers[-1:],
            }
        )
        for name, description in family.items()
    }
    once: dict[tuple[PlannedPath, ...], int] = {}
    for description in one_part.values():
        for layer in plan_layers(description, options).layers:
            for path in {planned.info.path for planned in layer.paths}:
                ways = tuple(planned for planned in layer.paths if planned.info.path == path)
                once[ways] = sum(planned.info.nar_size_bytes for planned in ways)
    assert sum(distinct(plan_family(one_part, options)).values()) == sum(once.values())


@settings(deadline=None)
@given(families())
def test_family_does_not_depend_on_the_order_of_its_images(
    family: dict[str, ImageDescription],
) -> None:
    backwards = dict(reversed(family.items()))
    assert plan_family(backwards, OPTIONS) == plan_family(family, OPTIONS)
