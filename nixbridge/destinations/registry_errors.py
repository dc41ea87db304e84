"""What a registry said when it did not do what it was asked, in words for a person.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from nixbridge.destinations.broken_connection import BrokenConnectionError
from nixbridge.destinations.http_session import Answer
from nixbridge.destinations.repository import DOCKER_HUB
from nixbridge.errors import DestinationError

# Of the body of an error so much is read, and so much of its message is shown.
ERROR_LIMIT_BYTES: Final = 64 << 10
_SHOWN_CHARACTERS: Final = 300

_SERVER_ERRORS: Final = 500
# The same may be asked again: it was not done, or not seen to be done.
_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
# Something that was there is no longer: registries are cleaned up now and then.
_VANISHED: Final = frozenset({"BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN"})
# What says nothing, so that it is looked for what says more.
_NO_MESSAGE: Final = (None, "", "unknown error")
_FULL_DISK: Final = "no space left on device"
# What GitHub calls the right to write; of other registries we do not know the word.
_WRITE_SCOPES: Final = {"ghcr.io": "write:packages"}


class RequestFailedError(Exception):
    """A registry did not do what it was asked, and was asked often enough.

    `status` is None where no answer came. `asked_seconds` is how long the registry wants us to
    wait. With `is_lasting` it would be the same again. Who uses a registry is raised `error`.
    """

    def __init__(
        self,
        error: DestinationError,
        *,
        status: int | None = None,
        asked_seconds: float | None = None,
        is_lasting: bool = False,
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.status = status
        self.asked_seconds = asked_seconds
        self.is_lasting = is_lasting


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """Who was asked for what, for example to "write `team/shop`".

    `option_prefix` is that of `Access`. `credentials` are where they came from; None is that none
    were shown.
    """

    host: str
    doing: str
    writes: bool
    option_prefix: str
    credentials: str | None


def is_transient(status: int) -> bool:
    """Return whether an answer of that status may be another one the next time."""
    return status in _TRANSIENT


def refusal(
    answer: Answer, circumstances: Circumstances, *, redact: Callable[[str], str]
) -> DestinationError:
    """Return the error that an answer is; `redact` takes out what was sent and may come back.

    `ghcr.io refused to write me/app: 403 denied (credentials from ~/.docker/config.json)`
    """
    c = circumstances
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        from_where = (
            f" (credentials from {c.credentials})" if c.credentials else " (no credentials)"
        )
    else:
        from_where = ""
    verb = "failed" if answer.status >= _SERVER_ERRORS else "refused"
    return DestinationError(
        f"{c.host} {verb} to {c.doing}: {answer.status} {_reason(answer, redact)}{from_where}",
        hint=_hint(answer, c),
    )


def unreachable(
    host: str, broken: BrokenConnectionError, doing: str | None, *, option_prefix: str
) -> DestinationError:
    """Return the error that no answer is; `doing` is None when we did not get so far."""
    hint = None
    if broken.is_tls:
        hint = (
            f"trust its authority with `{option_prefix}cert-dir DIR`, or, if it need not be who it "
            f"says that it is, or speaks plain http, say `{option_prefix}tls-verify=false`"
        )
    if doing is None:
        return DestinationError(f"{host} cannot be reached: {broken.reason}", hint=hint)
    return DestinationError(f"{host} failed to {doing}: {broken.reason}", hint=hint)


def _first_error(answer: Answer) -> tuple[str, str]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return "", ""
    errors = document.get("errors") if isinstance(document, dict) else None
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        first = errors[0]
    elif isinstance(document, dict):
        # Token services have other forms.
        first = {"message": document.get("details") or document.get("message")}
    else:
        first = {}
    code, message = first.get("code"), first.get("message")
    if message in _NO_MESSAGE:
        message = _detail(first.get("detail")) or message
    return (
        code if isinstance(code, str) else "",
        message if isinstance(message, str) else "",
    )


def _detail(detail: object) -> str | None:
    """Return what a registry says more exactly, in the two ways of docker-registry.

    Of a file system's error it may tell only the number, in `{"Enclosed": {"Err": 28}}`.
    """
    if isinstance(detail, str):
        return detail
    if not isinstance(detail, dict):
        return None
    number = detail.get("Err")
    if isinstance(number, int) and number in errno.errorcode:
        return os.strerror(number).lower()
    return _detail(detail.get("Enclosed"))


def _reason(answer: Answer, redact: Callable[[str], str]) -> str:
    """Return the registry's own words, in one line, else those of HTTP."""
    code, message = (_one_line(redact(text)) for text in _first_error(answer))
    code = code.lower().replace("_", " ")
    if code and message and message.lower() not in {code, f"{code}."}:
        return f"{code}: {message}"
    if code or message:
        return code or message
    try:
        return HTTPStatus(answer.status).phrase.lower()
    except ValueError:
        return "without a reason"


def _one_line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _SHOWN_CHARACTERS else line[:_SHOWN_CHARACTERS] + "…"


def _hint(answer: Answer, c: Circumstances) -> str | None:
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return _login_hint(answer, c)
    hint = None
    match answer.status:
        case _ if _first_error(answer)[0] in _VANISHED:
            hint = "run it again"
        case 404 if c.writes:
            hint = "see that the name is right; some registries want a repository to be made first"
        case 413:
            hint = "the registry, or a proxy before it, takes only smaller blobs: plan more layers"
        case 429:
            hint = "run it again later"
        case status if status == HTTPStatus.INSUFFICIENT_STORAGE or _is_full(answer):
            hint = "make room on the registry's disk, then run it again"
        case status if status >= _SERVER_ERRORS:
            hint = "see the registry's own log, or run it again later"
        case _:
            pass
    return hint


def _is_full(answer: Answer) -> bool:
    return _first_error(answer)[1].lower().endswith(_FULL_DISK)


def _login_hint(answer: Answer, c: Circumstances) -> str:
    login = "docker login" if c.host == DOCKER_HUB else f"docker login {c.host}"
    if c.credentials is None:
        return f"log in with `{login}`, or give `{c.option_prefix}creds USER:PASSWORD`"
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return f"log in anew, with `{login}`"
    if c.writes and c.host in _WRITE_SCOPES:
        return f"the token needs the scope `{_WRITE_SCOPES[c.host]}`, or log in with `{login}`"
    return f"see that they may do this, or log in as somebody else, with `{login}`"
