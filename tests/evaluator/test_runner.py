"""Real processes, but quick ones: `sh` and Python."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from nixbridge.evaluator import Completed, SubprocessRunner, runner

RUNNER = SubprocessRunner()


def python(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may go while its file is read
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still alive"
        time.sleep(0.02)


def test_output_and_status_are_kept_apart() -> None:
    argv = ("sh", "-c", "echo out; echo err >&2; exit 3")
    assert RUNNER.run(argv) == Completed(argv=argv, status=3, stdout=b"out\n", stderr="err\n")


def test_a_signal_is_a_negative_status() -> None:
    assert RUNNER.run(("sh", "-c", "kill -9 $$")).status == -signal.SIGKILL


def test_no_shell_reads_the_arguments() -> None:
    argv = ("printf", "%s\n", "$(id); `id` | > x *")
    assert RUNNER.run(argv).stdout == b"$(id); `id` | > x *\n"


def test_stdin_is_empty() -> None:
    assert RUNNER.run(("cat",)).stdout == b""


def test_bytes_survive() -> None:
    completed = RUNNER.run(("printf", "\\377\\000\\n"))
    assert completed.stdout == b"\xff\x00\n"
    completed = RUNNER.run(("sh", "-c", "printf '\\377' >&2"))
    assert completed.stderr.encode(errors="surrogateescape") == b"\xff"


def test_much_output_on_both_pipes_does_not_deadlock() -> None:
    """Each pipe takes 64 KiB; both are filled many times over, in turns."""
    program = (
        "import sys\n"
        "for _ in range(64):\n"
        "    sys.stdout.write('o' * 100_000); sys.stdout.flush()\n"
        "    sys.stderr.write('e' * 99_999 + chr(10)); sys.stderr.flush()\n"
    )
    completed = RUNNER.run(python(program))
    assert len(completed.stdout) == len(completed.stderr) == 6_400_000


def test_lines_of_stderr_come_while_the_process_runs() -> None:
    came: list[tuple[str, float]] = []
    program = "import sys, time\nfor word in 'ab':\n    print(word, file=sys.stderr, flush=True)\n"
    program += "    time.sleep(0.5)\n"
    start = time.monotonic()
    RUNNER.run(
        python(program), on_stderr_line=lambda line: came.append((line, time.monotonic() - start))
    )
    ended = time.monotonic() - start
    assert [line for line, _ in came] == ["a", "b"]
    assert came[0][1] < ended - 0.8


def test_lines_are_whole_whatever_the_size_of_the_pieces() -> None:
    lines: list[str] = []
    long = "x" * 200_000
    program = f"""
import sys, time
for piece in (b"a", b"b\\nc", b"\\n\\n", b"x" * {len(long)} + b"\\n", b"\\xc3", b"\\xa4"):
    sys.stderr.buffer.write(piece)
    sys.stderr.flush()
    time.sleep(0.05)
