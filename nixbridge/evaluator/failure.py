"""What a failed nix says: its stderr becomes one `NixError` that a person can act on.

The message says what we were doing and the cause, the details are nix's own last words (file and
line of an evaluation error, the last lines of a build log), and the hint always holds the command
to repeat. The stderr of Nix 2.8, 2.26 and 2.34 in all these cases is in `tests/fixtures/nix-cli`.
"""

from __future__ import annotations

import re
import signal
import textwrap
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from nixbridge.errors import NixError
from nixbridge.evaluator.progress import (
    BuildStarted,
    ErrorReported,
    LogLine,
    NixLog,
    RealiseStarted,
    Said,
)
from nixbridge.evaluator.runner import Completed

# As many lines of a build log as nix itself shows by default from 2.26 on.
_LOG_LINES: Final = 25
# As many last lines of stderr when nothing in it is an error that nix reported.
_LAST_LINES: Final = 10

_BUILDER_FAILED: Final = re.compile(
    r"(?:builder for '(?P<old>[^']+)'|Cannot build '(?P<new>[^']+)'\.\s+Reason: builder)"
    r" (?P<how>failed .+)"
)
_DEPENDENCY_FAILED: Final = re.compile(
    r"\d+ dependencies of derivation '.+' failed|Cannot build '.+'\.\s+Reason: \d+ dependenc"
)
_EXIT_CODE: Final = re.compile(r"failed with exit code (\d+)")
_SIGNAL: Final = re.compile(r"failed due to signal (.+)")
_OWN_LOG: Final = re.compile(r"^\s*> ?(.*)$", re.MULTILINE)
_NOISE: Final = re.compile(r"\(use '--show-trace' .*\)|For full logs, run.*")

# What nix says, and what the user can do about it. `{…}` are the groups of the pattern.
_REMEDIES: Final = (
    (
        re.compile(r"experimental (?:Nix|Lix) feature '(?P<feature>[^']+)' is disabled"),
        "turn it on with `extra-experimental-features = {feature}` in nix.conf",
    ),
    (
        re.compile(r"unrecognised flag|is not a recognised (?:flag|command)"),
        "what stands after `--` goes to nix as it is; see `nix build --help`",
    ),
    (
        re.compile(r"flake '(?P<flake>[^']+)' does not provide attribute"),
        "see what it provides with `nix flake show {flake}`",
    ),
    (
        re.compile(r"-source/(?P<file>\S+)'(?: does not exist|: No such file)"),
        "is `{file}` in the flake? in a git repository it must be tracked: `git add {file}`",
    ),
    (
        re.compile(r"function that has an argument without a value \('(?P<name>[^']+)'\)"),
        "give it one: `--argstr {name} TEXT` or `--arg {name} EXPRESSION`",
    ),
    (
        re.compile(r"file '(?P<file>nixpkgs[^']*)' was not found in the Nix search path"),
        (
            "have nixpkgs as a channel (`nix-channel --add "
            "https://nixos.org/channels/nixpkgs-unstable nixpkgs && nix-channel --update`) or name "
            "a copy of it (`-- -I nixpkgs=DIRECTORY`); a spec can say otherwise with `nix.packages`"
        ),
    ),
    (
        re.compile(r"could not find a flake\.nix|does not contain a 'flake\.nix'"),
        (
            "what stands before the `#` is a directory with a `flake.nix`; a spec and a Nix file "
            "are named by their path, without `#`"
        ),
    ),
    (
        re.compile(r"forbidden in pure eval"),
        "let nix read outside of the flake with `-- --impure`",
    ),
    (
        re.compile(r"No space left on device|disk (?:is )?full"),
        "make room, for example with `nix-collect-garbage`",
    ),
    (
        re.compile(
            r"build-users-group|cannot connect to (?:daemon|socket)|opening lock file|"
            r"big-lock|daemon-socket"
        ),
        "`nixbridge doctor` says what is wrong with this machine's Nix",
    ),
)


@dataclass(slots=True)
class _LastWords:
    """What of a run's stderr explains its end."""

    errors: list[str] = field(default_factory=list)
    # What is not in nix's log format, if that is in use: words of a child, such as git.
    foreign: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    said: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    logs: dict[str, deque[str]] = field(default_factory=dict)
    was_realising: bool = False


