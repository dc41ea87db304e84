from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.nix_cli import VERSIONS, Call, calls
from nixbridge.errors import NixError
from nixbridge.evaluator.failure import explain_failure
from nixbridge.evaluator.runner import Completed

FAILED = [call for call in calls("*") if call.status != 0]


def explain(stderr: str, *, status: int = 1, verb: str = "building") -> NixError:
    completed = Completed(argv=("nix", "build"), status=status, stdout=b"", stderr=stderr)
    return explain_failure(completed, subject="`.#app`", verb=verb, repeat=("nix build .#app",))


def as_shown(error: NixError) -> str:
    details = "".join(f"  {line}\n" for line in (error.details or "").splitlines())
    return f"error: {error.message}\n{details}  hint: {error.hint}\n"


@pytest.mark.parametrize("call", FAILED, ids=str)
def test_what_the_user_sees_of_a_failed_nix(call: Call) -> None:
    """Whole messages; the expected ones lie beside nix's stderr as NAME.error."""
    verb = "evaluating" if call.command.startswith("nix eval") else "building"
    error = explain_failure(
        call.completed, subject="`.#app`", verb=verb, repeat=("nix build .#app",)
    )
    shown = as_shown(error)
    if os.environ.get("NIXBRIDGE_UPDATE_ERRORS") == "1":
        call.path("error").write_text(shown)
    assert shown == call.path("error").read_text()


def test_there_are_failures_of_all_versions() -> None:
    names = {version: {c.name for c in FAILED if c.version_name == version} for version in VERSIONS}
    assert len(names["2.34"]) > 25
    assert names["2.26"] >= names["2.34"]
    assert names["2.8"] >= names["2.26"]


