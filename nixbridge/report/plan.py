"""A layer plan as a table and as a document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from nixbridge.closure import StorePath
from nixbridge.image import BaseImage
from nixbridge.layering import NIX_DATABASE_REASON, LayerPlan, PlanCosts, PlannedLayer
from nixbridge.report.table import (
    NAMES,
    WORDS,
    fold,
    format_count,
    format_percent,
    format_size,
    format_table,
)

PLAN_DOCUMENT_VERSION: Final = 1

_NAMED_PATHS: Final = 3


def plan_table(
    plan: LayerPlan, costs: PlanCosts, base: BaseImage | None, width: int | None = None
) -> str:
    """List the layers from bottom to top, and tell what an update costs; no wider than `width`.

    How likely a layer of the base image changes is not known, and the Nix database always does.
    """
    rows = []
    if base is not None:
        reason = base_reason(base)
        rows += [("", format_size(layer.size_bytes), "", "", "", reason) for layer in base.layers]
    rows += [
        (
            "",
            format_size(layer.nar_size_bytes),
            str(len(layer.paths)),
            format_percent(layer.change_probability),
            name_paths(largest_first(layer)),
            layer.reason,
        )
        for layer in plan.layers
    ]
    if plan.nix_database is not None:
        # Its size is known when it is made.
        rows.append(("", "", "0", format_percent(1.0), "", NIX_DATABASE_REASON))
    count = len(rows)
    table = format_table(
        ("LAYER", "SIZE", "PATHS", "CHANGES", "HOLDS", "REASON"),
        [(str(number), *row[1:]) for number, row in enumerate(rows, 1)],
        right=frozenset({0, 1, 2, 3}),
        width=width,
        fits={4: NAMES, 5: WORDS},
    )
    paths = sum(len(layer.paths) for layer in plan.layers)
    size_bytes = sum(layer.nar_size_bytes for layer in plan.layers)
    total = ", ".join(
        (format_count(count, "layer"), format_count(paths, "path"), format_size(size_bytes))
    )
    return "\n".join((table, fold("\n".join((total, *costs_text(costs))), width)))


def base_reason(base: BaseImage) -> str:
    """Say what a layer of the base image is there for."""
    return f"of the base image {base.place}"


def first_layer_number(base: BaseImage | None) -> int:
    """Return the number of a plan's first layer: those of the base image are below it."""
    return 1 + (0 if base is None else len(base.layers))


def costs_text(costs: PlanCosts) -> Iterator[str]:
    """Tell what an update costs with the plan, and what it would cost with others."""
    yield (
        f"an update sends {format_size(costs.expected_bytes)} on average; "
        f"with a layer for each path it would be {format_size(costs.floor_bytes)}"
    )
    if costs.others_bytes:
        others = ", ".join(
            f"{name} {format_size(size_bytes)}" for name, size_bytes in costs.others_bytes.items()
        )
        yield f"with other strategies and as many layers: {others}"


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


def plan_document(plan: LayerPlan, costs: PlanCosts, base: BaseImage | None) -> dict[str, Any]:
    """Return the plan for `--json`; sizes are those of the NARs, in bytes.

    Those of the base image's layers are of their blobs.
    """
    return {
        "version": PLAN_DOCUMENT_VERSION,
        "baseImage": None if base is None else base.place,
        "baseLayers": [
            {
                "sizeBytes": layer.size_bytes,
                "digest": None if layer.digest is None else str(layer.digest),
                "diffId": str(layer.diff_id),
            }
            for layer in (() if base is None else base.layers)
        ],
        "layers": [
            {
                "reason": layer.reason,
                "narSizeBytes": layer.nar_size_bytes,
                "changeProbability": layer.change_probability,
                "paths": [
                    {"path": str(planned.info.path), "copyToRoot": planned.copy_to_root}
                    for planned in layer.paths
                ],
            }
            for layer in plan.layers
        ],
        "nixDatabase": plan.nix_database is not None,
        "expectedBytes": costs.expected_bytes,
        "floorBytes": costs.floor_bytes,
        "otherStrategies": dict(costs.others_bytes),
    }
