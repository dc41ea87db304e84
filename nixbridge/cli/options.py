"""What several verbs share: their options, and `Run`, the run that they are a part of.

Every run of the command imports this, also one that only says its version: whatever a verb needs
is imported where it is used.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Optional

import typer

from nixbridge.console import Console
from nixbridge.errors import InputError

if TYPE_CHECKING:
    from nixbridge.delivery import Described
    from nixbridge.destinations import Access, BlobPlaces
    from nixbridge.source import NixArguments

SOURCE: Final[Any] = typer.Argument(
    ".",
    metavar="SOURCE",
    help="A spec (nixbridge.toml or its directory), a Nix file, a flake attribute "
    "(.#dockerImage), an image description or a store path.",
    show_default=True,
)
NO_NIX: Final[Any] = typer.Option(
    False,
    "--no-nix",
    help="Do not call nix: SOURCE is an image description, and all that it names is there.",
)
NO_CACHE: Final[Any] = typer.Option(
    False, "--no-cache", help="Pack every layer, and do not remember its digests."
)
WORKERS: Final[Any] = typer.Option(
    None,
    "--workers",
    min=1,
    metavar="NUMBER",
    help="Pack so many layers at the same time; else as many as there are processors.",
)
N2C_EXACT: Final[Any] = typer.Option(
    False,
    "--n2c-exact",
    help="Make what nix2container makes, also where nixbridge does better (docs/nix2container.md).",
)
HTML: Final[Any] = typer.Option(
    None, "--html", metavar="FILE", help="Write a page for a browser to FILE, in one file."
)
JSON: Final[Any] = typer.Option(
    False, "--json", help="Print one JSON document; an error is one JSON line on stderr."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Loudness:
    """How much is said."""

    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, show_default=False, help="Say more; may be repeated."
        ),
    ] = 0
    quiet: Annotated[
        int, typer.Option("--quiet", "-q", count=True, show_default=False, help="Say less.")
    ] = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What of a source is evaluated, and what with; two words of a function are joined by `=`."""

    attribute: Annotated[
        Optional[str],
        typer.Option("--attribute", "-A", metavar="NAME", help="The attribute of the Nix file."),
    ] = None
    arg: Annotated[
        list[str],
        typer.Option(
            "--arg",
            metavar="NAME EXPR",
            help="Call the Nix file's function with an expression.",
        ),
    ] = field(default_factory=list)
    argstr: Annotated[
        list[str],
        typer.Option(
            "--argstr", metavar="NAME TEXT", help="Call the Nix file's function with a string."
        ),
    ] = field(default_factory=list)

    @property
    def arguments(self) -> NixArguments:
        """The arguments of the Nix file's function; `main.py` has joined their two words by `=`."""
        from nixbridge.source import NixArguments  # noqa: PLC0415 - see the module's words

        def pairs(words: Sequence[str]) -> dict[str, str]:
            return dict(word.split("=", 1) for word in words)

        return NixArguments(expressions=pairs(self.arg), strings=pairs(self.argstr))


