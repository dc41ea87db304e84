"""The options of verbs that plan layers, and what is planned with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import typer

from nixbridge.delivery import Described
from nixbridge.description import LEAST_WEIGHT, MOST_WEIGHT
from nixbridge.destinations import Access
from nixbridge.errors import InputError
from nixbridge.history import read_history
from nixbridge.layering import MOST_LAYERS, PlanOptions, PreviousPlan

STRATEGY: Final[Any] = typer.Option(
    None,
    "--strategy",
    metavar="NAME",
    help="Split the image's own part by this strategy (docs/layering.md); explicit layers stay.",
)
MAX_LAYERS: Final[Any] = typer.Option(
    None,
    "--max-layers",
    metavar="NUMBER",
    min=0,
    help="The most layers for the image's own part, besides explicit ones; 0 is no limit.",
)
LEAVE_LAYERS: Final[Any] = typer.Option(
    0,
    "--leave-layers",
    metavar="NUMBER",
    min=0,
    max=MOST_LAYERS - 1,
    help="Leave so many of the 127 layers that a runtime takes to those who build upon the image.",
)
WEIGHT: Final[Any] = typer.Option(
    [],
    "--weight",
    metavar="PATTERN=NUMBER",
    help="How often store paths of such names change by themselves, where others weigh 1; may be "
    "repeated.",
)
HISTORY: Final[Any] = typer.Option(
    [],
    "--history",
    metavar="FILE|REF",
    help="Learn how often packages change from past images, the oldest first: what `nix path-info "
    "--recursive --json` printed, image descriptions, or images that are out; may be repeated.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerWishes:
    """What the command line says of layers, parsed before anything is built."""

    strategy: str | None
    max_layers: int | None
    leave_layers: int
    weights: Sequence[str]
    history: Sequence[str]

    def __post_init__(self) -> None:
        """Refuse weights that are none.

        Raises `InputError`.
        """
        for text in self.weights:
            _weight(text)

    def options(
        self, described: Described, access: Access, previous: PreviousPlan | None = None
    ) -> PlanOptions:
        """Return the options of a plan; reads what the history names.

        Raises `InputError`, `DestinationError`, `IntegrityError`.
        """
        return PlanOptions(
            strategy=self.strategy,
            max_layers=self.max_layers,
            leave_layers=self.leave_layers,
            weights=dict(map(_weight, self.weights)),
            learned=read_history(self.history, described.description, access),
            previous=previous,
        )


def _weight(text: str) -> tuple[str, float]:
    pattern, _, number = text.rpartition("=")
    try:
        weight = float(number)
    except ValueError:
        weight = 0.0
    if not pattern or not LEAST_WEIGHT <= weight <= MOST_WEIGHT:
        raise InputError(
            f"`--weight {text}` is no weight of a pattern",
            hint=f"write it as `--weight 'my-app*=20'`, from {LEAST_WEIGHT} to {MOST_WEIGHT}",
        )
    return pattern, weight
