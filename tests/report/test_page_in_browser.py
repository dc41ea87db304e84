"""The pages of `plan --html` and `diff --html` as people see them: in a Chromium of no window."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nixbridge.closure import StorePath
from nixbridge.layering import plan_layers
from nixbridge.report.contents import Contents, contents_of_plan
from nixbridge.report.diff import compare
from nixbridge.report.diff_page import diff_page_html
from nixbridge.report.page import (
    CellKind,
    Column,
    Page,
    PageCosts,
    PageCurve,
    PageLayer,
    PagePath,
    PageTable,
    cell_text,
    page_html,
)
from report.browser import Browser, chromium
from report.sample_closure import SHOP, SampleClosure, base_image
from report.test_page import HOSTILE, empty_page, plan_page, published

pytestmark = [pytest.mark.tools, pytest.mark.timeout(120)]

PHONE_WIDTH = 360


@pytest.fixture(scope="module")
def browser(
    require_tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    with chromium(require_tool, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(autouse=True)
def _no_message_in_the_console(browser: Browser) -> Iterator[None]:
    """Whatever is clicked and typed, no script fails and nothing is refused."""
    yield
    assert browser.log("browser") == []


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    texts = {
        "plan": plan_page(),
        "against": against_page(),
        "diff": diff_page(),
        "hostile": page_html(hostile_page()),
        "large": page_html(large_page()),
        "empty": plan_page(SampleClosure({}).describe([])),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


def against_page() -> str:
    """Return the page of a plan upon a base image, against an image that is out."""
    base = base_image(9_000_000, 4_000_000)
    old = published(SampleClosure(SHOP, rebuilt=frozenset({"programs"})), base)
    return plan_page(base=base, against=old)


def diff_page() -> str:
    old, new = SampleClosure(SHOP), SampleClosure(SHOP, rebuilt=frozenset({"programs", "shop-1.4"}))

    def contents(sample: SampleClosure, *, env: str) -> Contents:
        description = sample.shop(config={"Env": (env,)})
        return contents_of_plan(description, plan_layers(description), None, title=f"shop {env}")

    return diff_page_html(compare(contents(old, env="A=1"), contents(new, env="A=2")))


def path_of(number: int, name: str) -> StorePath:
    return StorePath(f"/nix/store/{number:032d}-{name}")


def hostile_page() -> Page:
    """Make a page with hostile texts wherever one can come from."""
    long = f"{HOSTILE} {'w' * 300}"
    return empty_page(
        kicker=HOSTILE, title=long, summary=long, map_hint=HOSTILE, notes=(long,),
        paths=tuple(
            PagePath(
                path=path_of(at, f"{'w' * 180}.{at}"), nar_size_bytes=1000,
                references=() if at else (1, 2),
            )
            for at in range(3)
        ),
        layers=(
            PageLayer(number=1, size_bytes=3000, reason=long, paths=(0, 1), state="sent"),
            PageLayer(number=2, size_bytes=1000, reason=long, paths=(2,), state="kept"),
        ),
        roots={0: long},
        costs=PageCosts(
            curves=(PageCurve(name=long, points=((1, 5.0), (4, 2.0)), is_own=True),),
            floor_bytes=1.0, layer_count=4, expected_bytes=2.0,
        ),
        tables=(
            PageTable(
                name="hostile", title=long, caption=long, columns=(Column(title=long),),
                rows=((long,),),
            ),
        ),
    )  # fmt: skip


def large_page() -> Page:
    """Make a page of 20,000 paths in 100 layers."""
    chance = random.Random(7)
    paths = tuple(
        PagePath(
            path=path_of(at, f"package{at}-1.{at % 7}"),
            nar_size_bytes=int(chance.lognormvariate(12, 2)),
            references=tuple(sorted(chance.sample(range(at), min(at, 5)))),
        )
        for at in range(20_000)
    )
    layers = tuple(
        PageLayer(
            number=number + 1,
            size_bytes=sum(path.nar_size_bytes for path in paths[number::100]),
            reason="a test",
            paths=tuple(range(number, 20_000, 100)),
            change_probability=number / 100,
        )
        for number in range(100)
    )
    table = PageTable(
        name="paths", title="Store paths", caption="", columns=(
            Column(title="Path", kind=CellKind.PATH), Column(title="Size", kind=CellKind.SIZE),
        ),
        rows=tuple((at, path.nar_size_bytes) for at, path in enumerate(paths)),
    )  # fmt: skip
    return empty_page(
        paths=paths, layers=layers, tables=(table,), roots={19_999: "it was asked for"}
    )


def texts(browser: Browser, selector: str) -> list[str]:
    found: list[str] = browser.run(
        "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText)",
        selector,
    )
    return found


def background(browser: Browser) -> str:
    return str(browser.run("return getComputedStyle(document.documentElement).backgroundColor"))


def focused(browser: Browser) -> str:
    return str(
        browser.run(
            "const at = document.activeElement; "
            "return at.getAttribute('aria-label') || at.innerText"
        )
    )


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE_WIDTH, 1200])
@pytest.mark.parametrize("name", ["plan", "against", "diff", "hostile", "large", "empty"])
def test_a_page_opens_without_errors_or_requests_and_fits_the_window(
    browser: Browser, pages: dict[str, Path], name: str, width: int, *, is_dark: bool
) -> None:
    browser.open(pages[name], width=width, is_dark=is_dark)
    assert browser.requests() == [pages[name].as_uri()]
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert background(browser) == ("rgb(16, 19, 23)" if is_dark else "rgb(255, 255, 255)")


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["plan", "against", "diff"])
def test_all_texts_have_contrast(
    browser: Browser, pages: dict[str, Path], name: str, *, is_dark: bool
) -> None:
    browser.open(pages[name], is_dark=is_dark)
    found = browser.run(
        """
        const luminance = (rgb) => {
          const [r, g, b] = rgb.map((value) => value / 255).map((value) =>
            value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
        const behind = (element) => {
          for (let at = element; at; at = at.parentElement) {
            const colour = numbers(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour.slice(0, 3);
          }
          throw new Error("no background");
        };
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        const found = [];
        while (walker.nextNode()) {
          const element = walker.currentNode.parentElement;
          if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
          const style = getComputedStyle(element);
          const text = element instanceof SVGElement ? style.fill : style.color;
          const [low, high] = [luminance(numbers(text).slice(0, 3)), luminance(behind(element))]
            .sort((a, b) => a - b);
          found.push([walker.currentNode.data.trim(), (high + 0.05) / (low + 0.05)]);
        }
        return found;
        """
    )
    assert len(found) > 50
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []


def test_hostile_texts_are_shown_as_they_are(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["hostile"])
    assert browser.run("return document.querySelectorAll('img').length") == 0
    (cell,) = texts(browser, "#hostile td")
    assert "</script><!--<script>" in cell
    assert "<img src=x onerror=alert(1)>" in cell


def test_a_table_is_sorted_by_its_headers(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["plan"])
    names = "#paths tbody tr td:first-child"
    by_size = sorted(SHOP, key=lambda name: -SHOP[name][0])
    assert texts(browser, names) == by_size
    sorts = "return [...document.querySelectorAll('#paths th')].map((each) => each.ariaSort)"
    assert browser.run(sorts) == [None, "descending", None, None, None, None]
    browser.click("#paths th:nth-child(2) button")
    assert texts(browser, names) == by_size[::-1]
    assert browser.run(sorts) == [None, "ascending", None, None, None, None]
    browser.click("#paths th:nth-child(2) button")
    assert texts(browser, names) == by_size
    browser.click("#paths th:nth-child(1) button")
    assert texts(browser, names) == sorted(SHOP)
    assert browser.run(sorts) == ["ascending", None, None, None, None, None]


def test_a_table_is_filtered_by_words(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["plan"])
    browser.run("document.querySelector('#paths input').focus()")
    browser.press("OPENSSL man")
    assert texts(browser, "#paths tbody tr td:first-child") == ["openssl-3.0.14-man"]
    assert texts(browser, "#paths .count") == ["1 of 9 rows"]


def test_the_map_is_walked_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["plan"])
    reached = None
    for _ in range(5):
        browser.press("Tab")
        if (reached := focused(browser)).startswith("layer"):
            break
    assert reached is not None
    # The whole map is one stop on the way of the Tab key.
    assert browser.run("return document.querySelectorAll('.tile[tabindex=\"0\"]').length") == 1
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert texts(browser, "#tip")[0].startswith("layer 5 · 92 MB")
    browser.press("ArrowDown")
    assert focused(browser).startswith("python3-3.12.5 90 MB. 69 %")
    assert texts(browser, "#tip")[0].startswith("python3-3.12.5 90 MB\n")
    browser.press("Enter")
    assert texts(browser, ".centre .name") == ["python3-3.12.5"]
    browser.press("ArrowUp", "ArrowRight")
    assert focused(browser).startswith("layer 1 · 30 MB · ")
    browser.press("Home")
    assert focused(browser).startswith("layer 5")
    browser.press("Escape")
    assert browser.run("return document.querySelector('#tip').hidden")


def test_areas_are_sizes(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["plan"])
    boxes = browser.run(
        "return [...document.querySelectorAll('.map > .tile')].map((tile) => "
        "[tile.ariaLabel, tile.offsetWidth * tile.offsetHeight])"
    )
    areas = {label.split(" ·")[0]: area for label, area in boxes}
    assert areas["layer 5"] / areas["layer 1"] == pytest.approx(91_610 / 30_000, rel=0.02)


def test_the_tip_follows_the_pointer(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["plan"])
    browser.point(".map .leaf")
    assert texts(browser, "#tip")[0].split("\n") == [
        "python3-3.12.5 90 MB",
        "69 % of the image, in layer 5",
        "92 MB with all that nothing else needs",
    ]
    browser.point("h1")
    assert browser.run("return document.querySelector('#tip').hidden")


def test_a_click_on_a_tile_shows_its_path_and_frames_it(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["plan"])
    browser.click(".leaf[aria-label^='openssl-3.0.14-man']")
    assert texts(browser, ".centre .name") == ["openssl-3.0.14-man"]
    framed = browser.run(
        "return [...document.querySelectorAll('.tile.chosen')].map((tile) => tile.ariaLabel)"
    )
    assert framed == ["openssl-3.0.14-man 900 kB. 1 % of the image, in layer 5"]
    # A layer itself is no path; of one with a single path, it is that one.
    browser.click("[aria-label^='layer 1 '] .label.heading")
    assert texts(browser, ".centre .name") == ["glibc-2.40"]


def test_what_stands_on_a_tile_is_in_its_name(browser: Browser, pages: dict[str, Path]) -> None:
    """So that whoever speaks to the page can say what is seen (WCAG 2.5.3)."""
    for name in ("against", "diff", "large"):
        browser.open(pages[name])
        found = browser.run(
            "return [...document.querySelectorAll('.tile')].flatMap((tile) => "
            "[...tile.querySelectorAll(':scope > .label')].map((label) => "
            "[tile.ariaLabel, label.textContent]))"
        )
        assert len(found) > 8
        assert [pair for pair in found if pair[1].lstrip("+") not in pair[0]] == []


def test_labels_of_tiles_are_not_cut_in_height_nor_numbers_in_width(
    browser: Browser, pages: dict[str, Path]
) -> None:
    for name, width in (("plan", 1200), ("large", 1200), ("large", PHONE_WIDTH)):
        browser.open(pages[name], width=width)
        cut = browser.run(
            """
            return [...document.querySelectorAll(".label")].filter((label) => label.textContent)
              .filter((label) => label.getBoundingClientRect().bottom
                > label.parentElement.getBoundingClientRect().bottom
                || (label.matches(".heading") && label.scrollWidth > label.clientWidth))
              .map((label) => label.textContent)
            """
        )
        assert cut == []
        assert browser.run("return document.querySelectorAll('.label.heading').length") > 3


def test_neighbours_are_walked_by_clicks_and_keys(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["plan"])
    browser.run("document.querySelector('#path-input').select()")
    browser.press("openssl", "Enter")
    assert texts(browser, ".centre .name") == ["openssl-3.0.14"]
    assert texts(browser, ".chain") == [
        "The shortest way to it: shop-1.4 → python3-3.12.5 → openssl-3.0.14"
    ]
    assert texts(browser, "#path-status") == ["2 names have “openssl” in them; this is the first."]
    left, right = ".neighbours > div:first-of-type", ".neighbours > div:last-of-type"
    assert [text.split("\n")[0] for text in texts(browser, f"{left} .node")] == [
        "python3-3.12.5",
        "curl-8.9.1",
    ]
    assert texts(browser, f"{right} h3") == ["it refers to (1)"]
    assert browser.run("return document.querySelectorAll('.edges path').length") == 3
    browser.click(f"{left} li:nth-child(2) .node")
    assert texts(browser, ".centre .name") == ["curl-8.9.1"]
    assert focused(browser).startswith("curl-8.9.1")
    browser.run("document.querySelector('#path-input').select()")
    browser.press("nowhere", "Enter")
    assert texts(browser, "#path-status") == ["No path has “nowhere” in its name."]


def test_the_curves_are_read_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["plan"])
    assert texts(browser, "#cost-readout") == [
        "5 layers, 4 of them the image's own part: popularity 97 MB, single 104 MB"
    ]
    browser.run("document.querySelector('[role=slider]').focus()")
    browser.press("End")
    assert texts(browser, "#cost-readout")[0].endswith(
        "8 of them the image's own part: one-per-path 56 MB, popularity 56 MB, single 104 MB"
    )
    slider = "return document.querySelector('[role=slider]').getAttribute(arguments[0])"
    assert browser.run(slider, "aria-valuenow") == "9"
    assert browser.run(slider, "aria-valuetext").startswith("9 layers, 8 of them")
    browser.press("Home")
    assert browser.run(slider, "aria-valuenow") == "2"


def test_all_that_the_tab_key_reaches_is_seen_and_has_a_mark(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["against"])
    reached = []
    for _ in range(60):
        browser.press("Tab")
        focus = browser.run(
            """
            const at = document.activeElement;
            const { outlineStyle, outlineWidth } = getComputedStyle(at);
            const { left, top, right, bottom } = at.getBoundingClientRect();
            return { name: at.getAttribute("aria-label") || at.innerText || at.id,
              isMarked: outlineStyle === "solid" && parseFloat(outlineWidth) >= 3,
              isSeen: right > 0 && left < innerWidth && bottom > 0 && top < innerHeight,
              section: at.closest("section")?.id ?? "" };
            """
        )
        assert focus["isMarked"], focus
        assert focus["isSeen"], focus
        reached.append((focus["section"], focus["name"].split(" ·")[0]))
        if focus["section"] == "costs":
            break
    assert reached[:4] == [
        ("", "Skip to the contents"), ("map", "layer 7"), ("cost", "Number of layers"),
        ("path", "path-input"),
    ]  # fmt: skip
    # Tables that are seen as a whole are no stop, but their titles are, and what is in them.
    assert ("layers", "Layer") in reached
    assert ("paths", "Filter Store paths") in reached
    assert ("paths", "python3-3.12.5") in reached


def test_a_phone_shows_all_that_is_done_within_its_width(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["against"], width=PHONE_WIDTH, is_dark=True)
    browser.click("#paths th:nth-child(1) button")
    browser.click("#paths tbody tr:last-child button")
    assert texts(browser, ".centre .name") == ["zlib-1.3"]
    browser.run("document.querySelector('#paths input').focus()")
    browser.press("curl")
    assert texts(browser, "#paths .count") == ["1 of 9 rows"]
    assert browser.run("return document.documentElement.scrollWidth") <= PHONE_WIDTH
    # What is wider than the window scrolls by itself, and by keyboard.
    assert browser.run(
        "const at = document.querySelector('#layers .scroll'); "
        "return at.scrollWidth > at.clientWidth && at.tabIndex === 0"
    )


def test_paper_is_white_and_has_no_buttons(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["against"], width=700, is_dark=True)
    browser.emulate(media="print", is_dark=True)
    assert background(browser) == "rgb(255, 255, 255)"
    shown = (
        "return [...document.querySelectorAll(arguments[0])]"
        ".filter((each) => each.checkVisibility()).length"
    )
    assert browser.run(shown, "form, input, .more, #tip, .keys") == 0
    assert browser.run(shown, ".tile, .chart, table") > 10
    assert browser.run("return document.documentElement.scrollWidth") <= 700


def test_a_plan_against_an_image_shows_what_is_sent_without_colour(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["against"])
    assert texts(browser, "#map-legend li")[-3:] == [
        "of the base image: not known", "hatched: a push sends it", "framed: the path below",
    ]  # fmt: skip
    hatched = browser.run(
        "return [...document.querySelectorAll('.map > .tile')].filter((tile) => "
        "getComputedStyle(tile).backgroundImage !== 'none').map((tile) => tile.ariaLabel)"
    )
    assert len(hatched) == 1
    assert hatched[0].startswith("layer 7 · 92 MB · sent · ")


def test_more_rows_and_names_come_when_they_are_asked_for(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["large"])
    rows = "return document.querySelectorAll('#paths tbody tr').length"
    assert texts(browser, "#paths .count") == ["20000 rows, 50 shown"]
    browser.click("#paths .more")
    assert browser.run(rows) == 250
    # The focus goes on where the new rows begin.
    assert browser.run("return document.activeElement.closest('tr').rowIndex") == 51
    browser.run("document.querySelector('#path-input').select()")
    browser.press("PACKAGE777")
    names = browser.run(
        "return [...document.querySelectorAll('#path-names option')].map((each) => each.value)"
    )
    assert len(names) == 11
    assert all(name.startswith("package777") for name in names)


def test_rows_are_walked_by_keyboard(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["plan"])
    browser.run("document.querySelector('#paths tbody button').focus()")
    browser.press("ArrowDown")
    assert focused(browser) == "glibc-2.40"
    browser.press("ArrowUp", "Enter")
    assert texts(browser, ".centre .name") == ["python3-3.12.5"]


def test_a_comparison_tells_kept_from_sent_in_words(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["diff"])
    assert texts(browser, "#map-legend li") == ["kept", "sent", "framed: the path below"]
    labels = browser.run(
        "return [...document.querySelectorAll('.map > .tile')].map((tile) => tile.ariaLabel)"
    )
    assert sum("· sent" in label for label in labels) == 1
    assert sum("· kept" in label for label in labels) == 4
    assert texts(browser, "#config tbody td") == ["Env.A", '"1"', '"2"']
    assert texts(browser, "#packages tbody tr:first-child td") == [
        "rebuilt", "programs", "", "10 kB", "10 kB", "0 B",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [PHONE_WIDTH, 1200])
def test_without_a_script_the_tables_say_the_same(
    browser: Browser, pages: dict[str, Path], width: int
) -> None:
    browser.open(pages["plan"])
    with_script = browser.run(CELLS)
    browser.open(pages["plan"], width=width, has_scripts=False)
    # The driver's own scripts run in a world of theirs.
    tree = browser.devtools("DOMSnapshot.captureSnapshot", computedStyles=["display"])
    shown = set(tree["strings"])
    assert {"Without JavaScript, this page has its tables and no pictures."} <= shown
    assert set(with_script) <= shown | {""}
    metrics = browser.devtools("Page.getLayoutMetrics")
    assert metrics["cssContentSize"]["width"] <= width


CELLS = "return [...document.querySelectorAll('td')].map((each) => each.textContent)"


def test_numbers_are_written_as_python_writes_them(browser: Browser, tmp_path: Path) -> None:
    chance = random.Random(3)
    sizes = [
        0,
        1,
        999,
        1000,
        999_499,
        999_500,
        999_600,
        9949,
        9950,
        9951,
        9_960_000,
        10**16,
        1250,
        1350,
        2500,
        12_500,
        13_500,
        9_950_000,
        4_150,
        4_050,
        4_350,
    ]
    sizes += [chance.randrange(10 ** chance.randrange(1, 16)) for _ in range(500)]
    sizes += [chance.randrange(400) * 2500 for _ in range(300)]
    kinds = (CellKind.SIZE, CellKind.DIFFERENCE, CellKind.PERCENT)
    rows = tuple((size, 500_000 - size, (size % 4001) / 4000) for size in sizes)
    columns = tuple(Column(title="", kind=kind) for kind in kinds)
    table = PageTable(name="t", title="", caption="", columns=columns, rows=rows)
    page = tmp_path / "page.html"
    page.write_text(page_html(empty_page(tables=(table,))), encoding="utf-8")
    browser.open(page)
    while not browser.run("return document.querySelector('#t .more').hidden"):
        browser.click("#t .more")
    expected = [
        cell_text(kind, value, []) for row in rows for kind, value in zip(kinds, row, strict=True)
    ]
    assert browser.run(CELLS) == expected


def test_twenty_thousand_paths_are_a_page_of_bounded_size(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["large"])
    count = "return document.querySelectorAll(arguments[0]).length"
    assert 100 < browser.run(count, ".tile") < 1500
    assert browser.run(count, "#paths tbody tr") == 50
    assert browser.run(count, "*") < 4000
    browser.run("document.querySelector('#paths input').focus()")
    browser.press("package19999")
    assert texts(browser, "#paths .count") == ["1 of 20000 rows"]
    assert texts(browser, "#path .neighbours h3") == ["refers to it (0)", "it refers to (5)"]


def test_the_map_is_drawn_anew_where_the_window_changes(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["plan"])
    wide = browser.run("return document.querySelector('.map').offsetWidth")
    browser.devtools("Emulation.setDeviceMetricsOverride", width=PHONE_WIDTH, height=700,
                     deviceScaleFactor=1, mobile=True)  # fmt: skip
    browser.settle()
    browser.settle()
    narrow = browser.run("return document.querySelector('.map').offsetWidth")
    assert narrow < PHONE_WIDTH < wide
    assert browser.run(
        "const map = document.querySelector('.map').getBoundingClientRect(); return Math.max("
        "...[...document.querySelectorAll('.tile')].map((t) => t.getBoundingClientRect().right)) "
        "<= map.right + 1"
    )


@pytest.mark.parametrize("name", ["plan", "diff"])
def test_whatever_can_be_operated_has_a_name(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    browser.open(pages[name])
    nodes = browser.devtools("Accessibility.getFullAXTree")["nodes"]
    operated = ("button", "combobox", "link", "searchbox", "slider", "textbox", "treeitem")
    named = {"region", "table", "tree", *operated}
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in named
    ]
    assert {"button", "table", "tree", "treeitem"} <= {role for role, _ in found}
    assert [role for role, words in found if not words.strip()] == []
