"""What `plan` shows."""

from __future__ import annotations

from dataclasses import replace

from layering.test_plan_layers import SHOP, description_of, layer_of
from nixbridge.description import NixDatabaseRequest
from nixbridge.layering import PlanCosts, PlanOptions, compare_strategies, plan_layers
from nixbridge.oci import BlobDigest
from nixbridge.report.plan import plan_document, plan_table
from report.sample_closure import base_image

DESCRIPTION = replace(
    description_of(SHOP, layer_of("glibc"), layer_of("config", max_layers=2)),
    nix_database=NixDatabaseRequest(),
)
PLAN = plan_layers(DESCRIPTION)
COSTS = compare_strategies(DESCRIPTION, PLAN, PlanOptions(), ["auto", "popularity", "single"])
BASE = base_image(2_500_000)


def test_table_tells_how_often_layers_change_and_what_that_costs() -> None:
    lines = [" ".join(line.split()) for line in plan_table(PLAN, COSTS, BASE).splitlines()]
    assert lines == [
        "LAYER SIZE PATHS CHANGES HOLDS REASON",
        "1 2.5 MB of the base image base.tar",
        "2 1 B 1 14 % glibc explicit: glibc and its closure",
        "3 1 B 1 29 % openssl popular: 1 path refers to it",
        "4 4 B 4 86 % bash, config, curl, shop the 4 least popular paths",
        "5 0 100 % the Nix database",
        "5 layers, 6 paths, 6 B",
        "an update sends 4 B on average; with a layer for each path it would be 3 B",
        "with other strategies and as many layers: auto 4 B, single 4 B",
    ]


def test_table_of_an_image_upon_none_begins_with_its_own_layers() -> None:
    costs = PlanCosts(expected_bytes=2e6, floor_bytes=1e6, others_bytes={})
    lines = plan_table(PLAN, costs, None).splitlines()
    assert lines[1].split()[:4] == ["1", "1", "B", "1"]
    assert lines[-1] == (
        "an update sends 2.0 MB on average; with a layer for each path it would be 1.0 MB"
    )


def test_no_line_is_wider_than_the_terminal_and_each_layer_has_one() -> None:
    lines = plan_table(PLAN, COSTS, BASE, 60).splitlines()
    assert max(map(len, lines)) <= 60
    assert [line.split()[0] for line in lines[1:6]] == ["1", "2", "3", "4", "5"]
    assert "bash, config +2" in lines[4]


def test_document_has_all_that_the_table_has() -> None:
    document = plan_document(PLAN, COSTS, BASE)
    assert document["baseImage"] == "base.tar"
    assert document["baseLayers"] == [
        {"sizeBytes": 2_500_000, "digest": None, "diffId": str(BASE.layers[0].diff_id)}
    ]
    assert [layer["changeProbability"] for layer in document["layers"]] == [1 / 7, 2 / 7, 6 / 7]
    assert document["expectedBytes"] == PLAN.expected_bytes
    assert document["floorBytes"] == COSTS.floor_bytes
    assert document["otherStrategies"].keys() == {"auto", "single"}
    alone = plan_document(PLAN, COSTS, None)
    assert (alone["baseImage"], alone["baseLayers"]) == (None, [])
    named = replace(BASE.layers[0], digest=BlobDigest("sha256:" + "2" * 64))
    document = plan_document(PLAN, COSTS, replace(BASE, layers=(named,)))
    assert document["baseLayers"][0]["digest"] == "sha256:" + "2" * 64
