"""What is shown of a delivery: on a terminal, in a log, with `-v`, with `-q`, and with `--json`."""

from __future__ import annotations

import io
import threading

import pytest

from nixbridge.console import Console
from nixbridge.delivery import (
    CACHE,
    Arrival,
    DeliveredLayer,
    LayerAdvanced,
    LayerFinished,
    LayerLost,
    LayerStarted,
    Outcome,
    PullAdvanced,
    PullEnded,
    PullStarted,
)
from nixbridge.oci import BlobDigest, DiffId
from nixbridge.packing import LayerBytes, packed_layer


class Stream(io.StringIO):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


def test_data_is_as_wide_as_the_terminal_and_whole_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert Console(stdout=Stream(is_terminal=True)).width == 60
    assert Console(stdout=Stream(is_terminal=False)).width is None


def finished(number: int, outcome: Outcome, known_from: str | None = None) -> LayerFinished:
    size_bytes = 4_100_000
    known = LayerBytes(
        diff_id=DiffId.of(b"x"),
        tar_size_bytes=size_bytes,
        blob_digest=BlobDigest.of(b"x"),
        blob_size_bytes=size_bytes,
    )
    sent_bytes = size_bytes if outcome is Outcome.SENT else 0
    return LayerFinished(
        number=number,
        layer_count=3,
        delivered=DeliveredLayer(
            layer=packed_layer(known, reason="with python3"),
            arrivals=(Arrival(outcome=outcome, sent_bytes=sent_bytes),),
            known_from=known_from,
            is_packed=outcome is Outcome.SENT,
            read_bytes=sent_bytes,
            seconds=0.25,
        ),
    )


def pull_ended(number: int, outcome: Outcome) -> PullEnded:
    size_bytes = 4_100_000
    sent_bytes = size_bytes if outcome is Outcome.SENT else 0
    return PullEnded(
        number=number,
        layer_count=3,
        delivered=finished(number, outcome, CACHE).delivered,
        arrival=Arrival(outcome=outcome, sent_bytes=sent_bytes, is_pulled=True),
        seconds=0.75 if outcome is Outcome.SENT else 0.0,
    )


def show_pull(console: Console) -> None:
    for event in (
        PullStarted(layer_count=3),
        PullAdvanced(number=3, sent_bytes=1_000_000, size_bytes=4_100_000),
        PullAdvanced(number=2, sent_bytes=2_000_000, size_bytes=4_100_000),
        pull_ended(3, Outcome.SENT),
        pull_ended(2, Outcome.SENT),
        pull_ended(1, Outcome.SKIPPED),
    ):
        console.on_delivery_event(event)


def show(console: Console) -> None:
    for event in (
        finished(1, Outcome.SKIPPED, CACHE),
        finished(2, Outcome.MOUNTED, "docker://r.example/team/app:1.4"),
        LayerStarted(number=3, layer_count=3, reason="with python3", size_bytes=5_000_000),
        LayerAdvanced(number=3, written_bytes=1_000_000),
        LayerLost(number=3, why="the registry closed the connection"),
        finished(3, Outcome.SENT),
    ):
        console.on_delivery_event(event)


LOST = "  again     layer 3, which was lost: the registry closed the connection\n"
SENT = "  sent      layer 3 of 3, 4.1 MB: with python3                         0.2 s\n"
SKIPPED = (
    "  skipped   layer 1 of 3, 4.1 MB: with python3 (known from the cache, not read)   0.2 s\n"
)
MOUNTED = "  mounted   layer 2 of 3, 4.1 MB: with python3 (known from app:1.4, not read)   0.2 s\n"


@pytest.mark.parametrize(
    ("verbosity", "is_json", "text"),
    [
        (0, False, LOST + SENT),
        (1, False, SKIPPED + MOUNTED + LOST + SENT),
        (-1, False, ""),
        (0, True, LOST),
    ],
)
def test_a_log_has_a_line_for_each_layer_that_is_sent(
    verbosity: int, text: str, *, is_json: bool
) -> None:
    stderr = Stream(is_terminal=False)
    show(Console(verbosity=verbosity, is_json=is_json, stderr=stderr))
    assert stderr.getvalue() == text


def test_a_terminal_has_one_line_that_changes() -> None:
    stderr = Stream(is_terminal=True)
    console = Console(stderr=stderr)
    show(console)
    console.say("end")
    progress = "  pack      2 layers done, 1.0 MB sent; layer 3 1.0 MB of 5.0 MB"
    assert stderr.getvalue() == f"{progress}\r{' ' * len(progress)}\r{LOST}end\n"


PULLED = SENT.replace("0.2 s", "0.8 s") + SENT.replace("0.2 s", "0.8 s").replace("r 3 of", "r 2 of")
HAD = SKIPPED.replace("0.2 s", "0.0 s")


@pytest.mark.parametrize(
    ("verbosity", "is_json", "text"),
    [(0, False, PULLED), (1, False, PULLED + HAD), (-1, False, ""), (0, True, "")],
)
def test_a_log_has_a_line_for_each_layer_that_is_pulled(
    verbosity: int, text: str, *, is_json: bool
) -> None:
    stderr = Stream(is_terminal=False)
    show_pull(Console(verbosity=verbosity, is_json=is_json, stderr=stderr))
    assert stderr.getvalue() == text


def test_a_terminal_shows_the_bytes_of_each_layer_that_is_pulled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nixbridge.console._PROGRESS_INTERVAL_SECONDS", 0)
    monkeypatch.setenv("COLUMNS", "200")
    stderr = Stream(is_terminal=True)
    console = Console(stderr=stderr)
    show_pull(console)
    console.say("end")
    both = "layer 2 2.0 MB of 4.1 MB, layer 3 1.0 MB of 4.1 MB"
    lines = [line for line in stderr.getvalue().split("\r") if line.strip()]
    assert lines == [
        "  pull      0 layers pulled, 0 B sent; the engine is at work",
        "  pull      0 layers pulled, 1.0 MB sent; layer 3 1.0 MB of 4.1 MB",
        f"  pull      0 layers pulled, 3.0 MB sent; {both}",
        "  pull      1 layer pulled, 6.1 MB sent; layer 2 2.0 MB of 4.1 MB",
        "  pull      2 layers pulled, 8.2 MB sent; the engine is at work",
        "end\n",
    ]


def test_a_terminal_shows_what_may_stay_for_long_at_once() -> None:
    """Nothing comes after it while the engine unpacks."""
    stderr = Stream(is_terminal=True)
    show_pull(Console(stderr=stderr))
    assert stderr.getvalue().endswith("2 layers pulled, 8.2 MB sent; the engine is at work")


def test_a_line_that_changes_is_no_longer_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    stderr = Stream(is_terminal=True)
    Console(stderr=stderr).progress("x" * 100)
    assert stderr.getvalue() == "x" * 19


def test_a_terminal_with_v_has_lines() -> None:
    stderr = Stream(is_terminal=True)
    show(Console(verbosity=1, stderr=stderr))
    assert stderr.getvalue() == SKIPPED + MOUNTED + LOST + SENT


def test_lines_of_several_threads_stay_whole() -> None:
    stderr = Stream(is_terminal=False)
    console = Console(stderr=stderr)

    def speak() -> None:
        for _ in range(50):
            console.warn("a" * 99, "b" * 99)

    threads = [threading.Thread(target=speak) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stderr.getvalue() == f"warning: {'a' * 99}\n  hint: {'b' * 99}\n" * 200
