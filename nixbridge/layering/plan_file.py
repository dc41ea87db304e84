"""Plans as a file that people commit: `plan.json`.

The file holds, for each image by its name, the layers from bottom to top with their store paths,
and the reason for each. No sizes and no probabilities: what changed in it is what moved. The format
is `plan-file.schema.json`; it is read by `description/saved_plan.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from nixbridge.description import PreviousLayer, plan_document
from nixbridge.layering.plan import LayerPlan


def plan_file_text(plans: Mapping[str, LayerPlan]) -> str:
    """Return the file of the plans of images, by the images' names; the same for any order."""
    # A path may be in a layer twice: in the store, and its files at the root.
    layers = {
        name: [
            PreviousLayer(
                paths=frozenset(planned.info.path for planned in layer.paths), reason=layer.reason
            )
            for layer in plan.layers
        ]
        for name, plan in plans.items()
    }
    return json.dumps(plan_document(layers), indent=2, ensure_ascii=False) + "\n"
