"""What a registry that can only be read answers: the pull half of the OCI distribution API.

Manifests and configs are in memory, layers are packed again for whoever asks for one; nothing is
written. The invariant: what a client gets whole has its digest. The last byte of a layer is sent
when all of it has been packed and compared; if it is not what was promised, the connection is cut.
https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pull
"""

from __future__ import annotations

import contextlib
import http.server
import logging
import re
import socket
import threading
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol, cast
from urllib.parse import parse_qs, unquote, urlsplit

from nixbridge.destinations.catalogue import Catalogue, ServedBlob
from nixbridge.errors import InputError, NixbridgeError
from nixbridge.oci import MEDIA_TYPE_MANIFEST, BlobDigest, json_bytes
from nixbridge.packing import Warn

_LOG: Final = logging.getLogger(__name__)

# Some may be slow to read. A layer that is packed takes some 8 MB of buffers, and a few threads;
# whoever comes later waits.
_MOST_PACKINGS: Final = 32
# A client that neither asks nor reads for so long is gone.
_PATIENCE_SECONDS: Final = 60.0

# The first byte of who begins with TLS: engines try that first, also where it is said to be plain.
_TLS_HANDSHAKE: Final = b"\x16"
_NO_TLS: Final = b"HTTP/1.0 400 Bad Request\r\n\r\nthis is plain HTTP\n"
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_MANIFEST_OR_BLOB: Final = re.compile(
    r"/v2/(?P<repository>.+)/(?P<kind>manifests|blobs)/(?P<name>[^/]+)"
)
_TAGS: Final = re.compile(r"/v2/(?P<repository>.+)/tags/list")


class Answers:
    """What all connections of a server share."""

    def __init__(self, catalogue: Catalogue, warn: Warn) -> None:
        self.catalogue = catalogue
        self.warn = warn
        self.was_asked = False
        self.packings = threading.BoundedSemaphore(_MOST_PACKINGS)


class _HasAnswers(Protocol):
    """A server, as its connections know it."""

    answers: Answers


class _ClientGoneError(Exception):
    """The client does not listen any more: no error of ours, nor of the layer's."""


