"""Who we are at a registry: credentials where docker, podman and skopeo keep them.

Files are read here and helpers asked (`docker-credential-NAME get`); what is done with credentials
is `registry_auth.py`'s. Nothing here writes. A secret is in no `repr`, message or argument.

- https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
- https://docs.docker.com/reference/cli/docker/login/#credential-stores
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, Final

from nixbridge.destinations.destination import Access
from nixbridge.destinations.repository import DOCKER_HUB, Repository
from nixbridge.errors import DestinationError
from nixbridge.evaluator import Completed, SubprocessRunner

# As docker keeps those of Docker Hub.
_DOCKER_HUB_KEY: Final = "https://index.docker.io/v1/"
_DOCKER_HUB_NAMES: Final = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
# What a helper says when it has none, and the user's name with which it gives an identity token.
# https://github.com/docker/docker-credential-helpers/blob/v0.8.2/credentials/error.go
_NOT_FOUND: Final = "credentials not found in native keychain"
_TOKEN_USER: Final = "<token>"  # noqa: S105 - not a secret
# A helper may ask a person.
_HELPER_PATIENCE_SECONDS: Final = 120.0
_SHOWN_CHARACTERS: Final = 200

# Runs a helper's words with what it can read.
RunHelper = Callable[[Sequence[str], bytes], Completed]


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """A name and a password, or a token that stands for them; `origin` says where they are from.

    An `identity_token` is exchanged for others; a `registry_token` is shown as it is.
    """

    origin: str
    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """Name and password as a header has them."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody shall see."""
        pair = self.basic.removeprefix("Basic ") if self.password else ""
        found = (self.password, self.identity_token, self.registry_token, pair)
        return tuple(secret for secret in found if secret)


def find_credentials(
    repository: Repository,
    access: Access,
    run_helper: RunHelper | None = None,
    is_given_up: threading.Event | None = None,
) -> Credentials | None:
    """Return the credentials for a repository; None where there are none.

    In the first file that has any, the longest name that the repository begins with wins; a helper
    for the registry comes before what the file itself has for the registry. A helper is ended when
    it `is_given_up`.

    Raises `DestinationError`: a file cannot be read, a helper failed.
    """
    if access.credentials is not None:
        username, _, password = access.credentials.partition(":")
        return Credentials(origin="the command line", username=username, password=password)
    runner = SubprocessRunner(
        access.environment, timeout_seconds=_HELPER_PATIENCE_SECONDS, is_given_up=is_given_up
    )

    def run(argv: Sequence[str], stdin: bytes) -> Completed:
        reading, writing = os.pipe()
        with FileIO(writing, "w") as pipe:
            pipe.write(stdin)  # a host's name: a pipe has room for more
        with FileIO(reading) as pipe:
            return runner.run(argv, stdin=pipe)

    for path in _auth_files(access.environment):
        file = _AuthFile.read(path, access.environment)
        if file is not None:
            found = file.find(repository, run_helper or run)
            if found is not None:
                return found
    return None


