"""`serve`: show images to who pulls them, straight from the store."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Optional

import typer

from nixbridge import pipeline
from nixbridge.cache import open_layer_cache
from nixbridge.cli.layers import AGAINST, LayerWishes
from nixbridge.cli.options import (
    N2C_EXACT,
    NO_CACHE,
    NO_NIX,
    WORKERS,
    Evaluation,
    Loudness,
    Reading,
)
from nixbridge.delivery import PackOptions
from nixbridge.destinations.served import Serving
from nixbridge.destinations.serving import RegistryServer
from nixbridge.packing import Compression, default_workers


def serve(
    context: typer.Context,
    sources: list[str] = typer.Argument(
        ..., metavar="SOURCE...", help="What becomes an image, as with copy; each by its own name."
    ),
    listen: str = typer.Option(
        "127.0.0.1:0",
        "--listen",
        metavar="ADDRESS:PORT",
        help="Where to listen; port 0 is a free one. Who can reach it can pull.",
    ),
    *,
    evaluation: Evaluation,
    wishes: LayerWishes,
    against: list[str] = AGAINST,
    reading: Reading,
    no_nix: bool = NO_NIX,
    compression: str = typer.Option(
        "none",
        "--compression",
        metavar="KIND[:LEVEL]",
        help="Compress layers whenever they are asked for: gzip, zstd, zlib or none.",
    ),
    no_cache: bool = NO_CACHE,
    workers: Optional[int] = WORKERS,
    n2c_exact: bool = N2C_EXACT,
    loudness: Loudness,
) -> None:
    """Serve images as a registry that can only be read.

    For docker pull, skopeo and kind, until it is interrupted or terminated.
    """
    console = context.obj.configure(loudness)
    options = PackOptions(
        compression=Compression.parse(compression),
        cache=None if no_cache else open_layer_cache(os.environ, console.warn),
        workers=workers or default_workers(),
    )
    serving = Serving.parse(listen)
    access = reading.access(context.obj, [*wishes.history, *against])
    keeping = wishes.keeping(against, access)
    with contextlib.ExitStack() as stack:
        # Before anything is packed: the port may be taken.
        server = stack.enter_context(
            RegistryServer(serving.listen, serving.catalogue, warn=console.warn)
        )
        references: list[str] = []
        for source in sources:
            # It lasts until the end: what is served must not be garbage collected.
            described = stack.enter_context(
                context.obj.described(
                    source,
                    evaluation,
                    without_nix=no_nix,
                    is_n2c_exact=n2c_exact,
                )
            )
            layer_plan = wishes.plan(described, access, keeping, console.warn)
            delivery = pipeline.deliver(described, layer_plan, [serving], console, options)
            references += delivery.references
        server.start()
        console.data("\n".join(f"{server.address}/{reference}" for reference in references))
        where = " to all who reach this machine" if server.is_everywhere else ""
        console.say(f"  serving{where}; an interrupt (Ctrl-C) ends it")
        threading.Event().wait()
