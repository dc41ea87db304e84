"""The pages of `plan --html` and `diff --html` as files: what is in them without a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from destinations.sample_image import SAMPLE
from nixbridge import cli, pipeline
from nixbridge.closure import StoreRoot
from nixbridge.delivery import Described
from nixbridge.description import ImageDescription, NixDatabaseRequest
from nixbridge.image import BaseImage
from nixbridge.layering import PlanOptions, plan_layers
from nixbridge.report import page as page_module
from nixbridge.report.contents import Contents, contents_of_plan
from nixbridge.report.cost_curves import CostCurves, cost_curves
from nixbridge.report.diff import compare
from nixbridge.report.diff_page import diff_page_html
from nixbridge.report.page import (
    CellKind,
    Column,
    Page,
    PageTable,
    cell_text,
    page_html,
    path_titles,
)
from nixbridge.report.plan_page import plan_page_html
from nixbridge.report.update import estimate_update
from report.sample_closure import SHOP, SampleClosure, base_image, store_path

STRATEGIES = ("one-per-path", "popularity", "single")
CURVES_CAPTION = (
    "Bytes sent on average by how many layers the image has. "
    "Own part: those that max_layers counts."
)
# What would leave its place in a page, if it could.
HOSTILE = "</script><!--<script>\u2028\u2029'\"&amp;${x}<img src=x onerror=alert(1)>]]>\x00\ud7ff"


def plan_page(
    description: ImageDescription | None = None,
    base: BaseImage | None = None,
    against: Contents | None = None,
) -> str:
    description = description or SampleClosure(SHOP).shop()
    count = 0 if base is None else len(base.layers)
    plan = plan_layers(description, base_layer_count=count)
    curves = cost_curves(description, plan, PlanOptions(), STRATEGIES, base_layer_count=count)
    update = None
    if against is not None:
        new = contents_of_plan(description, plan, base, title="new")
        update = estimate_update(against, new, (), repack_within_updates=10)
    return plan_page_html(description, plan, base, curves, update)


def published(sample: SampleClosure, base: BaseImage | None = None) -> Contents:
    """Return what an image of the sample tells that is out, upon a base image."""
    description = sample.shop()
    return contents_of_plan(description, plan_layers(description), base, title="oci:old")


def empty_page(**parts: Any) -> Page:
    nothing: dict[str, Any] = {
        "kicker": "", "title": "", "summary": "", "map_hint": "",
        "tables": (), "layers": (), "paths": (),
    }  # fmt: skip
    return Page(**{**nothing, **parts})


class Reader(HTMLParser):
    """Reads a page as a browser does: elements, their attributes, and the texts in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.elements[-1][0] if self.elements else "", data))

    def text_of(self, tag: str) -> list[str]:
        """Return the texts in such elements, but for blank ones behind them."""
        return [text for inside, text in self.texts if inside == tag and text.strip()]

    @property
    def data(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.text_of("script")[0])
        return document


def test_a_page_may_run_its_own_script_and_style_and_fetch_nothing() -> None:
    page = Reader(plan_page())
    (policy,) = [
        attributes["content"] or ""
        for tag, attributes in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))

    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert rules == {
        "default-src": "'none'",
        "style-src": source(page.text_of("style")[0]),
        "script-src": source(page.text_of("script")[1]),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    # Nothing that could be fetched, and no handler or style that the policy would refuse.
    for tag, attributes in page.elements:
        assert tag not in {"link", "img", "iframe", "base", "object"}
        refused = {name for name in attributes if name.startswith("on")} | {"src", "style"}
        assert not refused & attributes.keys()


def test_hostile_names_stay_texts() -> None:
    table = PageTable(
        name="t", title=HOSTILE, caption=HOSTILE, columns=(Column(title=HOSTILE),),
        rows=((HOSTILE,),),
    )  # fmt: skip
    text = page_html(
        empty_page(
            kicker=HOSTILE, title=HOSTILE, summary=HOSTILE, map_hint=HOSTILE, notes=(HOSTILE,),
            tables=(table,),
        )
    )  # fmt: skip
    innocent = page_html(empty_page(notes=("",), tables=(replace(table, title="", caption=""),)))
    page = Reader(text)
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in Reader(innocent).elements]
    assert page.data["tables"]["t"]["rows"] == [[HOSTILE]]
    raw = text[text.index('id="data">') : text.index("</script>\n<script>")]
    assert raw.isascii()
    assert "<" not in raw
    assert "&" not in raw


