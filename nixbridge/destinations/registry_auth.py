"""Say to a registry who we are: Basic, or Bearer with tokens that are asked for and grow old.

Nothing is sent before the registry asks for it, and credentials go to the registry, and to the
address that it names for tokens; over plain http only where TLS need not be verified.

- https://distribution.github.io/distribution/spec/auth/token/
- https://distribution.github.io/distribution/spec/auth/oauth/
"""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from nixbridge.destinations.addresses import joined, place_of
from nixbridge.destinations.credentials import Credentials
from nixbridge.destinations.http_session import Answer
from nixbridge.errors import DestinationError

# What a token is good for where its service does not say.
_DEFAULT_LIFE_SECONDS: Final = 60.0
_LONGEST_LIFE_SECONDS: Final = 86_400.0
# A token is not used when it is about to grow old.
_MARGIN_SECONDS: Final = 10.0
_CLIENT_ID: Final = "nixbridge"
_HIDDEN: Final = "…"
_SHORTEST_SECRET_CHARACTERS: Final = 4

# `scheme`, or `name=value`, or `name="value"`, one after the other.
_WORD: Final = re.compile(
    r"""[\s,]*(?:
        (?P<name>[A-Za-z0-9_.-]+) \s*=\s* (?: "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<plain>[^\s,"]+) )
      | (?P<scheme>[A-Za-z0-9_.-]+)
    )""",
    re.VERBOSE,
)


class AskForToken(Protocol):
    """Sends a request to a token service, again and again if need be."""

    def __call__(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        """Return its answer.

        Raises `DestinationError`: it cannot be reached.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Challenge:
    """What a registry wants: `basic` or `bearer`, and for the latter, where and for what."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Token:
    header: str
    end_seconds: float


class Authorizer:
    """Knows what to send along with a request; may be used by many threads at the same time.

    `find` is called when credentials are wanted for the first time. `plain_option` is what a user
    says to have `allows_plain`.
    """

    def __init__(
        self,
        *,
        find: Callable[[], Credentials | None],
        ask: AskForToken,
        allows_plain: bool,
        plain_option: str,
        clock: Callable[[], float],
    ) -> None:
        self._find = find
        self._ask = ask
        self._allows_plain = allows_plain
        self._plain_option = plain_option
        self._clock = clock
        self._lock = threading.RLock()
        self._challenge: Challenge | None = None
        self._has_looked = False
        self._credentials: Credentials | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._secrets: set[str] = set()

    @property
    def credentials(self) -> Credentials | None:
        """The credentials, which are looked for once."""
        with self._lock:
            if not self._has_looked:
                self._credentials = self._find()
                self._has_looked = True
                if self._credentials is not None:
                    self._secrets.update(self._credentials.secrets)
            return self._credentials

    @property
    def is_asked(self) -> bool:
        """Whether the registry wants to know who we are."""
        return self._challenge is not None

    def redact(self, text: str) -> str:
        """Return `text` without secrets, should somebody have put one in."""
        with self._lock:
            secrets = [each for each in self._secrets if len(each) >= _SHORTEST_SECRET_CHARACTERS]
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        return text

    def header(self, scopes: tuple[str, ...]) -> str | None:
        """Return what stands behind `Authorization:` for a request; None is nothing.

        Raises `DestinationError`: no token is given to us.
        """
        with self._lock:
            if self._challenge is None:
                return None
            credentials = self.credentials
            if self._challenge.scheme == "basic":
                return None if credentials is None else credentials.basic
            if credentials is not None and credentials.registry_token:
                return f"Bearer {credentials.registry_token}"
            token = self._tokens.get(scopes)
            if token is None or token.end_seconds <= self._clock():
                token = self._fetch(self._challenge, credentials, scopes)
                self._tokens[scopes] = token
            return token.header

    def heed(self, answer: Answer, scopes: tuple[str, ...], used: str | None) -> bool:
        """Take the challenge of a 401; return whether there is something to answer it with.

        `used` is the header that was sent: if it was a token, it is not used again.

        Raises `DestinationError`: the registry wants something that we cannot do.
        """
        with self._lock:
            challenges = parse_challenges(answer.headers.get("WWW-Authenticate", ""))
            known = [each for each in challenges if each.scheme in {"bearer", "basic"}]
            if not known:
                if challenges:
                    raise DestinationError(
                        f"`{place_of(answer.url)}` wants credentials by "
                        f"`{challenges[0].scheme}`, which nixbridge cannot give"
                    )
                return False
            # A token is worth less to who overhears it.
            self._challenge = next((each for each in known if each.scheme == "bearer"), known[0])
            token = self._tokens.get(scopes)
            if token is not None and token.header == used:
                del self._tokens[scopes]
            return self._challenge.scheme == "bearer" or self.credentials is not None

    def _fetch(
        self, challenge: Challenge, credentials: Credentials | None, scopes: tuple[str, ...]
    ) -> _Token:
        """Ask for a token, with a name and password, with an identity token, or as nobody."""
        realm = challenge.parameters.get("realm", "")
        self._check_realm(realm)
        service = challenge.parameters.get("service")
        query = [("service", service)] if service else []
        began = self._clock()
        if credentials is not None and credentials.identity_token:
            query += [
                ("grant_type", "refresh_token"),
                ("client_id", _CLIENT_ID),
                ("scope", " ".join(scopes)),
                ("refresh_token", credentials.identity_token),
            ]
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            body = urllib.parse.urlencode(query).encode()
            answer = self._ask("POST", realm, headers=headers, body=body)
        else:
            query += [("scope", scope) for scope in scopes]
            headers = {}
            if credentials is not None:
                query.append(("account", credentials.username))
                headers["Authorization"] = credentials.basic
            joint = "&" if "?" in realm else "?"
            url = realm + joint + urllib.parse.urlencode(query)
            answer = self._ask("GET", url, headers=headers, body=None)
        return self._read(answer, began)

    def _check_realm(self, realm: str) -> None:
        if joined(realm, realm) is None:
            raise DestinationError("the registry does not say where tokens are to be had")
        if realm.startswith("http:") and not self._allows_plain:
            raise DestinationError(
                f"the registry wants credentials to be sent to `{place_of(realm)}`, as plain text",
                hint=f"if that is right, say `{self._plain_option}`",
            )

    def _read(self, answer: Answer, began: float) -> _Token:
        try:
            document: Any = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        fields = document if isinstance(document, dict) else {}
        token = fields.get("token") or fields.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise DestinationError(
                f"`{place_of(answer.url)}` answered a request for a token with something else"
            )
        self._secrets.add(token)
        life = fields.get("expires_in")
        if isinstance(life, bool) or not isinstance(life, int | float) or life <= 0:
            life = _DEFAULT_LIFE_SECONDS
        # It may be any number, and none that is larger is of use.
        life = float(min(life, _LONGEST_LIFE_SECONDS))
        usable = max(life - _MARGIN_SECONDS, life / 2)
        return _Token(header=f"Bearer {token}", end_seconds=began + usable)


def parse_challenges(text: str) -> list[Challenge]:
    """Read a `WWW-Authenticate`, or several that were joined.

    https://www.rfc-editor.org/rfc/rfc9110#field.www-authenticate
    """
    challenges: list[Challenge] = []
    parameters: dict[str, str] = {}
    at = 0
    while (match := _WORD.match(text, at)) is not None:
        at = match.end()
        if match["scheme"] is not None:
            parameters = {}
            challenges.append(Challenge(scheme=match["scheme"].lower(), parameters=parameters))
        else:
            quoted, plain = match["quoted"], match["plain"]
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(match["name"].lower(), value)
    return challenges
