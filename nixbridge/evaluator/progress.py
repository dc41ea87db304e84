"""What nix is doing, read line by line from its stderr: `NixLog` turns lines into events.

The format is that of `--log-format internal-json`: `@nix` and one JSON object a line, for which
there is no document but nix's `src/libutil/logging.cc`. So what we do not know is passed over, and
lines of any other form count as messages. How an event looks to the user is `console.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

# nix's enum ActivityType …
_COPY_PATH: Final = 100
_FILE_TRANSFER: Final = 101
_REALISE: Final = 102
_BUILDS: Final = 104
_BUILD: Final = 105
# … its enum ResultType …
_BUILD_LOG_LINE: Final = 101
_SET_PHASE: Final = 104
_PROGRESS: Final = 105
_POST_BUILD_LOG_LINE: Final = 107
# … and its enum Verbosity: up to here a message is meant for everybody.
_NOTICE: Final = 2
_TALKATIVE: Final = 4

# Colours, other CSI sequences, and the OSC sequences of hyperlinks.
_ANSI: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]")

# Advice about a command line of nix, which is not the one that the user typed.
_ADVICE: Final = re.compile(r"\(use '--show-trace' .*\)|Try 'nix --help' for more information\.")


@dataclass(frozen=True, slots=True)
class RealiseStarted:
    """The evaluation is over; what follows is building and fetching."""


@dataclass(frozen=True, slots=True)
class BuildStarted:
    """A builder has begun to run; `derivation` is the path of its `.drv`."""

    derivation: str


@dataclass(frozen=True, slots=True)
class BuildFinished:
    """A builder has ended, well or badly."""

    derivation: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildCounts:
    """How many derivations are built, of how many, and how many are running or have failed."""

    done: int
    expected: int
    running: int
    failed: int


@dataclass(frozen=True, slots=True)
class PhaseEntered:
    """A builder says what it does now: `unpackPhase`."""

    derivation: str
    phase: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a builder printed."""

    derivation: str
    line: str


@dataclass(frozen=True, slots=True)
class Working:
    """What nix does now, in its own words: `copying path '…' from '…'`."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Transferred:
    """How much of a download or copy is done; `expected_bytes` is 0 where nobody knows."""

    text: str
    done_bytes: int
    expected_bytes: int


@dataclass(frozen=True, slots=True)
class Said:
    """Words of nix for the user: a warning, a `builtins.trace`."""

    text: str


@dataclass(frozen=True, slots=True)
class ErrorReported:
    """An error, with nix's trace and piece of source, without its `error:` and colours."""

    text: str


NixEvent = (
    RealiseStarted
    | BuildStarted
    | BuildFinished
    | BuildCounts
    | PhaseEntered
    | LogLine
    | Working
    | Transferred
    | Said
    | ErrorReported
)


class ProgressListener(Protocol):
    """Is told what nix does, from the thread that called nix."""

    def on_nix_event(self, event: NixEvent) -> None:
        """Take note of `event`; what this raises ends nix."""


@dataclass(slots=True)
class _Activity:
    kind: int
    text: str
    derivation: str


class NixLog:
    """Reads the stderr of one run of nix, in either log format."""

    def __init__(self) -> None:
        self._activities: dict[int, _Activity] = {}

    def read(self, line: str) -> NixEvent | None:
        """Return what `line` says, or None when it is nothing of interest."""
        if not line.startswith("@nix "):
            return _said(plain_text(line))
        try:
            entry = json.loads(line.removeprefix("@nix "))
        except ValueError:
            return _said(plain_text(line))
        readers = {
            "msg": _message,
            "start": self._start,
            "result": self._result,
            "stop": self._stop,
        }
        reader = readers.get(str(entry.get("action"))) if isinstance(entry, dict) else None
        return reader(entry) if reader is not None else None

    def _start(self, entry: Mapping[str, Any]) -> NixEvent | None:
        kind, text = _number(entry, "type"), plain_text(str(entry.get("text", "")))
        fields = _fields(entry)
        activity = _Activity(kind, text, str(fields[0]) if kind == _BUILD and fields else "")
        self._activities[_number(entry, "id")] = activity
        if kind == _BUILD:
            return BuildStarted(activity.derivation)
        if kind == _REALISE:
            return RealiseStarted()
        return Working(text) if text and _number(entry, "level") <= _TALKATIVE else None

    def _stop(self, entry: Mapping[str, Any]) -> NixEvent | None:
        activity = self._activities.pop(_number(entry, "id"), None)
        if activity is None or activity.kind != _BUILD:
            return None
        return BuildFinished(activity.derivation)

    def _result(self, entry: Mapping[str, Any]) -> NixEvent | None:
        activity = self._activities.get(_number(entry, "id"))
        if activity is None:
            return None
        kind = _number(entry, "type")
        match _fields(entry):
            case [str(line)] if kind in {_BUILD_LOG_LINE, _POST_BUILD_LOG_LINE}:
                return LogLine(activity.derivation, plain_text(line))
            case [str(phase)] if kind == _SET_PHASE:
                return PhaseEntered(activity.derivation, phase)
            case [int(done), int(expected), int(running), int(failed)] if kind == _PROGRESS:
                if activity.kind == _BUILDS:
                    return BuildCounts(done=done, expected=expected, running=running, failed=failed)
                if activity.kind in {_COPY_PATH, _FILE_TRANSFER}:
                    return Transferred(text=activity.text, done_bytes=done, expected_bytes=expected)
            case _:
                pass
        return None


def plain_text(text: str) -> str:
    """Return `text` without colours and other sequences for a terminal."""
    return _ANSI.sub("", text)


def _message(entry: Mapping[str, Any]) -> NixEvent | None:
    text = plain_text(str(entry.get("msg", "")))
    level = _number(entry, "level")
    if level == 0 and text.startswith("error:"):
        return ErrorReported(text.removeprefix("error:").strip("\n"))
    return _said(text) if level <= _NOTICE else None


def _said(text: str) -> Said | None:
    is_of_interest = text.strip() and not _ADVICE.fullmatch(text.strip())
    return Said(text) if is_of_interest else None


def _number(entry: Mapping[str, Any], key: str) -> int:
    value = entry.get(key)
    return value if isinstance(value, int) else 0


def _fields(entry: Mapping[str, Any]) -> list[Any]:
    value = entry.get("fields")
    return value if isinstance(value, list) else []
