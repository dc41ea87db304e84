"""Why no answer came, in a few words, and whether it would be the same again.

What urllib3 says is never shown: it may hold an address with its query.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Final

import urllib3

NOT_IN_TIME: Final = "it did not answer in time"
# What Python says when a proxy does not connect us; the proxy's status and words follow.
_NO_TUNNEL: Final = "Tunnel connection failed: "
# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_OTHER_NAMES: Final = frozenset({62, 64})
# What OpenSSL says, by its version, of an answer that is no TLS.
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})


class BrokenConnectionError(Exception):
    """No whole answer came; `reason` says why.

    With `is_lasting` it would be the same again: a certificate that is not trusted, no such host.
    With `is_tls` it would not, if TLS need not be verified.
    """

    def __init__(self, reason: str, *, is_lasting: bool = False, is_tls: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_lasting = is_lasting
        self.is_tls = is_tls


def broken_by(error: Exception) -> BrokenConnectionError:
    """Return what an error of urllib3, or of the system, comes down to."""
    causes = list(_causes(error))
    # What is wrapped says more than what it is wrapped in.
    for tell in (_tell_tls, _tell_system):
        for cause in reversed(causes):
            broken = tell(cause)
            if broken is not None:
                return broken
    return BrokenConnectionError("the connection was closed before the answer was whole")


def _tell_tls(cause: BaseException) -> BrokenConnectionError | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = f"its certificate is not trusted ({cause.verify_message})"
        if cause.verify_code in _OTHER_NAMES:
            reason = "its certificate is another's"
        return BrokenConnectionError(reason, is_lasting=True, is_tls=True)
    if isinstance(cause, ssl.SSLError):
        word = cause.reason or "no reason given"
        if word in _NO_TLS:
            reason = "it does not speak TLS there"
            return BrokenConnectionError(reason, is_lasting=True, is_tls=True)
        return BrokenConnectionError(f"TLS failed ({word.lower().replace('_', ' ')})")
    # Version 1 of urllib3 compares names itself.
    if type(cause).__name__ == "CertificateError":
        return BrokenConnectionError("its certificate is another's", is_lasting=True, is_tls=True)
    return None


def _tell_system(cause: BaseException) -> BrokenConnectionError | None:
    if isinstance(cause, socket.gaierror):
        is_lasting = cause.errno == socket.EAI_NONAME
        return BrokenConnectionError("there is no host of that name", is_lasting=is_lasting)
    if isinstance(cause, TimeoutError | urllib3.exceptions.TimeoutError):
        return BrokenConnectionError(NOT_IN_TIME)
    if isinstance(cause, OSError) and str(cause).startswith(_NO_TUNNEL):
        reason = str(cause).removeprefix(_NO_TUNNEL).lower()
        return BrokenConnectionError(f"the proxy refused: {reason}", is_lasting=True)
    if isinstance(cause, OSError) and cause.errno is not None:
        return BrokenConnectionError((cause.strerror or "the connection broke").lower())
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Go through an error, what is wrapped in it, and what caused it."""
    seen: set[int] = set()
    waiting: list[BaseException] = [] if error is None else [error]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [*current.args, getattr(current, "reason", None)]
        inner += [current.__cause__, current.__context__]
        waiting += [each for each in inner if isinstance(each, BaseException)]
