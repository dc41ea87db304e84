"""A layer plan as a table and as a document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from nixbridge.closure import StorePath
from nixbridge.layering import NIX_DATABASE_REASON, LayerPlan, PlannedLayer
from nixbridge.report.table import format_count, format_size, format_table

PLAN_DOCUMENT_VERSION: Final = 1

_NAMED_PATHS: Final = 3


def plan_table(plan: LayerPlan) -> str:
    """List the layers from bottom to top: size, paths, reason."""
    rows = [
        (
            str(number),
            format_size(layer.nar_size_bytes),
            str(len(layer.paths)),
            name_paths(largest_first(layer)),
            layer.reason,
        )
        for number, layer in enumerate(plan.layers, 1)
    ]
    count = len(rows)
    if plan.nix_database is not None:
        count += 1
        # Its size is known when it is made.
        rows.append((str(count), "", "0", "", NIX_DATABASE_REASON))
    table = format_table(
        ("LAYER", "SIZE", "PATHS", "HOLDS", "REASON"), rows, right=frozenset({0, 1, 2})
    )
    paths = sum(len(layer.paths) for layer in plan.layers)
    size_bytes = sum(layer.nar_size_bytes for layer in plan.layers)
    total = ", ".join(
        (
            format_count(count, "layer"),
            format_count(paths, "path"),
            format_size(size_bytes),
        )
    )
    return f"{table}\n{total}"


def largest_first(layer: PlannedLayer) -> Iterator[StorePath]:
    """Return the paths of a layer, the largest first."""
    by_size = sorted(
        layer.paths, key=lambda planned: (-planned.info.nar_size_bytes, planned.info.path)
    )
    return (planned.info.path for planned in by_size)


def name_paths(paths: Iterable[StorePath]) -> str:
    """Name the first few paths without their hashes: `bash-5.2, glibc-2.41, … 7 more`."""
    names = [path.name for path in paths]
    shown = names[:_NAMED_PATHS] if len(names) > _NAMED_PATHS + 1 else names
    more = [f"… {len(names) - len(shown)} more"] if len(shown) < len(names) else []
    return ", ".join((*shown, *more))


def plan_document(plan: LayerPlan) -> dict[str, Any]:
    """Return the plan for `--json`; sizes are those of the NARs, in bytes."""
    return {
        "version": PLAN_DOCUMENT_VERSION,
        "layers": [
            {
                "reason": layer.reason,
                "narSizeBytes": layer.nar_size_bytes,
                "paths": [
                    {"path": str(planned.info.path), "copyToRoot": planned.copy_to_root}
                    for planned in layer.paths
                ],
            }
            for layer in plan.layers
        ],
        "nixDatabase": plan.nix_database is not None,
    }
