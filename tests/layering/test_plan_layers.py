"""From a description to a plan: what goes where, what is left out, and why."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layering_tasks import graph_of, path_of, paths_of
from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.description import (
    ImageDescription,
    LayerDescription,
    NixDatabaseRequest,
    Perm,
    PreviousLayer,
)
from nixbridge.errors import InputError, PlanError
from nixbridge.layering import (
    LayerPlan,
    LayerTask,
    PathGroup,
    PlannedLayer,
    PlanOptions,
    PreviousPlan,
    Strategy,
    find_strategy,
    plan_layers,
)
from nixbridge.oci import Platform
from nixbridge.plugins import PluginGroup, plugins


def layer_of(
    roots: str,
    *,
    at_root: str = "",
    ignore: str = "",
    perms: tuple[Perm, ...] = (),
    max_layers: int = 1,
    strategy: str = "popularity",
) -> LayerDescription:
    return LayerDescription(
        roots=paths_of(roots),
        copy_to_root=paths_of(at_root),
        ignore=paths_of(ignore),
        perms=perms,
        max_layers=max_layers,
        strategy=strategy,
        history={"created_by": roots or at_root},
    )


def description_of(references: Mapping[str, str], *layers: LayerDescription) -> ImageDescription:
    return ImageDescription(
        name="test",
        tag="latest",
        platform=Platform(architecture="amd64"),
        created="0001-01-01T00:00:00Z",
        config={},
        annotations={},
        layers=layers,
        nix_database=None,
        closure=graph_of(references),
    )


def words(layer: PlannedLayer) -> str:
    """Say what is in a layer: names, those at / after a slash, with their perms' regexes."""
    return " ".join(
        ("/" if path.copy_to_root else "")
        + path.info.path.name
        + "".join(f"[{perm.regex}]" for perm in path.perms)
        for path in layer.paths
    )


def plan_of(references: Mapping[str, str], *layers: LayerDescription) -> list[str]:
    return [words(layer) for layer in plan_layers(description_of(references, *layers)).layers]


SHOP = {
    "glibc": "glibc",
    "openssl": "glibc openssl",
    "curl": "curl glibc openssl",
    "bash": "bash glibc",
    "shop": "bash curl shop",
    "files": "bash shop",
    "config": "shop",
}


def test_layer_leaves_out_what_all_earlier_layers_hold() -> None:
    assert plan_of(SHOP, layer_of("openssl"), layer_of("bash"), layer_of("shop curl")) == [
        "glibc openssl",
        "bash",
        "curl shop",
    ]


def test_layer_with_nothing_new_is_left_out() -> None:
    assert plan_of(SHOP, layer_of("shop"), layer_of("curl"), layer_of("config")) == [
        "bash curl glibc openssl shop",
        "config",
    ]


def test_ignored_path_is_left_out_but_not_its_closure() -> None:
    assert plan_of(SHOP, layer_of("config", ignore="config")) == ["bash curl glibc openssl shop"]


def test_image_is_split_as_nix2container_does() -> None:
    # Popularity is that in the layer's own closure, with what the lower layer holds.
    layers = (
        layer_of("openssl"),
        layer_of("config", ignore="config", at_root="files", max_layers=3),
    )
    assert plan_of(SHOP, *layers) == ["glibc openssl", "bash", "curl", "/files shop"]


def test_path_at_the_root_is_in_the_store_only_if_something_needs_it_there() -> None:
    assert plan_of({"a": "a"}, layer_of("", at_root="a")) == ["/a"]
    assert plan_of({"a": "a"}, layer_of("a", at_root="a")) == ["a /a"]
    assert plan_of({"a": "", "b": "a"}, layer_of("b", at_root="a")) == ["a /a b"]
    # What refers to it was ignored, so nothing does.
    assert plan_of({"a": "", "b": "a"}, layer_of("b", at_root="a", ignore="b")) == ["/a"]


def test_path_at_the_root_that_a_lower_layer_holds_is_not_in_the_store_twice() -> None:
    assert plan_of({"a": ""}, layer_of("a"), layer_of("a", at_root="a")) == ["a", "/a"]


