"""`plan`: which store path goes into which layer."""

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
from nixbridge.report.plan import plan_document, plan_table


def plan(
    context: typer.Context,
    source: str = SOURCE,
    attribute: Optional[str] = ATTRIBUTE,
    arg: list[str] = ARG,
    argstr: list[str] = ARGSTR,
    n2c_exact: bool = N2C_EXACT,
    is_json: bool = JSON,
    verbose: int = VERBOSE,
    quiet: int = QUIET,
) -> None:
    """Show which store path goes into which layer, and why."""
    console = context.obj.configure(verbose, quiet)
    with context.obj.described(
        source, attribute, nix_arguments_of(arg, argstr), is_n2c_exact=n2c_exact
    ) as described:
        layer_plan = pipeline.plan(described)
        if is_json:
            console.document(plan_document(layer_plan))
        else:
            console.data(plan_table(layer_plan))
