"""What is known of layers before they are packed: from the cache, and from what images claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nixbridge.delivery.claims import Claim
from nixbridge.delivery.events import CACHE
from nixbridge.delivery.layers import Layer
from nixbridge.errors import IntegrityError
from nixbridge.packing import LayerBytes, LayerCache, LayerKey, Warn


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is known of a layer, and from where: `CACHE`, or the image that claims it."""

    bytes: LayerBytes
    source: str

    @property
    def is_remembered(self) -> bool:
        """Whether it is this machine's own knowledge."""
        return self.source == CACHE


def find_known(
    layers: Sequence[Layer],
    cache: LayerCache | None,
    claims: Mapping[LayerKey, Claim],
    warn: Warn,
) -> list[Known | None]:
    """Return what is known of each layer: what the cache knows, else what is claimed."""
    keys = [None if layer.recipe is None else layer.recipe.key for layer in layers]
    cached = {} if cache is None else cache.find([key for key in keys if key is not None])
    return [
        None if key is None else _known(layer, cached.get(key), claims.get(key), warn)
        for layer, key in zip(layers, keys, strict=True)
    ]


def _known(
    layer: Layer, cached: LayerBytes | None, claim: Claim | None, warn: Warn
) -> Known | None:
    if claim is not None and not claim.is_about(layer):
        warn(
            f"what `{claim.reference}` says of a layer ({layer.reason}) is not believed: "
            "nixbridge would not say so of a layer with this key"
        )
        claim = None
    if cached is not None:
        if claim is not None and claim.bytes != cached:
            warn(
                f"what `{claim.reference}` says of a layer ({layer.reason}) is not believed: it is "
                f"`{claim.bytes.blob_digest}` there, and `{cached.blob_digest}` in the layer cache"
            )
        return Known(bytes=cached, source=CACHE)
    return None if claim is None else Known(bytes=claim.bytes, source=claim.reference)


def refuse_difference(
    layer: Layer, found: LayerBytes, known: Known, warn: Warn, *, is_reused: bool
) -> None:
    """Warn that what was known of a layer was wrong.

    Raises `IntegrityError`: a destination relied on it.
    """
    if known.is_remembered:
        who, check = "the layer cache knows", "nixbridge cache verify"
    else:
        who, check = f"`{known.source}` has", "nixbridge copy --no-trust-annotations"
    message = (
        f"{who} a layer ({layer.reason}) as `{known.bytes.blob_digest}`, and packing it gives "
        f"`{found.blob_digest}`"
    )
    if not known.is_remembered:
        hint = f"do not believe it: `{check}`"
    elif is_reused:
        hint = f"find out which is right: `{check}`, then run it again"
    else:
        hint = "find out which is right: `nixbridge copy --check-contents`"
    if is_reused:
        raise IntegrityError(message, hint=hint)
    warn(message, hint)
