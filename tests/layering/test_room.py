"""No image has more layers than a runtime takes, nor than is left to it."""

from __future__ import annotations

import pytest

from layering.test_plan_layers import description_of, layer_of
from nixbridge.description import NixDatabaseRequest
from nixbridge.errors import PlanError
from nixbridge.layering import PlanOptions, compare_strategies, plan_layers

NAMES = [f"p{number:03}" for number in range(150)]
GRAPH = {**dict.fromkeys(NAMES, ""), "all": " ".join(NAMES), "few": "p000 p001"}


def layer_count(
    *, base: int = 0, leave: int = 0, max_layers: int = 0, strategy: str = "update-cost"
) -> int:
    description = description_of(
        GRAPH, layer_of("few"), layer_of("all", max_layers=max_layers, strategy=strategy)
    )
    return len(
        plan_layers(description, PlanOptions(leave_layers=leave), base_layer_count=base).layers
    )


def test_own_part_has_the_layers_that_are_left() -> None:
    assert layer_count() == 127
    assert layer_count(max_layers=200) == 127
    assert layer_count(base=20) == 107
    assert layer_count(base=20, leave=30) == 77
    assert layer_count(base=125) == 2
    assert layer_count(max_layers=100, base=20) == 101
    assert layer_count(max_layers=106, base=20) == 107
    assert layer_count(max_layers=107, base=20) == 107
    assert layer_count(strategy="popularity", leave=77) == 50


def test_nix_database_counts() -> None:
    description = description_of(GRAPH, layer_of("all", max_layers=0, strategy="auto"))
    with_database = plan_layers(
        description.__class__(
            **{
                **{name: getattr(description, name) for name in description.__dataclass_fields__},
                "nix_database": NixDatabaseRequest(),
            }
        )
    )
    assert len(with_database.layers) == 126


@pytest.mark.parametrize(
    ("base", "leave", "message"),
    [
        (
            126,
            0,
            "126 of the base image, 1 explicit and those of its own, where a runtime takes 127",
        ),
        (
            0,
            126,
            "1 explicit and those of its own, where a runtime takes 127, and 126 are to be left",
        ),
    ],
)
def test_no_room_for_the_own_part_is_refused(base: int, leave: int, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        layer_count(base=base, leave=leave)
    assert caught.value.message == f"the image needs too many layers: {message}"
    assert caught.value.hint == (
        f"let explicit layers be fewer, so that all are {127 - leave} at the most"
    )


def test_too_many_explicit_layers_are_refused() -> None:
    layers = [layer_of(name) for name in NAMES[:128]]
    with pytest.raises(PlanError) as caught:
        plan_layers(description_of(GRAPH, *layers, layer_of("")))
    assert caught.value.message == (
        "the image needs too many layers: 128 explicit in all, where a runtime takes 127"
    )
    plan = plan_layers(description_of(GRAPH, *layers[:127], layer_of("")))
    assert len(plan.layers) == 127


def test_layer_for_each_path_that_does_not_fit_is_refused() -> None:
    with pytest.raises(PlanError, match="149 paths cannot have a layer each in 126 layers"):
        layer_count(strategy="one-per-path")


def test_plans_are_compared_with_as_many_layers() -> None:
    graph = {"a": "", "b": "a", "c": "b", "d": "", "e": "d"}
    description = description_of(
        graph, layer_of("a"), layer_of("c e", max_layers=2, strategy="single")
    )
    strategies = ["auto", "one-per-path", "popularity", "single", "update-cost"]

    def costs(options: PlanOptions) -> tuple[float, float, dict[str, float]]:
        plan = plan_layers(description, options)
        found = compare_strategies(description, plan, options, strategies)
        return found.expected_bytes, found.floor_bytes, dict(found.others_bytes)

    # `a` in a layer below, and the other four in one, which always changes.
    assert costs(PlanOptions()) == (
        1 / 5 + 4,
        (1 + 2 + 3 + 1 + 2) / 5,
        {"auto": 4.2, "popularity": 4.2, "update-cost": 4.2},
    )
    own, _, others = costs(PlanOptions(strategy="update-cost"))
    assert own == pytest.approx((1 + 2 * 2 + 2 * 3) / 5)
    assert others.keys() == {"auto", "popularity", "single"}
    assert others["single"] == 4.2
    _, floor_bytes, others = costs(PlanOptions(strategy="auto", max_layers=4))
    assert others["one-per-path"] == others["update-cost"] == pytest.approx(floor_bytes)
