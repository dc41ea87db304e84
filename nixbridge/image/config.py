"""The bytes of an image's configuration: what a runtime starts, and which layers it starts it on.

The keys stand in the order of the Go structs of the OCI specification, without indentation, as
nix2container writes them. What the user may write into `config` is checked in `description/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from nixbridge.description import ImageDescription
from nixbridge.description.config_keys import CONFIG_KEYS, HEALTH_CHECK_KEYS, OCI_CONFIG_KEYS
from nixbridge.image.base_image import BaseImage
from nixbridge.oci import json_bytes
from nixbridge.packing import PackedLayer

_HISTORY_KEYS: Final = ("created", "created_by", "author", "comment")


def config_bytes(
    description: ImageDescription, layers: Sequence[PackedLayer], base: BaseImage | None
) -> bytes:
    """Return the configuration of the image of `description` that has `layers`.

    The first of them are those of `base`, whose history comes first.
    https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md
    """
    if description.is_n2c_exact:
        return _config_of_nix2container(description, layers, base)
    variant = {} if base is None or base.variant is None else {"variant": base.variant}
    history = [] if base is None else [dict(entry) for entry in base.history]
    own_layers = layers if base is None else layers[len(base.layers) :]
    return json_bytes(
        {
            "created": description.created,
            "architecture": description.platform.architecture,
            "os": description.platform.os,
            **variant,
            "config": _in_order(description.config, CONFIG_KEYS),
            "rootfs": {"type": "layers", "diff_ids": [str(layer.diff_id) for layer in layers]},
            # The specification lets it out, and some tools do not start without it:
            # https://github.com/nlewo/nix2container/issues/57
            "history": history
            + [
                _in_order({"created": description.created, **layer.history}, _HISTORY_KEYS)
                for layer in own_layers
            ],
        }
    )


def _config_of_nix2container(
    description: ImageDescription, layers: Sequence[PackedLayer], base: BaseImage | None
) -> bytes:
    """Return what nix2container writes: without what its structs have no field for, or is empty."""
    own_config = {key: value for key in OCI_CONFIG_KEYS if (value := description.config.get(key))}
    base_layers = 0 if base is None else len(base.layers)
    history: list[dict[str, Any]] = [{} for _ in range(base_layers)]
    for layer in layers[base_layers:]:
        entry = {"created_by": "nix2container"} | dict(layer.history)
        if entry["created_by"] == "nixbridge":  # which is what is said where nothing was
            entry["created_by"] = "nix2container"
        history.append(_in_order(entry, _HISTORY_KEYS))
    root_fs: dict[str, Any] = {"type": "", "diff_ids": None}
    if layers:
        root_fs = {"type": "layers", "diff_ids": [str(layer.diff_id) for layer in layers]}
    return json_bytes(
        {
            "created": description.created,
            "architecture": description.platform.architecture,
            "os": description.platform.os,
            "config": _in_order(own_config, OCI_CONFIG_KEYS),
            "rootfs": root_fs,
            **({"history": history} if history else {}),
        }
    )


def _in_order(values: Mapping[str, Any], order: Iterable[str]) -> dict[str, Any]:
    """Return `values` with the keys of `order` first, the others sorted, as Go writes its maps."""
    rank = {key: at for at, key in enumerate(order)}
    return {
        key: _in_order(value, HEALTH_CHECK_KEYS) if isinstance(value, Mapping) else value
        for key, value in sorted(
            values.items(), key=lambda item: (rank.get(item[0], len(rank)), item[0])
        )
    }
