"""A page for a browser, in one file that fetches nothing: `plan --html`, `diff --html`.

Pure, but for reading `page.html`, `page.css` and `page*.js`, which lie beside this module. Tables
and totals are in the page as they are; pictures are drawn by the script from the data in it. Names
of images and paths, and reasons, may come from anybody: here alone they are put into a page, and
the page's own policy allows no script, style or connection besides.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Any, Final

from nixbridge.closure import DEFAULT_STORE_DIR, ClosureGraph, StorePath
from nixbridge.report.table import format_count, format_difference, format_percent, format_size

# In this order: they are one script, and each relies on those before it.
_SCRIPTS: Final = (
    "page.js",
    "page_map.js",
    "page_costs.js",
    "page_path.js",
    "page_tables.js",
    "page_start.js",
)

# A page without JavaScript has so many rows of each table, and tells how many there are besides.
_ROWS_WITHOUT_SCRIPT: Final = 200

# How much of a hash tells paths of one name apart.
_HASH_LETTERS: Final = 7


class CellKind(StrEnum):
    """What the values of a column are, and so how they are written and sorted.

    A path is its place in `PageGraph.paths`.
    """

    TEXT = "text"
    NUMBER = "number"
    SIZE = "size"
    DIFFERENCE = "difference"
    PERCENT = "percent"
    PATH = "path"


_NUMBERS: Final = frozenset({CellKind.NUMBER, CellKind.SIZE, CellKind.DIFFERENCE, CellKind.PERCENT})

Cell = str | int | float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column; one that `is_wide` holds sentences, which may be broken."""

    title: str
    kind: CellKind = CellKind.TEXT
    is_wide: bool = False

    @property
    def css_class(self) -> str:
        """Return how its cells are set."""
        if self.kind in _NUMBERS:
            return "number"
        return "wide" if self.is_wide else "tight" if self.kind is CellKind.TEXT else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sort:
    """The number of a column that rows are sorted by, and in which direction."""

    column: int
    is_ascending: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PageTable:
    """A table with its title; `caption` says what its rows are, `if_empty` that there are none.

    `sort` tells how the rows are sorted, if they are by one column.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    if_empty: str = ""
    sort: Sort | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PagePath:
    """A store path; `references` are places in the list of all paths.

    `dominated_size_bytes` is the size of what would not be there without it.
    """

    path: StorePath
    nar_size_bytes: int
    references: tuple[int, ...] = ()
    dominated_size_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PageLayer:
    """A layer of the treemap; `state` is `kept` or `sent`, or None where nothing is compared.

    How likely a layer changes is not known of the base image's, nor of those of two images.
    """

    number: int
    size_bytes: int
    reason: str
    paths: tuple[int, ...]
    change_probability: float | None = None
    state: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PageCurve:
    """What an update costs by how many layers there are, by one strategy: (layers, bytes)."""

    name: str
    points: tuple[tuple[int, float], ...]
    is_own: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PageCosts:
    """The curves, the floor, and where the plan lies among them.

    `fixed_layer_count` of the layers are not of the image's own part.
    """

    curves: tuple[PageCurve, ...]
    floor_bytes: float
    layer_count: int
    expected_bytes: float
    fixed_layer_count: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """All that a page shows; `roots` tells of the places of paths that were asked for, why.

    `facts` are pairs of a word and what is said of it, below the summary.
    """

    kicker: str
    title: str
    summary: str
    map_hint: str
    tables: tuple[PageTable, ...]
    layers: tuple[PageLayer, ...]
    paths: tuple[PagePath, ...]
    roots: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    costs: PageCosts | None = None
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def page_paths(
    sizes_bytes: Mapping[StorePath, int],
    graph: ClosureGraph | None = None,
    dominated_sizes_bytes: Mapping[StorePath, int] = MappingProxyType({}),
) -> tuple[tuple[PagePath, ...], Mapping[StorePath, int]]:
    """Return the paths of a page, sorted, with references in `graph`, and the place of each."""
    places = {path: place for place, path in enumerate(sorted(sizes_bytes))}
    paths = tuple(
        PagePath(
            path=path,
            nar_size_bytes=sizes_bytes[path],
            references=()
            if graph is None
            else tuple(
                places[reference]
                for reference in graph[path].references
                if reference != path and reference in places
            ),
            dominated_size_bytes=dominated_sizes_bytes.get(path, 0),
        )
        for path in places
    )
    return paths, places


def page_html(page: Page) -> str:
    """Return the file."""
    style, script = _asset("page.css"), "\n".join(map(_asset, _SCRIPTS))
    titles = path_titles(path.path for path in page.paths)
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_asset("page.html")).substitute(
        policy=policy,
        style=style,
        script=script,
        title=html.escape(f"{page.title} | {page.kicker}"),
        kicker=html.escape(page.kicker),
        heading=html.escape(page.title),
        summary=html.escape(page.summary),
        facts=_facts_html(page.facts),
        map_hint=html.escape(page.map_hint),
        notes="".join(f'<p class="note">{html.escape(note)}</p>\n' for note in page.notes),
        tables="".join(_table_html(table, titles) for table in page.tables),
        data=_script_json(_data(page, titles)),
    )


def path_titles(paths: Iterable[StorePath]) -> list[str]:
    """Return what each path is called: its name, with its hash's beginning where two share it."""
    paths = tuple(paths)
    counts = Counter(path.name for path in paths)
    return [
        path.name if counts[path.name] == 1 else f"{path.name} ({path.hash_part[:_HASH_LETTERS]}…)"
        for path in paths
    ]