class _EnoughError(Exception):
    """The part of the layer that was asked for has been sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """The bytes of a blob from `begin` to before `end`."""

    begin: int
    end: int


class Connection(http.server.BaseHTTPRequestHandler):
    """One client, and its requests one after the other."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version = "nixbridge"
    sys_version = ""
    timeout = _PATIENCE_SECONDS

    @property
    def _answers(self) -> Answers:
        return cast("_HasAnswers", self.server).answers

    def handle(self) -> None:
        """Answer requests until the client goes."""
        with contextlib.suppress(OSError):
            if self.connection.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
                self.connection.sendall(_NO_TLS)
                return
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Take note of a request, for who looks for it."""
        _LOG.debug(format, *args)

    def version_string(self) -> str:
        """Say who we are, and not which version."""
        return self.server_version

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what the base class refuses: no HTTP that it knows."""
        # By its own words the base class refuses a method that has no `do_…`.
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._refuse_method()
        else:
            self._refuse(HTTPStatus(code), "UNSUPPORTED", message or explain or "bad request")

    def do_GET(self) -> None:
        """Answer GET."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer HEAD: what GET would, without the body."""
        self._answer()

    def _refuse_method(self) -> None:
        self._refuse(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "UNSUPPORTED",
            f"{self.command} is not for a registry that can only be read",
            headers={"Allow": "GET, HEAD"},
        )

    def _answer(self) -> None:
        self._answers.was_asked = True
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            # A body that nobody reads must not be taken for the next request.
            self.close_connection = True
        url = urlsplit(self.path)
        path = unquote(url.path)
        if path in {"/v2", "/v2/"}:
            self._send(b"{}", "application/json")
        elif match := _MANIFEST_OR_BLOB.fullmatch(path):
            if match["kind"] == "manifests":
                self._answer_manifest(match["repository"], match["name"])
            else:
                self._answer_blob(match["repository"], match["name"])
        elif match := _TAGS.fullmatch(path):
            self._answer_tags(match["repository"], parse_qs(url.query))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "UNSUPPORTED", "there is nothing of this name")

    def _answer_tags(self, repository: str, query: dict[str, list[str]]) -> None:
        tags = self._answers.catalogue.tags(repository)
        if not tags:
            self._refuse(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", f"there is no `{repository}`")
            return
        last, number = query.get("last", [""])[0], query.get("n", [""])[0]
        listed = [tag for tag in tags if tag > last]
        if number.isdecimal():
            listed = listed[: int(number)]
        self._send(json_bytes({"name": repository, "tags": listed}), "application/json")

    def _answer_manifest(self, repository: str, name: str) -> None:
        image = self._answers.catalogue.image(repository, name)
        if image is None:
            code = (
                "MANIFEST_UNKNOWN" if self._answers.catalogue.tags(repository) else "NAME_UNKNOWN"
            )
            self._refuse(HTTPStatus.NOT_FOUND, code, f"there is no `{repository}:{name}`")
        else:
            self._send(image.manifest_bytes, MEDIA_TYPE_MANIFEST, digest=image.digest)

    def _answer_blob(self, repository: str, name: str) -> None:
        try:
            digest = BlobDigest(name)
        except InputError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", error.message)
            return
        blob = self._answers.catalogue.blob(repository, digest)
        if blob is None:
            self._refuse(
                HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", f"`{repository}` has no blob `{digest}`"
            )
            return
        if self._has_it(digest):
            return
        part = self._part(digest, blob.size_bytes)
        if part is None:
            self._refuse(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                "RANGE_INVALID",
                f"the blob has {blob.size_bytes} bytes",
                headers={"Content-Range": f"bytes */{blob.size_bytes}"},
            )
        elif self.command == "HEAD":
            self._begin_blob(blob, part)
        else:
            self._send_blob(blob, part)

    def _part(self, digest: BlobDigest, size_bytes: int) -> _Part | None:
        """Return what is asked for of a blob; None: it has no such part.

        What is not understood is ignored, several ranges among it.
        https://www.rfc-editor.org/rfc/rfc9110#section-14.2
        """
        whole = _Part(begin=0, end=size_bytes)
        match = _RANGE.fullmatch(self.headers.get("Range", "").replace(" ", ""))
        condition = self.headers.get("If-Range", _etag(digest))
        if self.command == "HEAD" or match is None or condition != _etag(digest):
            return whole
        first, last = match.groups()
        if first:
            if last and int(last) < int(first):
                return whole
            end = min(int(last) + 1, size_bytes) if last else size_bytes
            return _Part(begin=int(first), end=end) if int(first) < size_bytes else None
        if not last:
            return whole
        # The last so many bytes.
        return _Part(begin=max(size_bytes - int(last), 0), end=size_bytes) if int(last) else None

    def _send_blob(self, blob: ServedBlob, part: _Part) -> None:
        sink = _BlobSink(self, blob, part)
        try:
            with self._answers.packings:
                blob.write_to(sink)
            sink.finish()
        except _EnoughError:
            pass
        except _ClientGoneError:
            _LOG.debug("%s went away", self.address_string())
            self.close_connection = True
        except NixbridgeError as error:
            # After an error of ours the layer is none: whoever reads it must not take it for whole.
            self._answers.warn(f"a layer cannot be served: {error.message}", error.hint)
            if sink.is_begun:
                self.close_connection = True
            else:
                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "UNKNOWN", error.message)

    def _begin_blob(self, blob: ServedBlob, part: _Part) -> None:
        is_whole = part == _Part(begin=0, end=blob.size_bytes)
        self.send_response(HTTPStatus.OK if is_whole else HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(part.end - part.begin))
        self.send_header("Accept-Ranges", "bytes")
        if not is_whole:
            self.send_header(
                "Content-Range", f"bytes {part.begin}-{part.end - 1}/{blob.size_bytes}"
            )
        self._end_headers(blob.digest)

    def _has_it(self, digest: BlobDigest) -> bool:
        """Answer a client that has what it asks for, and return whether it is one."""
        asked = self.headers.get("If-None-Match", "")
        if asked != "*" and _etag(digest) not in {
            tag.strip().removeprefix("W/") for tag in asked.split(",")
        }:
            return False
        self.send_response(HTTPStatus.NOT_MODIFIED)
        self._end_headers(digest)
        return True

    def _send(self, body: bytes, media_type: str, *, digest: BlobDigest | None = None) -> None:
        if digest is not None and self._has_it(digest):
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self._end_headers(digest)
        self._write_body(body)

    def _refuse(
        self,
        status: HTTPStatus,
        code: str,
        message: str,
        *,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answer with an error, in the words of the specification.

        https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes
        """
        body = json_bytes({"errors": [{"code": code, "message": message}]})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.command not in {"GET", "HEAD"}:
            # What it has sent with its request nobody reads.
            self.send_header("Connection", "close")
        self._end_headers(None)
        self._write_body(body)

    def _end_headers(self, digest: BlobDigest | None) -> None:
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        if digest is not None:
            self.send_header("Docker-Content-Digest", str(digest))
            self.send_header("ETag", _etag(digest))
        self.end_headers()

    def _write_body(self, body: bytes) -> None:
        if self.command != "HEAD":
            self.wfile.write(body)


def _etag(digest: BlobDigest) -> str:
    return f'"{digest}"'


class _BlobSink:
    """Sends the asked part of a blob, and keeps its last byte until the whole is proven right."""

    def __init__(self, connection: Connection, blob: ServedBlob, part: _Part) -> None:
        self._connection = connection
        self._blob = blob
        self._part = part
        self._at = 0
        self._last = b""
        self.is_begun = False

    def write(self, data: bytes | memoryview, /) -> None:
        """Send what of `data` was asked for.

        Raises `_ClientGoneError`; `_EnoughError`: that was all.
        """
        view = memoryview(data).cast("B")
        begin, end = self._at, self._at + len(view)
        self._at = end
        wanted = view[max(self._part.begin - begin, 0) : max(self._part.end - begin, 0)]
        if end >= self._blob.size_bytes == self._part.end and wanted:
            # More than was promised would not be sent either: the slice ends there.
            self._last += bytes(wanted[-1:])
            wanted = wanted[:-1]
        if wanted:
            self._send(wanted)
        if self._part.end < self._blob.size_bytes and end >= self._part.end:
            raise _EnoughError

    def finish(self) -> None:
        """Send the last byte.

        Raises `_ClientGoneError`.
        """
        self._send(memoryview(self._last))

    def _send(self, data: memoryview) -> None:
        try:
            if not self.is_begun:
                self.is_begun = True
                self._connection._begin_blob(self._blob, self._part)  # noqa: SLF001 - one thing
            self._connection.wfile.write(data)
        except OSError as error:
            raise _ClientGoneError from error
