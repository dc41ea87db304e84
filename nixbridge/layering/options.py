"""`PlanOptions`: what is asked of a plan besides what the image's description says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from nixbridge.layering.stability import PreviousPlan


def _no_weights() -> Mapping[str, float]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanOptions:
    """How a plan shall be made.

    `strategy` and `max_layers` are of the image's own part, the last of its description, in place
    of what stands there; None leaves that as it is. Explicit layers are as their description says.
    `weights` are those of patterns of names, before any others; `learned` those of packages
    (`weights.py`). The image has at least `leave_layers` layers less than a runtime takes.
    With `previous`, layers that it holds are kept (`stability.py`), whatever plan the description
    holds.
    """

    strategy: str | None = None
    max_layers: int | None = None
    weights: Mapping[str, float] = field(default_factory=_no_weights)
    learned: Mapping[str, float] = field(default_factory=_no_weights)
    leave_layers: int = 0
    previous: PreviousPlan | None = None
