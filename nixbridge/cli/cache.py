"""`cache`: what is remembered of layers, so that none is packed twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

import typer

from nixbridge import pipeline
from nixbridge.cache import open_layer_cache, verify_layer_cache
from nixbridge.cli.options import JSON, Loudness
from nixbridge.console import Console
from nixbridge.errors import InputError, IntegrityError
from nixbridge.packing import LayerCache
from nixbridge.report.cache import cache_document, cache_text

HELP: Final = "What is remembered of layers, so that none is packed twice."


def _layer_cache(console: Console) -> LayerCache:
    cache = open_layer_cache(os.environ, console.warn)
    if cache is None:
        raise InputError("there is no place for a layer cache", hint="set `XDG_CACHE_HOME`")
    return cache


def cache_info(
    context: typer.Context,
    is_json: bool = JSON,
    *,
    loudness: Loudness,
) -> None:
    """Show where the cache is, and how much is in it."""
    console = context.obj.configure(loudness)
    info = _layer_cache(console).info()
    if is_json:
        console.document(cache_document(info))
    else:
        console.data(cache_text(info))


def cache_verify(
    context: typer.Context,
    *,
    loudness: Loudness,
) -> None:
    """Pack again all that can be packed, and forget what was wrong."""
    console = context.obj.configure(loudness)
    cache = _layer_cache(console)
    store = pipeline.open_nix(context.obj.nix_arguments, console).store_root()
    findings = verify_layer_cache(cache, store, console)
    if findings.unknown_count:
        console.say(f"{findings.unknown_count} cannot be packed again, and stay as they are")
    if findings.wrong_count:
        raise IntegrityError(
            f"of {findings.right_count + findings.wrong_count} layers that could be packed again, "
            f"the cache knew {findings.wrong_count} wrongly; it has forgotten them"
        )


def cache_clear(
    context: typer.Context,
    *,
    loudness: Loudness,
) -> None:
    """Forget all."""
    console = context.obj.configure(loudness)
    _layer_cache(console).clear()


VERBS: Final[Mapping[str, Callable[..., None]]] = {
    "info": cache_info,
    "verify": cache_verify,
    "clear": cache_clear,
}
