"""Where the files lie that are not Python: the templates and the Nix functions.

In a checkout they are top-level folders, in an installed wheel they are `nixbridge/share/` (see
`tool.hatch.build.targets.wheel.force-include` in pyproject.toml). Who reads them is not here.
"""

from __future__ import annotations

from pathlib import Path


def templates_directory() -> Path:
    """Return the folder of our templates."""
    return _directory("templates")


def nix_directory() -> Path:
    """Return the folder of our Nix functions, which evaluation knows as `<nixbridge>`."""
    return _directory("nix")


def _directory(name: str) -> Path:
    package = Path(__file__).resolve().parent
    installed = package / "share" / name
    # An installation by Nix has a link there to a store path of its own: what Nix is to see.
    return installed.resolve() if installed.is_dir() else package.parent / name
