"""The page of `plan --html`: layers, what updates cost, and each store path's neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from nixbridge.closure import DominatorTree, StorePath, referrers
from nixbridge.description import ImageDescription
from nixbridge.image import BaseImage
from nixbridge.layering import NIX_DATABASE_REASON, LayerPlan
from nixbridge.report.cost_curves import CostCurves
from nixbridge.report.page import (
    Cell,
    CellKind,
    Column,
    Page,
    PageCosts,
    PageCurve,
    PageLayer,
    PagePath,
    PageTable,
    Sort,
    page_html,
    page_paths,
)
from nixbridge.report.plan import base_reason, first_layer_number, largest_first, name_paths
from nixbridge.report.table import format_count, format_size
from nixbridge.report.update import Update, update_facts
from nixbridge.report.why import image_roots

_LAYER_COLUMNS: Final = (
    Column(title="Layer", kind=CellKind.NUMBER),
    Column(title="Holds", is_wide=True),
    Column(title="Size", kind=CellKind.SIZE),
    Column(title="Paths", kind=CellKind.NUMBER),
    Column(title="Changes", kind=CellKind.PERCENT),
    Column(title="Reason", is_wide=True),
)
_PATH_COLUMNS: Final = (
    Column(title="Path", kind=CellKind.PATH, is_wide=True),
    Column(title="Size", kind=CellKind.SIZE),
    Column(title="Drags in", kind=CellKind.SIZE),
    Column(title="Layer", kind=CellKind.NUMBER),
    Column(title="Referred to by", kind=CellKind.NUMBER),
    Column(title="Refers to", kind=CellKind.NUMBER),
)


def plan_page_html(
    description: ImageDescription,
    plan: LayerPlan,
    base: BaseImage | None,
    curves: CostCurves,
    update: Update | None,
) -> str:
    """Return the page of a plan upon a base image, as HTML; `update` is what it would send."""
    graph = description.closure
    roots = image_roots(description)
    sizes = {
        planned.info.path: planned.info.nar_size_bytes
        for layer in plan.layers
        for planned in layer.paths
    }
    dominated = DominatorTree.of(graph, roots).dominated_size_bytes(graph)
    paths, places = page_paths(sizes, graph, dominated)
    layers = tuple(
        replace(layer, state=_state(layer.number, update)) for layer in _layers(plan, base, places)
    )
    layers_table = _layers_table(plan, layers, paths)
    return page_html(
        Page(
            kicker="nixbridge plan",
            title=f"{description.name}:{description.tag}",
            summary=_summary(plan, base, curves),
            facts=() if update is None else (("against", update.against), *update_facts(update)),
            map_hint="The area is the size: layers, and in them the store paths. The colour, and "
            "the percentage of a layer, tell which part of all updates changes it:",
            tables=(
                layers_table if update is None else _with_states(layers_table, update),
                _paths_table(layers, paths, description),
                _costs_table(curves),
            ),
            layers=layers,
            paths=paths,
            roots={
                places[path]: ", ".join(words) for path, words in roots.items() if path in places
            },
            costs=_costs(curves),
        )
    )


def _summary(plan: LayerPlan, base: BaseImage | None, curves: CostCurves) -> str:
    size_bytes = sum(layer.nar_size_bytes for layer in plan.layers)
    count = len(plan.layers) + (plan.nix_database is not None)
    upon = ""
    if base is not None:
        base_bytes = sum(layer.size_bytes for layer in base.layers)
        base_count = format_count(len(base.layers), "layer")
        upon = f", upon {base_count} ({format_size(base_bytes)}) of the base image"
    return (
        f"{format_size(size_bytes)} in {format_count(count, 'layer')}{upon}. An update sends "
        f"{format_size(plan.expected_bytes)} on average; with a layer for each path it would be "
        f"{format_size(curves.floor_bytes)}."
    )


def _layers(
    plan: LayerPlan, base: BaseImage | None, places: Mapping[StorePath, int]
) -> Iterator[PageLayer]:
    """Yield all layers but the Nix database, whose size is known when it is made."""
    if base is not None:
        for number, layer in enumerate(base.layers, 1):
            yield PageLayer(
                number=number, size_bytes=layer.size_bytes, reason=base_reason(base), paths=()
            )
    for number, planned in enumerate(plan.layers, first_layer_number(base)):
        yield PageLayer(
            number=number,
            size_bytes=planned.nar_size_bytes,
            reason=planned.reason,
            # A path may be in a layer twice: in the store, and its files at the root.
            paths=tuple(dict.fromkeys(places[path] for path in largest_first(planned))),
            change_probability=planned.change_probability,
        )


def _state(number: int, update: Update | None) -> str | None:
    if update is None:
        return None
    return "sent" if number in update.push.numbers else "kept"


def _layers_table(
    plan: LayerPlan, layers: Sequence[PageLayer], paths: Sequence[PagePath]
) -> PageTable:
    rows: list[tuple[Cell, ...]] = [
        (
            layer.number,
            name_paths(paths[place].path for place in layer.paths),
            layer.size_bytes,
            len(layer.paths) or None,
            layer.change_probability,
            layer.reason,
        )
        for layer in layers
    ]
    if plan.nix_database is not None:
        # Its size is known when it is made, and it changes whenever anything does.
        rows.append((len(rows) + 1, "", None, 0, 1.0, NIX_DATABASE_REASON))
    return PageTable(
        name="layers",
        if_empty="The image has no layers.",
        title="Layers",
        caption="From bottom to top. Changes: which part of all updates changes the layer.",
        columns=_LAYER_COLUMNS,
        rows=tuple(rows),
        sort=Sort(column=0, is_ascending=True),
    )


def _with_states(table: PageTable, update: Update) -> PageTable:
    """Return the table of layers with another column: what a push does with each."""
    return replace(
        table,
        columns=(*table.columns, Column(title="State")),
        rows=tuple((*row, _state(number, update)) for number, row in enumerate(table.rows, 1)),
    )


def _paths_table(
    layers: Sequence[PageLayer], paths: Sequence[PagePath], description: ImageDescription
) -> PageTable:
    referred_by = referrers(description.closure)
    layer_of: dict[int, int] = {}
    for layer in layers:
        for place in layer.paths:
            layer_of.setdefault(place, layer.number)
    ordered = sorted(enumerate(paths), key=lambda each: (-each[1].nar_size_bytes, each[0]))
    return PageTable(
        name="paths",
        if_empty="The image has no store paths.",
        title="Store paths",
        caption="Drags in: the size of all that would leave the image with it.",
        columns=_PATH_COLUMNS,
        rows=tuple(
            (
                place,
                path.nar_size_bytes,
                path.dominated_size_bytes,
                layer_of[place],
                len(referred_by[path.path]),
                len(path.references),
            )
            for place, path in ordered
        ),
        sort=Sort(column=1, is_ascending=False),
    )


def _costs(curves: CostCurves) -> PageCosts:
    return PageCosts(
        curves=tuple(
            PageCurve(
                name=curve.strategy,
                points=tuple((point.layer_count, point.expected_bytes) for point in curve.points),
                is_own=curve.strategy == curves.own_strategy,
            )
            for curve in curves.curves
        ),
        floor_bytes=curves.floor_bytes,
        layer_count=curves.own.layer_count,
        expected_bytes=curves.own.expected_bytes,
        fixed_layer_count=curves.fixed_layer_count,
    )


def _costs_table(curves: CostCurves) -> PageTable:
    counts = sorted({point.layer_count for curve in curves.curves for point in curve.points})
    costs = {
        (curve.strategy, point.layer_count): point.expected_bytes
        for curve in curves.curves
        for point in curve.points
    }
    return PageTable(
        name="costs",
        if_empty="There is nothing to send.",
        title="What an update costs, in numbers",
        caption="Bytes sent on average by how many layers the image has. Own part: those that "
        "max_layers counts.",
        columns=(
            Column(title="Layers", kind=CellKind.NUMBER),
            Column(title="Own part", kind=CellKind.NUMBER),
            *(Column(title=curve.strategy, kind=CellKind.SIZE) for curve in curves.curves),
        ),
        rows=tuple(
            (
                count,
                count - curves.fixed_layer_count,
                *(costs.get((curve.strategy, count)) for curve in curves.curves),
            )
            for count in counts
        ),
        sort=Sort(column=0, is_ascending=True),
    )
