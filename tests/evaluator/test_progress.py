from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.nix_cli import VERSIONS, Call
from nixbridge.evaluator.progress import (
    BuildCounts,
    BuildFinished,
    BuildStarted,
    ErrorReported,
    LogLine,
    NixEvent,
    NixLog,
    PhaseEntered,
    RealiseStarted,
    Said,
    Transferred,
    Working,
    plain_text,
)


def events(lines: Sequence[str]) -> list[NixEvent]:
    log = NixLog()
    return [event for line in lines if (event := log.read(line)) is not None]


def recorded(version: str, name: str) -> list[NixEvent]:
    return events(Call(version, name).bytes("stderr").decode().splitlines())


def at_nix(**entry: object) -> str:
    return f"@nix {json.dumps(entry)}"


def counts(done: int, expected: int, running: int, failed: int) -> BuildCounts:
    return BuildCounts(done=done, expected=expected, running=running, failed=failed)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_build_of_two_derivations(version: str) -> None:
    all_events = recorded(version, "ij-build")
    started = [event for event in all_events if isinstance(event, BuildStarted)]
    dep, ok = (event.derivation for event in started)
    assert dep.endswith("-dep.drv")
    assert ok.endswith("-ok.drv")
    salt = next(e.line for e in all_events if isinstance(e, LogLine) and "done" in e.line)
    told = [event for event in all_events if not isinstance(event, Working | Said | BuildCounts)]
    assert told == [
        RealiseStarted(),
        BuildStarted(dep),
        BuildFinished(dep),
        BuildStarted(ok),
        LogLine(ok, "line1"),
        LogLine(ok, "line2"),
        LogLine(ok, salt),
        BuildFinished(ok),
    ]


@pytest.mark.parametrize("version", ["2.8", "2.26"])
def test_how_far_a_build_is(version: str) -> None:
    told = [event for event in recorded(version, "ij-build") if isinstance(event, BuildCounts)]
    assert told == [
        counts(0, 1, 0, 0),
        counts(0, 2, 0, 0),
        counts(0, 2, 1, 0),
        counts(1, 2, 0, 0),
        counts(1, 2, 1, 0),
        counts(2, 2, 0, 0),
    ]


def test_how_far_a_build_is_in_2_34() -> None:
    """It counts its goals anew now and then; what is done, runs and has failed is as before."""
    told = [event for event in recorded("2.34", "ij-build") if isinstance(event, BuildCounts)]
    steps = dict.fromkeys((event.done, event.running, event.failed) for event in told)
    assert list(steps) == [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0), (2, 0, 0)]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_build_that_fails(version: str) -> None:
    all_events = recorded(version, "ij-build-fail")
    assert any(isinstance(event, BuildCounts) and event.failed == 1 for event in all_events)
    error = all_events[-1]
    assert isinstance(error, ErrorReported)
    assert "failed with exit code 3" in error.text
    assert "\x1b" not in error.text


@pytest.mark.parametrize("version", VERSIONS)
def test_a_build_of_what_is_there_builds_nothing(version: str) -> None:
    kinds = {type(event) for event in recorded(version, "ij-build-cached")}
    assert BuildStarted not in kinds
    assert RealiseStarted in kinds


def test_copying_a_flake_is_shown_and_internals_are_not() -> None:
    texts = [e.text for e in recorded("2.26", "ij-build-cached") if isinstance(e, Working)]
    assert texts == [
        "evaluating derivation 'path:/src/flake#ok'",
        "copying '\"/src/flake\"' to the store",
    ]


def test_a_download() -> None:
    text = "downloading 'https://cache.example.org/nar/1.nar.xz'"
    start = at_nix(action="start", id=7, level=4, text=text, type=101, fields=["https://x"])
    result = at_nix(action="result", id=7, type=105, fields=[512, 1024, 0, 0])
    stop = at_nix(action="stop", id=7)
    assert events([start, result, stop, result]) == [
        Working(text),
        Transferred(text=text, done_bytes=512, expected_bytes=1024),
    ]


def test_a_phase() -> None:
    start = at_nix(action="start", id=7, level=3, text="building", type=105, fields=["/d.drv"])
    result = at_nix(action="result", id=7, type=104, fields=["unpackPhase"])
    assert events([start, result]) == [
        BuildStarted("/d.drv"),
        PhaseEntered("/d.drv", "unpackPhase"),
    ]


def test_warnings_and_traces_are_said_and_chatter_is_not() -> None:
    assert events(
        [
            at_nix(action="msg", level=1, msg="\x1b[35;1mwarning:\x1b[0m Git tree is dirty"),
            at_nix(action="msg", level=0, msg="trace: hello"),
            at_nix(action="msg", level=3, msg="this derivation will be built:"),
            "fatal: not a git repository",
            "(use '--show-trace' to show detailed location information)",
            "Try 'nix --help' for more information.",
            "",
        ]
    ) == [
        Said("warning: Git tree is dirty"),
        Said("trace: hello"),
        Said("fatal: not a git repository"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        at_nix(action="start", id=1, type=999, text="", level=0),
        at_nix(action="start"),
        at_nix(action="result", id=1, type=105, fields=[1, 2, 3, 4]),
        at_nix(action="stop", id=1),
        at_nix(action="dance"),
        at_nix(),
        "@nix 1",
        "@nix []",
        "@nix null",
    ],
)
def test_what_is_unknown_is_passed_over(line: str) -> None:
    assert events([line]) == []


VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers() | st.text())
ENTRIES = st.dictionaries(
    st.sampled_from(["action", "id", "type", "level", "text", "msg", "fields"]),
    st.sampled_from(["start", "stop", "result", "msg", 0, 1, 100, 101, 104, 105, 106]) | VALUES,
)


@given(st.lists(ENTRIES.map(lambda entry: at_nix(**entry)) | st.text()))
def test_no_line_at_all_is_an_error(lines: list[str]) -> None:
    assert all("\x1b[" not in getattr(event, "text", "") for event in events(lines))


@given(st.text(st.characters(exclude_categories=["C"])))
def test_text_without_sequences_is_kept(text: str) -> None:
    assert plain_text(text) == text
    assert plain_text(f"\x1b[35;1m{text}\x1b[0m") == text
    assert plain_text(f"\x1b]8;;https://example.org\x1b\\{text}\x1b]8;;\x1b\\") == text
