"""`TRANSPORT:REST`: find the destination that a reference names, ours or a plugin's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from nixbridge.destinations.destination import Destination
from nixbridge.destinations.stored_image import Inspectable
from nixbridge.errors import InputError
from nixbridge.plugins import PluginGroup, load_plugin, plugins

# What `-` is short for.
_STANDARD_OUTPUT: Final = ("docker-archive", "-")

# What others call a kind of destination, and how it is written here.
_OTHER_NAMES: Final[Mapping[str, str]] = {
    "dir": "oci:DIR",
    "file": "docker-archive:FILE",
    "http": "docker://REGISTRY/NAME:TAG",
    "https": "docker://REGISTRY/NAME:TAG",
    "podman": "containers-storage:NAME:TAG",
    "registry": "docker://REGISTRY/NAME:TAG",
    "tar": "docker-archive:FILE",
}


def parse_destination(text: str) -> Destination:
    """Return the destination that `text` names; touches nothing.

    Raises `InputError`.
    """
    transport, colon, rest = text.partition(":")
    if text == "-":
        transport, rest = _STANDARD_OUTPUT
    elif not colon:
        raise InputError(
            f"`{text}` does not say what kind of destination it is",
            hint=f"write `oci:{text}` for a directory, `docker-archive:{text}` for a file",
        )
    refusal = f"`{transport}:` is no kind of destination that we know"
    if transport in _OTHER_NAMES:
        raise InputError(refusal, hint=f"it is `{_OTHER_NAMES[transport]}`")
    kind = load_plugin(PluginGroup.DESTINATIONS, transport, refusal=refusal)
    return cast("type[Destination]", kind).parse(rest)


def is_destination(text: str) -> bool:
    """Return whether `text` is `-`, or begins with a kind of destination and a colon."""
    transport, colon, _ = text.partition(":")
    return text == "-" or (bool(colon) and transport in plugins(PluginGroup.DESTINATIONS))


def parse_inspectable(text: str) -> Inspectable:
    """Return the destination that `text` names, which can be looked into; touches nothing.

    Raises `InputError`.
    """
    destination = parse_destination(text)
    if not isinstance(destination, Inspectable):
        raise InputError(f"`{text}` cannot be looked into")
    return destination
