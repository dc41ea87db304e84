"""Where blobs were seen in this run, also where nothing can be remembered for the next."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from nixbridge.destinations.destination import BlobPlaces
from nixbridge.oci import BlobDigest


class PlacesOfThisRun:
    """Keeps in mind where blobs were seen, and has `memory`, if there is one, remember it."""

    def __init__(self, memory: BlobPlaces | None) -> None:
        self._memory = memory
        self._lock = threading.Lock()
        self._repositories: dict[tuple[str, BlobDigest], list[str]] = {}

    def repositories(self, registry: str, digest: BlobDigest) -> tuple[str, ...]:
        """Return the repositories of `registry` that had the blob, the last seen first."""
        with self._lock:
            seen = tuple(reversed(self._repositories.get((registry, digest), [])))
        remembered = () if self._memory is None else self._memory.repositories(registry, digest)
        return tuple(dict.fromkeys((*seen, *remembered)))

    def remember_places(
        self, registry: str, repository: str, digests: Iterable[BlobDigest]
    ) -> None:
        """Keep in mind that `repository` has these blobs."""
        digests = tuple(digests)
        with self._lock:
            for digest in digests:
                seen = self._repositories.setdefault((registry, digest), [])
                if repository in seen:
                    seen.remove(repository)
                seen.append(repository)
        if self._memory is not None:
            self._memory.remember_places(registry, repository, digests)
