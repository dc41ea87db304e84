"""The evaluator on real Nix, of two versions. `nix-store`, which we do not use, is the judge."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from nixbridge.closure import ClosureGraph, NarHash, StorePath, StoreRoot
from nixbridge.errors import InputError, NixError
from nixbridge.evaluator import (
    FileInstallable,
    FlakeInstallable,
    Nix,
    NixEvent,
    StorePathInstallable,
    SubprocessRunner,
    find_nix,
)
from nixbridge.evaluator.progress import (
    BuildCounts,
    BuildFinished,
    BuildStarted,
    LogLine,
    Said,
)

pytestmark = pytest.mark.nix

EXPRESSIONS = """\
{ salt ? "@salt@" }:
let
  run = name: script: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" "export PATH=/bin:/usr/bin; ${script} # ${salt}" ];
  };
in rec {
  dep = run "dep" "echo dep > $out";
  ok = run "ok" "echo building; mkdir $out; echo ${dep} > $out/dep; echo $out > $out/self";
  multi = (derivation {
    name = "multi";
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" "export PATH=/bin:/usr/bin; mkdir $out $dev; echo $dev > $out/dev; # ${salt}" ];
    outputs = [ "out" "dev" ];
  });
  fail = run "fail" "echo about to fail; exit 3";
  needs-fail = run "needs-fail" "cat ${fail} > $out";
  slow = run "slow" "echo it sleeps; sleep 1000";
  traced = builtins.trace "a trace" ok;
  thrown = throw "do not use this";
}
"""

FLAKE = """\
{
  outputs = _: {
    packages.@system@ = {
      ok = (import ./default.nix { }).ok // { };
      thrown = throw "do not use this";
    };
  };
}
"""


class Listener:
    def __init__(self) -> None:
        self.events: list[NixEvent] = []

    def on_nix_event(self, event: NixEvent) -> None:
        self.events.append(event)


@pytest.fixture
def nix(nix_program: str, nix_environment: Mapping[str, str]) -> Nix:
    return find_nix(SubprocessRunner(nix_environment), program=nix_program)


@pytest.fixture
def expressions(tmp_path: Path) -> Path:
    """A Nix file whose derivations nobody has built before."""
    path = tmp_path / "default.nix"
    path.write_text(EXPRESSIONS.replace("@salt@", uuid.uuid4().hex))
    return path


def nix_store(environment: Mapping[str, str], *words: str) -> list[str]:
    done = subprocess.run(
        ("nix-store", *words), env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_a_build_and_its_closure(
    nix: Nix, expressions: Path, nix_environment: Mapping[str, str]
) -> None:
    (built,) = nix.build(FileInstallable(path=expressions, attribute="ok"))
    assert built.name == "ok"
    root = nix.store_root()
    assert root == StoreRoot()
    assert (root.locate(built) / "self").read_text() == f"{built}\n"

    graph = ClosureGraph.of(nix.path_infos((built,)))
    assert [str(info.path) for info in graph] == sorted(
        nix_store(nix_environment, "--query", "--requisites", str(built))
    )
    for info in graph:
        path = str(info.path)
        (nar_hash,) = nix_store(nix_environment, "--query", "--hash", path)
        assert info.nar_hash == NarHash.parse(nar_hash)
        assert info.nar_hash.base32 == nar_hash
        assert [str(info.nar_size_bytes)] == nix_store(nix_environment, "--query", "--size", path)
        references = nix_store(nix_environment, "--query", "--references", path)
        assert [str(reference) for reference in info.references] == sorted(references)
        assert [str(info.deriver)] == nix_store(nix_environment, "--query", "--deriver", path)
    assert built in graph[built].references

    (alone,) = nix.path_infos((built,), recursive=False)
    assert alone == graph[built]


def test_an_out_link_keeps_what_was_built(
    nix: Nix, expressions: Path, nix_environment: Mapping[str, str], tmp_path: Path
) -> None:
    link = tmp_path / "result"
    (built,) = nix.build(FileInstallable(path=expressions, attribute="ok"), out_link=link)
    assert link.readlink() == Path(str(built))
    roots = nix_store(nix_environment, "--query", "--roots", str(built))
    assert any(str(link) in root for root in roots)

    (dep,) = nix.build(FileInstallable(path=expressions, attribute="dep"))
    links = tmp_path / "both"
    assert nix.build(StorePathInstallable((built, dep)), out_link=links) == (built, dep)
    pinned = {links.readlink(), Path(f"{links}-1").readlink()}
    assert pinned == {Path(str(built)), Path(str(dep))}


def test_outputs(nix: Nix, expressions: Path) -> None:
    """2.8 builds the default output, later versions all that are to be installed."""
    built = nix.build(FileInstallable(path=expressions, attribute="multi"))
    names = ["multi"] if nix.version.numbers < (2, 26) else ["multi", "multi-dev"]
    assert [path.name for path in built] == names
    graph = ClosureGraph.of(nix.path_infos(built[:1]))
    assert [path.name for path in graph[built[0]].references] == ["multi-dev"]


def test_arguments_and_functions(nix: Nix, expressions: Path) -> None:
    salt = uuid.uuid4().hex
    by_string = FileInstallable(path=expressions, attribute="dep", strings={"salt": salt})
    by_expression = FileInstallable(
        path=expressions, attribute="dep", expressions={"salt": f'"{salt}"'}
    )
    by_default = FileInstallable(path=expressions, attribute="dep")
    assert nix.build(by_string) == nix.build(by_expression) != nix.build(by_default)
    assert nix.evaluate(by_string, apply="package: package.outPath") == str(nix.build(by_string)[0])


def test_a_file_whose_value_is_the_image(nix: Nix, expressions: Path) -> None:
    alone = expressions.with_name("with space.nix")
    alone.write_text(f'{{ attribute ? "ok" }}: (import {expressions} {{ }}).${{attribute}}')
    assert nix.build(FileInstallable(path=alone))[0].name == "ok"
    dep = FileInstallable(path=alone, strings={"attribute": "dep"})
    assert nix.build(dep)[0].name == "dep"


def test_a_relative_file(nix: Nix, expressions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(expressions.parent)
    assert nix.build(FileInstallable(path=Path("default.nix"), attribute="dep"))[0].name == "dep"


def test_a_file_with_several_attributes(nix: Nix, expressions: Path) -> None:
    with pytest.raises(InputError) as caught:
        nix.build(FileInstallable(path=expressions))
    assert caught.value.message == f"the value of `{expressions}` is not a derivation"
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("pick one of its attributes: `-A dep`, `-A fail`, ")


def test_the_search_path(nix: Nix, expressions: Path) -> None:
    user = expressions.with_name("user.nix")
    user.write_text("(import <nixbridge/default.nix> { }).dep")
    finds = replace(nix, search_path={"nixbridge": expressions.parent})
    assert finds.build(FileInstallable(path=user))[0].name == "dep"


def test_a_flake(nix: Nix, expressions: Path) -> None:
    system = nix.evaluate(FileInstallable(path=expressions, attribute="dep.system"))
    (expressions.parent / "flake.nix").write_text(FLAKE.replace("@system@", system))
    default = expressions.read_text().replace("builtins.currentSystem", f'"{system}"')
    expressions.write_text(default)
    (built,) = nix.build(FlakeInstallable(f"path:{expressions.parent}#ok"))
    assert (built,) == nix.build(FileInstallable(path=expressions, attribute="ok"))

    with pytest.raises(NixError) as caught:
        nix.build(FlakeInstallable(f"path:{expressions.parent}#thrown"))
    assert caught.value.message.endswith("#thrown` failed: do not use this")
    with pytest.raises(NixError) as caught:
        nix.build(FlakeInstallable(f"path:{expressions.parent}#nothing"))
    assert "does not provide attribute" in caught.value.message
    assert "`nix flake show path:" in str(caught.value.hint)


def repeat(error: NixError, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command that the error says to repeat."""
    command = re.search(r"repeat it with `(.*)`$", str(error.hint))
    assert command is not None
    argv = shlex.split(command[1])
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("attribute", ["fail", "needs-fail"])
def test_a_failing_build_shows_its_log(
    nix: Nix, expressions: Path, attribute: str, nix_environment: Mapping[str, str]
) -> None:
    with pytest.raises(NixError) as caught:
        nix.build(FileInstallable(path=expressions, attribute=attribute))
    error = caught.value
    assert error.message == (
        f"building `{expressions} -A {attribute}` failed: builder for fail exited with 3"
    )
    assert error.details == "last lines of its log:\n  about to fail"

    (log,) = re.findall(r"`nix log (\S+)`", str(error.hint))
    assert nix_store(nix_environment, "--read-log", log) == ["about to fail"]
    again = repeat(error, nix_environment)
    assert again.returncode == 1
    assert "about to fail" in again.stderr


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("thrown", "do not use this"),
        ("nothing", "attribute 'nothing' in selection path 'nothing' not found"),
    ],
)
def test_a_failing_evaluation_can_be_repeated(
    nix: Nix, expressions: Path, attribute: str, message: str, nix_environment: Mapping[str, str]
) -> None:
    with pytest.raises(NixError) as caught:
        nix.build(FileInstallable(path=expressions, attribute=attribute))
    error = caught.value
    assert error.message == f"evaluating `{expressions} -A {attribute}` failed: {message}"
    assert message in repeat(error, nix_environment).stderr