def test_files_at_the_root_are_together_so_that_none_hides_another() -> None:
    graph = {"a": "", "b": "", "c": "b", "d": ""}
    for strategy in ("update-cost", "auto", "one-per-path"):
        layers = plan_of(graph, layer_of("", at_root="a c d", max_layers=4, strategy=strategy))
        assert layers == ["b", "/a /c /d"], strategy
    # nix2container has them anywhere.
    assert plan_of(graph, layer_of("", at_root="a c d", max_layers=4)) == ["b", "/d", "/c", "/a"]


def test_perms_are_those_of_the_path() -> None:
    perms = (
        Perm(path=path_of("a"), regex="x"),
        Perm(path=path_of("b"), regex="y"),
        Perm(path=path_of("a"), regex="z"),
    )
    graph = {"a": "b", "b": "", "c": "a"}
    assert plan_of(graph, layer_of("a", perms=perms)) == ["a[x][z] b[y]"]
    # In the store a path stays what Nix knows of it, if its perms are for the root.
    assert plan_of(graph, layer_of("c", at_root="a", perms=perms)) == ["a /a[x][z] b[y] c"]


def test_path_with_other_perms_is_another_thing() -> None:
    perms = (Perm(path=path_of("a"), regex="x"),)
    assert plan_of({"a": ""}, layer_of("a"), layer_of("a", perms=perms)) == ["a", "a[x]"]
    assert plan_of({"a": ""}, layer_of("a", perms=perms), layer_of("a", perms=perms)) == ["a[x]"]


def test_perms_for_a_path_that_is_not_there_are_refused() -> None:
    perms = (Perm(path=path_of("curl"), regex=""),)
    with pytest.raises(PlanError) as caught:
        plan_of(SHOP, layer_of("bash", perms=perms))
    assert caught.value.message == (
        f"perms are given for `{path_of('curl')}`, which is not in the closure of the layer"
    )
    assert caught.value.hint == "name a path of `deps` or `copyToRoot`, or of their closures"


def test_plan_of_nix2container_has_its_faults() -> None:
    def exact_plan(references: Mapping[str, str], layer: LayerDescription) -> LayerPlan:
        description = description_of(references, layer)
        database = NixDatabaseRequest(uid=7)
        return plan_layers(replace(description, is_n2c_exact=True, nix_database=database))

    perms = (Perm(path=path_of("curl"), regex=""), Perm(path=path_of("a"), regex="x"))
    layer = layer_of("b", at_root="a", perms=perms)
    plan = exact_plan({"a": "", "b": "a"}, layer)
    assert [words(one) for one in plan.layers] == ["/a[x] b"]
    assert plan.nix_database == NixDatabaseRequest(uid=7, is_n2c_exact=True)


@pytest.mark.parametrize(
    ("layer", "reasons"),
    [
        (layer_of("bash"), ["explicit: bash and its closure"]),
        (layer_of("curl bash"), ["explicit: curl, bash and their closures"]),
        (
            layer_of("glibc openssl curl bash shop"),
            ["explicit: glibc, openssl, curl, 2 more and their closures"],
        ),
        (layer_of("config", ignore="config"), ["what config refers to"]),
        (layer_of("", at_root="glibc"), ["files at / from glibc"]),
        (layer_of("", at_root="files"), ["what the files at / refer to; files at / from files"]),
        (
            layer_of("bash", at_root="files"),
            ["explicit: bash and its closure; files at / from files"],
        ),
        (
            layer_of("config", ignore="config", at_root="files", max_layers=4),
            [
                "popular: 3 paths refer to it",
                "popular: 1 path refers to it",
                "popular: 2 paths refer to it",
                "the 3 least popular paths; files at / from files",
            ],
        ),
        (
            layer_of("", at_root="files", max_layers=0),
            [
                "popular: 3 paths refer to it",
                "popular: 1 path refers to it",
                "popular: 2 paths refer to it",
                "popular: 1 path refers to it",
                "popular: 1 path refers to it",
                "files at / from files",
            ],
        ),
        (layer_of("config", max_layers=9, strategy="single"), ["explicit: config and its closure"]),
    ],
)
def test_every_layer_has_a_reason(layer: LayerDescription, reasons: list[str]) -> None:
    plan = plan_layers(description_of(SHOP, layer))
    assert [one.reason for one in plan.layers] == reasons
    assert {id(one.history) for one in plan.layers} == {id(layer.history)}


