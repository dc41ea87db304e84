"""`copy`: make the image and deliver it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import typer

from nixbridge import pipeline
from nixbridge.cache import open_layer_cache
from nixbridge.cli.layers import LayerWishes
from nixbridge.cli.options import (
    JSON,
    N2C_EXACT,
    NO_CACHE,
    NO_NIX,
    SOURCE,
    WORKERS,
    Evaluation,
    Loudness,
    Sending,
)
from nixbridge.delivery import PackOptions, choose_compression, previous_images
from nixbridge.destinations import Destination
from nixbridge.destinations.blob_places import PlacesOfThisRun
from nixbridge.destinations.docker_archive import DockerArchive
from nixbridge.destinations.oci_archive import OciArchive
from nixbridge.destinations.reference import (
    is_destination,
    parse_destination,
    parse_inspectable,
)
from nixbridge.errors import InputError
from nixbridge.packing import default_workers
from nixbridge.report.delivery import delivery_document
from nixbridge.report.image import image_table
from nixbridge.report.update import repacking_text


def copy(
    context: typer.Context,
    source: str = typer.Argument(..., metavar="SOURCE", help=SOURCE.help),
    destinations: list[str] = typer.Argument(
        ...,
        metavar="DEST...",
        help="docker://[REGISTRY/]NAME[:TAG], containers-storage:NAME[:TAG] (podman's), "
        "docker-daemon:NAME[:TAG], oci:DIR[:TAG], oci-archive:FILE[:TAG], "
        "docker-archive:FILE[:NAME:TAG] (with nothing after FILE: the image has no name), or - for "
        "a docker-archive on standard output.",
    ),
    *,
    evaluation: Evaluation,
    no_nix: bool = NO_NIX,
    compression: Optional[str] = typer.Option(
        None,
        "--compression",
        metavar="KIND[:LEVEL]",
        help="Compress layers: gzip, zstd, zlib (gzip's format, slower) or none; else as DEST "
        "likes them, which is gzip for a registry and none for all others.",
    ),
    wishes: LayerWishes,
    against: list[str] = typer.Option(
        [],
        "--against",
        metavar="REF|FILE",
        help="Keep the layers of the image at REF, or of a saved plan, as far as they fit, and do "
        "not read those that REF and DEST have; may be repeated. What DEST names now is always "
        "looked at, so that what it has is not read.",
    ),
    no_trust_annotations: bool = typer.Option(
        False,
        "--no-trust-annotations",
        help="Believe no image what it says of its layers (docs/trust.md).",
    ),
    no_cache: bool = NO_CACHE,
    check_contents: bool = typer.Option(
        False, "--check-contents", help="Compare every store path with its NAR hash on the way."
    ),
    workers: Optional[int] = WORKERS,
    sending: Sending,
    n2c_exact: bool = N2C_EXACT,
    is_json: bool = JSON,
    loudness: Loudness,
) -> None:
    """Make the image and deliver it.

    The last line printed is its digest reference.
    """
    console = context.obj.configure(loudness)
    parsed = [parse_destination(text) for text in destinations]
    is_streamed = any(isinstance(each, DockerArchive) and each.path is None for each in parsed)
    _refuse_one_archive_twice(destinations, parsed)
    named = dict(zip(destinations, parsed, strict=True))
    read = [*against, *wishes.history]
    images = [parse_inspectable(text) for text in read if is_destination(text)]
    if is_streamed and is_json:
        raise InputError("the archive and the JSON document cannot both go to standard output")
    compressed = choose_compression(named, compression)
    cache = None if no_cache else open_layer_cache(os.environ, console.warn)
    access = sending.access(context.obj, [*parsed, *images], PlacesOfThisRun(cache))
    keeping = wishes.keeping(against, access)
    with context.obj.described(
        source,
        evaluation,
        without_nix=no_nix,
        is_n2c_exact=n2c_exact,
    ) as described:
        reads_all = no_cache or check_contents or no_trust_annotations
        options = PackOptions(
            compression=compressed,
            cache=cache,
            believed=() if reads_all else (*previous_images(named, access), *keeping.images),
            checks_contents=check_contents,
            workers=workers or default_workers(),
        )
        layer_plan = wishes.plan(described, access, keeping, console.warn)
        for repacking in layer_plan.repackings:
            console.say(f"  plan      {repacking_text(repacking, keeping.repack_within_updates)}")
        delivery = pipeline.deliver(described, layer_plan, parsed, console, options, access)
    console.say(image_table(delivery.image), at=1)
    if is_json:
        console.document(delivery_document(delivery))
    elif is_streamed:
        console.say("\n".join(delivery.references))
    else:
        console.data("\n".join(delivery.references))


def _refuse_one_archive_twice(texts: Sequence[str], destinations: Sequence[Destination]) -> None:
    """Refuse what would be two archives at one place: the second would be all there is.

    Raises `InputError`.
    """
    seen: dict[Path | None, str] = {}
    for text, destination in zip(texts, destinations, strict=True):
        if not isinstance(destination, DockerArchive | OciArchive):
            continue
        place = None if destination.path is None else destination.path.resolve()
        if place in seen:
            raise InputError(
                f"`{seen[place]}` and `{text}` are one place, which takes one archive",
                hint="write each to a file of its own; an `oci:DIR` takes several images",
            )
        seen[place] = text
