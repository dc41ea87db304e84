"""Plans as files: what is written is read, and nothing else is."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

import nixbridge.description as description_room
import nixbridge.layering as layering_room
from layering_tasks import graph_of, path_of, paths_of
from nixbridge.closure import ClosureGraph, NarHash, PathInfo, StorePath
from nixbridge.description import PreviousLayer, parse_plan_file, plan_document
from nixbridge.errors import InputError
from nixbridge.layering import LayerPlan, PlannedLayer, PlannedPath, plan_file_text

GRAPH = graph_of({"shop": "libc", "libc": "", "files": ""})


def layer_of(*names: str, reason: str) -> PlannedLayer:
    return PlannedLayer(
        paths=tuple(
            PlannedPath(info=GRAPH[path_of(name.lstrip("/"))], copy_to_root=name.startswith("/"))
            for name in names
        ),
        reason=reason,
        history={"created_by": "a test"},
    )


PLAN = LayerPlan(
    layers=(layer_of("libc", reason="below"), layer_of("shop", "files", "/files", reason="above"))
)
TEXT = """\
{
  "version": 1,
  "images": [
    {
      "name": "shop",
      "layers": [
        {
          "reason": "below",
          "paths": [
            "/nix/store/00000000000000000000000000000000-libc"
          ]
        },
        {
          "reason": "above",
          "paths": [
            "/nix/store/00000000000000000000000000000000-files",
            "/nix/store/00000000000000000000000000000000-shop"
          ]
        }
      ]
    }
  ]
}
"""


def test_file_is_made_to_be_committed() -> None:
    assert plan_file_text({"shop": PLAN}) == TEXT


def test_what_is_written_is_read() -> None:
    plans = parse_plan_file(
        plan_file_text({"b": LayerPlan(layers=()), "a": PLAN}).encode(), source="x"
    )
    assert list(plans.layers) == ["a", "b"]
    assert plans.layers_for("a", GRAPH) == (
        PreviousLayer(paths=frozenset(paths_of("libc")), reason="below"),
        PreviousLayer(paths=frozenset(paths_of("shop files")), reason="above"),
    )


def test_plan_of_one_image_fits_that_image_by_another_name() -> None:
    plans = parse_plan_file(TEXT.encode(), source="plan.json")
    assert len(plans.layers_for("shop-2", GRAPH)) == 2


def test_plan_of_another_image_is_refused() -> None:
    plans = parse_plan_file(TEXT.encode(), source="plan.json")
    with pytest.raises(InputError) as caught:
        plans.layers_for("shop", graph_of({"bash": ""}))
    assert caught.value.message == (
        "`plan.json` is the plan of another image: it has no package of this one"
    )
    assert caught.value.hint == "save the plan of this one: `nixbridge plan SOURCE --save FILE`"
    both = parse_plan_file(plan_file_text({"b": PLAN, "a": PLAN}).encode(), source="plan.json")
    with pytest.raises(InputError) as caught:
        both.layers_for("shop", GRAPH)
    assert caught.value.message == "`plan.json` holds no plan for the image `shop`"
    assert caught.value.hint == "it holds: `a`, `b`"


def with_hash(digit: str, *names: str) -> frozenset[StorePath]:
    return frozenset(StorePath(f"/nix/store/{digit * 32}-{name}") for name in names)


def closure_of(*paths: frozenset[StorePath]) -> ClosureGraph:
    return ClosureGraph.of(
        PathInfo(path=path, nar_hash=NarHash("0" * 64), nar_size_bytes=1, references=())
        for path in sorted(frozenset().union(*paths))
    )


def test_what_is_built_anew_has_the_place_of_what_is_gone() -> None:
    saved = [
        with_hash("0", "libc-2.41", "libc-2.41-dev", "ca-certificates"),
        with_hash("0", "shop-1", "tool-1.0") | with_hash("1", "tool-1.0"),
        with_hash("0", "gone"),
    ]
    document = plan_document(
        {"shop": [PreviousLayer(paths=paths, reason="because") for paths in saved]}
    )
    plans = parse_plan_file(json.dumps(document).encode(), source="plan.json")
    now = closure_of(
        with_hash("0", "ca-certificates"),
        with_hash("2", "libc-2.41", "libc-2.42-dev", "shop-2", "tool-1.0", "new-1"),
    )
    followed = plans.follow("shop", now)
    assert [layer.paths for layer in followed.layers] == [
        with_hash("0", "ca-certificates") | with_hash("2", "libc-2.41", "libc-2.42-dev"),
        with_hash("2", "shop-2", "tool-1.0"),
    ]
    assert (followed.as_saved_count, followed.rebuilt_count, followed.new_count) == (1, 4, 1)
    assert followed.other_name is None
    assert plans.follow("mart", now).other_name == "shop"
    # What is there as it was leaves its place to nobody.
    both = closure_of(with_hash("0", "shop-1"), with_hash("2", "shop-1", "shop-2"))
    (layer,) = plans.follow("shop", both).layers
    assert layer.paths == with_hash("0", "shop-1")


def changed(change: Callable[[Any], object]) -> Any:
    document = json.loads(TEXT)
    change(document)
    return document


SCHEMA = json.loads(
    Path(layering_room.__file__ or "")
    .with_name("plan-file.schema.json")
    .read_text(encoding="utf-8")
)


def test_the_schema_of_image_descriptions_has_the_same_plan() -> None:
    schema = Path(description_room.__file__ or "").with_name("image-description.schema.json")
    described = json.loads(schema.read_text(encoding="utf-8"))["properties"]["plan"]["oneOf"][1]
    plan = copy.deepcopy({key: SCHEMA[key] for key in described})
    layer = plan["properties"]["images"]["items"]["properties"]["layers"]["items"]
    # Each file has its own words for a store path.
    layer["properties"]["paths"]["items"] = {"$ref": "#/$defs/storePath"}
    assert described == plan


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "the document is a list and should be an object"),
        ({}, "`version` is missing"),
        (changed(lambda d: d.update(version=2)), "`version` is 2, and this nixbridge knows 1"),
        (
            changed(lambda d: d.update(version=True)),
            "`version` is true or false and should be a whole number",
        ),
        (changed(lambda d: d.update(layers=[])), "`layers` is not a key"),
        (changed(lambda d: d.pop("images")), "`images` is missing"),
        (changed(lambda d: d["images"][0].pop("name")), "`images[0].name` is missing"),
        (changed(lambda d: d["images"][0].update(tag="x")), "`images[0].tag` is not a key"),
        (
            changed(lambda d: d["images"][0]["layers"][1].update(paths=[])),
            "`images[0].layers[1].paths` is empty",
        ),
        (
            changed(lambda d: d["images"][0]["layers"][1]["paths"].append("/bin/sh")),
            "`images[0].layers[1].paths[2]` cannot be used: `/bin/sh` is not a store path",
        ),
        (
            changed(lambda d: d["images"][0]["layers"][0].pop("reason")),
            "`images[0].layers[0].reason` is missing",
        ),
        (
            changed(lambda d: d["images"][0]["layers"][0].update(size=1)),
            "`images[0].layers[0].size` is not a key",
        ),
    ],
)
def test_what_is_no_plan_file_is_refused_at_its_place(document: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_plan_file(json.dumps(document).encode(), source="plan.json")
    assert caught.value.message == f"in `plan.json`, {message}"
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(document)


def test_schema_accepts_what_is_written() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(TEXT))


def test_image_that_comes_twice_is_refused() -> None:
    document = json.loads(TEXT)
    document["images"].append(copy.deepcopy(document["images"][0]))
    with pytest.raises(InputError) as caught:
        parse_plan_file(json.dumps(document).encode(), source="plan.json")
    assert caught.value.message == "in `plan.json`, `images[1].name` is `shop` a second time"


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(InputError, match=r"`plan\.json` is not JSON: "):
        parse_plan_file(b"\xff{", source="plan.json")