def _facts_html(facts: Sequence[tuple[str, str]]) -> str:
    if not facts:
        return ""
    pairs = (
        f"<div><dt>{html.escape(word)}</dt><dd>{html.escape(text)}</dd></div>"
        for word, text in facts
    )
    return f'<dl class="facts">{"".join(pairs)}</dl>\n'


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return a source of a Content-Security-Policy that is this text alone."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _script_json(document: Mapping[str, Any]) -> str:
    """Return JSON that can stand in a `script` element, whatever texts are in it.

    All of it is ASCII, and no `<` or `&` is left that could end the element or begin a comment.
    """
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _data(page: Page, titles: Sequence[str]) -> dict[str, Any]:
    store_dirs = {path.path.store_dir for path in page.paths}
    costs = page.costs
    return {
        "storeDirectory": min(store_dirs, default=DEFAULT_STORE_DIR),
        "paths": [
            {
                "title": title,
                "path": path.path.base_name,
                "size": path.nar_size_bytes,
                "references": path.references,
                "dominated": path.dominated_size_bytes,
            }
            for path, title in zip(page.paths, titles, strict=True)
        ],
        "roots": {str(place): words for place, words in page.roots.items()},
        "layers": [
            {
                "number": layer.number,
                "size": layer.size_bytes,
                "reason": layer.reason,
                "paths": layer.paths,
                "probability": layer.change_probability,
                "state": layer.state,
            }
            for layer in page.layers
        ],
        "costs": None
        if costs is None
        else {
            "floor": costs.floor_bytes,
            "fixed": costs.fixed_layer_count,
            "own": {"layers": costs.layer_count, "cost": costs.expected_bytes},
            "curves": [
                {"name": curve.name, "points": curve.points, "own": curve.is_own}
                for curve in costs.curves
            ],
        },
        "tables": {
            table.name: {
                "columns": [
                    {"kind": str(column.kind), "class": column.css_class}
                    for column in table.columns
                ],
                "rows": table.rows,
            }
            for table in page.tables
            if table.rows
        },
    }


def _table_html(table: PageTable, titles: Sequence[str]) -> str:
    name = html.escape(table.name)
    if not table.rows:
        return (
            f'<section aria-labelledby="{name}-title">\n'
            f'<h2 id="{name}-title">{html.escape(table.title)}</h2>\n'
            f"<p>{html.escape(table.if_empty)}</p>\n</section>\n"
        )
    shown = table.rows[:_ROWS_WITHOUT_SCRIPT]
    rest = len(table.rows) - len(shown)
    sorts = {table.sort.column: table.sort} if table.sort else {}
    headers = (_header_html(column, sorts.get(at)) for at, column in enumerate(table.columns))
    lines = [
        f'<section class="table" id="{name}" aria-labelledby="{name}-title">',
        f'<h2 id="{name}-title">{html.escape(table.title)}</h2>',
        f'<div class="bar"><span class="count">{format_count(len(table.rows), "row")}</span></div>',
        f'<div class="scroll" tabindex="0" role="group" aria-labelledby="{name}-title">',
        f"<table><caption><span>{html.escape(table.caption)}</span></caption>",
        f"<thead><tr>{''.join(headers)}</tr></thead>",
        "<tbody>",
        *(_row_html(table.columns, row, titles) for row in shown),
        "</tbody></table></div>",
    ]
    if rest:
        lines.append(f'<p class="rest hint">and {format_count(rest, "more row")}</p>')
    return "\n".join((*lines, "</section>\n"))


def _header_html(column: Column, sort: Sort | None) -> str:
    aria = ""
    if sort is not None:
        aria = f' aria-sort="{"ascending" if sort.is_ascending else "descending"}"'
    return f'<th scope="col"{_class(column)}{aria}>{html.escape(column.title)}</th>'


def _row_html(columns: Iterable[Column], row: Iterable[Cell], titles: Sequence[str]) -> str:
    cells = (
        f"<td{_class(column)}>{html.escape(cell_text(column.kind, cell, titles))}</td>"
        for column, cell in zip(columns, row, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


def _class(column: Column) -> str:
    return f' class="{column.css_class}"' if column.css_class else ""


def cell_text(kind: CellKind, value: Cell, titles: Sequence[str]) -> str:
    """Write a value as it stands in a table, a path by its title.

    `formatCell` of page.js writes the same.
    """
    match kind, value:
        case _, None:
            return ""
        case CellKind.PATH, int(place):
            return titles[place]
        case CellKind.SIZE, int(size) | float(size):
            return format_size(size)
        case CellKind.DIFFERENCE, int(size):
            return format_difference(size)
        case CellKind.PERCENT, int(part) | float(part):
            return format_percent(part)
        case _:
            return str(value)
