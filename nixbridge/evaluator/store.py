"""Where the files of a Nix store lie, read from its URL (the setting `store`, `NIX_REMOTE`).

https://nix.dev/manual/nix/2.26/store/types says which URLs there are. Only stores whose files
this machine sees can become images; the daemon's store is one of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from nixbridge.closure import DEFAULT_STORE_DIR, StoreRoot
from nixbridge.errors import InputError

_STATE_DIRECTORY: Final = Path("/nix/var/nix")
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


def store_root_of(url: str, environment: Mapping[str, str]) -> StoreRoot:
    """Return the directory below which the store at `url` has its files.

    Raises `InputError`: the files are on another machine, or not below a `/nix/store`.
    """
    name, _, query = url.partition("?")
    parameters = dict(_parameter(text) for text in query.split("&") if text)
    scheme, _, directory = name.partition("://")
    if "/" in scheme:
        return StoreRoot(Path(name).absolute())
    if scheme not in {"", "auto", "daemon", "local", "unix"}:
        raise InputError(
            f"the files of the Nix store `{url}` are not on this machine",
            hint="copy what you need to the local store with `nix copy --from`, and do not set "
            "`--store` or `NIX_REMOTE`",
        )
    if real := parameters.get("real"):
        if not real.endswith(DEFAULT_STORE_DIR):
            raise InputError(
                f"the files of the Nix store `{url}` are not below a `{DEFAULT_STORE_DIR}`",
                hint="name the directory above it as the root: `local?root=DIR`",
            )
        return StoreRoot(Path(real.removesuffix(DEFAULT_STORE_DIR) or "/"))
    root = parameters.get("root", directory if scheme == "local" else "")
    if root:
        return StoreRoot(Path(root).absolute())
    if scheme in {"", "auto"} and not parameters:
        return _automatic_root(environment)
    return StoreRoot()


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    decoded = _PERCENT.sub(lambda match: bytes.fromhex(match[1].decode()), os.fsencode(value))
    return name, os.fsdecode(decoded)


def _automatic_root(environment: Mapping[str, str]) -> StoreRoot:
    """Return what nix takes where no store is set.

    For anybody but root, where there is no `/nix` (and so no daemon), that is a store in the home
    directory; it shares the names of the usual one.
    """
    if (
        os.getuid() == 0
        or _STATE_DIRECTORY.exists()
        or "NIX_STORE_DIR" in environment
        or "NIX_STATE_DIR" in environment
    ):
        return StoreRoot()
    data = environment.get("XDG_DATA_HOME") or f"{environment.get('HOME', '')}/.local/share"
    return StoreRoot(Path(data) / "nix/root")
