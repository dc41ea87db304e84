"""`TRANSPORT:REST`: find the destination that a reference names, ours or a plugin's."""

from __future__ import annotations

from typing import Final, cast

from nixbridge.destinations.destination import Destination
from nixbridge.errors import InputError
from nixbridge.plugins import PluginGroup, load_plugin

# What `-` is short for.
_STANDARD_OUTPUT: Final = ("docker-archive", "-")


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
    kind = load_plugin(PluginGroup.DESTINATIONS, transport, refusal=refusal)
    return cast("type[Destination]", kind).parse(rest)
