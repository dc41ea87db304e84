"""`copy`: make the image and deliver it."""

from __future__ import annotations

import os
from typing import Optional

import typer

from nixbridge import pipeline
from nixbridge.cli.options import (
    ARG,
    ARGSTR,
    ATTRIBUTE,
    JSON,
    N2C_EXACT,
    NO_CACHE,
    NO_NIX,
    QUIET,
    SOURCE,
    VERBOSE,
    WORKERS,
    nix_arguments_of,
)
from nixbridge.delivery import PackOptions, check_destinations
from nixbridge.destinations.docker_archive import DockerArchive
from nixbridge.destinations.reference import parse_destination
from nixbridge.errors import InputError
from nixbridge.packing import Compression, default_workers
from nixbridge.report.image import image_document, image_table


def copy(
    context: typer.Context,
    source: str = typer.Argument(..., help=SOURCE.help),
    destinations: list[str] = typer.Argument(
        ...,
        metavar="DEST...",
        help="containers-storage:NAME[:TAG] (podman's), docker-daemon:NAME[:TAG], oci:DIR[:TAG], "
        "oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] (with nothing after FILE: the "
        "image has no name), or - for a docker-archive on standard output.",
    ),
    attribute: Optional[str] = ATTRIBUTE,
    arg: list[str] = ARG,
    argstr: list[str] = ARGSTR,
    no_nix: bool = NO_NIX,
    compression: str = typer.Option(
        "none",
        "--compression",
        metavar="KIND[:LEVEL]",
        help="Compress layers: gzip, zstd, zlib (gzip's format, slower) or none.",
    ),
    no_cache: bool = NO_CACHE,
    check_contents: bool = typer.Option(
        False, "--check-contents", help="Compare every store path with its NAR hash on the way."
    ),
    workers: Optional[int] = WORKERS,
    n2c_exact: bool = N2C_EXACT,
    is_json: bool = JSON,
    verbose: int = VERBOSE,
    quiet: int = QUIET,
) -> None:
    """Make the image and deliver it; the last line printed is its digest reference."""
    console = context.obj.configure(verbose, quiet)
    parsed = [parse_destination(text) for text in destinations]
    is_streamed = any(isinstance(each, DockerArchive) and each.path is None for each in parsed)
    if is_streamed and is_json:
        raise InputError("the archive and the JSON document cannot both go to standard output")
    options = PackOptions(
        compression=Compression.parse(compression),
        cache=None if no_cache else pipeline.open_layer_cache(os.environ, console),
        checks_contents=check_contents,
        workers=workers or default_workers(),
    )
    check_destinations(dict(zip(destinations, parsed, strict=True)), options.compression)
    with context.obj.described(
        source,
        attribute,
        nix_arguments_of(arg, argstr),
        without_nix=no_nix,
        is_n2c_exact=n2c_exact,
    ) as described:
        delivery = pipeline.deliver(
            described,
            pipeline.plan(described),
            parsed,
            console,
            options,
            context.obj.access(places=options.cache),
        )
    console.say(image_table(delivery.image), at=1)
    if is_json:
        console.document(image_document(delivery.image, delivery.references))
    elif is_streamed:
        console.say("\n".join(delivery.references))
    else:
        console.data("\n".join(delivery.references))
