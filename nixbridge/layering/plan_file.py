"""Plans as a file that people commit: `plan.json`.

The file holds, for each image by its name, the layers from bottom to top with their store paths,
and the reason for each. No sizes and no probabilities: what changed in it is what moved. The format
is `plan-file.schema.json`; a test holds that file and this module together. What is unknown in it
is refused, as in an image description.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.description.fields import Fields
from nixbridge.errors import InputError
from nixbridge.layering.plan import LayerPlan
from nixbridge.layering.stability import PreviousLayer

PLAN_FILE_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanFile:
    """The layers of one image or several, by the images' names; `source` names it in errors."""

    layers: Mapping[str, tuple[PreviousLayer, ...]]
    source: str

    def layers_for(self, name: str, closure: ClosureGraph) -> tuple[PreviousLayer, ...]:
        """Return the layers of the image `name`, whose paths are those of `closure`.

        A plan of one image fits an image of another name as well.

        Raises `InputError`: it is a plan for other images.
        """
        layers = self.layers.get(name)
        if layers is None and len(self.layers) == 1:
            (layers,) = self.layers.values()
        if layers is None:
            known = ", ".join(f"`{other}`" for other in self.layers) or "none"
            raise InputError(
                f"`{self.source}` holds no plan for the image `{name}`", hint=f"it holds: {known}"
            )
        if not any(path in closure for layer in layers for path in layer.paths):
            raise InputError(
                f"`{self.source}` is the plan of another image: it has no store path of this one",
                hint="save the plan of this one: `nixbridge plan SOURCE --save FILE`",
            )
        return layers


def plan_file_text(plans: Mapping[str, LayerPlan]) -> str:
    """Return the file of the plans of images, by the images' names; the same for any order."""
    document = {
        "version": PLAN_FILE_VERSION,
        "images": [
            {
                "name": name,
                "layers": [
                    {
                        "reason": layer.reason,
                        # A path may be in a layer twice: in the store, and its files at the root.
                        "paths": sorted({str(planned.info.path) for planned in layer.paths}),
                    }
                    for layer in plans[name].layers
                ],
            }
            for name in sorted(plans)
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def parse_plan_file(data: bytes, *, source: str) -> PlanFile:
    """Read a plan file; `source` names it in errors.

    Raises `InputError`.
    """
    try:
        document: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"`{source}` is not JSON: {error}") from error
    fields = Fields(document, source=source)
    version = fields.number("version")
    if version != PLAN_FILE_VERSION:
        raise fields.error(
            "version",
            f"is {version}, and this nixbridge knows {PLAN_FILE_VERSION}",
            hint="save it again: `nixbridge plan SOURCE --save FILE`",
        )
    fields.allow_only(("version", "images"))
    layers: dict[str, tuple[PreviousLayer, ...]] = {}
    for image in fields.children("images"):
        image.allow_only(("name", "layers"))
        name = image.text("name")
        if name in layers:
            raise image.error("name", f"is `{name}` a second time")
        layers[name] = tuple(_layer(layer) for layer in image.children("layers"))
    return PlanFile(layers=layers, source=source)


def _layer(fields: Fields) -> PreviousLayer:
    fields.allow_only(("reason", "paths"))
    paths = fields.all_parsed("paths", StorePath.parse)
    if not paths:
        raise fields.error("paths", "is empty")
    return PreviousLayer(paths=frozenset(paths), reason=fields.text("reason"))
