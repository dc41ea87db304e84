"""The image description: the bridge between Nix and Python."""

from __future__ import annotations

from nixbridge.description.description import (
    DESCRIPTION_VERSION,
    LEAST_WEIGHT,
    MOST_WEIGHT,
    ImageDescription,
    LayerDescription,
    NixDatabaseRequest,
    Perm,
)
from nixbridge.description.document import description_document
from nixbridge.description.inheritance import check_platform, inherit_config, upon
from nixbridge.description.reader import is_description, parse_description, read_description
from nixbridge.description.saved_plan import (
    FollowedPlan,
    PlanFile,
    PreviousLayer,
    parse_plan_file,
    plan_document,
)
from nixbridge.description.store_paths import describe_closure

__all__ = [
    "DESCRIPTION_VERSION",
    "LEAST_WEIGHT",
    "MOST_WEIGHT",
    "FollowedPlan",
    "ImageDescription",
    "LayerDescription",
    "NixDatabaseRequest",
    "Perm",
    "PlanFile",
    "PreviousLayer",
    "check_platform",
    "describe_closure",
    "description_document",
    "inherit_config",
    "is_description",
    "parse_description",
    "parse_plan_file",
    "plan_document",
    "read_description",
    "upon",
]
