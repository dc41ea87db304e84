"""The command line without Nix: what it says, where, and with which exit status."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nixbridge import cli, errors
from nixbridge.cli.main import EXIT_BROKEN_PIPE, EXIT_TERMINATED
from nixbridge.closure import ClosureGraph, NarHash, PathInfo, StorePath
from nixbridge.description import describe_closure, description_document
from nixbridge.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    DestinationError,
    InputError,
    NixbridgeError,
)
from nixbridge.oci import Platform

EXIT_CODE_ROW = re.compile(r"^\| (\d+) \| (?:`(\w+)`: )?", re.MULTILINE)
VERB_ROW = re.compile(r"^\| `([a-z]+)` \| (.+?) \|$", re.MULTILINE)


class Outcome:
    def __init__(self, capsys: pytest.CaptureFixture[str], *argv: str) -> None:
        self.status = cli.main(argv)
        captured = capsys.readouterr()
        self.stdout, self.stderr = captured.out, captured.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome(capsys, "--version")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, "nixbridge 0.1.0\n", "")


def test_what_a_verb_needs_is_imported_with_it() -> None:
    """The command starts in a moment because of that."""
    says = "import sys; from nixbridge import cli; cli.main(['--version']); print(*sys.modules)"
    argv = [sys.executable, "-c", says]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    assert {name for name in said if name.startswith("nixbridge.")} == {
        *("nixbridge.cli", "nixbridge.cli.groups", "nixbridge.cli.main"),
        *("nixbridge.cli.options", "nixbridge.console", "nixbridge.errors"),
    }
    assert not {"isal", "jinja2", "sqlite3", "urllib3", "zstandard"} & set(said)


def test_help_names_every_verb_as_the_readme_does(
    capsys: pytest.CaptureFixture[str], repository: Path
) -> None:
    readme = dict(VERB_ROW.findall((repository / "README.md").read_text()))
    text = Outcome(capsys, "--help").stdout
    verbs = re.findall(r"^  ([a-z]+)  +\S", text.partition("Commands:")[2], re.MULTILINE)
    assert sorted(verbs) == sorted(readme)
    for verb in verbs:
        assert Outcome(capsys, verb, "--help").status == 0


@pytest.mark.parametrize("argv", [[], ["cache"]])
def test_nothing_to_do_shows_the_help(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    outcome = Outcome(capsys, *argv)
    asked = Outcome(capsys, *argv, "--help")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, asked.stdout, "")
    assert "Commands:" in asked.stdout


@pytest.mark.parametrize("argv", [["--version"], ["cache", "info"]])
def test_a_full_disk_behind_standard_output(argv: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "nixbridge", *argv],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
        )
    assert run.stderr == "error: writing standard output failed: no space left on device\n"
    assert run.returncode == DestinationError.exit_status


def test_words_are_utf_8_in_any_locale(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "nixbridge", "plan", b"\xff.nix"],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env=os.environ
        | {
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONIOENCODING": "ascii",
        },
    )
    assert run.stderr.decode().startswith(
        "error: there is no file `\\udcff.nix`\n  hint: a source is"
    )
    assert "(`image-….json`)" in run.stderr.decode()
    assert run.returncode == InputError.exit_status


def test_the_readme_has_every_exit_code(repository: Path) -> None:
    classes = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value)
        and issubclass(value, NixbridgeError)
        and value is not NixbridgeError
    ]
    known = {str(kind.exit_status): kind.code for kind in classes}
    assert len(known) == len(classes), "two errors share an exit status"
    rows = dict(EXIT_CODE_ROW.findall((repository / "README.md").read_text()))
    signals = (EXIT_INTERRUPTED, EXIT_BROKEN_PIPE, EXIT_TERMINATED)
    assert rows == {"0": "", **known, **{str(status): "" for status in (EXIT_BUG, *signals)}}


@pytest.mark.parametrize(
    ("argv", "stderr"),
    [
        (
            ["frobnicate"],
            (
                "error: there is no verb `frobnicate`\n"
                "  hint: known here: `init`, `render`, `show`, `closure`, `plan`, `why`, `copy`, "
                "`serve`, `inspect`, `diff`, `cache`, `doctor`\n"
            ),
        ),
        (["cpoy"], "error: there is no verb `cpoy`\n  hint: did you mean `copy`?\n"),
        (["push", "."], "error: there is no verb `push`\n  hint: it is `nixbridge copy`\n"),
        (["help"], "error: there is no verb `help`\n  hint: it is `nixbridge --help`\n"),
        (
            ["--frobnicate"],
            "error: no such option: --frobnicate\n  hint: see `nixbridge --help`\n",
        ),
        (["copy"], "error: missing argument 'SOURCE'\n  hint: see `nixbridge copy --help`\n"),
        (
            ["copy", ".", "--frobnicate"],
            "error: no such option: --frobnicate\n  hint: see `nixbridge copy --help`\n",
        ),
        (
            ["copy", "x.nix", "oci-archve:x"],
            (
                "error: `oci-archve:` is no kind of destination that we know\n"
                "  hint: did you mean `oci-archive`?\n"
            ),
        ),
        (
            ["copy", ".", "docker:ghcr.io/me/app"],
            (
                "error: `docker:ghcr.io/me/app` names no image in a registry\n"
                "  hint: write `docker://ghcr.io/me/app`\n"
            ),
        ),
        (
            ["copy", ".", "docker://ghcr.io/me/app", "--dest-tls-verify=no"],
            "error: `no` is not `true` or `false`\n  hint: say whether to verify TLS\n",
        ),
        (
            ["copy", ".", "docker://ghcr.io/me/app", "--dest-cert-dir", "nowhere"],
            "error: `nowhere` is no directory of certificates\n",
        ),
        (
            ["copy", ".", "docker://ghcr.io/a", "docker://quay.io/a", "--dest-creds", "me:hush"],
            (
                "error: `--dest-creds` would be shown to ghcr.io and quay.io\n"
                "  hint: log in with `docker login` or `podman login`, or name images of one "
                "registry\n"
            ),
        ),
        (
            ["diff", "docker://ghcr.io/a", "docker://quay.io/a", "--creds", "me:hush"],
            (
                "error: `--creds` would be shown to ghcr.io and quay.io\n"
                "  hint: log in with `docker login` or `podman login`, or name images of one "
                "registry\n"
            ),
        ),
        (
            ["copy", "x.nix", "oci:x", "--strategy", "popularty"],
            (
                "error: `popularty` is no strategy that we know\n"
                "  hint: did you mean `popularity`?\n"
            ),
        ),
        (
            ["diff", "oci:x", "new.nix"],
            (
                "error: there is no file `new.nix`\n"
                "  hint: a source is a spec (`nixbridge.toml` or its directory), a Nix file "
                "(`docker.nix`), a flake attribute (`.#dockerImage`), an image description "
                "(`image-….json`) or a store path\n"
            ),
        ),
        (["plan", "--arg", "x"], "error: `--arg` takes two words: a name and a value\n"),
        (
            ["render", "--check", "x.toml"],
            (
                "error: there is no file `x.toml`\n"
                "  hint: a source is a spec (`nixbridge.toml` or its directory), a Nix file "
                "(`docker.nix`), a flake attribute (`.#dockerImage`), an image description "
                "(`image-….json`) or a store path\n"
            ),
        ),
        (
            [
                *("copy", ".", "docker://ghcr.io/a:2", "--dest-creds", "me:hush"),
                *("--against", "docker://quay.io/a:1"),
            ],
            (
                "error: `--dest-creds` would be shown to ghcr.io and quay.io\n"
                "  hint: log in with `docker login` or `podman login`, or name images of one "
                "registry\n"
            ),
        ),
        (
            [
                *("copy", ".", "docker://ghcr.io/a:2", "--dest-creds", "me:hush"),
                *("--history", "docker://quay.io/a:1"),
            ],
            (
                "error: `--dest-creds` would be shown to ghcr.io and quay.io\n"
                "  hint: log in with `docker login` or `podman login`, or name images of one "
                "registry\n"
            ),
        ),
        (
            [
                *("plan", ".", "--against", "docker://ghcr.io/a:2", "--creds", "me:hush"),
                *("--history", "docker://quay.io/a:1"),
            ],
            (
                "error: `--creds` would be shown to ghcr.io and quay.io\n"
                "  hint: log in with `docker login` or `podman login`, or name images of one "
                "registry\n"
            ),
        ),
        (
            ["copy", ".", "docker://ghcr.io/a", "docker-archive:a.tar"],
            (
                "error: layers go to `docker://ghcr.io/a` with compression `gzip`, and to "
                "`docker-archive:a.tar` with `none`, if nothing else is said\n"
                "  hint: say what all shall have, `--compression none`; or deliver with two "
                "commands\n"
            ),
        ),
        (
            ["inspect", "oci:nowhere"],
            "error: `nowhere` holds no `index.json`\n",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_words(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    stderr: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = Outcome(capsys, *argv)
    assert outcome.stderr == stderr
    assert outcome.stdout == ""
    assert outcome.status == (7 if argv[0] == "inspect" else 2)
    assert list(tmp_path.iterdir()) == []


def test_an_error_as_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome(capsys, "copy", "missing.nix", "oci:x", "--json")
    assert outcome.status == 2
    assert outcome.stdout == ""
    error = json.loads(outcome.stderr)["error"]
    assert error["code"] == "input"
    assert error["exitStatus"] == 2
    assert error["message"] == "there is no file `missing.nix`"
    assert outcome.stderr.count("\n") == 1


def test_without_nix(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "image.nix").write_text("{ }")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = Outcome(capsys, "copy", "image.nix", "oci:out")
    assert outcome.status == 3
    assert outcome.stderr.startswith(
        "error: there is no `nix` on this machine\n  hint: install Nix"
    )
    assert not (tmp_path / "out").exists()


def description_of(path: StorePath) -> str:
    info = PathInfo(
        path=path, nar_hash=NarHash.parse(f"sha256:{'0' * 64}"), nar_size_bytes=1, references=()
    )
    platform = Platform(architecture="amd64")
    description = describe_closure(
        ClosureGraph.of([info]), [path], name="shop", tag="1", platform=platform
    )
    return json.dumps(description_document(description))


@pytest.mark.parametrize(
    ("source", "stderr"),
    [
        (
            "image.nix",
            (
                "error: without nix, `image.nix` cannot become an image\n"
                "  hint: leave out `--no-nix`, or name an image description that Nix has built\n"
            ),
        ),
        (
            "image.json",
            (
                f"error: `/nix/store/{'0' * 32}-a`, which `image.json` names, is not there\n"
                "  hint: without `--no-nix`, nix is asked for it\n"
            ),
        ),
    ],
)
def test_no_nix_takes_only_what_is_there(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    stderr: str,
) -> None:
    (tmp_path / "image.nix").write_text("{ }")
    (tmp_path / "image.json").write_text(
        description_of(StorePath.parse(f"/nix/store/{'0' * 32}-a"))
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    outcome = Outcome(capsys, "copy", "--no-nix", source, "oci:out")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (2, "", stderr)


def test_a_bug_is_told_as_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("nixbridge.cli.inspect.parse_inspectable", broken)
    outcome = Outcome(capsys, "inspect", "oci:x")
    assert outcome.status == EXIT_BUG
    assert "Traceback" in outcome.stderr
    assert "this is a bug in nixbridge" in outcome.stderr


def test_an_interrupt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nixbridge.cli.inspect.parse_inspectable", interrupted)
    outcome = Outcome(capsys, "inspect", "oci:x")
    # Older versions of click end the line that `^C` was typed on.
    assert (outcome.status, outcome.stderr.lstrip()) == (EXIT_INTERRUPTED, "interrupted\n")


def test_architecture_names_the_same_exit_codes_as_the_readme(repository: Path) -> None:
    """The design document points at the README for them, so that there is one table."""
    assert "exit codes are in the README" in (repository / "ARCHITECTURE.md").read_text()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("-", "-"),
        ("docker-archive:a.tar:one:1", "oci-archive:./a.tar:two"),
        ("oci-archive:a.tar:x", "oci-archive:a.tar:y"),
    ],
)
def test_two_archives_at_one_place_are_refused(
    capsys: pytest.CaptureFixture[str], first: str, second: str
) -> None:
    """Before anything is looked at: they would be mixed, or the second be all there is."""
    outcome = Outcome(capsys, "copy", "nowhere.json", first, "oci:out", second)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr == (
        f"error: `{first}` and `{second}` are one place, which takes one archive\n"
        "  hint: write each to a file of its own; an `oci:DIR` takes several images\n"
    )


@pytest.mark.parametrize("word", ["--version", "--help", "doctor"])
def test_a_reader_that_has_read_enough_is_no_bug(word: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        run = subprocess.run(
            [sys.executable, "-m", "nixbridge", word],
            check=False,
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (run.returncode, run.stderr) == (EXIT_BROKEN_PIPE, "")
