"""The page of `diff --html`: what changed, and which layers of the new image are sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nixbridge.closure import StorePath
from nixbridge.report.contents import LayerContents
from nixbridge.report.diff import ImageDiff
from nixbridge.report.diff_table import (
    config_value_text,
    layers_summary,
    totals_text,
    versions_text,
)
from nixbridge.report.page import (
    Cell,
    CellKind,
    Column,
    Page,
    PageLayer,
    PageTable,
    Sort,
    page_html,
    page_paths,
)
from nixbridge.report.plan import name_paths
from nixbridge.report.table import format_count

_PACKAGE_COLUMNS: Final = (
    Column(title="Change"),
    Column(title="Package", is_wide=True),
    Column(title="Version", is_wide=True),
    Column(title="Before", kind=CellKind.SIZE),
    Column(title="After", kind=CellKind.SIZE),
    Column(title="Difference", kind=CellKind.DIFFERENCE),
)
_CONFIG_COLUMNS: Final = (
    Column(title="Key", is_wide=True),
    Column(title="Before", is_wide=True),
    Column(title="After", is_wide=True),
)
_LAYER_COLUMNS: Final = (
    Column(title="Layer", kind=CellKind.NUMBER),
    Column(title="State"),
    Column(title="Holds", is_wide=True),
    Column(title="Size", kind=CellKind.SIZE),
    Column(title="Paths", kind=CellKind.NUMBER),
    Column(title="Reason", is_wide=True),
)


def diff_page_html(diff: ImageDiff) -> str:
    """Return the page of a comparison, as HTML."""
    paths, places = page_paths(diff.new.nar_sizes_bytes, diff.new.graph)
    kept = set(map(id, diff.kept))
    states = ["kept" if id(layer) in kept else "sent" for layer in diff.new.layers]
    return page_html(
        Page(
            kicker="nixbridge diff",
            title=f"{diff.old.title} → {diff.new.title}",
            summary=_summary(diff),
            map_hint="The area is the size: the layers of the new image, and in them the store "
            "paths. Whoever has the old image has the layers that are kept:",
            tables=(
                *([] if diff.packages is None else [_packages_table(diff)]),
                _config_table(diff),
                _layers_table(diff, states),
            ),
            layers=tuple(
                _layer(number, layer, state, places, diff.new.nar_sizes_bytes)
                for number, (layer, state) in enumerate(
                    zip(diff.new.layers, states, strict=True), 1
                )
            ),
            paths=paths,
            notes=diff.notes,
        )
    )


def _summary(diff: ImageDiff) -> str:
    parts = [layers_summary(diff)]
    if diff.packages is not None:
        parts.append(f"{totals_text(diff)}; {format_count(len(diff.packages), 'package')} changed")
    return ". ".join(parts) + "."


def _layer(
    number: int,
    layer: LayerContents,
    state: str,
    places: Mapping[StorePath, int],
    sizes_bytes: Mapping[StorePath, int],
) -> PageLayer:
    # In one measure, so that areas compare: the blob's size is compressed, maybe.
    paths = layer.paths or ()
    size_bytes = sum(sizes_bytes[path] for path in paths) if paths else layer.size_bytes
    return PageLayer(
        number=number,
        size_bytes=size_bytes,
        reason=layer.reason,
        paths=tuple(places[path] for path in paths),
        state=state,
    )


def _packages_table(diff: ImageDiff) -> PageTable:
    return PageTable(
        name="packages",
        if_empty="All packages are the same.",
        title="Packages",
        caption="Sizes are those of the store paths that one image has and the other has not.",
        columns=_PACKAGE_COLUMNS,
        rows=tuple(
            (
                str(change.kind),
                change.package,
                versions_text(change),
                change.old_size_bytes if change.old_paths else None,
                change.new_size_bytes if change.new_paths else None,
                change.difference_bytes,
            )
            for change in diff.packages or ()
        ),
    )


def _config_table(diff: ImageDiff) -> PageTable:
    return PageTable(
        name="config",
        if_empty="The config is the same.",
        sort=Sort(column=0, is_ascending=True),
        title="Config",
        caption="What differs in what the images run, and how.",
        columns=_CONFIG_COLUMNS,
        rows=tuple(
            (change.key, config_value_text(change.old), config_value_text(change.new))
            for change in diff.config
        ),
    )


def _layers_table(diff: ImageDiff, states: list[str]) -> PageTable:
    sizes = diff.new.nar_sizes_bytes
    rows: list[tuple[Cell, ...]] = []
    for number, (layer, state) in enumerate(zip(diff.new.layers, states, strict=True), 1):
        paths = sorted(layer.paths or (), key=lambda path: (-sizes[path], path))
        count = None if layer.paths is None else len(paths)
        rows.append(
            (number, state, name_paths(paths), layer.size_bytes or None, count, layer.reason)
        )
    return PageTable(
        name="layers",
        if_empty="The new image has no layers.",
        sort=Sort(column=0, is_ascending=True),
        title="Layers of the new image",
        caption="From bottom to top. The size is that of the blob, if it is known.",
        columns=_LAYER_COLUMNS,
        rows=tuple(rows),
    )
