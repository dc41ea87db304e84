"""Running a process: `CommandRunner`, and `SubprocessRunner`, the only place that starts one.

What to run and what its output means are not here (`nix.py`, `parse.py`, `failure.py`). No shell
is ever involved: an argument is one word, whatever stands in it. When `run` returns the process has
ended; when it raises, an interrupt included, so has everything in its process group.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import selectors
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from typing import Final, Protocol

_LOG: Final = logging.getLogger(__name__)

# How long an interrupted process may take to clean up: nix kills its builders and frees its locks.
_GRACE_SECONDS: Final = 10.0
# How long after its end a process may leave its pipes open and say nothing. A background process
# that inherited them (ssh's, with ControlPersist) can keep them open for hours.
_SILENCE_SECONDS: Final = 0.5
_CHUNK_BYTES: Final = 1 << 16
# What Python may turn into an exception in the middle of anything.
_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """A process that has ended. `status` is negative when a signal killed it: -9 for SIGKILL.

    Bytes of stderr that are not UTF-8 are kept as lone surrogates (`surrogateescape`).
    """

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: str


class CommandRunner(Protocol):
    """Runs a command to its end; the seam at which tests take the place of nix."""

    def run(
        self, argv: Sequence[str], *, on_stderr_line: Callable[[str], None] | None = None
    ) -> Completed:
        """Run `argv`, calling `on_stderr_line` with each line of stderr as it comes.

        Raises `OSError` when the program cannot be started, and never for its exit status.
        """


@dataclass(frozen=True, slots=True)
class SubprocessRunner:
    """Runs real processes, with `environment` or else our own; their stdin is empty, or `stdin`.

    One that is not done after `timeout_seconds` is killed, and `run` raises `TimeoutError`. So is
    one that `is_given_up`, in another thread than that which runs it: `InterruptedError`.
    """

    environment: Mapping[str, str] | None = None
    timeout_seconds: float | None = None
    is_given_up: threading.Event | None = None

    def run(
        self,
        argv: Sequence[str],
        *,
        on_stderr_line: Callable[[str], None] | None = None,
        stdin: FileIO | None = None,
    ) -> Completed:
        """Run `argv`; see `CommandRunner`."""
        _LOG.debug("run %s", shlex.join(argv))
        with contextlib.ExitStack() as stack:
            with _signals_held_back():
                process = subprocess.Popen(  # noqa: S603 - the argv is ours, word by word
                    argv,
                    stdin=subprocess.DEVNULL if stdin is None else stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=self.environment,
                    # A process group of its own is what can be killed as one. A new session, and
                    # not just a group, because a background group that asks the terminal for a
                    # password hangs.
                    start_new_session=True,
                )
                stack.enter_context(process)
                stack.enter_context(_no_orphans(process))
            deadline = _Deadline(argv[0], self.timeout_seconds, time.monotonic(), self.is_given_up)
            stdout, stderr = _read(process, on_stderr_line, deadline)
            status = deadline.wait_for(process)
        _LOG.debug("`%s` ended with status %d", argv[0], status)
        return Completed(argv=tuple(argv), status=status, stdout=stdout, stderr=_text(stderr))


@dataclass(frozen=True, slots=True)
class _Deadline:
    """How long `program` may take, from `started` on the monotonic clock; None is for ever."""

    program: str
    timeout_seconds: float | None
    started: float
    is_given_up: threading.Event | None

    def check(self) -> None:
        """Raise `TimeoutError` when the time is over, `InterruptedError` when it is given up."""
        if self.is_given_up is not None and self.is_given_up.is_set():
            raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR), self.program)
        if self.timeout_seconds is not None and self._left_seconds() <= 0:
            raise self._error()

    def wait_for(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for `process`, whose pipes are closed, and return its status."""
        try:
            return process.wait(
                None if self.timeout_seconds is None else max(self._left_seconds(), 0)
            )
        except subprocess.TimeoutExpired as error:
            raise self._error() from error

    def _left_seconds(self) -> float:
        return self.started + (self.timeout_seconds or 0) - time.monotonic()

    def _error(self) -> TimeoutError:
        return TimeoutError(f"`{self.program}` was not done after {self.timeout_seconds} s")


def _read(
    process: subprocess.Popen[bytes],
    on_stderr_line: Callable[[str], None] | None,
    deadline: _Deadline,
) -> tuple[bytes, bytes]:
    """Read both pipes as they fill: reading one to its end first would block on the other."""
    output = {1: bytearray(), 2: bytearray()}
    told = 0  # how much of stderr `on_stderr_line` has had
    with selectors.DefaultSelector() as selector:
        for number, stream in ((1, process.stdout), (2, process.stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, data=number)
        while selector.get_map():
            # Asked before the wait: what a process says before it ends may come after the wait.
            has_ended = process.poll() is not None
            ready = selector.select(_SILENCE_SECONDS)
            deadline.check()
            if not ready and has_ended:
                break
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK_BYTES)
                output[key.data] += chunk
                if not chunk:
                    selector.unregister(key.fileobj)
            told = _tell(output[2], told, on_stderr_line)
    if on_stderr_line is not None and told < len(output[2]):
        on_stderr_line(_text(output[2][told:]))
    return bytes(output[1]), bytes(output[2])


def _tell(stderr: bytearray, told: int, on_stderr_line: Callable[[str], None] | None) -> int:
    """Pass on the whole lines of `stderr` from `told` on; return where they end."""
    end = stderr.rfind(b"\n", told) + 1
    if on_stderr_line is None or not end:
        return told
    for line in stderr[told:end].splitlines():
        on_stderr_line(_text(line))
    return end


def _text(line: bytes | bytearray) -> str:
    return line.decode(errors="surrogateescape")


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let interrupts come after the body, which starts a process and says who will end it.

    It is their handlers that wait: signals that are blocked would be blocked in the process, too.
    """
    # Handlers run in the main thread, so elsewhere there is nothing to hold back.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[signal.Signals] = []
    handlers = {number: signal.getsignal(number) for number in _INTERRUPTS}
    ours = [number for number, handler in handlers.items() if callable(handler)]
    try:
        for number in ours:
            signal.signal(number, lambda number, _: came.append(signal.Signals(number)))
        yield
    finally:
        for number in ours:
            signal.signal(number, handlers[number])
        if came:
            signal.raise_signal(came[0])


@contextlib.contextmanager
def _no_orphans(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill the process group of `process` when the body raises, an interrupt included."""
    try:
        yield
    except BaseException:
        _kill_group(process)
        raise


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _LOG.debug("process %d does not heed SIGTERM", process.pid)
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
