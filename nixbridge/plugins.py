"""What is found by name through entry points: strategies, destinations, templates.

Ours are registered the same way as anybody's (pyproject.toml), so the interface is the one that
we use ourselves. What a plugin of each group must be is told where it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from nixbridge.errors import InputError, near_miss_hint

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class PluginGroup(StrEnum):
    """The groups of entry points."""

    STRATEGIES = "nixbridge.strategies"
    DESTINATIONS = "nixbridge.destinations"
    TEMPLATES = "nixbridge.templates"


def plugins(group: PluginGroup) -> Mapping[str, EntryPoint]:
    """Return what is registered in `group` by name, sorted."""
    # Python's own parser of metadata takes longer to import than most of our modules.
    from importlib.metadata import entry_points  # noqa: PLC0415

    found = entry_points(group=group)
    return {name: found[name] for name in sorted(found.names)}


def load_plugin(group: PluginGroup, name: str, *, refusal: str) -> object:
    """Return what is registered as `name`; `refusal` is the message when nothing is.

    Raises `InputError`.
    """
    known = plugins(group)
    if name not in known:
        raise InputError(refusal, hint=near_miss_hint(name, tuple(known)))
    loaded: object = known[name].load()
    return loaded