def explain_failure(
    completed: Completed, *, subject: str, verb: str, repeat: tuple[str, ...]
) -> NixError:
    """Return the error that says why nix failed.

    `subject` is what the user asked for, in backticks where it is a literal; `verb` is what we
    did with it (`building`); `repeat` are the commands that do it again.
    """
    words = _read(completed.stderr)
    again = f"repeat it with {' and '.join(f'`{command}`' for command in repeat)}"
    if verb == "building" and not words.was_realising:
        verb = "evaluating"
    builds = [match for text in words.errors if (match := _BUILDER_FAILED.match(text))]
    if builds:
        return _build_failure(builds, words, subject=subject, again=again)
    causes = [text for text in words.errors if not _DEPENDENCY_FAILED.match(text)]
    if not causes or completed.status < 0:
        how = f"exited with {completed.status}"
        if completed.status < 0:
            how = f"was killed by {_signal_name(-completed.status)}"
        return NixError(
            f"{verb} {subject} failed: nix {how}",
            details="\n".join(words.said) or None,
            hint=again,
        )
    headline, details = _split(causes[-1])
    remedy = _remedy(headline)
    return NixError(
        f"{verb} {subject} failed: {headline}",
        details="\n".join([*words.foreign, *details]) or None,
        hint=f"{remedy}; {again}" if remedy is not None else again,
    )


def _build_failure(
    builds: list[re.Match[str]], words: _LastWords, *, subject: str, again: str
) -> NixError:
    first = builds[0]
    derivation = first["old"] or first["new"]
    how = first["how"].splitlines()[0].rstrip(".;")
    if code := _EXIT_CODE.match(how):
        how = f"exited with {code[1]}"
    elif number := _SIGNAL.match(how):
        how = f"was killed by signal {number[1]}"
    others = f" (and {len(builds) - 1} more)" if len(builds) > 1 else ""
    log = list(words.logs.get(derivation, ())) or _OWN_LOG.findall(first.string)
    message = f"building {subject} failed: builder for {_derivation_name(derivation)} {how}{others}"
    if not log:
        return NixError(message, details="it printed nothing", hint=again)
    return NixError(
        message,
        details="\n".join(["last lines of its log:", *(f"  {line}" for line in log)]),
        hint=f"see it all with `nix log {derivation}`; {again}",
    )


def _read(stderr: str) -> _LastWords:
    words = _LastWords()
    log = NixLog()
    plain: list[list[str]] = []  # the errors in nix's plain log format, as lines
    is_in_error = False
    for line in stderr.split("\n"):
        match log.read(line):
            case ErrorReported(text):
                words.errors.append(_tidy(text))
            case RealiseStarted() | BuildStarted():
                words.was_realising = True
            case LogLine(derivation, text):
                words.logs.setdefault(derivation, deque(maxlen=_LOG_LINES)).append(text)
            case Said(text):
                words.said.append(text)
                words.was_realising |= text.startswith("building '")
                if not line.startswith("@nix "):
                    words.foreign.append(text)
                    is_in_error = text.startswith("error:") or (is_in_error and text[:1] == " ")
                    if text.startswith("error:"):
                        plain.append([text.removeprefix("error:")])
                    elif is_in_error:
                        plain[-1].append(text)
            case _:
                pass
    if not words.errors:
        words.errors = [_tidy("\n".join(lines)) for lines in plain]
        words.foreign.clear()
    words.errors = [text for text in words.errors if text]
    return words


def _tidy(text: str) -> str:
    """Return an error's text without the indentation that makes room for `error:`."""
    first, _, rest = text.partition("\n")
    kept = [line for line in rest.splitlines() if not _NOISE.fullmatch(line.strip())]
    lines = [first.strip(), *textwrap.dedent("\n".join(kept)).splitlines()]
    # 2.8 puts blank lines around the place and the source, where 2.26 and later do not.
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _split(text: str) -> tuple[str, list[str]]:
    """Return the line of an error that says what is wrong, and the lines that there are besides.

    In a trace that line is the last of those that begin with `error:`, and all is shown.
    """
    lines = text.splitlines()
    causes = [line.removeprefix("error:") for line in lines if line.startswith("error:")]
    headline = (causes[-1] if causes else lines[0]).strip().rstrip(".:")
    if headline.startswith("Cannot build ") and len(lines) > 1:  # 2.34; the reason is below
        headline = f"{headline[0].lower()}{headline[1:]}: {lines.pop(1).removeprefix('Reason: ')}"
    return headline.rstrip("."), lines[0 if causes else 1 :]


def _remedy(text: str) -> str | None:
    for pattern, remedy in _REMEDIES:
        if match := pattern.search(text):
            return remedy.format(**match.groupdict())
    return None


def _derivation_name(path: str) -> str:
    return path.rpartition("/")[2][33:].removesuffix(".drv")


def _signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name}"
    except ValueError:
        return f"signal {number}"
