"""What images that were delivered before say of layers, and how far they are believed.

A layer's descriptor carries its key (`packing/annotations.py`), so the manifest and the config of
an image tell digest, size and diff id of every layer whose key is unchanged, and nobody needs its
files. But what somebody else wrote is a claim: it counts for this delivery only, it is never
remembered, this machine's own memory is believed before it, and the blob must be where the image is
to go. Who could still be deceived, and by whom, is told in docs/trust.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nixbridge.delivery.layers import Layer
from nixbridge.destinations import Access, Destination
from nixbridge.destinations.destination import UnreachableError
from nixbridge.destinations.stored_image import (
    AbsentImageError,
    StoredImage,
    StoredLayer,
    Updatable,
)
from nixbridge.errors import InputError, NixbridgeError
from nixbridge.oci import MEDIA_TYPE_LAYER_TAR
from nixbridge.packing import LayerAnnotations, LayerBytes, LayerKey, Warn


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What the image `reference` says of a layer."""

    reference: str
    media_type: str | None
    annotations: LayerAnnotations
    bytes: LayerBytes

    def is_about(self, layer: Layer) -> bool:
        """Return whether we would write the same of the layer, and it could be true."""
        packed = layer.packed(self.bytes, follows_recipe=True)
        said = LayerAnnotations.parse(packed.descriptor.annotations)
        is_plain = packed.descriptor.media_type == MEDIA_TYPE_LAYER_TAR
        # Of a layer that is not compressed, blob and tar are the same.
        is_possible = not is_plain or (
            self.bytes.blob_digest.hex == self.bytes.diff_id.hex
            and self.bytes.blob_size_bytes == self.bytes.tar_size_bytes
        )
        return (
            self.media_type == packed.descriptor.media_type
            and self.annotations == said
            and is_possible
        )


def read_claims(images: Sequence[StoredImage], warn: Warn) -> dict[LayerKey, Claim]:
    """Return what `images` say of their layers; of two that speak of the same one, the first."""
    claims: dict[LayerKey, Claim] = {}
    for image in images:
        for number, layer in enumerate(image.layers, 1):
            try:
                claim = _claim(layer, image.reference)
            except InputError as error:
                warn(
                    f"what `{image.reference}` says of its layer {number} is not believed: "
                    f"{error.message}"
                )
                continue
            if claim is not None and claim.annotations.key is not None:
                claims.setdefault(claim.annotations.key, claim)
    return claims


def _claim(layer: StoredLayer, reference: str) -> Claim | None:
    annotations = LayerAnnotations.parse(layer.annotations)
    tar_size_bytes = annotations.tar_size_bytes
    # An image that is not ours, or an old one, says nothing that would help.
    if annotations.key is None or tar_size_bytes is None or layer.digest is None:
        return None
    if layer.size_bytes <= 0:
        raise InputError(f"its size is `{layer.size_bytes}`")
    return Claim(
        reference=reference,
        media_type=layer.media_type,
        annotations=annotations,
        bytes=LayerBytes(
            diff_id=layer.diff_id,
            tar_size_bytes=tar_size_bytes,
            blob_digest=layer.digest,
            blob_size_bytes=layer.size_bytes,
        ),
    )


def previous_images(
    destinations: Mapping[str, Destination], access: Access
) -> tuple[StoredImage, ...]:
    """Return what the destinations, by what the user calls them, hold under their names by now.

    A destination that holds nothing yet is passed over, and so are those that are written anew.

    Raises `UnreachableError`: the delivery would be in vain.
    """
    images = []
    for name, destination in destinations.items():
        if isinstance(destination, Updatable):
            try:
                images.append(destination.previous_image(access))
            except (AbsentImageError, InputError):
                pass
            except UnreachableError:
                raise
            except NixbridgeError as error:
                access.warn(f"going on without what `{name}` holds: {error.message}", error.hint)
    return tuple(images)
