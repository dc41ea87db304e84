"""Running a process: `CommandRunner`, and `SubprocessRunner`, the only place that starts one.

What to run and what its output means are not here (`nix.py`, `parse.py`, `failure.py`). No shell
is ever involved: an argument is one word, whatever stands in it. A process that was started has
ended when `run` returns or raises, and so has everything that it started in its process group.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final, Protocol

_LOG: Final = logging.getLogger(__name__)

# How long an interrupted process may take to clean up: nix kills its builders and frees its locks.
_GRACE_SECONDS: Final = 10.0


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
    """Runs real processes, with `environment` or else our own; their stdin is empty."""

    environment: Mapping[str, str] | None = None

    def run(
        self, argv: Sequence[str], *, on_stderr_line: Callable[[str], None] | None = None
    ) -> Completed:
        """Run `argv`; see `CommandRunner`."""
        _LOG.debug("run %s", shlex.join(argv))
        process = subprocess.Popen(  # noqa: S603 - the argv is ours, word by word
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            # A process group of its own is what can be killed as one. A new session, and not just
            # a group, because a background group that asks the terminal for a password hangs.
            start_new_session=True,
        )
        with process, _no_orphans(process):
            stdout: list[bytes] = []
            # Reading one pipe to its end before the other would deadlock when the other is full.
            reader = threading.Thread(target=_read_all, args=(process.stdout, stdout), daemon=True)
            reader.start()
            lines = []
            for line in _lines(process.stderr):
                lines.append(line)
                if on_stderr_line is not None:
                    on_stderr_line(line.rstrip("\r\n"))
            reader.join()
            status = process.wait()
        _LOG.debug("`%s` ended with status %d", argv[0], status)
        return Completed(
            argv=tuple(argv), status=status, stdout=b"".join(stdout), stderr="".join(lines)
        )


def _read_all(stream: IO[bytes] | None, chunks: list[bytes]) -> None:
    if stream is not None:
        chunks.append(stream.read())


def _lines(stream: IO[bytes] | None) -> Iterator[str]:
    for line in stream or ():
        yield line.decode(errors="surrogateescape")


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
