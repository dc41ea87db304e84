"""A Nix store of one's own, in a directory: what it takes is an environment for nix.

The paths in it have the names that they have everywhere (`/nix/store/…`), so that what the
machine's store has is copied instead of built. Nothing of the machine's is written: the store, its
database and roots, and nix's caches are all in the directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from nixbridge.evaluator import CommandRunner, Nix

_NAMESPACES: Final = ("unshare", "--user", "--mount", "--pid", "--fork", "true")


def missing_namespaces(runner: CommandRunner) -> str | None:
    """Return why nothing can be built in a store with another root, or None where it can.

    Nix builds there in namespaces, so that builders find the store at `/nix/store`; a chroot and
    some containers cannot make them.
    """
    try:
        completed = runner.run(_NAMESPACES)
    except FileNotFoundError:
        return "there is no `unshare`, so this is no Linux that can make user namespaces"
    if completed.status == 0:
        return None
    return f"no user namespaces can be made here (`{completed.stderr.strip()}`)"


def private_environment(
    machine: Nix, environment: Mapping[str, str], directory: Path
) -> Mapping[str, str]:
    """Return `environment` changed so that nix works on the store in `directory`.

    The settings of `machine` hold, its substituters included; before them comes its store.

    Raises `NixError`.
    """
    settings = machine.settings()
    store = str(settings.get("store") or "auto")
    # Nobody has signed what was built on this machine.
    substituters = [f"{store}{'&' if '?' in store else '?'}trusted=true"]
    others = settings.get("substituters")
    if settings.get("substitute") and isinstance(others, list):
        substituters += [str(url) for url in others]
    configuration = [
        environment.get("NIX_CONFIG", ""),
        f"store = {directory}",
        f"substituters = {' '.join(substituters)}",
        "substitute = true",
        "build-users-group =",
        # It could send what a test builds anywhere.
        "post-build-hook =",
    ]
    if machine.version.has_always_allow_substitutes:
        # What a derivation says against it is meant for caches far away.
        configuration.append("always-allow-substitutes = true")
    return {
        **environment,
        "NIX_CONFIG": "\n".join(configuration),
        "XDG_CACHE_HOME": str(directory / "cache"),
        "XDG_DATA_HOME": str(directory / "data"),
        "XDG_STATE_HOME": str(directory / "state"),
    }