def test_a_failing_evaluation_shows_where(nix: Nix, tmp_path: Path) -> None:
    file = tmp_path / "wrong.nix"
    file.write_text("{\n  x = 1 + undefinedVariable;\n}\n")
    with pytest.raises(NixError) as caught:
        nix.build(FileInstallable(path=file, attribute="x"))
    error = caught.value
    assert error.message == (
        f"evaluating `{file} -A x` failed: undefined variable 'undefinedVariable'"
    )
    assert str(error.details).startswith(f"at {file}:2:11:\n")
    assert "2|   x = 1 + undefinedVariable;" in str(error.details)


def test_a_syntax_error_shows_where(nix: Nix, tmp_path: Path) -> None:
    file = tmp_path / "syntax.nix"
    file.write_text("{ a = 1\n  b = 2; }\n")
    with pytest.raises(NixError) as caught:
        nix.build(FileInstallable(path=file))
    assert caught.value.message == (
        f"evaluating `{file}` failed: syntax error, unexpected '=', expecting ';'"
    )
    assert str(caught.value.details).startswith(f"at {file}:2:5:\n")


def test_arguments_that_nix_does_not_know(nix: Nix, expressions: Path) -> None:
    broken = replace(nix, extra_arguments=("--nosuchflag",))
    with pytest.raises(NixError, match="unrecognised flag '--nosuchflag'") as caught:
        broken.build(FileInstallable(path=expressions, attribute="ok"))
    assert "what stands after `--` goes to nix as it is" in str(caught.value.hint)


