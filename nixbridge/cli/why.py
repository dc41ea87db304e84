"""`why`: what leads to a store path of an image, and what it brings in."""

from __future__ import annotations

import typer

from nixbridge.cli.layers import AGAINST, LayerWishes
from nixbridge.cli.options import JSON, N2C_EXACT, SOURCE, Evaluation, Loudness, Reading
from nixbridge.report.table import fold
from nixbridge.report.why import explain, why_document, why_text


def why(
    context: typer.Context,
    source: str = typer.Argument(..., metavar="SOURCE", help=SOURCE.help),
    path: str = typer.Argument(
        ...,
        metavar="PATH|NAME",
        help="A store path or a file in one, its name with or without the hash, or the name of a "
        "package.",
    ),
    *,
    evaluation: Evaluation,
    wishes: LayerWishes,
    against: list[str] = AGAINST,
    reading: Reading,
    n2c_exact: bool = N2C_EXACT,
    is_json: bool = JSON,
    loudness: Loudness,
) -> None:
    """Show why a store path is in the image, and in which layer.

    Also what it drags in: what would leave the image with it.
    """
    console = context.obj.configure(loudness)
    access = reading.access(context.obj, [*wishes.history, *against])
    keeping = wishes.keeping(against, access)
    with context.obj.described(source, evaluation, is_n2c_exact=n2c_exact) as described:
        layer_plan = wishes.plan(described, access, keeping, console.warn)
        answer = explain(described.description, layer_plan, described.base, path)
    if is_json:
        console.document(why_document(answer))
    else:
        console.data(fold(why_text(answer), console.width))
