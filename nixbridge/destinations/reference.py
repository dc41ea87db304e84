"""`TRANSPORT:REST`: find the destination that a reference names, ours or a plugin's."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final

from nixbridge.description.fields import near_miss_hint
from nixbridge.destinations.destination import Destination
from nixbridge.errors import InputError

ENTRY_POINT_GROUP: Final = "nixbridge.destinations"
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
    transports = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if transport not in transports:
        raise InputError(
            f"`{transport}:` is no kind of destination that we know",
            hint=near_miss_hint(transport, sorted(transports)),
        )
    kind: type[Destination] = transports[transport].load()
    return kind.parse(rest)