def test_paths_that_are_not_there(nix: Nix) -> None:
    nothing = StorePath("/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-nothing")
    with pytest.raises(NixError, match=f"'{nothing}' is not valid"):
        nix.path_infos((nothing,))
    with pytest.raises(NixError, match=f"the Nix store does not hold `{nothing}`"):
        nix.path_infos((nothing,), recursive=False)
    with pytest.raises(
        NixError, match=f"fetching `{nothing}` failed: path '{nothing}' is required"
    ):
        nix.build(StorePathInstallable((nothing,)))


def test_progress(nix: Nix, expressions: Path) -> None:
    listener = Listener()
    told = replace(nix, listener=listener)
    told.build(FileInstallable(path=expressions, attribute="traced"))
    events = listener.events
    names = [e.derivation.rpartition("-")[2] for e in events if isinstance(e, BuildStarted)]
    assert names == ["dep.drv", "ok.drv"]
    assert len([event for event in events if isinstance(event, BuildFinished)]) == 2
    assert [event.line for event in events if isinstance(event, LogLine)] == ["building"]
    assert Said("trace: a trace") in events
    *_, last = [event for event in events if isinstance(event, BuildCounts)]
    assert (last.done, last.running, last.failed) == (2, 0, 0)


def test_features_that_are_off_and_on(
    nix: Nix, nix_environment: Mapping[str, str], nix_program: str
) -> None:
    assert nix.enabled_features() == set()
    on = dict(nix_environment) | {
        "NIX_CONFIG": nix_environment["NIX_CONFIG"] + "experimental-features = nix-command flakes"
    }
    enabled = find_nix(SubprocessRunner(on), program=nix_program).enabled_features()
    assert enabled >= {"nix-command", "flakes"}


