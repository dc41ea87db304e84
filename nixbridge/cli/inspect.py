"""`inspect`: look at an image where it was delivered."""

from __future__ import annotations

import typer

from nixbridge.cli.options import JSON, Loudness, Reading
from nixbridge.destinations.reference import parse_inspectable
from nixbridge.report.image import stored_image_document, stored_image_text


def inspect(
    context: typer.Context,
    image: str = typer.Argument(
        ...,
        metavar="IMAGE",
        help="docker://[REGISTRY/]NAME[:TAG|@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG] or "
        "docker-archive:FILE[:NAME:TAG].",
    ),
    *,
    reading: Reading,
    is_json: bool = JSON,
    loudness: Loudness,
) -> None:
    """Show the config and the layers of an image that was delivered."""
    console = context.obj.configure(loudness)
    access = reading.access(context.obj, [image])
    stored = parse_inspectable(image).inspect(access)
    if is_json:
        console.document(stored_image_document(stored))
    else:
        console.data(stored_image_text(stored))