def test_tables_and_totals_are_there_without_a_script() -> None:
    page = plan_page()
    assert Reader(page).text_of("p")[1] == (
        "130 MB in 5 layers. An update sends 97 MB on average; with a layer for each path it would "
        "be 56 MB."
    )
    assert re.findall(r"<caption><span>(.*?)</span></caption>", page) == [
        "From bottom to top. Changes: which part of all updates changes the layer.",
        "Drags in: the size of all that would leave the image with it.",
        CURVES_CAPTION,
    ]
    assert '<td class="">' not in page
    assert "<td>python3-3.12.5</td>" in page.replace(' class="wide"', "")


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_page_is_the_same_in_every_process(hash_seed: str) -> None:
    script = "from report.test_page import plan_page; import sys; sys.stdout.write(plan_page())"
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    made = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True
    ).stdout
    assert made.decode() == plan_page()


def test_of_a_long_table_the_beginning_is_there_without_a_script() -> None:
    table = PageTable(
        name="t", title="", caption="", columns=(Column(title=""),),
        rows=tuple((str(number),) for number in range(1000)),
    )  # fmt: skip
    text = page_html(empty_page(tables=(table,)))
    assert text.count("<tr>") == 201
    assert '<p class="rest hint">and 800 more rows</p>' in text
    assert len(Reader(text).data["tables"]["t"]["rows"]) == 1000


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (CellKind.TEXT, "a", "a"),
        (CellKind.TEXT, None, ""),
        (CellKind.NUMBER, 7, "7"),
        (CellKind.SIZE, 6_500_000, "6.5 MB"),
        (CellKind.DIFFERENCE, -6_500_000, "-6.5 MB"),
        (CellKind.PERCENT, 0.34, "34 %"),
        (CellKind.PATH, 0, "x-1"),
    ],
)
def test_cells_are_written_by_their_kind(kind: CellKind, value: Any, text: str) -> None:
    assert cell_text(kind, value, ["x-1"]) == text


def test_the_data_has_the_graph_its_roots_and_the_layers() -> None:
    data = Reader(plan_page()).data
    names = [path["title"] for path in data["paths"]]
    assert sorted(names) == sorted(SHOP)
    python = data["paths"][names.index("python3-3.12.5")]
    assert {names[at] for at in python["references"]} == set(SHOP["python3-3.12.5"][1])
    assert python["dominated"] == 90_000_000 + 1_700_000 + 200_000
    assert {names[int(at)]: words for at, words in data["roots"].items()} == {
        "glibc-2.40": "an explicit layer holds it",
        "shop-1.4": "the config names it (Entrypoint, Env)",
        "programs": "its files are copied to /",
    }
    assert sum(len(layer["paths"]) for layer in data["layers"]) == len(SHOP)
    assert data["costs"]["own"]["layers"] == 5


def test_the_curves_are_of_every_strategy_and_above_the_floor() -> None:
    description = SampleClosure(SHOP).shop()
    plan = plan_layers(description)
    curves = cost_curves(description, plan, PlanOptions(), STRATEGIES)
    by_name = {curve.strategy: curve.points for curve in curves.curves}
    assert [point.layer_count for point in by_name["popularity"]] == [2, 3, 4, 5, 6, 8, 9]
    assert [point.layer_count for point in by_name["single"]] == [2]
    # One layer for each path cannot be made of fewer.
    assert [point.layer_count for point in by_name["one-per-path"]] == [9]
    assert by_name["one-per-path"][0].expected_bytes == pytest.approx(curves.floor_bytes)
    for points in by_name.values():
        assert all(point.expected_bytes >= curves.floor_bytes for point in points)
    assert curves.own_strategy == "popularity"
    assert curves.own.expected_bytes == plan.expected_bytes