"""
    completed = RUNNER.run(python(program), on_stderr_line=lines.append)
    assert lines == ["ab", "c", "", long, "ä"]
    assert completed.stderr == f"ab\nc\n\n{long}\nä"


def test_a_background_process_that_keeps_the_pipes_open_is_not_waited_for() -> None:
    program = "import os, sys, time\n"
    program += "if os.fork() == 0:\n    os.setsid()\n    time.sleep(30)\n"
    program += "print('done', file=sys.stderr)\n"
    start = time.monotonic()
    completed = RUNNER.run(python(program))
    assert completed.stderr == "done\n"
    assert time.monotonic() - start < 10


def test_what_it_says_when_a_silence_ends_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """It speaks and ends after the wait for its words was given up, and before it is asked."""
    waits = iter([True])

    class Late(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if next(waits, False):
                time.sleep(1)
                return []
            return super().select(timeout)

    monkeypatch.setattr(selectors, "DefaultSelector", Late)
    assert RUNNER.run(("sh", "-c", "sleep 0.2; echo out")).stdout == b"out\n"


def test_stdin_can_be_given() -> None:
    reading, writing = os.pipe()
    with FileIO(reading) as stdin, FileIO(writing, "w") as other_end:
        other_end.write(b"in")
        other_end.close()
        assert RUNNER.run(("cat",), stdin=stdin).stdout == b"in"


def test_the_environment_is_passed_through() -> None:
    only = SubprocessRunner({"PATH": os.environ["PATH"], "WORD": "x"})
    assert only.run(("sh", "-c", "echo $WORD")).stdout == b"x\n"


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        RUNNER.run(("/nonexistent/nix",))


def test_what_it_runs_is_logged_for_copying(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="nixbridge")
    RUNNER.run(("printf", "a b"))
    assert caplog.messages == ["run printf 'a b'", "`printf` ended with status 0"]


class _StopError(Exception):
    pass


# It prints its own process id and that of a child in its group.
PARENT_AND_CHILD = "sleep 1000 & echo $$ $! >&2; wait"


@pytest.mark.parametrize("error", [_StopError, KeyboardInterrupt])
def test_an_exception_leaves_no_process(error: type[BaseException]) -> None:
    pids: list[int] = []

    def stop(line: str) -> None:
        pids.extend(int(word) for word in line.split())
        raise error

    with pytest.raises(error):
        RUNNER.run(("sh", "-c", PARENT_AND_CHILD), on_stderr_line=stop)
    assert len(pids) == 2
    for pid in pids:
        wait_until_gone(pid)


def test_a_process_that_does_not_heed_a_polite_signal_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "_GRACE_SECONDS", 0.2)
    pids: list[int] = []

    def stop(line: str) -> None:
        pids.append(int(line))
        raise _StopError

    with pytest.raises(_StopError):
        RUNNER.run(
            ("sh", "-c", "trap '' TERM; echo $$ >&2; while :; do sleep 0.1; done"),
            on_stderr_line=stop,
        )
    wait_until_gone(pids[0])


def test_an_interrupt_while_nothing_is_printed_leaves_no_process(tmp_path: Path) -> None:
    """As a terminal does it: SIGINT to a process that waits in `run`."""
    pid_file = tmp_path / "pids"
    # Whatever is run in the background of a shell, a build of Nix for example, heeds no SIGINT.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from nixbridge.evaluator import SubprocessRunner\n"
        f"SubprocessRunner().run(('sh', '-c', 'sleep 1000 & echo $$ $! > {pid_file}; wait'))\n"
    )
    with subprocess.Popen(python(program), stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while not (pid_file.exists() and pid_file.read_text().endswith("\n")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in stderr
    for word in pid_file.read_text().split():
        wait_until_gone(int(word))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_a_process_is_being_started_leaves_none(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self.pid)
            signal.raise_signal(number)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            RUNNER.run(("sleep", "1000"))
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
    (pid,) = started
    wait_until_gone(pid)


def test_a_process_has_the_usual_signals() -> None:
    status = RUNNER.run(("cat", "/proc/self/status")).stdout.decode()
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
    for mask in ("SigBlk", "SigIgn", "SigCgt"):
        assert int(masks[mask], 16) & (1 << signal.SIGINT - 1 | 1 << signal.SIGTERM - 1) == 0


@pytest.mark.parametrize("script", ["sleep 1000", "exec >&- 2>&-; sleep 1000", "yes"])
def test_a_process_that_is_not_done_in_time_is_killed(script: str, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(TimeoutError, match=r"^`sh` was not done after 0\.2 s$"):
        SubprocessRunner(timeout_seconds=0.2).run(("sh", "-c", f"echo $$ > {pid_file}; {script}"))
    wait_until_gone(int(pid_file.read_text()))


def test_a_process_that_is_done_in_time_is_as_without() -> None:
    assert SubprocessRunner(timeout_seconds=60).run(("echo", "x")).stdout == b"x\n"
