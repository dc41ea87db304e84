"""Docker's daemon, asked through its HTTP interface: no client of Docker's is needed.

Where it listens is `docker_host.py`.
https://docs.docker.com/reference/api/engine/version/v1.41/
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from io import FileIO
from typing import Any, Final
from urllib.parse import urlencode

from nixbridge.destinations.docker_host import DockerHost
from nixbridge.errors import DestinationError

# How long it may take to say that it is there; a pull takes as long as it takes.
_PATIENCE_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class DockerApi:
    """What we ask of a daemon."""

    host: DockerHost

    def check(self) -> None:
        """See that a daemon answers.

        Raises `DestinationError`.
        """
        try:
            with self._answer("GET", "/_ping", timeout_seconds=_PATIENCE_SECONDS) as response:
                response.read()
        except DestinationError as error:
            error.hint = error.hint or "start it, or say where it is: `DOCKER_HOST=unix:///PATH`"
            raise

    def pull(self, name: str, digest: str) -> None:
        """Have the daemon pull `name@digest`.

        Raises `DestinationError`.
        """
        self._follow("POST", "/images/create", {"fromImage": name, "tag": digest})

    def load(self, archive: FileIO) -> None:
        """Send the daemon an archive.

        Raises `DestinationError`.
        """
        self._follow("POST", "/images/load", {"quiet": "1"}, body=archive)

    def tag(self, image: str, name: str, tag: str) -> None:
        """Give an image a name.

        Raises `DestinationError`.
        """
        self._follow("POST", f"/images/{image}/tag", {"repo": name, "tag": tag})

    def names(self) -> list[str]:
        """Return the names of all images, those with a digest among them.

        Raises `DestinationError`.
        """
        with self._answer("GET", "/images/json") as response:
            try:
                listed = json.loads(response.read())
            except ValueError as error:
                raise DestinationError("docker lists its images in something else than JSON") from (
                    error
                )
        return [
            name
            for image in listed
            for name in (*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ()))
        ]

    def remove(self, image: str, *, timeout_seconds: float | None = None) -> None:
        """Remove a name of an image, and the image if that was its last.

        Raises `DestinationError`.
        """
        path = f"/images/{image}"
        self._follow("DELETE", path, {"noprune": "1"}, timeout_seconds=timeout_seconds)

    def _follow(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        body: FileIO | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        """Ask for something, and read what is said until it is done: JSON, line by line."""
        with self._answer(
            method, f"{path}?{urlencode(query)}", body=body, timeout_seconds=timeout_seconds
        ) as response:
            for line in response:
                error = _error(line)
                if error is not None:
                    raise DestinationError(f"docker refused: {error}")

    @contextlib.contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        *,
        body: FileIO | None = None,
        timeout_seconds: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        with contextlib.ExitStack() as stack:
            try:
                connection = self.host.connect(timeout_seconds)
                stack.callback(connection.close)
                headers = {} if body is None else {"Content-Type": "application/x-tar"}
                connection.request(method, path, body, headers, encode_chunked=body is not None)
                response = connection.getresponse()
                if response.status >= HTTPStatus.BAD_REQUEST:
                    said = response.read()
                    raise DestinationError(
                        f"docker refused: {_error(said) or f'status {response.status}'}"
                    )
                yield response
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                raise DestinationError(
                    f"no Docker daemon answers at `{self.host.text}`: "
                    f"{reason[:1].lower()}{reason[1:]}"
                ) from error


def _error(line: bytes) -> str | None:
    """Return what the daemon complains of: in an answer, or in a line of one that is good."""
    try:
        document: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    error = document.get("error") or document.get("message")
    return None if error is None else str(error).strip()