def test_curves_count_all_layers_of_an_image_and_none_has_more_than_there_is_room_for() -> None:
    description = replace(SampleClosure(SHOP).shop(), nix_database=NixDatabaseRequest())

    def curves(base_layer_count: int) -> CostCurves:
        plan = plan_layers(description, base_layer_count=base_layer_count)
        options = PlanOptions(leave_layers=2)
        return cost_curves(
            description, plan, options, ["popularity"], base_layer_count=base_layer_count
        )

    def counts(found: CostCurves) -> list[int]:
        return [point.layer_count for point in found.curves[0].points]

    # One layer is explicit, and the Nix database has one.
    alone = curves(0)
    assert (alone.fixed_layer_count, alone.own.layer_count) == (2, 6)
    assert counts(alone) == [3, 4, 5, 6, 7, 9, 10]
    upon = curves(20)
    assert (upon.fixed_layer_count, upon.own.layer_count) == (22, 26)
    assert counts(upon) == [20 + count for count in counts(alone)]
    # 127 less those that are left to others.
    assert counts(curves(118)) == [121, 122, 123, 124, 125]


def test_the_page_has_the_layers_of_the_base_image_below_all_others() -> None:
    text = plan_page(base=base_image(5_000_000, 3_000_000))
    data = Reader(text).data
    assert [layer["number"] for layer in data["layers"]] == [1, 2, 3, 4, 5, 6, 7]
    assert data["layers"][0] == {
        "number": 1, "size": 5_000_000, "reason": "of the base image base.tar", "paths": [],
        "probability": None, "state": None,
    }  # fmt: skip
    assert data["tables"]["layers"]["rows"][1] == [
        2, "", 3_000_000, None, None, "of the base image base.tar",
    ]  # fmt: skip
    layer_of = {row[0]: row[3] for row in data["tables"]["paths"]["rows"]}
    for layer in data["layers"]:
        assert all(layer_of[at] == layer["number"] for at in layer["paths"])
    assert (data["costs"]["fixed"], data["costs"]["own"]["layers"]) == (3, 7)
    assert "130 MB in 5 layers, upon 2 layers (8.0 MB) of the base image." in text


def test_the_pipeline_counts_the_layers_of_the_base_image() -> None:
    base = base_image(1, 2, 3)
    described = Described(description=SampleClosure(SHOP).shop(), store=StoreRoot(), base=base)
    page = pipeline.plan_page(described, pipeline.plan(described), PlanOptions(), None)
    costs = Reader(page).data["costs"]
    assert (costs["fixed"], costs["own"]["layers"]) == (4, 8)
    assert min(layers for curve in costs["curves"] for layers, _ in curve["points"]) == 5


def test_the_page_of_a_plan_against_an_image_tells_what_a_push_sends() -> None:
    base = base_image(5_000_000)
    old = published(SampleClosure(SHOP, rebuilt=frozenset({"programs"})), base)
    page = plan_page(base=base, against=old)
    data = Reader(page).data
    states = ["kept", "kept", "kept", "kept", "kept", "sent"]
    assert [layer["state"] for layer in data["layers"]] == states
    assert [row[-1] for row in data["tables"]["layers"]["rows"]] == states
    assert re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page) == [
        ("against", "oci:old"),
        ("kept", "5 of 6 layers"),
        ("push", "1 layer (6), 92 MB, about 92 MB as stored"),
        ("pull", "1 layer (6), 92 MB, about 92 MB as stored"),
    ]
    assert "<dl" not in plan_page()


def test_paths_of_one_name_are_told_apart() -> None:
    paths = [store_path("source"), store_path("source", "other"), store_path("bash-5.2")]
    first, second = (path.hash_part[:7] for path in paths[:2])
    assert path_titles(paths) == [f"source ({first}…)", f"source ({second}…)", "bash-5.2"]


