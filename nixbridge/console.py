"""Everything that is printed: data to stdout; words, progress and errors to stderr.

No other module prints. What may be shown is decided here alone: `-q` and `-v` are one count,
progress needs a terminal, and with `--json` stdout holds one document or nothing.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, Final, TextIO, assert_never

from nixbridge.errors import NixbridgeError

if TYPE_CHECKING:
    from nixbridge.delivery import DeliveryEvent
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
        # Of each layer that is being packed: about how large it is, and what is written of it.
        self._packing: dict[int, list[int]] = {}
        self._finished_layers = 0
        self._sent_bytes = 0
        # What is delivered in several threads speaks in all of them.
        self._lock = threading.RLock()

    @property
    def shows_progress(self) -> bool:
        """Whether a line that changes in place may be shown.

        Not with `-v`: the lines that it adds would interleave with the changing one.
        """
        return self.verbosity == 0 and not self.is_json and self._stderr.isatty()

    def data(self, text: str) -> None:
        """Print data: what another program may read."""
        with self._lock:
            self._clear_progress()
            print(text, file=self._stdout, flush=True)

    def document(self, document: dict[str, Any]) -> None:
        """Print one JSON document as data."""
        self.data(json.dumps(document, indent=2, ensure_ascii=False))

    def say(self, text: str, *, at: int = 0) -> None:
        """Print words for a person, from verbosity `at` on."""
        if self.verbosity >= at:
            with self._lock:
                self._clear_progress()
                print(text, file=self._stderr, flush=True)

    def step(self, name: str, text: str, seconds: float) -> None:
        """Print that a step is done, what came of it, and how long it took."""
        self.say(f"  {name:<9} {text:<56} {seconds:5.1f} s")

    def warn(self, message: str, hint: str | None = None) -> None:
        """Print a warning, with what the user can do."""
        self.say(f"warning: {message}" + (f"\n  hint: {hint}" if hint is not None else ""), at=-1)

    def progress(self, text: str) -> None:
        """Show `text` in place of the last progress, on a terminal and not too often."""
        now = time.monotonic()
        if self.shows_progress and now - self._progress_at >= _PROGRESS_INTERVAL_SECONDS:
            with self._lock:
                self._clear_progress()
                # A line that the terminal wraps could not be taken back.
                text = text[: shutil.get_terminal_size().columns - 1]
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

    def on_delivery_event(self, event: DeliveryEvent) -> None:
        """Show what becomes of layers: in place on a terminal, a line each elsewhere and with `-v`.

        Lines tell of the layers that are sent; with `-v`, of all.
        """
        from nixbridge.delivery import (  # noqa: PLC0415 - likewise
            LayerAdvanced,
            LayerFinished,
            LayerLost,
            LayerStarted,
            Outcome,
        )
        from nixbridge.report.delivery import layer_line, layer_outcome  # noqa: PLC0415

        with self._lock:
            match event:
                case LayerStarted(number=number, size_bytes=size_bytes):
                    self._packing[number] = [0, size_bytes]
                case LayerAdvanced(number=number, written_bytes=written_bytes):
                    self._packing[number][0] = written_bytes
                    self._show_packing()
                case LayerLost(number=number, why=why):
                    self.say(f"  again     layer {number}, which was lost: {why}")
                case LayerFinished(number=number, delivered=delivered):
                    self._packing.pop(number, None)
                    self._finished_layers += 1
                    self._sent_bytes += delivered.sent_bytes
                    outcome = layer_outcome(delivered)
                    is_told = not self.is_json and not self.shows_progress
                    if is_told and (outcome is Outcome.SENT or self.verbosity >= 1):
                        text = layer_line(delivered, number, event.layer_count)
                        self.step(outcome, text, delivered.seconds)
                case _:
                    assert_never(event)

    def _show_packing(self) -> None:
        from nixbridge.report.table import format_size  # noqa: PLC0415 - likewise

        sent = self._sent_bytes + sum(written for written, _ in self._packing.values())
        under_way = ", ".join(
            f"layer {number} {format_size(written)} of {format_size(max(written, expected))}"
            for number, (written, expected) in sorted(self._packing.items())
        )
        done = f"{self._finished_layers} layers done, {format_size(sent)} sent"
        self.progress(f"  pack      {done}; {under_way}")

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
