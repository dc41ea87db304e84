"""`why`: what leads to a store path of an image, and what it brings in."""

from __future__ import annotations

from typing import Optional

import typer

from nixbridge import pipeline
from nixbridge.cli.options import (
    ARG,
    ARGSTR,
    ATTRIBUTE,
    JSON,
    N2C_EXACT,
    QUIET,
    SOURCE,
    VERBOSE,
    nix_arguments_of,
)
from nixbridge.report.table import fold
from nixbridge.report.why import explain, why_document, why_text


def why(
    context: typer.Context,
    source: str = typer.Argument(..., metavar="SOURCE", help=SOURCE.help),
    path: str = typer.Argument(
        ...,
        metavar="PATH|NAME",
        help="A store path, its name with or without the hash, or the name of a package.",
    ),
    attribute: Optional[str] = ATTRIBUTE,
    arg: list[str] = ARG,
    argstr: list[str] = ARGSTR,
    n2c_exact: bool = N2C_EXACT,
    is_json: bool = JSON,
    verbose: int = VERBOSE,
    quiet: int = QUIET,
) -> None:
    """Show why a store path is in the image, and in which layer.

    Also what it drags in: what would leave the image with it.
    """
    console = context.obj.configure(verbose, quiet)
    with context.obj.described(
        source, attribute, nix_arguments_of(arg, argstr), is_n2c_exact=n2c_exact
    ) as described:
        answer = explain(described.description, pipeline.plan(described), described.base, path)
    if is_json:
        console.document(why_document(answer))
    else:
        console.data(fold(why_text(answer), console.width))