def test_each_part_of_an_image_keeps_its_own_layers() -> None:
    old = (layer_of("openssl"), layer_of("config", at_root="files", max_layers=4))
    before = plan_layers(description_of(SHOP, *old))
    assert [words(layer) for layer in before.layers] == [
        "glibc openssl",
        "bash",
        "curl",
        "shop",
        "config /files",
    ]
    previous = PreviousPlan(
        layers=tuple(
            PreviousLayer(
                paths=frozenset(planned.info.path for planned in layer.paths), reason=layer.reason
            )
            for layer in before.layers
        )
    )
    options = PlanOptions(previous=previous)
    assert plan_layers(description_of(SHOP, *old), options) == before
    # The part with the files at the root has a path more, and no room for it.
    new = (old[0], layer_of("config less", at_root="files", max_layers=4))
    plan = plan_layers(description_of(SHOP | {"less": "glibc"}, *new), options)
    assert [words(layer) for layer in plan.layers] == [
        "glibc openssl",
        "curl",
        "shop",
        "config /files",
        "bash less",
    ]
    assert plan.layers[3].reason == before.layers[4].reason


def test_one_per_path_puts_references_below() -> None:
    layers = plan_of(SHOP, layer_of("config", max_layers=0, strategy="one-per-path"))
    assert sorted(layers) == sorted(set(SHOP) - {"files"})
    for name in layers:
        for reference in SHOP[name].split():
            assert layers.index(reference) <= layers.index(name)


def test_one_per_path_refuses_a_budget_that_cannot_be_met() -> None:
    with pytest.raises(PlanError) as caught:
        plan_of(SHOP, layer_of("shop", max_layers=4, strategy="one-per-path"))
    assert caught.value.message == "5 paths cannot have a layer each in 4 layers"
    assert caught.value.hint == "allow more layers, or take the strategy `update-cost`"
    assert len(plan_of(SHOP, layer_of("shop", max_layers=5, strategy="one-per-path"))) == 5


def test_single_makes_one_layer() -> None:
    assert plan_of(SHOP, layer_of("shop", max_layers=9, strategy="single")) == [
        "bash curl glibc openssl shop"
    ]


def test_unknown_strategy_is_refused_with_what_there_is() -> None:
    with pytest.raises(InputError) as caught:
        plan_of(SHOP, layer_of("shop", strategy="popularty"))
    assert caught.value.message == "`popularty` is no strategy that we know"
    assert caught.value.hint == "did you mean `popularity`?"
    with pytest.raises(InputError) as caught:
        find_strategy("xyz")
    assert caught.value.hint == (
        "known here: `auto`, `one-per-path`, `popularity`, `single`, `update-cost`"
    )


def test_our_strategies_are_registered_as_anybodys() -> None:
    known = plugins(PluginGroup.STRATEGIES)
    assert {"auto", "one-per-path", "popularity", "single", "update-cost"} <= known.keys()
    assert list(known) == sorted(known)


def test_options_are_for_the_own_part_of_the_image() -> None:
    description = description_of(SHOP, layer_of("curl", max_layers=2), layer_of("config"))
    options = PlanOptions(strategy="one-per-path", max_layers=9)
    plan = plan_layers(description, options)
    assert [words(layer) for layer in plan.layers] == [
        "glibc",
        "curl openssl",
        "bash",
        "shop",
        "config",
    ]
    assert plan_layers(description_of(SHOP), options).layers == ()


def test_layer_tells_how_likely_an_update_changes_it() -> None:
    layers = (layer_of("glibc"), layer_of("curl"), layer_of("bash"))
    description = description_of({**SHOP, "other": ""}, *layers)
    plan = plan_layers(description)
    # Of eight paths: glibc; glibc, openssl and curl; glibc and bash.
    assert [layer.change_probability for layer in plan.layers] == [1 / 8, 3 / 8, 2 / 8]
    assert plan.expected_bytes == 1 / 8 + 2 * 3 / 8 + 2 / 8

    plan = plan_layers(description, PlanOptions(weights={"b*": 2, "bas*": 9}))
    assert [layer.change_probability for layer in plan.layers] == [1 / 16, 3 / 16, 10 / 16]


