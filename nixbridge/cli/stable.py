"""The options of verbs that plan against what is out already."""

from __future__ import annotations

from typing import Any, Final

import typer

from nixbridge.layering import REPACK_WITHIN_UPDATES

PLAN_FILE: Final[Any] = typer.Option(
    None,
    "--plan",
    metavar="FILE",
    help="Follow a plan that `plan --save` wrote; paths that it lacks go into layers above.",
)
REPACK_WITHIN: Final[Any] = typer.Option(
    REPACK_WITHIN_UPDATES,
    "--repack-within",
    min=0,
    metavar="UPDATES",
    help="With --against: make all layers anew if what that sends is saved again within so many "
    "updates.",
)
