"""The user's cache of what is known about layers: opened, and packed again to be verified."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from nixbridge.closure import StoreRoot
from nixbridge.delivery import is_right
from nixbridge.packing import LayerCache, LayerRecipe, Warn, layer_cache_path
from nixbridge.progress import Progress
from nixbridge.report.table import format_count


def open_layer_cache(environment: Mapping[str, str], warn: Warn) -> LayerCache | None:
    """Return the user's cache of what is known about layers; None where there is no place for it.

    Touches nothing yet.
    """
    path = layer_cache_path(environment)
    if path is None:
        warn("going on without the layer cache: neither `XDG_CACHE_HOME` nor `HOME` is set")
        return None
    return LayerCache(path, warn=warn)


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheFindings:
    """What came of packing all layers of a cache again.

    Not all can be: see `is_right`. `wrong` ones were forgotten.
    """

    right_count: int
    wrong_count: int
    unknown_count: int


def verify_layer_cache(cache: LayerCache, store: StoreRoot, progress: Progress) -> CacheFindings:
    """Pack again what a cache knows, as far as its store paths are there, and forget what is wrong.

    Raises `InputError`: the cache cannot be used.
    """
    started = time.monotonic()
    results: dict[bool | None, list[LayerRecipe]] = {True: [], False: [], None: []}
    layers = cache.layers()
    for number, (recipe, known) in enumerate(layers.items(), 1):
        progress.progress(f"  verify    layer {number} of {len(layers)}")
        results[is_right(recipe, known, store)].append(recipe)
    cache.forget(results[False])
    progress.step("verify", format_count(len(layers), "layer"), time.monotonic() - started)
    return CacheFindings(
        right_count=len(results[True]),
        wrong_count=len(results[False]),
        unknown_count=len(results[None]),
    )
