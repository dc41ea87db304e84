"""Images that are planned together: what sharing layers saves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from nixbridge.layering import LayerPlan
from nixbridge.packing import recipes_of_plan
from nixbridge.report.table import NAME, format_count, format_size, format_table

FAMILY_DOCUMENT_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerSum:
    """Layers of several images, each counted once; the size is before compression."""

    layer_count: int
    nar_size_bytes: int

    @classmethod
    def of(cls, plans: Iterable[LayerPlan]) -> Self:
        """Count the layers of all plans; those of the same recipe are one."""
        layers = {
            key: layer
            for plan in plans
            for key, layer in zip(layer_keys(plan), plan.layers, strict=False)
        }
        return cls(
            layer_count=len(layers),
            nar_size_bytes=sum(layer.nar_size_bytes for layer in layers.values()),
        )


def layer_keys(plan: LayerPlan) -> tuple[str, ...]:
    """Return what tells the layers of a plan apart, not counting the Nix database."""
    keys = tuple(str(recipe.key) for recipe in recipes_of_plan(plan, None))
    return keys[: len(plan.layers)]


def family_table(
    together: Mapping[str, LayerPlan],
    alone: Mapping[str, LayerPlan],
    width: int | None = None,
) -> str:
    """List the images, by their names, and what the family is in sum, with sharing and without."""
    rows = []
    for name, plan in together.items():
        others = {key for other in together if other != name for key in layer_keys(together[other])}
        shared = [
            layer for key, layer in zip(layer_keys(plan), plan.layers, strict=True) if key in others
        ]
        rows.append(
            (
                name,
                str(len(plan.layers)),
                format_size(sum(layer.nar_size_bytes for layer in plan.layers)),
                str(len(shared)),
                format_size(sum(layer.nar_size_bytes for layer in shared)),
            )
        )
    table = format_table(
        ("IMAGE", "LAYERS", "SIZE", "SHARED", "SHARED SIZE"),
        rows,
        right=frozenset({1, 2, 3, 4}),
        width=width,
        fits={0: NAME},
    )
    return "\n".join(
        (
            table,
            f"together  {_sum_text(LayerSum.of(together.values()))}",
            f"alone     {_sum_text(LayerSum.of(alone.values()))}",
        )
    )


def _sum_text(total: LayerSum) -> str:
    return f"{format_count(total.layer_count, 'layer')}, {format_size(total.nar_size_bytes)}"


def family_document(
    together: Mapping[str, LayerPlan], alone: Mapping[str, LayerPlan]
) -> dict[str, Any]:
    """Return the same for `--json`; a layer of several images has the same key in each."""
    return {
        "version": FAMILY_DOCUMENT_VERSION,
        "images": [
            {
                "name": name,
                "layers": [
                    {
                        "key": key,
                        "reason": layer.reason,
                        "narSizeBytes": layer.nar_size_bytes,
                        "paths": sorted({str(planned.info.path) for planned in layer.paths}),
                    }
                    for key, layer in zip(layer_keys(plan), plan.layers, strict=True)
                ],
            }
            for name, plan in together.items()
        ],
        "together": _sum_document(LayerSum.of(together.values())),
        "alone": _sum_document(LayerSum.of(alone.values())),
    }


def _sum_document(total: LayerSum) -> dict[str, Any]:
    return {"layers": total.layer_count, "narSizeBytes": total.nar_size_bytes}
