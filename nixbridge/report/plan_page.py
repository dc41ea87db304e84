"""The page of `plan --html`: layers, what updates cost, and each store path's neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nixbridge.closure import DominatorTree, StorePath, referrers
from nixbridge.description import ImageDescription
from nixbridge.layering import NIX_DATABASE_REASON, LayerPlan, PlannedLayer
from nixbridge.report.cost_curves import CostCurves
from nixbridge.report.page import (
    CellKind,
    Column,
    Page,
    PageCosts,
    PageCurve,
    PageLayer,
    PagePath,
    PageTable,
    page_html,
    page_paths,
)
from nixbridge.report.plan import largest_first, name_paths
from nixbridge.report.table import format_count, format_size
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


def plan_page_html(description: ImageDescription, plan: LayerPlan, curves: CostCurves) -> str:
    """Return the page of a plan, as HTML."""
    graph = description.closure
    roots = image_roots(description)
    sizes = {
        planned.info.path: planned.info.nar_size_bytes
        for layer in plan.layers
        for planned in layer.paths
    }
    dominated = DominatorTree.of(graph, roots).dominated_size_bytes(graph)
    paths, places = page_paths(sizes, graph, dominated)
    return page_html(
        Page(
            kicker="nixbridge plan",
            title=f"{description.name}:{description.tag}",
            summary=_summary(plan, curves),
            map_hint="The area is the size: layers, and in them the store paths. The colour, and "
            "the last number of a layer, tell with which part of the updates it changes:",
            tables=(
                _layers_table(plan),
                _paths_table(plan, paths, places, description),
                _costs_table(curves),
            ),
            layers=tuple(
                _layer(number, layer, places) for number, layer in enumerate(plan.layers, 1)
            ),
            paths=paths,
            roots={
                places[path]: ", ".join(words) for path, words in roots.items() if path in places
            },
            costs=_costs(curves),
        )
    )


def _summary(plan: LayerPlan, curves: CostCurves) -> str:
    size_bytes = sum(layer.nar_size_bytes for layer in plan.layers)
    count = len(plan.layers) + (plan.nix_database is not None)
    return (
        f"{format_size(size_bytes)} in {format_count(count, 'layer')}; an update sends "
        f"{format_size(plan.expected_bytes)} on average, at best {format_size(curves.floor_bytes)}."
    )


def _layer(number: int, layer: PlannedLayer, places: Mapping[StorePath, int]) -> PageLayer:
    # A path may be in a layer twice: in the store, and its files at the root.
    held = dict.fromkeys(planned.info.path for planned in layer.paths)
    return PageLayer(
        number=number,
        size_bytes=layer.nar_size_bytes,
        reason=layer.reason,
        paths=tuple(places[path] for path in held),
        change_probability=layer.change_probability,
    )


def _layers_table(plan: LayerPlan) -> PageTable:
    rows: list[tuple[str | int | float | None, ...]] = [
        (
            number,
            name_paths(largest_first(layer)),
            layer.nar_size_bytes,
            len(layer.paths),
            layer.change_probability,
            layer.reason,
        )
        for number, layer in enumerate(plan.layers, 1)
    ]
    if plan.nix_database is not None:
        # Its size is known when it is made, and it changes whenever anything does.
        rows.append((len(rows) + 1, "", None, 0, 1.0, NIX_DATABASE_REASON))
    return PageTable(
        name="layers",
        title="Layers",
        caption="From bottom to top. Changes: with which part of the updates.",
        columns=_LAYER_COLUMNS,
        rows=tuple(rows),
    )


def _paths_table(
    plan: LayerPlan,
    paths: tuple[PagePath, ...],
    places: Mapping[StorePath, int],
    description: ImageDescription,
) -> PageTable:
    referred_by = referrers(description.closure)
    layer_of: dict[StorePath, int] = {}
    for number, layer in enumerate(plan.layers, 1):
        for planned in layer.paths:
            layer_of.setdefault(planned.info.path, number)
    ordered = sorted(paths, key=lambda each: (-each.nar_size_bytes, each.path))
    return PageTable(
        name="paths",
        title="Store paths",
        caption="The largest first. Drags in: the size of all that would leave the image with it.",
        columns=_PATH_COLUMNS,
        rows=tuple(
            (
                places[each.path],
                each.nar_size_bytes,
                each.dominated_size_bytes,
                layer_of[each.path],
                len(referred_by[each.path]),
                len(each.references),
            )
            for each in ordered
        ),
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
        title="What an update costs, in numbers",
        caption="Bytes sent on average, by how many layers the image has and by strategy.",
        columns=(
            Column(title="Layers", kind=CellKind.NUMBER),
            *(Column(title=curve.strategy, kind=CellKind.SIZE) for curve in curves.curves),
        ),
        rows=tuple(
            (count, *(costs.get((curve.strategy, count)) for curve in curves.curves))
            for count in counts
        ),
    )
