"""Blobs in a registry: look for one, take it over from another repository, upload it.

As docker, crane and skopeo do it, so that all registries know it: POST opens an upload, PATCH takes
the bytes of a large blob in one stream, PUT ends it with the digest, and has the bytes of a small
one. An upload has gone well when the blob is there, whatever became of the answers.
https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-blobs
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final

from nixbridge.destinations.registry_client import RegistryClient, Request
from nixbridge.destinations.registry_errors import RequestFailedError, is_transient
from nixbridge.errors import DestinationError, IntegrityError
from nixbridge.oci import Descriptor

_CREATED: Final = frozenset({200, 201, 204})
_ACCEPTED: Final = frozenset({200, 201, 202, 204})
_BYTES: Final = "application/octet-stream"
# The upload is gone, or has not the bytes that it should: with a new one it may go well.
_LOST: Final = frozenset({400, 404, 409, 416})
# So it would be with a new one as well.
_REFUSED: Final = frozenset({401, 403, 413})


class RegistryBlobs:
    """Looks for blobs in one repository and uploads them; many threads may use it."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._patience = client.patience
        self._doing = f"write `{client.repository.name}`"

    def has(self, blob: Descriptor) -> bool:
        """Return whether the blob is there, with its size.

        Raises `RequestFailedError`, `DestinationError`, `IntegrityError`.
        """
        doing = f"look for a layer in `{self._client.repository.name}`"
        answer = self._client.ask(
            Request(
                method="HEAD",
                target=self._client.path(f"blobs/{blob.digest}"),
                doing=doing,
                expected=frozenset({200, 404}),
            )
        )
        if answer.status == HTTPStatus.NOT_FOUND:
            return False
        self._client.check_digest(answer, blob.digest, doing=doing)
        return answer.headers.get("Content-Length") == str(blob.size_bytes)

    def mount(self, blob: Descriptor, source: str) -> bool:
        """Take a blob over from another repository of the registry; return whether it worked.

        Raises `RequestFailedError`, `DestinationError`, `IntegrityError`.
        """
        doing = f"take over a layer from `{source}`"
        answer = self._client.ask(
            Request(
                method="POST",
                target=self._client.path(f"blobs/uploads/?mount={blob.digest}&from={source}"),
                doing=doing,
                expected=_ACCEPTED,
                more_scopes=(f"repository:{source}:pull",),
            )
        )
        if answer.status == HTTPStatus.CREATED:
            self._client.check_digest(answer, blob.digest, doing=doing)
            return True
        # An upload was opened instead.
        with contextlib.suppress(DestinationError):
            self.cancel(self._client.located(answer, doing=doing))
        return False

    def begin(self) -> str:
        """Open an upload; return where it goes on.

        Raises `RequestFailedError`, `DestinationError`.
        """
        answer = self._client.ask(
            Request(
                method="POST",
                target=self._client.path("blobs/uploads/"),
                doing=self._doing,
                expected=_ACCEPTED,
                headers={"Content-Length": "0"},
            )
        )
        return self._client.located(answer, doing=self._doing)

    def stream(self, location: str, pieces: Iterator[bytes]) -> str:
        """Send bytes as they come; return where the upload goes on.

        Raises `RequestFailedError`, `DestinationError`.
        """
        answer = self._client.ask(
            Request(
                method="PATCH",
                target=location,
                doing=self._doing,
                expected=_ACCEPTED,
                headers={"Content-Type": _BYTES},
                body=pieces,
                attempts=1,
                answer_seconds=self._patience.complete_seconds,
            )
        )
        return self._client.located(answer, doing=self._doing)

    def send(self, blob: Descriptor, data: bytes) -> None:
        """Upload a blob that is kept, if it is not there; anew if need be.

        Raises `RequestFailedError`, `DestinationError`, `IntegrityError`.
        """
        if not self.has(blob):
            self._finish(blob, self.begin, data=data, lost=_LOST)

    def finish_stream(self, blob: Descriptor, location: str) -> None:
        """End an upload whose bytes are all there.

        Raises `RequestFailedError`, `DestinationError`, `IntegrityError`.
        """
        self._finish(blob, lambda: location, data=b"", lost=frozenset())

    def _finish(
        self, blob: Descriptor, location: Callable[[], str], *, data: bytes, lost: frozenset[int]
    ) -> None:
        """End an upload, maybe several times: it counts that the blob is there in the end.

        A failure of a status in `lost` is met by asking for another `location`.
        """
        patience = self._patience
        for failures in range(1, patience.attempts + 1):
            url = location()
            try:
                answer = self._client.ask(
                    Request(
                        method="PUT",
                        target=f"{url}{'&' if '?' in url else '?'}digest={blob.digest}",
                        doing=self._doing,
                        expected=_CREATED,
                        headers={"Content-Type": _BYTES, "Content-Length": str(len(data))},
                        body=data,
                        attempts=1,
                        answer_seconds=patience.complete_seconds,
                    )
                )
            except RequestFailedError as failure:
                # It may have been done, and only the answer was lost.
                if failure.status not in _REFUSED and self.has(blob):
                    return
                is_hopeless = failure.is_lasting and failure.status not in lost
                if (
                    is_hopeless
                    or failures == patience.attempts
                    or not patience.allows(failure.asked_seconds)
                ):
                    raise
                if lost:
                    self.cancel(url)
                self._client.wait(failures, failure.asked_seconds)
            else:
                self._client.check_digest(answer, blob.digest, doing=self._doing)
                return

    def wait_after_loss(self, losses: int, failure: RequestFailedError) -> bool:
        """Wait as it should be waited after so many losses; return whether there is hope."""
        if not _may_go_well(failure) or not self._patience.allows(failure.asked_seconds):
            return False
        self._client.wait(losses, failure.asked_seconds)
        return True

    def cancel(self, location: str) -> None:
        """Let the registry forget an upload, if it will."""
        with contextlib.suppress(RequestFailedError, DestinationError, IntegrityError):
            self._client.ask(
                Request(
                    method="DELETE",
                    target=location,
                    doing="forget an upload",
                    expected=_ACCEPTED,
                    attempts=1,
                    is_farewell=True,
                )
            )


def _may_go_well(failure: RequestFailedError) -> bool:
    """Return whether a blob that was lost so may arrive the next time."""
    if failure.status is None:
        return not failure.is_lasting
    # An upload in pieces has not been repeated with the new token.
    return is_transient(failure.status) or failure.status in _LOST | {HTTPStatus.UNAUTHORIZED}
