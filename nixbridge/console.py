"""Everything that is printed: data to stdout; words, progress and errors to stderr.

No other module prints. What may be shown is decided here alone: `-q` and `-v` are one count,
progress needs a terminal, and with `--json` stdout holds one document or nothing.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, Final, TextIO, assert_never

from nixbridge.errors import NixbridgeError

if TYPE_CHECKING:
    from nixbridge.evaluator.progress import NixEvent

_PROGRESS_INTERVAL_SECONDS: Final = 0.1


class Console:
    """The two streams of one run; `verbosity` is the number of `-v` less the number of `-q`."""

    def __init__(
        self,
        *,
        verbosity: int = 0,
        is_json: bool = False,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self.verbosity = verbosity
        self.is_json = is_json
        self._stdout = stdout if stdout is not None else sys.stdout
        self._stderr = stderr if stderr is not None else sys.stderr
        self._progress_width = 0
        self._progress_at = 0.0

    @property
    def shows_progress(self) -> bool:
        """Whether a line that changes in place may be shown.

        Not with `-v`: the lines that it adds would interleave with the changing one.
        """
        return self.verbosity == 0 and not self.is_json and self._stderr.isatty()

    def data(self, text: str) -> None:
        """Print data: what another program may read."""
        self._clear_progress()
        print(text, file=self._stdout, flush=True)

    def document(self, document: dict[str, Any]) -> None:
        """Print one JSON document as data."""
        self.data(json.dumps(document, indent=2, ensure_ascii=False))

    def say(self, text: str, *, at: int = 0) -> None:
        """Print words for a person, from verbosity `at` on."""
        if self.verbosity >= at:
            self._clear_progress()
            print(text, file=self._stderr, flush=True)

    def step(self, name: str, text: str, seconds: float) -> None:
        """Print that a step is done, what came of it, and how long it took."""
        self.say(f"  {name:<9} {text:<56} {seconds:5.1f} s")

    def warn(self, message: str, hint: str | None = None) -> None:
        """Print a warning, with what the user can do."""
        self.say(f"warning: {message}", at=-1)
        if hint is not None:
            self.say(f"  hint: {hint}", at=-1)

    def progress(self, text: str) -> None:
        """Show `text` in place of the last progress, on a terminal and not too often."""
        now = time.monotonic()
        if self.shows_progress and now - self._progress_at >= _PROGRESS_INTERVAL_SECONDS:
            self._clear_progress()
            print(text, end="", file=self._stderr, flush=True)
            self._progress_width = len(text)
            self._progress_at = now

    def on_nix_event(self, event: NixEvent) -> None:
        """Show what nix does: in place on a terminal, line by line with `-v`."""
        # A run that starts no nix need not know its events.
        from nixbridge.evaluator.progress import (  # noqa: PLC0415
            BuildCounts,
            BuildFinished,
            BuildStarted,
            ErrorReported,
            LogLine,
            PhaseEntered,
            RealiseStarted,
            Said,
            Transferred,
            Working,
        )

        match event:
            case BuildCounts(done=done, expected=expected):
                self.progress(f"  build     {done} of {expected} derivations")
            case BuildStarted(derivation=derivation):
                self.say(f"  building {derivation}", at=1)
                self.progress(f"  build     {derivation}")
            case LogLine(line=line):
                self.say(f"    {line}", at=1)
            case Transferred(text=text) | Working(text=text):
                self.progress(f"  build     {text}")
            case Said(text=text):
                self.say(f"  nix: {text}")
            case BuildFinished() | ErrorReported() | PhaseEntered() | RealiseStarted():
                pass  # the first is in the counts, the second becomes an exception
            case _:
                assert_never(event)

    def _clear_progress(self) -> None:
        if self._progress_width:
            print(f"\r{' ' * self._progress_width}\r", end="", file=self._stderr)
            self._progress_width = 0

    def error(self, error: NixbridgeError) -> None:
        """Print an error: in words, or as one line of JSON on stderr."""
        self._clear_progress()
        if self.is_json:
            document = {
                "error": {
                    "code": error.code,
                    "exitStatus": error.exit_status,
                    "message": error.message,
                    "details": error.details,
                    "hint": error.hint,
                }
            }
            print(json.dumps(document, ensure_ascii=False), file=self._stderr)
            return
        print(f"error: {error.message}", file=self._stderr)
        if error.details:
            for line in error.details.splitlines():
                print(f"  {line}".rstrip(), file=self._stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=self._stderr)

    def bug(self, error: BaseException) -> None:
        """Print the traceback of an error that is ours, and where to report it."""
        self._clear_progress()
        if self.is_json:
            document = {"error": {"code": "bug", "exitStatus": 70, "message": repr(error)}}
            print(json.dumps(document, ensure_ascii=False), file=self._stderr)
            return
        print("".join(traceback.format_exception(error)), end="", file=self._stderr)
        print(f"error: this is a bug in nixbridge: {error!r}", file=self._stderr)
        print("  hint: please report it, with the lines above, to its makers", file=self._stderr)
