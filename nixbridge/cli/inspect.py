"""`inspect`: look at an image where it was delivered."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import typer

from nixbridge.cli.options import (
    CERTIFICATES,
    CREDENTIALS,
    JSON,
    QUIET,
    TLS_VERIFY,
    VERBOSE,
)
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
    credentials: Optional[str] = CREDENTIALS,
    tls_verify: Optional[str] = TLS_VERIFY,
    certificates: Optional[Path] = CERTIFICATES,
    is_json: bool = JSON,
    verbose: int = VERBOSE,
    quiet: int = QUIET,
) -> None:
    """Show the config and the layers of an image that was delivered."""
    console = context.obj.configure(verbose, quiet)
    access = context.obj.access(
        credentials=credentials, tls_verify=tls_verify, certificates=certificates
    )
    stored = parse_inspectable(image).inspect(access)
    if is_json:
        console.document(stored_image_document(stored))
    else:
        console.data(stored_image_text(stored))
