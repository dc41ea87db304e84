"""The command line: parse, call `pipeline.py`, hand results to `console.py`.

One function a verb, and no logic: what a verb does is in `pipeline.py`. Only this module knows
typer. Exit statuses are those of `errors.py`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Optional, cast

import typer

from nixbridge import __version__, pipeline
from nixbridge.console import Console
from nixbridge.delivery import Described, PackOptions, check_destinations
from nixbridge.description import description_document
from nixbridge.destinations.docker_archive import DockerArchive
from nixbridge.destinations.reference import parse_destination
from nixbridge.destinations.stored_image import Inspectable
from nixbridge.doctor import diagnose, findings_document, findings_text
from nixbridge.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    InputError,
    IntegrityError,
    NixbridgeError,
    NixError,
)
from nixbridge.evaluator import SubprocessRunner
from nixbridge.packing import Compression, LayerCache, default_workers
from nixbridge.report.cache import cache_document, cache_text
from nixbridge.report.closure import closure_document, closure_table
from nixbridge.report.image import (
    image_document,
    image_table,
    stored_image_document,
    stored_image_text,
)
from nixbridge.report.plan import plan_document, plan_table
from nixbridge.source import SPEC_FILE_NAME, NixArguments, SpecSource, parse_source

_EXIT_BROKEN_PIPE: Final = 128 + signal.SIGPIPE
_EXIT_TERMINATED: Final = 128 + signal.SIGTERM

# typer's own copy of click is private in some versions; the class is reached by its heir.
_UsageError: Final = cast("type[Exception]", typer.BadParameter.__mro__[2])

app: Final = typer.Typer(
    name="nixbridge",
    help="Container images from Nix closures.",
    epilog="What stands after `--` goes to nix.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

# Options that several verbs share are declared once.
_SOURCE: Final[Any] = typer.Argument(
    ".",
    help="A spec (nixbridge.toml or its directory), a Nix file, a flake attribute "
    "(.#dockerImage), an image description or a store path.",
    show_default=True,
)
_ATTRIBUTE: Final[Any] = typer.Option(
    None, "--attribute", "-A", metavar="NAME", help="The attribute of the Nix file."
)
_ARG: Final[Any] = typer.Option(
    [], "--arg", metavar="NAME EXPR", help="Call the Nix file's function with an expression."
)
_ARGSTR: Final[Any] = typer.Option(
    [], "--argstr", metavar="NAME TEXT", help="Call the Nix file's function with a string."
)
_N2C_EXACT: Final[Any] = typer.Option(
    False,
    "--n2c-exact",
    help="Make what nix2container makes, also where nixbridge does better (docs/nix2container.md).",
)
_JSON: Final[Any] = typer.Option(
    False, "--json", help="Print one JSON document; an error is one JSON line on stderr."
)
_VERBOSE: Final[Any] = typer.Option(
    0, "--verbose", "-v", count=True, help="Say more; may be repeated."
)
_QUIET: Final[Any] = typer.Option(0, "--quiet", "-q", count=True, help="Say less.")


class Run:
    """One run of the command: where it prints, and what it hands on to nix."""

    def __init__(self, nix_arguments: Sequence[str], *, is_json: bool) -> None:
        self.nix_arguments = tuple(nix_arguments)
        self.console = Console(is_json=is_json)

    def configure(self, verbose: int, quiet: int) -> Console:
        """Set how much is said, and return the console."""
        self.console.verbosity = verbose - quiet
        return self.console

    @contextlib.contextmanager
    def described(
        self,
        source: str,
        attribute: str | None,
        arguments: NixArguments,
        *,
        without_nix: bool = False,
        is_n2c_exact: bool = False,
    ) -> Iterator[Described]:
        """Evaluate and build `source`; what it names is kept from garbage collection within."""
        parsed = parse_source(source, attribute=attribute)
        if without_nix:
            yield pipeline.describe_without_nix(parsed, self.console, is_n2c_exact=is_n2c_exact)
            return
        nix = pipeline.open_nix(self.nix_arguments, self.console)
        with pipeline.describe(
            parsed, nix, arguments, self.console, is_n2c_exact=is_n2c_exact
        ) as described:
            yield described


def _arguments(expressions: Sequence[str], strings: Sequence[str]) -> NixArguments:
    def pairs(words: Sequence[str]) -> dict[str, str]:
        return dict(word.split("=", 1) for word in words)

    return NixArguments(expressions=pairs(expressions), strings=pairs(strings))


@app.callback(invoke_without_command=True)
def nixbridge(
    version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True),
) -> None:
    """Container images from Nix closures."""
    if version:
        Console().data(f"nixbridge {__version__}")
        raise typer.Exit


@app.command()
def render(
    context: typer.Context,
    spec: Path = typer.Argument(
        Path(), help=f"A {SPEC_FILE_NAME}, or the directory that holds it."
    ),
    output: Optional[Path] = typer.Option(
        None, "--output", "-o", metavar="FILE", help="Write the expression to FILE."
    ),
    check: bool = typer.Option(
        False, "--check", help="Write nothing; fail if FILE is not what would be written."
    ),
    verbose: int = _VERBOSE,
    quiet: int = _QUIET,
) -> None:
    """Print the Nix expression that a spec stands for."""
    console = context.obj.configure(verbose, quiet)
    source = parse_source(str(spec))
    if not isinstance(source, SpecSource):
        raise InputError(f"`{spec}` is not a spec", hint=f"render takes a `{SPEC_FILE_NAME}`")
    text = pipeline.render_spec(source.path)
    if check and output is None:
        raise InputError("`--check` needs `--output FILE` to compare with")
    if output is None:
        console.data(text.removesuffix("\n"))
    elif check:
        pipeline.check_text(output, text)
    else:
        pipeline.write_text(output, text)
        console.say(f"wrote {output}")


@app.command()
def show(
    context: typer.Context,
    source: str = _SOURCE,
    attribute: Optional[str] = _ATTRIBUTE,
    arg: list[str] = _ARG,
    argstr: list[str] = _ARGSTR,
    verbose: int = _VERBOSE,
    quiet: int = _QUIET,
) -> None:
    """Print the image description: what Nix says of the image, as JSON."""
    console = context.obj.configure(verbose, quiet)
    with context.obj.described(source, attribute, _arguments(arg, argstr)) as described:
        console.document(description_document(described.description))


@app.command()
def closure(
    context: typer.Context,
    source: str = _SOURCE,
    attribute: Optional[str] = _ATTRIBUTE,
    arg: list[str] = _ARG,
    argstr: list[str] = _ARGSTR,
    is_json: bool = _JSON,
    verbose: int = _VERBOSE,
    quiet: int = _QUIET,
) -> None:
    """List the store paths that the image is made of."""
    console = context.obj.configure(verbose, quiet)
    with context.obj.described(source, attribute, _arguments(arg, argstr)) as described:
        graph = described.description.closure
        if is_json:
            console.document(closure_document(graph))
        else:
            console.data(closure_table(graph))


@app.command()
def plan(
    context: typer.Context,
    source: str = _SOURCE,
    attribute: Optional[str] = _ATTRIBUTE,
    arg: list[str] = _ARG,
    argstr: list[str] = _ARGSTR,
    n2c_exact: bool = _N2C_EXACT,
    is_json: bool = _JSON,
    verbose: int = _VERBOSE,
    quiet: int = _QUIET,
) -> None:
    """Show which store path goes into which layer, and why."""
    console = context.obj.configure(verbose, quiet)
    with context.obj.described(
        source, attribute, _arguments(arg, argstr), is_n2c_exact=n2c_exact
    ) as described:
        layer_plan = pipeline.plan(described)
        if is_json:
            console.document(plan_document(layer_plan))
        else:
            console.data(plan_table(layer_plan))


@app.command()
def copy(
    context: typer.Context,
    source: str = typer.Argument(..., help=_SOURCE.help),
    destinations: list[str] = typer.Argument(
        ...,
        metavar="DEST...",
        help="oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] (with nothing "
        "after FILE: the image has no name), or - for a docker-archive on standard output.",
    ),
    attribute: Optional[str] = _ATTRIBUTE,
    arg: list[str] = _ARG,
    argstr: list[str] = _ARGSTR,
    no_nix: bool = typer.Option(
        False,
        "--no-nix",
        help="Do not call nix: SOURCE is an image description, and all that it names is there.",
    ),
    compression: str = typer.Option(
        "none",
        "--compression",
        metavar="KIND[:LEVEL]",
        help="Compress layers: gzip, zstd, zlib (gzip's format, slower) or none.",
    ),
    no_cache: bool = typer.Option(
        False, "--no-cache", help="Pack every layer, and do not remember its digests."
    ),
    check_contents: bool = typer.Option(
        False, "--check-contents", help="Compare every store path with its NAR hash on the way."
    ),
    workers: Optional[int] = typer.Option(
        None,
        "--workers",
        min=1,
        metavar="NUMBER",
        help="Pack so many layers at the same time; else as many as there are processors.",
    ),
    n2c_exact: bool = _N2C_EXACT,
    is_json: bool = _JSON,
    verbose: int = _VERBOSE,
    quiet: int = _QUIET,
) -> None:
    """Make the image and deliver it; the last line printed is its digest reference."""
    console = context.obj.configure(verbose, quiet)
    parsed = [parse_destination(text) for text in destinations]
    is_streamed = any(isinstance(each, DockerArchive) and each.path is None for each in parsed)
    if is_streamed and is_json:
        raise InputError("the archive and the JSON document cannot both go to standard output")
    options = PackOptions(
        compression=Compression.parse(compression),
        cache=None if no_cache else pipeline.open_layer_cache(os.environ, console),
        checks_contents=check_contents,
        workers=workers or default_workers(),
    )
    check_destinations(dict(zip(destinations, parsed, strict=True)), options.compression)
    with context.obj.described(
        source,
        attribute,
        _arguments(arg, argstr),
        without_nix=no_nix,
        is_n2c_exact=n2c_exact,
    ) as described:
        delivery = pipeline.deliver(described, pipeline.plan(described), parsed, console, options)
    console.say(image_table(delivery.image), at=1)
    if is_json:
        console.document(image_document(delivery.image, delivery.references))
    elif is_streamed:
        console.say("\n".join(delivery.references))
    else:
        console.data("\n".join(delivery.references))


@app.command()
def inspect(
    context: typer.Context,
    image: str = typer.Argument(
        ..., help="oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME:TAG]."
    ),
    is_json: bool = _JSON,
    verbose: int = _VERBOSE,
    quiet: int = _QUIET,
) -> None:
    """Show the config and the layers of an image that was delivered."""
    console = context.obj.configure(verbose, quiet)
    destination = parse_destination(image)
    if not isinstance(destination, Inspectable):
        raise InputError(f"`{image}` cannot be looked into")
    stored = destination.inspect()
    if is_json:
        console.document(stored_image_document(stored))
    else:
        console.data(stored_image_text(stored))


_cache_app: Final = typer.Typer(
    help="What is remembered of layers, so that none is packed twice.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(_cache_app, name="cache")


def _layer_cache(console: Console) -> LayerCache:
    cache = pipeline.open_layer_cache(os.environ, console)
    if cache is None:
        raise InputError("there is no place for a layer cache", hint="set `XDG_CACHE_HOME`")
    return cache


@_cache_app.command("info")
def cache_info(
    context: typer.Context,
    is_json: bool = _JSON,
    verbose: int = _VERBOSE,
    quiet: int = _QUIET,
) -> None:
    """Show where the cache is, and how much is in it."""
    console = context.obj.configure(verbose, quiet)
    info = _layer_cache(console).info()
    if is_json:
        console.document(cache_document(info))
    else:
        console.data(cache_text(info))


@_cache_app.command("verify")
def cache_verify(
    context: typer.Context,
    verbose: int = _VERBOSE,
    quiet: int = _QUIET,
) -> None:
    """Pack again all that can be packed, and forget what was wrong."""
    console = context.obj.configure(verbose, quiet)
    cache = _layer_cache(console)
    store = pipeline.open_nix(context.obj.nix_arguments, console).store_root()
    findings = pipeline.verify_layer_cache(cache, store, console)
    if findings.unknown_count:
        console.say(f"{findings.unknown_count} cannot be packed again, and stay as they are")
    if findings.wrong_count:
        raise IntegrityError(
            f"of {findings.right_count + findings.wrong_count} layers that could be packed again, "
            f"the cache knew {findings.wrong_count} wrongly; it has forgotten them"
        )


@_cache_app.command("clear")
def cache_clear(
    context: typer.Context,
    verbose: int = _VERBOSE,
    quiet: int = _QUIET,
) -> None:
    """Forget all."""
    console = context.obj.configure(verbose, quiet)
    _layer_cache(console).clear()


@app.command()
def doctor(
    context: typer.Context,
    is_json: bool = _JSON,
    verbose: int = _VERBOSE,
    quiet: int = _QUIET,
) -> None:
    """Find out what is wrong with Nix and its surroundings here, and what to do."""
    console = context.obj.configure(verbose, quiet)
    findings = diagnose(SubprocessRunner(), os.environ)
    if is_json:
        console.document(findings_document(findings))
    else:
        console.data(findings_text(findings))
    if any(finding.status == "problem" for finding in findings):
        raise typer.Exit(NixError.exit_status)


def _split_arguments(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split at `--`, and join the two words of `--arg` and `--argstr`, as nix spells them.

    Raises `InputError`: a word is missing.
    """
    words = list(argv)
    ours, nix = (words, [])
    if "--" in words:
        at = words.index("--")
        ours, nix = words[:at], words[at + 1 :]
    joined: list[str] = []
    rest = iter(ours)
    for word in rest:
        joined.append(word)
        if word in {"--arg", "--argstr"}:
            name, value = next(rest, None), next(rest, None)
            if name is None or value is None:
                raise InputError(f"`{word}` takes two words: a name and a value")
            joined.append(f"{name}={value}")
    return joined, nix


