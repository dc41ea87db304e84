"""`diff`: what changed from one image to another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final, Optional

import typer

from nixbridge import pipeline
from nixbridge.cli.options import HTML, JSON, N2C_EXACT, SOURCE, Evaluation, Loudness, Reading, Run
from nixbridge.destinations.reference import is_destination, parse_inspectable
from nixbridge.destinations.stored_image import StoredImage
from nixbridge.errors import InputError
from nixbridge.report.contents import (
    Contents,
    compressions_of,
    contents_of_plan,
    contents_of_stored,
)
from nixbridge.report.diff import compare
from nixbridge.report.diff_page import diff_page_html
from nixbridge.report.diff_table import diff_document, diff_text
from nixbridge.source import parse_source
from nixbridge.texts import write_text

_IMAGE_HELP: Final = (
    f"{SOURCE.help} Or an image that was delivered: docker://…, oci:…, oci-archive:…, "
    "docker-archive:…."
)


def diff(
    context: typer.Context,
    old: str = typer.Argument(..., metavar="OLD", help=_IMAGE_HELP),
    new: str = typer.Argument(..., metavar="NEW", help="The image to compare it with, likewise."),
    *,
    evaluation: Evaluation,
    n2c_exact: bool = N2C_EXACT,
    reading: Reading,
    html: Optional[Path] = HTML,
    is_json: bool = JSON,
    loudness: Loudness,
) -> None:
    """Show what changed from one image to another.

    Differing or not, the exit status is 0.
    """
    console = context.obj.configure(loudness)
    attribute = evaluation.attribute
    if attribute is not None and not any(text.endswith(".nix") for text in (old, new)):
        raise InputError(
            f"`-A {attribute}` picks an attribute of a Nix file, and there is none",
            hint="a flake's attribute stands behind the `#`: `.#dockerImage`",
        )
    access = reading.access(context.obj, [old, new])
    places = {
        text: parse_inspectable(text) for text in dict.fromkeys((old, new)) if is_destination(text)
    }
    # What is mistyped is told before anything is read or built.
    for text in (old, new):
        if text not in places:
            parse_source(text)
    stored = {text: place.inspect(access) for text, place in places.items()}

    def contents(text: str) -> Contents:
        if text in stored:
            return contents_of_stored(stored[text], title=text)
        return _planned(
            context.obj,
            text,
            evaluation if text.endswith(".nix") else replace(evaluation, attribute=None),
            is_n2c_exact=n2c_exact,
            stored=tuple(stored.values()),
        )

    difference = compare(contents(old), contents(new))
    if html is not None:
        write_text(html, diff_page_html(difference))
        console.say(f"wrote {html}")
    if is_json:
        console.document(diff_document(difference))
    else:
        console.data(diff_text(difference, console.width))


def _planned(
    run: Run,
    source: str,
    evaluation: Evaluation,
    *,
    is_n2c_exact: bool,
    stored: tuple[StoredImage, ...],
) -> Contents:
    """Plan an image, to be compared with one that is delivered as that one was packed."""
    compressions = {None, *(identity for image in stored for identity in compressions_of(image))}
    with run.described(source, evaluation, is_n2c_exact=is_n2c_exact) as described:
        return contents_of_plan(
            described.description,
            pipeline.plan(described),
            described.base,
            title=source,
            compressions=compressions,
        )
