"""The options of verbs that plan layers, and what is planned with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Optional

import typer

from nixbridge import pipeline
from nixbridge.delivery import Described
from nixbridge.description import LEAST_WEIGHT, MOST_WEIGHT
from nixbridge.destinations import Access
from nixbridge.errors import InputError
from nixbridge.history import read_history
from nixbridge.layering import (
    MOST_LAYERS,
    REPACK_WITHIN_UPDATES,
    LayerPlan,
    PlanOptions,
    PreviousPlan,
    find_strategy,
)
from nixbridge.packing import Warn
from nixbridge.previous import Keeping, read_plan_file, read_previous

AGAINST: Final[Any] = typer.Option(
    [],
    "--against",
    metavar="REF|FILE",
    help="Keep the layers of the image at REF, or of a saved plan, as far as they fit, as copy "
    "does; may be repeated.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerWishes:
    """What the command line says of layers."""

    strategy: Annotated[
        Optional[str],
        typer.Option(
            metavar="NAME",
            help="Split the image's own part by this strategy (docs/layering.md); explicit layers "
            "stay.",
        ),
    ] = None
    max_layers: Annotated[
        Optional[int],
        typer.Option(
            metavar="NUMBER",
            min=0,
            help="The most layers for the image's own part, besides explicit ones; 0 is no limit.",
        ),
    ] = None
    leave_layers: Annotated[
        int,
        typer.Option(
            metavar="NUMBER",
            min=0,
            max=MOST_LAYERS - 1,
            help="Leave so many of the 127 layers that a runtime takes to those who build upon the "
            "image.",
        ),
    ] = 0
    weight: Annotated[
        list[str],
        typer.Option(
            metavar="PATTERN=NUMBER",
            help="How often store paths of such names change by themselves, where others weigh 1; "
            "may be repeated.",
        ),
    ] = field(default_factory=list)
    history: Annotated[
        list[str],
        typer.Option(
            metavar="FILE|REF",
            help="Learn how often packages change from past images, the oldest first: what "
            "`nix path-info --recursive --json` printed, image descriptions, or images that are "
            "out; may be repeated.",
        ),
    ] = field(default_factory=list)
    repack_within: Annotated[
        Optional[int],
        typer.Option(
            min=0,
            metavar="UPDATES",
            help="With --against: make all layers anew if what that sends is saved again within "
            f"so many updates; else {REPACK_WITHIN_UPDATES}.",
        ),
    ] = None
    plan_file: Annotated[
        Optional[Path],
        typer.Option(
            "--plan",
            metavar="FILE",
            help="Follow a plan that `plan --save` wrote; paths that it lacks go into layers "
            "above.",
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse a strategy and weights that are none, before anything is built.

        Raises `InputError`.
        """
        if self.strategy is not None:
            find_strategy(self.strategy)
        for text in self.weight:
            _weight(text)

    def keeping(self, against: Sequence[str], access: Access) -> Keeping:
        """Return what the layers shall keep to; reads what `against` names, and the saved plan.

        Raises `InputError`, `DestinationError`, `IntegrityError`.
        """
        within = self.repack_within
        if within is not None and not against:
            raise InputError(
                "`--repack-within` needs an image whose layers are kept",
                hint="name it: `--against REF`",
            )
        return Keeping(
            previous=[read_previous(name, access) for name in against],
            followed=None if self.plan_file is None else read_plan_file(self.plan_file),
            repack_within_updates=REPACK_WITHIN_UPDATES if within is None else within,
        )

    def options(
        self,
        images: Sequence[Described],
        access: Access,
        previous: PreviousPlan | None = None,
    ) -> PlanOptions:
        """Return the options of a plan of images; reads what the history names.

        Raises `InputError`, `DestinationError`, `IntegrityError`.
        """
        now = {info.path: info for image in images for info in image.description.closure}
        return PlanOptions(
            strategy=self.strategy,
            max_layers=self.max_layers,
            leave_layers=self.leave_layers,
            weights=dict(map(_weight, self.weight)),
            learned=read_history(self.history, now.values(), access),
            previous=previous,
        )

    def plan(self, described: Described, access: Access, keeping: Keeping, warn: Warn) -> LayerPlan:
        """Plan an image as `copy` does.

        Raises `PlanError`, `InputError`, `DestinationError`, `IntegrityError`.
        """
        previous = keeping.plan_for(described.description, warn)
        return pipeline.plan(described, self.options([described], access, previous))


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