def _terminate(_signal: int, _frame: object) -> None:
    # As an exception it lets every `with` remove what is half-written.
    raise SystemExit(_EXIT_TERMINATED)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status; every error ends here."""
    console = Console(is_json="--json" in argv)
    try:
        ours, nix = _split_arguments(argv)
        run = Run(nix, is_json="--json" in ours)
        console = run.console
        status = app(args=ours, obj=run, standalone_mode=False)
    except NixbridgeError as error:
        console.error(error)
        return error.exit_status
    except _UsageError as error:
        message = str(error.format_message())  # type: ignore[attr-defined]
        message = message[:1].lower() + message[1:].removesuffix(".")
        wrong = InputError(message, hint="see `nixbridge --help`")
        console.error(wrong)
        return wrong.exit_status
    except (KeyboardInterrupt, typer.Abort):
        status = EXIT_INTERRUPTED
    except BrokenPipeError:
        # Who read us has read enough; the interpreter must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the last resort: whatever else comes is our bug
        console.bug(error)
        return EXIT_BUG
    # Some versions of typer turn an interrupt into this status, others into an exception.
    if status == EXIT_INTERRUPTED:
        console.say("interrupted", at=-1)
    return status if isinstance(status, int) else 0


def run() -> None:
    """Be the `nixbridge` command."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main(sys.argv[1:]))