def _auth_files(environment: Mapping[str, str]) -> Iterator[Path]:
    """Return where to look, first things first, as `getAuthFilePaths` does.

    https://github.com/containers/image/blob/v5.29.0/pkg/docker/config/config.go

    Raises `DestinationError`: the user named one that is not there.
    """
    named = environment.get("REGISTRY_AUTH_FILE")
    if named:
        if not Path(named).exists():
            raise DestinationError(
                f"`REGISTRY_AUTH_FILE` names `{named}`, which is not there",
                hint=f"log in with `podman login --authfile {named}`, or unset the variable",
            )
        yield Path(named)
        return
    runtime = environment.get("XDG_RUNTIME_DIR")
    yield Path(
        f"{runtime}/containers" if runtime else f"/run/containers/{os.getuid()}", "auth.json"
    )
    home = environment.get("HOME")
    config = environment.get("XDG_CONFIG_HOME") or (home and f"{home}/.config")
    if config:
        yield Path(config, "containers/auth.json")
    docker = environment.get("DOCKER_CONFIG") or (home and f"{home}/.docker")
    if docker:
        yield Path(docker, "config.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class _AuthFile:
    """One file; `origin` is its path as a person would write it."""

    path: Path
    origin: str
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(cls, path: Path, environment: Mapping[str, str]) -> _AuthFile | None:
        """Read `path`; None where there is no such file.

        Raises `DestinationError`.
        """
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DestinationError(
                f"credentials in `{path}` cannot be read: {(error.strerror or '').lower()}"
            ) from error
        try:
            # podman makes empty ones.
            document = json.loads(data) if data.strip() else {}
        except (ValueError, RecursionError):
            document = None
        home = environment.get("HOME")
        is_at_home = bool(home) and path.is_relative_to(Path(str(home)))
        origin = f"~/{path.relative_to(Path(str(home)))}" if is_at_home else str(path)
        if not isinstance(document, dict):
            # Not with what is wrong there: it may be a secret.
            raise DestinationError(
                f"credentials in `{origin}` cannot be read: it is no JSON object"
            )
        return cls(path=path, origin=origin, document=document)

    def find(self, repository: Repository, run_helper: RunHelper) -> Credentials | None:
        """Return the credentials of a repository.

        Raises `DestinationError`.
        """
        parts = str(repository).split("/")
        for length in range(len(parts), 1, -1):
            found = self._stored("/".join(parts[:length]))
            if found is not None:
                return found
        helper = self._helper(repository.registry)
        if helper is not None:
            found = self._ask(helper, repository.registry, run_helper)
            if found is not None:
                return found
        return self._stored(repository.registry)

    def _stored(self, name: str) -> Credentials | None:
        """Return what the file itself has; of one host it may know several spellings."""
        entries = (
            self._entry(value) for key, value in self._part("auths").items() if _normal(key) == name
        )
        return next((entry for entry in entries if entry is not None), None)

    def _part(self, name: str) -> Mapping[str, Any]:
        part = self.document.get(name)
        return part if isinstance(part, dict) else {}

    def _helper(self, registry: str) -> str | None:
        named = {_normal(key): value for key, value in self._part("credHelpers").items()}
        helper = named.get(registry) or self.document.get("credsStore")
        return helper if isinstance(helper, str) and helper else None

    def _entry(self, entry: object) -> Credentials | None:
        if not isinstance(entry, dict):
            return None
        texts = {key: value for key, value in entry.items() if isinstance(value, str) and value}
        username, password = texts.get("username", ""), texts.get("password", "")
        if "auth" in texts:
            try:
                pair = base64.b64decode(texts["auth"], validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                pair = ""
            username, colon, password = pair.partition(":")
            if not colon:
                raise DestinationError(
                    f"credentials in `{self.origin}` cannot be read: an `auth` is not "
                    "`USER:PASSWORD` in base64",
                    hint="log in again, with `docker login` or `podman login`",
                )
        found = Credentials(
            origin=self.origin,
            username=username,
            # docker fills the room of old ones with zeros.
            password=password.rstrip("\0"),
            identity_token=texts.get("identitytoken", ""),
            registry_token=texts.get("registrytoken", ""),
        )
        return found if found.username or found.secrets else None

    def _ask(self, name: str, registry: str, run_helper: RunHelper) -> Credentials | None:
        """Ask a helper.

        Raises `DestinationError`: it failed; that there are no credentials is no failure.
        """
        program = f"docker-credential-{name}"
        server = _DOCKER_HUB_KEY if registry == DOCKER_HUB else registry
        failed = f"the credential helper `{program}`, which `{self.origin}` names, failed"
        try:
            completed = run_helper((program, "get"), server.encode())
        except OSError as error:
            reason = error.strerror or str(error)
            raise DestinationError(
                f"{failed}: {reason[:1].lower()}{reason[1:]}",
                hint=f"install it, or take it out of `{self.origin}`",
            ) from error
        output = completed.stdout.decode(errors="replace").strip()
        if completed.status != 0:
            if _NOT_FOUND in output or _NOT_FOUND in completed.stderr:
                return None
            raise DestinationError(
                f"{failed}: {_shown(output or completed.stderr, completed.status)}"
            )
        try:
            document = json.loads(output)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or not isinstance(document.get("Secret"), str):
            raise DestinationError(f"{failed}: what it printed is not what helpers print")
        username, secret = str(document.get("Username", "")), document["Secret"]
        origin = f"`{program}`"
        if username == _TOKEN_USER:
            return Credentials(origin=origin, identity_token=secret)
        return Credentials(origin=origin, username=username, password=secret)


def _normal(key: str) -> str:
    """Return the host, and maybe the beginning of a name, that a key of a file stands for.

    docker writes hosts as they were given to it: with a scheme, with the path of an API.
    """
    text = key.partition("://")[2] if "://" in key else key
    is_address = text != key
    text = text.removesuffix("/").removesuffix("/v1").removesuffix("/v2")
    host, slash, rest = text.partition("/")
    if is_address:
        slash = rest = ""
    return (DOCKER_HUB if host in _DOCKER_HUB_NAMES else host) + slash + rest


def _shown(output: str, status: int) -> str:
    """Return the first line of what a failed helper said, unless it looks like what it keeps."""
    line = next(iter(output.strip().splitlines()), "")
    if not line or line.startswith(("{", "[")) or "Secret" in output:
        return f"exit status {status}"
    return line[:_SHOWN_CHARACTERS]
