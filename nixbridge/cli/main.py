"""The command: its verbs, what becomes of an error, and the exit status (those of `errors.py`)."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Final, cast

import typer

from nixbridge import __version__
from nixbridge.cli.groups import expanded
from nixbridge.cli.options import Run
from nixbridge.console import Console
from nixbridge.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    InputError,
    NixbridgeError,
    near_miss_hint,
)

EXIT_BROKEN_PIPE: Final = 128 + signal.SIGPIPE
EXIT_TERMINATED: Final = 128 + signal.SIGTERM

# typer's own copy of click is private in some versions; the class is reached by its heir.
_UsageError: Final = cast("type[Exception]", typer.BadParameter.__mro__[2])

# The module of each verb, in the order in which `--help` lists them. None is imported but for its
# own verb, or for all: the command starts in the time that what it does takes to import.
_VERBS: Final[Mapping[str, str]] = {
    "init": "init",
    "render": "stations",
    "show": "stations",
    "closure": "stations",
    "plan": "plan",
    "why": "why",
    "copy": "copy",
    "serve": "serve",
    "inspect": "inspect",
    "diff": "diff",
    "cache": "cache",
    "doctor": "doctor",
}
# Those that have verbs of their own, and show their help when none is named.
_GROUPS: Final = frozenset({"cache"})
# What other tools call it.
_OTHER_NAMES: Final[Mapping[str, str]] = {
    "build": "copy",
    "export": "copy",
    "load": "copy",
    "push": "copy",
    "save": "copy",
    "ls": "closure",
    "layers": "plan",
    "help": "--help",
    "version": "--version",
}


def make_app(verbs: Iterable[str]) -> typer.Typer:
    """Return the command with these verbs."""
    app = typer.Typer(
        name="nixbridge",
        help="Container images from Nix closures.",
        epilog="What stands after `--` goes to nix.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback(invoke_without_command=True)(nixbridge)
    for verb in verbs:
        module = importlib.import_module(f"nixbridge.cli.{_VERBS[verb]}")
        if hasattr(module, "VERBS"):
            app.add_typer(_group(module), name=verb)
        else:
            app.command(verb)(expanded(getattr(module, verb)))
    return app


def _group(module: ModuleType) -> typer.Typer:
    """Return a verb that has verbs of its own: those of `module`."""
    group = typer.Typer(help=module.HELP, rich_markup_mode=None)
    for name, verb in module.VERBS.items():
        group.command(name)(expanded(verb))
    return group


def _verbs_for(argv: Sequence[str]) -> tuple[str, ...]:
    """Return the verbs that a command line is about: one, none for the version, or all."""
    first = argv[0]
    if first == "--version":
        return ()
    return (first,) if first in _VERBS else tuple(_VERBS)


def nixbridge(
    version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True),
) -> None:
    """Container images from Nix closures."""
    if version:
        Console().data(f"nixbridge {__version__}")
        raise typer.Exit


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


def _wrong_words(error: Exception, argv: Sequence[str]) -> InputError:
    """Return the error for words that the command line's parser does not take."""
    message = str(error.format_message())  # type: ignore[attr-defined]
    message = message[:1].lower() + message[1:].removesuffix(".")
    verb = argv[0]
    if verb in _VERBS:
        return InputError(message, hint=f"see `nixbridge {verb} --help`")
    if verb.startswith("-"):
        return InputError(message, hint="see `nixbridge --help`")
    # Newer versions of click guess, too.
    message = f"there is no verb `{verb}`"
    if verb in _OTHER_NAMES:
        return InputError(message, hint=f"it is `nixbridge {_OTHER_NAMES[verb]}`")
    return InputError(message, hint=near_miss_hint(verb, tuple(_VERBS)))


def _terminate(_signal: int, _frame: object) -> None:
    # As an exception it lets every `with` remove what is half-written.
    raise SystemExit(EXIT_TERMINATED)


def _end_unread() -> int:
    """Return the status for that who read us has read enough."""
    # The interpreter must not complain when it flushes.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_BROKEN_PIPE


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status; every error ends here."""
    console = Console(is_json="--json" in argv)
    try:
        ours, nix = _split_arguments(argv)
        if not ours or (ours[0] in _GROUPS and len(ours) == 1):
            ours.append("--help")
        run = Run(nix, is_json="--json" in ours)
        console = run.console
        app = make_app(_verbs_for(ours))
        status = app(args=ours, obj=run, prog_name="nixbridge", standalone_mode=False)
    except NixbridgeError as error:
        console.error(error)
        return error.exit_status
    except _UsageError as error:
        wrong = _wrong_words(error, argv)
        console.error(wrong)
        return wrong.exit_status
    except (KeyboardInterrupt, typer.Abort):
        status = EXIT_INTERRUPTED
    except BrokenPipeError:
        return _end_unread()
    except SystemExit as end:
        # What typer makes of a broken pipe, with a status that could be anything's.
        if isinstance(end.__context__, BrokenPipeError):
            return _end_unread()
        raise
    except Exception as error:  # noqa: BLE001 - the last resort: whatever else comes is our bug
        console.bug(error)
        return EXIT_BUG
    # Some versions of typer turn an interrupt into this status, others into an exception.
    if status == EXIT_INTERRUPTED:
        console.say("interrupted", at=-1)
    return status if isinstance(status, int) else 0


def run() -> None:
    """Be the `nixbridge` command; what it prints is UTF-8, whatever the locale says."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main(sys.argv[1:]))
