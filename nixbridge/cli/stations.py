"""`render`, `show`, `closure`: stop on the way to an image, and look."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from nixbridge import pipeline
from nixbridge.cli.options import JSON, SOURCE, Evaluation, Loudness
from nixbridge.description import description_document
from nixbridge.errors import InputError
from nixbridge.report.closure import closure_document, closure_table
from nixbridge.source import SPEC_FILE_NAME, SpecSource, parse_source
from nixbridge.texts import check_text, write_text


def render(
    context: typer.Context,
    spec: Path = typer.Argument(
        Path(), metavar="SPEC", help=f"A {SPEC_FILE_NAME}, or the directory that holds it."
    ),
    output: Optional[Path] = typer.Option(
        None, "--output", "-o", metavar="FILE", help="Write the expression to FILE."
    ),
    check: bool = typer.Option(
        False, "--check", help="Write nothing; fail if FILE is not what would be written."
    ),
    *,
    loudness: Loudness,
) -> None:
    """Print the Nix expression that a spec stands for."""
    console = context.obj.configure(loudness)
    source = parse_source(str(spec))
    if not isinstance(source, SpecSource):
        raise InputError(f"`{spec}` is not a spec", hint=f"render takes a `{SPEC_FILE_NAME}`")
    text = pipeline.render_spec(source.path)
    if check and output is None:
        raise InputError("`--check` needs `--output FILE` to compare with")
    if output is None:
        console.data(text.removesuffix("\n"))
    elif check:
        check_text(output, text)
    else:
        write_text(output, text)
        console.say(f"wrote {output}")


def show(
    context: typer.Context,
    source: str = SOURCE,
    *,
    evaluation: Evaluation,
    loudness: Loudness,
) -> None:
    """Print the image description: what Nix says of the image, as JSON."""
    console = context.obj.configure(loudness)
    with context.obj.described(source, evaluation) as described:
        console.document(description_document(described.description))


def closure(
    context: typer.Context,
    source: str = SOURCE,
    *,
    evaluation: Evaluation,
    is_json: bool = JSON,
    loudness: Loudness,
) -> None:
    """List the store paths that the image is made of."""
    console = context.obj.configure(loudness)
    with context.obj.described(source, evaluation) as described:
        graph = described.description.closure
        if is_json:
            console.document(closure_document(graph))
        else:
            console.data(closure_table(graph))
