"""Everything that is printed: data to stdout; words, progress and errors to stderr.

No other module prints. What may be shown is decided here alone: `-q` and `-v` are one count,
progress needs a terminal, and with `--json` stdout holds one document or nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, Final, TextIO, assert_never

from nixbridge.errors import DestinationError, NixbridgeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nixbridge.delivery import DeliveryEvent, LayerFinished, PullEnded
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
        self._layers = _Layers(self)
        # What is delivered in several threads speaks in all of them.
        self._lock = threading.RLock()

    @property
    def shows_progress(self) -> bool:
        """Whether a line that changes in place may be shown.

        Not with `-v`: the lines that it adds would interleave with the changing one.
        """
        return self.verbosity == 0 and not self.is_json and self._stderr.isatty()

    @property
    def width(self) -> int | None:
        """How many characters a line of data may have: None where no terminal shows it."""
        return shutil.get_terminal_size().columns if self._stdout.isatty() else None

    def data(self, text: str) -> None:
        """Print data: what another program may read.

        Raises `DestinationError`: standard output cannot be written, a full disk for one.
        """
        with self._lock:
            self._clear_progress()
            try:
                print(text, file=self._stdout, flush=True)
            except BrokenPipeError:
                raise
            except OSError as error:
                # What is left in the buffer must not fail again when the interpreter ends.
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stdout.fileno())
                reason = (error.strerror or str(error)).lower()
                raise DestinationError(f"writing standard output failed: {reason}") from error

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

    def progress(self, text: str, *, is_lasting: bool = False) -> None:
        """Show `text` in place of the last progress, on a terminal and not too often.

        What `is_lasting` is shown whenever it comes, as nothing may come after it for long.
        """
        now = time.monotonic()
        is_time = is_lasting or now - self._progress_at >= _PROGRESS_INTERVAL_SECONDS
        if self.shows_progress and is_time:
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
        with self._lock:
            self._layers.show(event)

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


class _Layers:
    """What becomes of the layers of a delivery, as `console` shows it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # Of each layer that is being packed: what is written of it, and about how large it is.
        self._packing: dict[int, tuple[int, int]] = {}
        self._finished_layers = 0
        self._sent_bytes = 0
        # Of each layer that is being pulled: what is sent of it, and how large it is.
        self._pulling: dict[int, tuple[int, int]] = {}
        self._pulled_layers = 0
        self._pulled_bytes = 0

    def show(self, event: DeliveryEvent) -> None:
        """Take note of an event, and show what there is to show."""
        # A run that delivers nothing need not know of these.
        from nixbridge.delivery import (  # noqa: PLC0415
            LayerAdvanced,
            LayerFinished,
            LayerLost,
            LayerStarted,
            PullAdvanced,
            PullEnded,
            PullStarted,
        )
        from nixbridge.report.delivery import layer_outcome  # noqa: PLC0415

        match event:
            case LayerStarted(number=number, size_bytes=size_bytes):
                self._packing[number] = 0, size_bytes
            case LayerAdvanced(number=number, written_bytes=written_bytes):
                self._packing[number] = written_bytes, self._packing[number][1]
                self._show_packing()
            case LayerLost(number=number, why=why):
                self._console.say(f"  again     layer {number}, which was lost: {why}")
            case LayerFinished(number=number, delivered=delivered):
                self._packing.pop(number, None)
                self._finished_layers += 1
                self._sent_bytes += delivered.sent_bytes
                self._tell(layer_outcome(delivered), event, delivered.seconds)
            case PullStarted():
                self._pulled_layers = self._pulled_bytes = 0
                self._show_pulling(is_lasting=True)
            case PullAdvanced(number=number, sent_bytes=sent_bytes, size_bytes=size_bytes):
                self._pulling[number] = sent_bytes, size_bytes
                self._show_pulling()
            case PullEnded(number=number, arrival=arrival):
                if self._pulling.pop(number, None) is not None:
                    self._pulled_layers += 1
                    self._pulled_bytes += event.delivered.layer.descriptor.size_bytes
                    self._show_pulling(is_lasting=True)
                self._tell(arrival.outcome, event, event.seconds)
            case _:
                assert_never(event)

    def _tell(self, what: str, event: LayerFinished | PullEnded, seconds: float) -> None:
        """Print what was done with a layer, where it is not shown in place."""
        from nixbridge.delivery import Outcome  # noqa: PLC0415
        from nixbridge.report.delivery import layer_line  # noqa: PLC0415

        console = self._console
        is_told = what == Outcome.SENT or console.verbosity >= 1
        if is_told and not console.is_json and not console.shows_progress:
            text = layer_line(event.delivered, event.number, event.layer_count)
            console.step(what, text, seconds)

    def _show_packing(self) -> None:
        from nixbridge.report.table import format_size  # noqa: PLC0415

        sent = self._sent_bytes + sum(written for written, _ in self._packing.values())
        done = f"{self._finished_layers} layers done, {format_size(sent)} sent"
        self._console.progress(f"  pack      {done}; {self._under_way(self._packing)}")

    def _show_pulling(self, *, is_lasting: bool = False) -> None:
        from nixbridge.report.table import format_count, format_size  # noqa: PLC0415

        sent = self._pulled_bytes + sum(sent for sent, _ in self._pulling.values())
        done = f"{format_count(self._pulled_layers, 'layer')} pulled, {format_size(sent)} sent"
        # Before the first, between two, and after the last, when it unpacks what it has.
        doing = self._under_way(self._pulling) or "the engine is at work"
        self._console.progress(f"  pull      {done}; {doing}", is_lasting=is_lasting)

    @staticmethod
    def _under_way(layers: Mapping[int, tuple[int, int]]) -> str:
        from nixbridge.report.table import format_size  # noqa: PLC0415

        return ", ".join(
            f"layer {number} {format_size(done)} of {format_size(max(done, expected))}"
            for number, (done, expected) in sorted(layers.items())
        )