def test_lines_and_marks_have_contrast_in_both_schemes() -> None:
    """Of 3 at least, against what is beside them (WCAG 1.4.11); texts are tested in a browser."""
    text = Path(page_module.__file__).with_name("page.css").read_text()
    light, dark = (
        dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    )
    assert light.keys() == dark.keys()
    fills = ["plain", "fresh", *(f"step-{step}" for step in range(5))]
    for colours in (light, dark):
        for line in ("mark", "accent", "text"):
            assert contrast(colours[line], colours["page"]) >= 3
        for fill in fills:
            # The ring around a tile has two colours: one of them can always be seen.
            ring = (contrast(colours[one], colours[fill]) for one in ("tile-text", "page"))
            assert max(ring) >= 3
            assert contrast(colours["tile-text"], colours[fill]) >= 4.5


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as https://www.w3.org/TR/WCAG22/ defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_script_makes_no_markup_of_texts() -> None:
    folder = Path(page_module.__file__).parent
    scripts = "".join(file.read_text() for file in sorted(folder.glob("page*.js")))
    assert len(scripts) > 10_000
    refused = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|fetch\("
    )
    assert re.findall(refused, scripts) == []


def test_a_table_without_rows_says_so_in_words() -> None:
    table = PageTable(
        name="t", title="Config", caption="", columns=(Column(title="Key"),), rows=(),
        if_empty="The config is <the same>.",
    )  # fmt: skip
    page = page_html(empty_page(tables=(table,)))
    assert "<p>The config is &lt;the same&gt;.</p>" in page
    assert "table" not in {tag for tag, _ in Reader(page).elements}


def test_an_image_without_a_path_has_a_page() -> None:
    assert "0 B in 0 layers" in plan_page(SampleClosure({}).describe([]))


def test_the_page_of_a_comparison_tells_which_layers_are_sent() -> None:
    new = published(SampleClosure(SHOP, rebuilt=frozenset({"programs"})))
    difference = compare(
        replace(published(SampleClosure(SHOP)), title="a<b"), replace(new, title="c&d")
    )
    page = diff_page_html(difference)
    data = Reader(page).data
    assert [layer["state"] for layer in data["layers"]] == ["kept", "kept", "kept", "kept", "sent"]
    assert [row[0] for row in data["tables"]["packages"]["rows"]] == ["rebuilt"]
    assert "<h1>a&lt;b → c&amp;d</h1>" in page
    # The same config: no table, but a word.
    assert "config" not in data["tables"]
    assert "<p>The config is the same.</p>" in page


def test_a_page_that_cannot_be_written_is_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    SAMPLE.deliver("oci:a")
    capsys.readouterr()
    assert cli.main(["diff", "oci:a", "oci:a", "--html", "no/where.html"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: cannot write `no/where.html`: No such file or directory\n"
    assert cli.main(["diff", "oci:a", "oci:a", "--html", "page.html"]) == 0
    assert capsys.readouterr().err == "wrote page.html\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "page.html"]


def test_a_page_is_of_one_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "a", "b", "--shared", "--html", "page.html"]) == 2
    assert capsys.readouterr().err == (
        "error: `--html` shows the plan of one image\n"
        "  hint: save the plan of all, and show each: "
        "`nixbridge plan SOURCE --plan FILE --html page.html`\n"
    )


@pytest.mark.nix
def test_the_command_writes_the_page_of_a_plan(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, app_and_lib: str
) -> None:
    page = tmp_path / "page.html"
    assert cli.main(["plan", app_and_lib, "--html", str(page)]) == 0
    captured = capsys.readouterr()
    assert "app-2.0" in captured.out
    assert f"wrote {page}\n" in captured.err
    data = Reader(page.read_text()).data
    assert [path["title"] for path in data["paths"]] == ["app-2.0", "lib-1.0"]
    names = [curve["name"] for curve in data["costs"]["curves"]]
    assert {"popularity", "update-cost"} <= set(names)
