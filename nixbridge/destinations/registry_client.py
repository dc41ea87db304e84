"""The requests of the distribution specification, each made until it is answered or hopeless.

Repeated is what may be repeated: what was not answered, 429 and 5xx, after growing waits; a 401
gets a new token. Redirects are followed only where something is read, and credentials stay with
the registry's own origin. What answers mean for an image is `registry.py`'s and its neighbours'.
https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
"""

from __future__ import annotations

import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from nixbridge.destinations.addresses import joined, origin_of, place_of
from nixbridge.destinations.broken_connection import BrokenConnectionError
from nixbridge.destinations.credentials import find_credentials
from nixbridge.destinations.destination import Access, UnreachableError
from nixbridge.destinations.http_session import Answer, HttpSession, Question
from nixbridge.destinations.patience import Patience
from nixbridge.destinations.registry_auth import Authorizer
from nixbridge.destinations.registry_errors import (
    ERROR_LIMIT_BYTES,
    Circumstances,
    RequestFailedError,
    is_transient,
    refusal,
    unreachable,
)
from nixbridge.destinations.repository import Repository
from nixbridge.destinations.tls import tls_context
from nixbridge.errors import DestinationError, IntegrityError
from nixbridge.oci import BlobDigest

_MOST_REDIRECTS: Final = 5
# A token may grow old just before it is used; a second refusal in a row means what it says.
_MOST_RENEWALS: Final = 2
_GREETING: Final = "/v2/"
_TOKEN_LIMIT_BYTES: Final = 1 << 20
_READS: Final = frozenset({"GET", "HEAD"})
_UNAUTHORIZED: Final = 401
_DIGEST_HEADER: Final = "Docker-Content-Digest"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a registry is asked; `target` is a path, or an address of the registry's own.

    `doing` says it in words, after "refused to". An answer of a status in `expected` is returned.
    """

    method: str
    target: str
    doing: str
    expected: frozenset[int]
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    body: bytes | Iterator[bytes] | None = None
    limit_bytes: int = ERROR_LIMIT_BYTES
    answer_seconds: float | None = None
    # How often it is sent at the most, but for new tokens; None is as often as patience has it.
    attempts: int | None = None
    # It is sent also when nobody waits for answers any more.
    is_farewell: bool = False
    # What else must be read in the same breath.
    more_scopes: tuple[str, ...] = ()


class RegistryClient:
    """Asks a registry on behalf of one repository; may be used by many threads at the same time."""

    def __init__(
        self, repository: Repository, access: Access, patience: Patience, *, writes: bool
    ) -> None:
        self.repository = repository
        self.patience = patience
        self._writes = writes
        self._verifies_tls = access.must_verify_tls
        self._option_prefix = access.option_prefix
        self._session = HttpSession(
            context=tls_context(repository.registry, access),
            environment=access.environment,
            patience=patience,
        )
        self._authorizer = Authorizer(
            find=lambda: find_credentials(
                repository, access, is_given_up=self._session.is_given_up
            ),
            ask=self._ask_for_token,
            allows_plain=not access.must_verify_tls,
            plain_option=f"{access.option_prefix}tls-verify=false",
            clock=time.monotonic,
        )
        actions = "pull,push" if writes else "pull"
        self._scope = f"repository:{repository.name}:{actions}"
        self._lock = threading.Lock()
        self._origin: str | None = None

    def path(self, rest: str) -> str:
        """Return the path of something in the repository."""
        return f"/v2/{self.repository.name}/{rest}"

    def ask(self, request: Request) -> Answer:
        """Make a request, and return its answer.

        Raises `RequestFailedError`: it is not done. Raises `DestinationError`, `IntegrityError`.
        """
        url = urllib.parse.urljoin(self._reach(), request.target)
        attempts = self.patience.attempts if request.attempts is None else request.attempts
        return self._persist(attempts, lambda: self._ask_once(request, url))

    def _persist(self, attempts: int, once: Callable[[], Answer]) -> Answer:
        """Call `once` until it succeeds, with waits between.

        Raises `RequestFailedError`: it failed for good, or too often.
        """
        failures = 0
        while True:
            try:
                return once()
            except RequestFailedError as failure:
                failures += 1
                is_hopeless = failure.is_lasting or not self.patience.allows(failure.asked_seconds)
                if is_hopeless or failures >= attempts:
                    raise
                self.wait(failures, failure.asked_seconds)

    def wait(self, failures: int, asked_seconds: float | None) -> None:
        """Wait before something is asked again, unless we are given up."""
        self.patience.wait(self._session.is_given_up, failures, asked_seconds)

    def give_up(self) -> None:
        """Let go who waits for the registry, in any thread, with an error that nobody need see."""
        self._session.give_up()

    def _ask_once(self, request: Request, url: str) -> Answer:
        """Send a request once, and again with a new token where the old one is none any more."""
        scopes = (self._scope, *request.more_scopes)
        renewals = 0
        while True:
            header = self._authorizer.header(scopes)
            answer = self._send(request, url, header)
            if answer.status in request.expected:
                return answer
            if answer.status != _UNAUTHORIZED or renewals == _MOST_RENEWALS:
                raise self._refused(request, answer)
            can_answer = self._authorizer.heed(answer, scopes, header)
            # A body that was sent in pieces is gone; but whoever sends it anew has a new token.
            if not can_answer or isinstance(request.body, Iterator):
                raise self._refused(request, answer)
            renewals += 1

    def located(self, answer: Answer, *, doing: str) -> str:
        """Return where an upload goes on, which is at the registry itself.

        Raises `DestinationError`: it is nowhere, or somewhere else.
        """
        location = answer.headers.get("Location", "")
        if not location:
            raise self._nonsense(doing, "it does not say where the upload goes on")
        url = joined(answer.url, location)
        if url is None or origin_of(url) != origin_of(self._reach()):
            raise self._nonsense(
                doing,
                f"it sends the upload to another place, {_shown(url)}",
                hint="behind a proxy, the registry must know by what name and scheme it is called",
            )
        return url

    def check_digest(self, answer: Answer, digest: BlobDigest, *, doing: str) -> None:
        """Compare the digest that an answer has, if it has one.

        Raises `IntegrityError`.
        """
        found = answer.headers.get(_DIGEST_HEADER)
        # A digest by another algorithm may be right as well.
        if found is not None and found.startswith("sha256:") and found != str(digest):
            shown = found if re.fullmatch("sha256:[0-9a-f]{64}", found) else "another"
            raise IntegrityError(
                f"{self.repository.registry} was asked to {doing} with the digest `{digest}`, and "
                f"answers for `{shown}`"
            )

    def tells_digest(self, answer: Answer) -> bool:
        """Return whether an answer says which digest it is about."""
        return _DIGEST_HEADER in answer.headers

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _reach(self) -> str:
        """Return the registry's origin, having found out that there is a registry.

        Raises `UnreachableError`.
        """
        with self._lock:
            if self._origin is None:
                try:
                    answer = self._persist(self.patience.first_contact_attempts, self._greet)
                except RequestFailedError as failure:
                    error = failure.error
                    raise UnreachableError(error.message, hint=error.hint) from failure
                self._origin = answer.url.removesuffix(_GREETING)
                if answer.status == _UNAUTHORIZED:
                    self._authorizer.heed(answer, (), None)
            return self._origin

    def _greet(self) -> Answer:
        """Ask whether there is a registry, and what it wants of us.

        Plain http is tried only where TLS need not be verified, and after TLS, as with skopeo.
        """
        request = Request(
            method="GET",
            target=_GREETING,
            doing="say that it is one",
            expected=frozenset({200, 401}),
        )
        failures: list[RequestFailedError] = []
        for scheme in ("https",) if self._verifies_tls else ("https", "http"):
            url = f"{scheme}://{self.repository.api_host}{_GREETING}"
            try:
                answer = self._session.ask(
                    Question(method="GET", url=url, limit_bytes=ERROR_LIMIT_BYTES)
                )
            except BrokenConnectionError as broken:
                failures.append(self._broke(broken, doing=None))
            else:
                if answer.status in request.expected:
                    return answer
                failures.append(self._refused(request, answer))
        # What may go well the next time counts: who speaks TLS refuses to speak plain http.
        raise next((each for each in failures if not each.is_lasting), failures[-1])

    def _send(self, request: Request, url: str, header: str | None) -> Answer:
        """Send a request once, and follow where it is sent to, if that is harmless.

        Raises `RequestFailedError`: no answer came. Raises `DestinationError`.
        """
        own = origin_of(url)
        for _ in range(_MOST_REDIRECTS):
            headers = dict(request.headers)
            if header is not None and origin_of(url) == own:
                headers["Authorization"] = header
            try:
                answer = self._session.ask(
                    Question(
                        method=request.method,
                        url=url,
                        headers=headers,
                        body=request.body,
                        limit_bytes=request.limit_bytes,
                        answer_seconds=request.answer_seconds,
                        is_farewell=request.is_farewell,
                    )
                )
            except BrokenConnectionError as broken:
                raise self._broke(broken, doing=request.doing) from broken
            if answer.status not in {301, 302, 303, 307, 308}:
                return answer
            target = joined(url, answer.headers.get("Location", ""))
            is_worse = own[0] == "https" and (target or "").startswith("http:")
            if request.method not in _READS or target is None or is_worse:
                raise self._nonsense(request.doing, f"it sends us to {_shown(target)}")
            url = target
        raise self._nonsense(request.doing, "it sends us from one place to the next")

    def _refused(self, request: Request, answer: Answer) -> RequestFailedError:
        """Return the error that an answer is."""
        asked = self._authorizer.credentials if self._authorizer.is_asked else None
        error = refusal(
            answer,
            Circumstances(
                host=self.repository.registry,
                doing=request.doing,
                writes=self._writes,
                option_prefix=self._option_prefix,
                credentials=None if asked is None else asked.origin,
            ),
            redact=self._authorizer.redact,
        )
        return RequestFailedError(
            error,
            status=answer.status,
            asked_seconds=self.patience.asked_seconds(answer.headers.get("Retry-After")),
            is_lasting=not is_transient(answer.status),
        )

    def _broke(self, broken: BrokenConnectionError, *, doing: str | None) -> RequestFailedError:
        """Return the error that no answer is; `doing` is None when we did not get so far."""
        host = self.repository.registry
        return RequestFailedError(
            unreachable(host, broken, doing, option_prefix=self._option_prefix),
            is_lasting=broken.is_lasting,
        )

    def _nonsense(self, doing: str, what: str, hint: str | None = None) -> DestinationError:
        return DestinationError(
            f"{self.repository.registry} was asked to {doing}, and {what}", hint=hint
        )

    def _ask_for_token(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """Ask a token service, which may be another host's; see `AskForToken`."""
        doing = f"give a token for `{self.repository.name}`"
        request = Request(method=method, target=url, doing=doing, expected=frozenset({200}))

        def once() -> Answer:
            try:
                answer = self._session.ask(
                    Question(
                        method=method,
                        url=url,
                        headers=headers,
                        body=body,
                        limit_bytes=_TOKEN_LIMIT_BYTES,
                    )
                )
            except BrokenConnectionError as broken:
                raise self._broke(broken, doing=doing) from broken
            if answer.status not in request.expected:
                raise self._refused(request, answer)
            return answer

        try:
            return self._persist(self.patience.attempts, once)
        except RequestFailedError as failure:
            raise failure.error from failure


def _shown(url: str | None) -> str:
    """Return who is at an address, to be shown."""
    return "an address that is none" if url is None else f"`{place_of(url)}`"
