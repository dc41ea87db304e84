"""Web addresses that others give us: whole and harmless, or none.

What may be secret in one is its query, and a user's name and password; neither is ever shown.
"""

from __future__ import annotations

import urllib.parse
from typing import Final

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def joined(base: str, location: str) -> str | None:
    """Return the address that `location` means beside `base`, without a fragment.

    None is that it means none that we could go to.
    """
    if not location or not location.isascii() or not location.isprintable() or " " in location:
        return None
    try:
        url = urllib.parse.urldefrag(urllib.parse.urljoin(base, location)).url
        scheme, host, _port = origin_of(url)
    except ValueError:
        return None
    return url if scheme in _DEFAULT_PORTS and host else None


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port: who is spoken to, and how.

    Raises `ValueError`: it is no address.
    """
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)


def place_of(url: str) -> str:
    """Return scheme and host, to be shown."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def without_query(url: str) -> str:
    """Return an address without what may be secret in it, to be logged."""
    return place_of(url) + urllib.parse.urlsplit(url).path
