"""The plugin as a user has it: pytest runs on tests that use it, with a pretended nix."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from programs import write_program

USES_NIX = "def test_it(nix): pass\n"
MARKED = "import pytest\n@pytest.mark.nix{}\ndef test_it(): pass\n"
RIGHT = '`@pytest.mark.nix(min_version="2.18")`'


@pytest.fixture(autouse=True)
def _nothing_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIXBRIDGE_REQUIRE_TOOLS", raising=False)


@pytest.fixture
def no_nix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def pretend(folder: Path, version: str) -> Path:
    """Put a program there that says it is that nix."""
    return write_program(folder / "nix", f"echo '{version}'")


def messages(result: pytest.RunResult) -> list[str]:
    """Return what the summary says of tests that did not pass."""
    lines = result.outlines[result.outlines.index(_summary(result)) + 1 : -1]
    return [line.split(": ", 1)[1] if line.startswith("SKIPPED") else line for line in lines]


def _summary(result: pytest.RunResult) -> str:
    return next(line for line in result.outlines if "short test summary info" in line)


def test_loading_it_imports_nothing_of_ours() -> None:
    program = (
        "import sys, nixbridge.pytest_nix\n"
        "print(*sorted(name for name in sys.modules if name.startswith('nixbridge')))"
    )
    argv = [sys.executable, "-c", program]
    words = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    assert words == ["nixbridge", "nixbridge.pytest_nix"]


def test_a_run_without_it_neither_looks_for_nix_nor_imports_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys
        def test_it():
            assert "nixbridge.pytest_nix" in sys.modules
            assert "nixbridge.testing" not in sys.modules
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


@pytest.mark.usefixtures("no_nix")
@pytest.mark.parametrize(
    "source", [USES_NIX, MARKED.format(""), MARKED.format('(min_version="2.18")')]
)
def test_without_nix_it_skips(pytester: pytest.Pytester, source: str) -> None:
    pytester.makepyfile(source)
    result = pytester.runpytest("-rs")
    result.assert_outcomes(skipped=1)
    assert messages(result) == ["`nix` is not on PATH"]


@pytest.mark.usefixtures("no_nix")
def test_without_nix_it_fails_where_nix_is_required(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(USES_NIX)
    result = pytester.runpytest("--nix-required")
    result.assert_outcomes(errors=1)
    assert "`nix` is not on PATH, and --nix-required asks for it" in result.outlines
    monkeypatch.setenv("NIXBRIDGE_REQUIRE_TOOLS", "1")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    assert "`nix` is not on PATH, and NIXBRIDGE_REQUIRE_TOOLS=1 asks for it" in result.outlines


def test_a_nix_that_is_too_old_for_us(pytester: pytest.Pytester, tmp_path: Path) -> None:
    program = pretend(tmp_path / "old", "nix (Nix) 2.3.16")
    pytester.makepyfile(USES_NIX)
    result = pytester.runpytest("-rs", f"--nix-bin={program}")
    result.assert_outcomes(skipped=1)
    assert messages(result) == [
        f"`{program}` is `nix (Nix) 2.3.16`, and nixbridge needs Nix 2.8 or later"
    ]


@pytest.mark.parametrize(
    ("version", "minimum", "passes"),
    [
        ("nix (Nix) 2.18.1", "2.18", True),
        ("nix (Nix) 2.18.1", "2.18.1", True),
        ("nix (Nix) 2.18.1", "2.18.2", False),
        ("nix (Nix) 2.9.0", "2.18", False),
        ("nix (Nix) 3.0.0", "2.18", True),
        ("nix (Lix, like Nix) 2.91.0", "2.26", True),
    ],
)
def test_min_version(
    pytester: pytest.Pytester, tmp_path: Path, version: str, minimum: str, *, passes: bool
) -> None:
    program = pretend(tmp_path / "some", version)
    pytester.makepyfile(MARKED.format(f'(min_version="{minimum}")'))
    result = pytester.runpytest("-rs", f"--nix-bin={program}")
    result.assert_outcomes(passed=passes, skipped=not passes)
    if not passes:
        assert messages(result) == [f"needs Nix {minimum} or later, and this is `{version}`"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            '(minversion="2.18")',
            f"the marker `nix` takes `min_version` and no `minversion`: {RIGHT}",
        ),
        (
            '("2.18")',
            f"the marker `nix` takes `min_version` and no `2.18`: {RIGHT}",
        ),
        (
            "(min_version=2.18)",
            f"`2.18` is no version for the marker `nix`: {RIGHT}",
        ),
        (
            '(min_version="new")',
            f"`'new'` is no version for the marker `nix`: {RIGHT}",
        ),
    ],
)
def test_a_marker_that_is_wrong(
    pytester: pytest.Pytester, tmp_path: Path, arguments: str, message: str
) -> None:
    program = pretend(tmp_path / "some", "nix (Nix) 2.18.1")
    pytester.makepyfile(MARKED.format(arguments))
    result = pytester.runpytest(f"--nix-bin={program}")
    result.assert_outcomes(errors=1)
    assert message in result.outlines


def test_the_marker_is_known(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--markers")
    assert (
        '@pytest.mark.nix(min_version="2.18"): the test needs the `nix` command, of that version '
        "or later; without it, it is skipped"
    ) in result.outlines


def test_nix_bin_may_be_a_directory_and_comes_first_on_path(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    program = pretend(tmp_path / "bin", "nix (Nix) 2.18.1")
    pytester.makepyfile(
        f"""
        import shutil
        def test_it(nix):
            assert shutil.which("nix") == {str(program)!r}
            assert str(nix.version) == "nix (Nix) 2.18.1"
        """
    )
    before = os.environ["PATH"]
    for given in (program, program.parent):
        pytester.runpytest("--nix-bin", str(given)).assert_outcomes(passed=1)
    assert os.environ["PATH"] == before


def test_nix_bin_that_is_not_there(pytester: pytest.Pytester, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "file").write_text("")
    for given, program in (("none", "none"), ("bin", "bin/nix"), ("file", "file")):
        result = pytester.runpytest(f"--nix-bin={tmp_path / given}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert result.errlines == [
            f"ERROR: --nix-bin {tmp_path / given}: there is no program `{tmp_path / program}`",
            "",
        ]