def group(names: str) -> PathGroup:
    return PathGroup(paths=paths_of(names), reason="test")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ((group("a"),), "`{}b` is not placed"),
        ((group("a b"), group("b")), "`{}b` is placed twice"),
        ((group("a b b"),), "`{}b` is placed twice"),
        ((group("a b c"),), "`{}c` was not to be placed"),
        ((group("a b"), group("")), "a layer is empty"),
        ((group("a"), group("b")), "2 layers, where 1 may be"),
    ],
)
def test_plugin_that_makes_a_wrong_plan_is_named(
    groups: tuple[PathGroup, ...], message: str
) -> None:
    def strategy(task: LayerTask) -> tuple[PathGroup, ...]:
        assert (len(task.graph), len(task.candidates), task.max_layers) == (2, 2, 1)
        return groups

    def strategy_of(name: str) -> Strategy:
        assert name == "plugin"
        return strategy

    description = description_of({"a": "", "b": "a"}, layer_of("b", strategy="plugin"))
    with pytest.raises(PlanError) as caught:
        plan_layers(description, strategy_of=strategy_of)
    assert caught.value.message == (
        "the strategy `plugin` made a wrong plan: " + message.format(path_of("x").text[:-1])
    )


@st.composite
def descriptions(draw: st.DrawFn) -> ImageDescription:
    """Any acyclic graph, and any layers upon it."""
    names = [f"n{number}" for number in range(draw(st.integers(1, 14)))]
    graph = {}
    for number, name in enumerate(names):
        graph[name] = " ".join(draw(st.sets(st.sampled_from(names[: number + 1]))))
    some = st.lists(st.sampled_from(names), max_size=3, unique=True).map(" ".join)
    layers = [
        layer_of(
            draw(some),
            at_root=draw(some),
            ignore=draw(some),
            max_layers=draw(st.integers(-1, 6)),
            strategy=draw(st.sampled_from(["popularity", "single"])),
        )
        for _ in range(draw(st.integers(1, 4)))
    ]
    return description_of(graph, *layers)


@settings(deadline=None)
@given(descriptions())
def test_plan_is_a_partition_of_what_is_asked_for(description: ImageDescription) -> None:
    plan = plan_layers(description)
    assert all(layer.paths for layer in plan.layers)
    assert all(list(layer.paths) == sorted(layer.paths, key=sorting) for layer in plan.layers)
    placed = Counter(
        (path.info.path, path.copy_to_root) for layer in plan.layers for path in layer.paths
    )
    assert set(placed.values()) <= {1}
    wanted: set[tuple[StorePath, bool]] = set()
    for layer in description.layers:
        closure = description.closure.closure_of((*layer.roots, *layer.copy_to_root))
        kept = {info.path for info in closure} - set(layer.ignore)
        at_root = kept & set(layer.copy_to_root)
        needed = {path for one in kept for path in closure[one].references if path != one}
        wanted |= {(path, True) for path in at_root}
        wanted |= {(path, False) for path in kept - at_root}
        wanted |= {(path, False) for path in at_root & (needed | set(layer.roots))}
    assert placed.keys() == wanted


def sorting(path: object) -> tuple[StorePath, bool]:
    return (path.info.path, path.copy_to_root)  # type: ignore[attr-defined]


@settings(deadline=None)
@given(descriptions())
def test_plan_keeps_to_the_budget_of_each_layer(description: ImageDescription) -> None:
    lengths = Counter(id(layer.history) for layer in plan_layers(description).layers)
    for layer in description.layers:
        if layer.max_layers >= 1:
            assert lengths[id(layer.history)] <= layer.max_layers


@settings(deadline=None)
@given(descriptions(), st.randoms(use_true_random=False))
def test_plan_does_not_depend_on_the_order_of_input(
    description: ImageDescription, randomness: random.Random
) -> None:
    infos = list(description.closure)
    randomness.shuffle(infos)
    shuffled = ImageDescription(
        **{
            **{name: getattr(description, name) for name in description.__dataclass_fields__},
            "closure": ClosureGraph.of(infos),
            "layers": tuple(
                LayerDescription(
                    roots=layer.roots[::-1],
                    copy_to_root=layer.copy_to_root[::-1],
                    ignore=layer.ignore[::-1],
                    max_layers=layer.max_layers,
                    strategy=layer.strategy,
                    history=layer.history,
                )
                for layer in description.layers
            ),
        }
    )
    assert without_reasons(plan_layers(shuffled)) == without_reasons(plan_layers(description))


def without_reasons(plan: LayerPlan) -> list[object]:
    """The roots' own order shows in the words, and there alone."""
    return [layer.paths for layer in plan.layers]