@pytest.fixture
def chroot_store(tmp_path: Path) -> Iterator[Path]:
    """A store of its own, whose files can be removed."""
    root = tmp_path / "root with space"
    yield root
    subprocess.run(("chmod", "-R", "u+w", str(root)), check=False)


@pytest.mark.usefixtures("needs_namespaces")
@pytest.mark.parametrize("how", ["NIX_REMOTE", "local?root=", "--store"])
def test_a_store_elsewhere(
    how: str,
    chroot_store: Path,
    tmp_path: Path,
    nix_environment: Mapping[str, str],
    nix_program: str,
) -> None:
    """Its files lie below its directory, and have the names of the usual store."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("hello")
    expression = tmp_path / "links.nix"
    # A builder that is a part of nix: another store has no other programs.
    expression.write_text("""\
derivation {
  name = "links";
  system = "builtin";
  builder = "builtin:buildenv";
  derivations = [ "true" 5 1 "${./tree}" ];
  manifest = "${./tree}";
}
""")
    environment = dict(nix_environment)
    extra: tuple[str, ...] = ()
    match how:
        case "NIX_REMOTE":
            environment["NIX_REMOTE"] = str(chroot_store)
        case "--store":
            extra = ("--store", str(chroot_store))
        case _:
            quoted = str(chroot_store).replace(" ", "%20")
            environment["NIX_REMOTE"] = f"local?root={quoted}"
    nix = find_nix(SubprocessRunner(environment), program=nix_program, extra_arguments=extra)
    assert nix.store_root() == StoreRoot(chroot_store)
    nix.ping_store()
    (built,) = nix.build(FileInstallable(path=expression), out_link=tmp_path / "link")
    assert built.store_dir == "/nix/store"
    link = (nix.store_root().locate(built) / "file").readlink()
    graph = ClosureGraph.of(nix.path_infos((built,)))
    (tree,) = graph[built].references
    assert link == Path(f"{tree}/file")
    assert (chroot_store / str(tree)[1:] / "file").read_text() == "hello"
    assert not Path(str(built)).exists()


def processes_with(marker: str) -> list[int]:
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_bytes()
        except OSError:
            continue
        if marker.encode() in command:
            found.append(int(directory.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_an_interrupted_build_leaves_no_process(
    number: signal.Signals, expressions: Path, nix_program: str, nix_environment: Mapping[str, str]
) -> None:
    """nix, and the builder that nix put into a session of its own."""
    marker = uuid.uuid4().hex  # stands in the command lines of nix and of the builder
    program = f"""
from pathlib import Path
from nixbridge.evaluator import *
nix = find_nix(SubprocessRunner(), program={nix_program!r})
nix.build(FileInstallable(path=Path({str(expressions)!r}), attribute="slow",
                          strings={{"salt": {marker!r}}}))
"""
    with subprocess.Popen(
        (sys.executable, "-c", program), env=nix_environment, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 60
        # This process, nix, and the builder's shell.
        while len(processes_with(marker)) < 3:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in stderr
    assert processes_with(marker) == []