_CREDENTIALS_HELP: Final = (
    "Log in to the registry with these, not with what docker and podman know."
)
_TLS_VERIFY_HELP: Final = (
    "Whether a registry must speak TLS and have a certificate that is trusted; else true, unless "
    "registries.conf says otherwise."
)
_CERTIFICATES_HELP: Final = (
    "Trust the authorities DIR/*.crt, and show the certificate DIR/*.cert with its *.key."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How registries are reached of which images are read."""

    credentials: Annotated[
        Optional[str],
        typer.Option("--creds", metavar="USER[:PASSWORD]", help=_CREDENTIALS_HELP),
    ] = None
    tls_verify: Annotated[
        Optional[str], typer.Option("--tls-verify", metavar="true|false", help=_TLS_VERIFY_HELP)
    ] = None
    certificates: Annotated[
        Optional[Path], typer.Option("--cert-dir", metavar="DIR", help=_CERTIFICATES_HELP)
    ] = None

    def access(self, run: Run, names: Iterable[str]) -> Access:
        """Return how the images and files are reached that are named on the command line.

        Raises `InputError`: the options cannot be used, or the credentials would be shown to
        several registries.
        """
        from nixbridge.destinations.reference import (  # noqa: PLC0415 - see the module's words
            is_destination,
            parse_inspectable,
        )

        if self.credentials is not None:
            places = [parse_inspectable(name) for name in names if is_destination(name)]
            refuse_several_registries(places, option="--creds")
        return run.access(
            credentials=self.credentials,
            tls_verify=self.tls_verify,
            certificates=self.certificates,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """How registries are reached that an image goes to."""

    credentials: Annotated[
        Optional[str],
        typer.Option("--dest-creds", metavar="USER[:PASSWORD]", help=_CREDENTIALS_HELP),
    ] = None
    tls_verify: Annotated[
        Optional[str],
        typer.Option("--dest-tls-verify", metavar="true|false", help=_TLS_VERIFY_HELP),
    ] = None
    certificates: Annotated[
        Optional[Path], typer.Option("--dest-cert-dir", metavar="DIR", help=_CERTIFICATES_HELP)
    ] = None

    def access(self, run: Run, places: Iterable[object], blob_places: BlobPlaces) -> Access:
        """Return how `places` are reached.

        Raises `InputError`: as that of `Reading`.
        """
        if self.credentials is not None:
            refuse_several_registries(places, option="--dest-creds")
        return run.access(
            credentials=self.credentials,
            tls_verify=self.tls_verify,
            certificates=self.certificates,
            places=blob_places,
            option_prefix="--dest-",
        )


class Run:
    """One run of the command: where it prints, and what it hands on to nix."""

    def __init__(self, nix_arguments: Sequence[str], *, is_json: bool) -> None:
        self.nix_arguments = tuple(nix_arguments)
        self.console = Console(is_json=is_json)

    def configure(self, loudness: Loudness) -> Console:
        """Set how much is said, and return the console."""
        self.console.verbosity = loudness.verbose - loudness.quiet
        return self.console

    def access(
        self,
        *,
        credentials: str | None = None,
        tls_verify: str | None = None,
        certificates: Path | None = None,
        places: BlobPlaces | None = None,
        option_prefix: str = "--",
    ) -> Access:
        """Return how the places are reached that the command line names.

        Raises `InputError`: the options for it cannot be used.
        """
        from nixbridge.destinations import Access  # noqa: PLC0415 - see the module's words

        if tls_verify not in {None, "true", "false"}:
            raise InputError(
                f"`{tls_verify}` is not `true` or `false`", hint="say whether to verify TLS"
            )
        if certificates is not None and not certificates.is_dir():
            raise InputError(f"`{certificates}` is no directory of certificates")
        return Access(
            environment=os.environ,
            credentials=credentials,
            verifies_tls=None if tls_verify is None else tls_verify == "true",
            certificates=certificates,
            warn=self.console.warn,
            places=places,
            option_prefix=option_prefix,
        )

    @contextlib.contextmanager
    def described(
        self,
        source: str,
        evaluation: Evaluation,
        *,
        without_nix: bool = False,
        is_n2c_exact: bool = False,
    ) -> Iterator[Described]:
        """Evaluate and build `source`; what it names is kept from garbage collection within."""
        from nixbridge import pipeline  # noqa: PLC0415
        from nixbridge.source import parse_source  # noqa: PLC0415

        parsed = parse_source(source, attribute=evaluation.attribute)
        if without_nix:
            yield pipeline.describe_without_nix(parsed, self.console, is_n2c_exact=is_n2c_exact)
            return
        nix = pipeline.open_nix(self.nix_arguments, self.console)
        with pipeline.describe(
            parsed, nix, evaluation.arguments, self.console, is_n2c_exact=is_n2c_exact
        ) as described:
            yield described


def refuse_several_registries(places: Iterable[object], *, option: str) -> None:
    """Refuse to show one registry's credentials, which `option` gives, to another.

    Raises `InputError`.
    """
    from nixbridge.destinations.registry import Registry  # noqa: PLC0415

    found = {each.name.repository.registry for each in places if isinstance(each, Registry)}
    if len(found) > 1:
        raise InputError(
            f"`{option}` would be shown to {' and '.join(sorted(found))}",
            hint="log in with `docker login` or `podman login`, or name images of one registry",
        )
