"""What `--history` names: past images, as far as they tell which store paths they were made of.

Files with what `nix path-info --recursive --json` printed, of any version of Nix, or `nixbridge
closure --json`; image descriptions; and images that are out, which tell paths and not what these
refer to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from nixbridge.closure import PathInfo
from nixbridge.description import is_description, read_description
from nixbridge.destinations import Access
from nixbridge.destinations.reference import is_destination, parse_inspectable
from nixbridge.errors import InputError
from nixbridge.evaluator import parse_path_info_file
from nixbridge.layering import Release, learn_weights
from nixbridge.packing import LayerAnnotations

_HINT: Final = "it may be what `nix path-info --recursive --json` prints, or an image: `docker://…`"


def read_history(
    names: Sequence[str], now: Iterable[PathInfo], access: Access
) -> Mapping[str, float]:
    """Return what past images, the oldest first, and the paths of `now` teach (`learn_weights`).

    Raises `InputError`, `DestinationError`, `IntegrityError`, `PlanError`.
    """
    if not names:
        return {}
    releases = [_read_release(name, access) for name in names]
    return learn_weights([*releases, Release.of_infos(now)])


def _read_release(name: str, access: Access) -> Release:
    if is_destination(name):
        image = parse_inspectable(name).inspect(access)
        told = [LayerAnnotations.parse(layer.annotations) for layer in image.layers]
        paths = frozenset(path for layer in told for path in layer.nar_sizes_bytes)
        if not paths:
            raise InputError(
                f"`{name}` does not tell which store paths it holds",
                hint="only images that nixbridge has made do: name a file with the closure",
            )
        return Release.of_paths(paths)
    path = Path(name)
    if is_description(path):
        return Release.of_infos(read_description(path).closure)
    return Release.of_infos(_read_infos(path))


def _read_infos(path: Path) -> tuple[PathInfo, ...]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"cannot read the closure `{path}`: {error.strerror}", hint=_HINT
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"`{path}` is not JSON", hint=_HINT) from error
    if isinstance(document, dict) and isinstance(document.get("paths"), list):
        # `nixbridge closure --json`: as the list of an old Nix, with a unit in one name.
        document = [
            {**entry, "narSize": entry.get("narSizeBytes")} if isinstance(entry, dict) else entry
            for entry in document["paths"]
        ]
    return parse_path_info_file(document, source=str(path))