# Where no fixture has it: nix's stderr, and the whole error.
DRV = "/nix/store/2wvfjkslr5hd0fkikm0insfv14l5ir7z-shop-1.0.drv"
BUILT = '@nix {"action":"start","id":1,"level":0,"text":"","type":102}\n'
OTHER_CASES = {
    "killed by a signal": (
        f"building '{DRV}'...\n@nix {{}}\n",
        f"""\
error: building `.#app` failed: nix was killed by SIGKILL
  building '{DRV}'...
  hint: repeat it with `nix build .#app`
""",
    ),
    "no reason at all": (
        "something\n",
        """\
error: evaluating `.#app` failed: nix exited with 1
  something
  hint: repeat it with `nix build .#app`
""",
    ),
    "a silent end": (
        "",
        """\
error: evaluating `.#app` failed: nix exited with 1
  hint: repeat it with `nix build .#app`
""",
    ),
    "the disk is full": (
        BUILT + '@nix {"action":"msg","level":0,"msg":"error: writing to file: '
        'No space left on device"}\n',
        """\
error: building `.#app` failed: writing to file: No space left on device
  hint: make room, for example with `nix-collect-garbage`; repeat it with `nix build .#app`
""",
    ),
    "the words of a child": (
        (
            "fatal: '/nonexistent' does not appear to be a git repository\n"
            '@nix {"action":"msg","level":1,"msg":"warning: Git tree is dirty"}\n'
            '@nix {"action":"msg","level":0,"msg":"error: program git failed with exit code 1"}\n'
        ),
        """\
error: evaluating `.#app` failed: program git failed with exit code 1
  fatal: '/nonexistent' does not appear to be a git repository
  hint: repeat it with `nix build .#app`
""",
    ),
    "a builder that a signal killed": (
        f"building '{DRV}'...\nerror: builder for '{DRV}' failed due to signal 9 (Killed)\n",
        """\
error: building `.#app` failed: builder for shop-1.0 was killed by signal 9 (Killed)
  it printed nothing
  hint: repeat it with `nix build .#app`
""",
    ),
    "a builder that made nothing": (
        (
            f"building '{DRV}'...\nerror: builder for '{DRV}' failed to produce output path for "
            "output 'out' at '/nix/store/x'\n"
        ),
        """\
error: building `.#app` failed: builder for shop-1.0 failed to produce output path for output \
'out' at '/nix/store/x'
  it printed nothing
  hint: repeat it with `nix build .#app`
""",
    ),
    "two builders, of which the first is shown": (
        (
            f"building '{DRV}'...\nerror: builder for '{DRV}' failed with exit code 1\n"
            f"error: builder for '{DRV}' failed with exit code 2\n"
        ),
        """\
error: building `.#app` failed: builder for shop-1.0 exited with 1 (and 1 more)
  it printed nothing
  hint: repeat it with `nix build .#app`
""",
    ),
    "no builder at all, in the words of 2.34": (
        (
            f"{BUILT}error: Cannot build '{DRV}'.\n       Reason: required system or feature not "
            "available\n       Required system: 'x' with features {}\n"
        ),
        f"""\
error: building `.#app` failed: cannot build '{DRV}': required system or feature not available
  Required system: 'x' with features {{}}
  hint: repeat it with `nix build .#app`
""",
    ),
    "a function that wants an argument": (
        "error: cannot evaluate a function that has an argument without a value ('name')\n",
        """\
error: evaluating `.#app` failed: cannot evaluate a function that has an argument without a value \
('name')
  hint: give it one: `--argstr name TEXT` or `--arg name EXPRESSION`; \
repeat it with `nix build .#app`
""",
    ),
    "no nixpkgs": (
        (
            "error: file 'nixpkgs' was not found in the Nix search path (add it using $NIX_PATH or "
            "-I)\n"
        ),
        """\
error: evaluating `.#app` failed: file 'nixpkgs' was not found in the Nix search path (add it \
using $NIX_PATH or -I)
  hint: have nixpkgs as a channel (`nix-channel --add https://nixos.org/channels/nixpkgs-unstable \
nixpkgs && nix-channel --update`) or name a copy of it (`-- -I nixpkgs=DIRECTORY`); a spec can \
say otherwise with `nix.packages`; repeat it with `nix build .#app`
""",
    ),
    "no flake": (
        '@nix {"action":"msg","level":0,"msg":"error: could not find a flake.nix file"}\n',
        """\
error: evaluating `.#app` failed: could not find a flake.nix file
  hint: what stands before the `#` is a directory with a `flake.nix`; a spec and a Nix file are \
named by their path, without `#`; repeat it with `nix build .#app`
""",
    ),
    "a feature that is off in Lix": (
        "error: experimental Lix feature 'ca-derivations' is disabled; use '--extra-…' to override",
        """\
error: evaluating `.#app` failed: experimental Lix feature 'ca-derivations' is disabled; \
use '--extra-…' to override
  hint: turn it on with `extra-experimental-features = ca-derivations` in nix.conf; \
repeat it with `nix build .#app`
""",
    ),
    "no daemon": (
        (
            "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': "
            "No such file or directory\n"
        ),
        """\
error: evaluating `.#app` failed: cannot connect to socket at \
'/nix/var/nix/daemon-socket/socket': No such file or directory
  hint: `nixbridge doctor` says what is wrong with this machine's Nix; \
repeat it with `nix build .#app`
""",
    ),
}


@pytest.mark.parametrize("name", OTHER_CASES)
def test_other_failures(name: str) -> None:
    stderr, expected = OTHER_CASES[name]
    assert as_shown(explain(stderr, status=-9 if "signal" in name[:18] else 1)) == expected


def test_only_the_last_lines_of_a_long_log_are_shown() -> None:
    start = f'@nix {{"action":"start","id":2,"type":105,"fields":["{DRV}","",1,1]}}\n'
    log = "".join(
        f'@nix {{"action":"result","id":2,"type":101,"fields":["line {number}"]}}\n'
        for number in range(1000)
    )
    end = f'@nix {{"action":"msg","level":0,"msg":"error: builder for \'{DRV}\' failed with exit '
    details = explain(f'{BUILT}{start}{log}{end}code 1"}}\n').details
    assert details is not None
    assert details.splitlines() == [
        "last lines of its log:",
        *(f"  line {number}" for number in range(975, 1000)),
    ]


@given(st.lists(st.text() | st.sampled_from(["error:", "@nix ", " ", "\x1b[31m", f"'{DRV}'"])))
def test_any_stderr_gives_an_error_that_can_be_repeated(words: list[str]) -> None:
    error = explain("".join(words))
    assert error.exit_status == 3
    assert "`.#app` failed: " in error.message
    assert "\n" not in error.message
    assert "repeat it with `nix build .#app`" in str(error.hint)
