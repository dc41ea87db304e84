"""Each function's argv, word by word, and what comes of each answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluator.nix_cli import Call
from evaluator.recording import RecordingRunner
from nixbridge.closure import StorePath, StoreRoot
from nixbridge.errors import InputError, NixError
from nixbridge.evaluator import (
    FileInstallable,
    FlakeInstallable,
    Nix,
    NixEvent,
    NixVersion,
    StorePathInstallable,
    find_nix,
    nix_version,
)
from nixbridge.evaluator.progress import Said

FEATURES = ("--extra-experimental-features", "nix-command flakes")
LOG = ("--log-format", "internal-json")

A, B, C = (StorePath(f"/nix/store/{letter * 32}-{letter}") for letter in "abc")

BUILT_A = json.dumps([{"drvPath": f"{A}.drv", "outputs": {"out": str(A)}}])
INFO = {
    "narHash": "sha256-CkMIecJm+LV/QJKg+TXPP6zUi7zN5XYNR0jKQFFx6Wk=",
    "narSize": 120,
    "references": [],
}
NO_TYPE = (1, "", "error: attribute 'type' in selection path 'type' not found\n")


class Listener:
    def __init__(self) -> None:
        self.events: list[NixEvent] = []

    def on_nix_event(self, event: NixEvent) -> None:
        self.events.append(event)


def nix(
    *answers: tuple[int, str, str] | OSError,
    version: str = "nix (Nix) 2.26.3",
    extra_arguments: tuple[str, ...] = (),
    search_path: dict[str, Path] | None = None,
    listener: Listener | None = None,
) -> tuple[Nix, RecordingRunner]:
    runner = RecordingRunner(list(answers))
    return (
        Nix(
            runner=runner,
            version=NixVersion.parse(version),
            extra_arguments=extra_arguments,
            search_path=search_path or {},
            listener=listener,
        ),
        runner,
    )


# The version.


def test_version() -> None:
    runner = RecordingRunner([(0, "nix (Nix) 2.8.0\n", "")])
    assert nix_version(runner, program="/opt/nix").numbers == (2, 8, 0)
    assert runner.calls == [("/opt/nix", "--version")]


def test_no_nix() -> None:
    with pytest.raises(NixError) as caught:
        find_nix(RecordingRunner([FileNotFoundError(2, "No such file or directory", "nix")]))
    assert caught.value.message == "there is no `nix` on this machine"
    assert caught.value.hint == (
        "install Nix: https://nixos.org/download, or on Debian `sudo apt-get install nix-bin`"
    )


def test_a_nix_that_may_not_be_run() -> None:
    with pytest.raises(NixError) as caught:
        find_nix(RecordingRunner([PermissionError(13, "Permission denied", "nix")]))
    assert caught.value.message == "`nix` cannot be started: Permission denied"


def test_a_nix_that_is_too_old() -> None:
    with pytest.raises(NixError) as caught:
        find_nix(RecordingRunner([(0, "nix (Nix) 2.3.16\n", "")]))
    assert caught.value.message == (
        "`nix` is `nix (Nix) 2.3.16`, and nixbridge needs Nix 2.8 or later"
    )
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("install Nix")


def test_a_nix_that_does_not_say() -> None:
    with pytest.raises(NixError) as caught:
        find_nix(RecordingRunner([(127, "", "nix: libnixstore.so: cannot open\n")]))
    assert caught.value.message == "asking `nix` failed: nix exited with 127"
    assert caught.value.details == "nix: libnixstore.so: cannot open"


def test_find_nix_keeps_what_it_is_given() -> None:
    runner = RecordingRunner([(0, "nix (Nix) 2.26.3\n", "")])
    found = find_nix(runner, program="/opt/nix", extra_arguments=("--offline",))
    assert (found.program, found.extra_arguments) == ("/opt/nix", ("--offline",))
    assert str(found.version) == "nix (Nix) 2.26.3"


# Building.


def test_build_a_flake_attribute() -> None:
    caller, runner = nix((0, BUILT_A, ""))
    assert caller.build(FlakeInstallable(".#app")) == (A,)
    assert runner.calls == [("nix", *FEATURES, "build", "--json", "--no-link", *LOG, ".#app")]


def test_build_with_everything() -> None:
    caller, runner = nix(
        (0, "derivation", ""),
        (0, BUILT_A, ""),
        extra_arguments=("--impure", "--cores", "2"),
        search_path={"nixbridge": Path("/share/nix")},
    )
    installable = FileInstallable(
        path=Path("docker.nix"),
        attribute="images.app",
        expressions={"maxLayers": "40"},
        strings={"name": "shop"},
    )
    assert caller.build(installable, out_link=Path("/run/link")) == (A,)
    file = ("--file", "./docker.nix", "--arg", "maxLayers", "40", "--argstr", "name", "shop")
    words = ("-I", "nixbridge=/share/nix", "--impure", "--cores", "2", *file)
    assert runner.calls == [
        ("nix", *FEATURES, "eval", "--raw", *words, "images.app.type"),
        (
            *("nix", *FEATURES, "build", "--json", "--out-link", "/run/link"),
            *(*LOG, *words, "images.app"),
        ),
    ]


def test_build_a_file_by_an_absolute_path() -> None:
    caller, runner = nix((0, "derivation", ""), (0, BUILT_A, ""))
    caller.build(FileInstallable(path=Path("/src/-")))
    assert runner.calls[1][-2:] == ("--file", "/src/-")


def test_the_outputs_of_several_come_out_first() -> None:
    outputs = {"dev": str(A), "lib": str(B), "out": str(C)}
    caller, _ = nix((0, json.dumps([{"drvPath": "x", "outputs": outputs}]), ""))
    assert caller.build(FlakeInstallable(".#app")) == (C, A, B)


def test_store_paths_come_in_the_order_that_was_asked_for() -> None:
    caller, runner = nix((0, json.dumps([{"path": str(B)}, {"path": str(A)}]), ""))
    assert caller.build(StorePathInstallable((A, B))) == (A, B)
    assert runner.calls[0][-2:] == (str(A), str(B))


def test_no_store_paths_build_nothing() -> None:
    """nix would take no argument to mean the flake in the current directory."""
    caller, runner = nix()
    assert caller.build(StorePathInstallable(())) == ()
    assert runner.calls == []


def test_a_file_with_several_attributes_asks_for_one() -> None:
    caller, runner = nix(NO_TYPE, (0, '["app", "shop"]', ""))
    with pytest.raises(InputError) as caught:
        caller.build(FileInstallable(path=Path("default.nix")))
    assert caught.value.message == "the value of `default.nix` is not a derivation"
    assert caught.value.hint == "pick one of its attributes: `-A app`, `-A shop`"
    assert runner.calls[1][:6] == ("nix", *FEATURES, "eval", "--json", *LOG[:1])
    assert runner.calls[1][-2:] == ("--file", "./default.nix")


def test_an_attribute_with_several_attributes_asks_for_one_of_those() -> None:
    names = json.dumps([f"a{number}" for number in range(25)])
    message = "error: attribute 'type' in selection path 'images.type' not found\n"
    caller, _ = nix((1, "", message), (0, names, ""))
    with pytest.raises(InputError) as caught:
        caller.build(FileInstallable(path=Path("default.nix"), attribute="images"))
    assert caught.value.message == "the value of `default.nix -A images` is not a derivation"
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(
        "pick one of its attributes: `-A images.a0`, `-A images.a1`"
    )
    assert caught.value.hint.endswith("`-A images.a19` or one of 5 more")


def test_colours_do_not_hide_that_a_file_has_several_attributes() -> None:
    """Where `CLICOLOR_FORCE` is set, newer versions colour what no terminal reads."""
    coloured = "\x1b[31;1merror:\x1b[0m attribute '\x1b[35;1mtype\x1b[0m' in selection path"
    caller, _ = nix((1, "", f"{coloured} 'type' not found\n"), (0, '["app"]', ""))
    with pytest.raises(InputError, match="is not a derivation"):
        caller.build(FileInstallable(path=Path("default.nix")))


@pytest.mark.parametrize("answer", [(0, "[]", ""), (1, "", "error: no\n")])
def test_a_value_that_has_no_attributes(answer: tuple[int, str, str]) -> None:
    caller, _ = nix(NO_TYPE, answer)
    with pytest.raises(InputError) as caught:
        caller.build(FileInstallable(path=Path("default.nix")))
    assert caught.value.hint == "the value must be an image or another derivation"


def test_other_mistakes_in_a_file_are_explained_by_building_it() -> None:
    failure = (1, "", "error: undefined variable 'x'\n\n       at /src/a.nix:1:1:\n")
    caller, _ = nix(failure, failure)
    with pytest.raises(NixError) as caught:
        caller.build(FileInstallable(path=Path("a.nix")))
    assert caught.value.message == "evaluating `a.nix` failed: undefined variable 'x'"
    assert caught.value.details == "at /src/a.nix:1:1:"


def test_the_command_to_repeat_is_quoted_and_prints_for_a_person() -> None:
    caller, _ = nix((1, "", "error: no\n"), extra_arguments=("--option", "cores", "1 $HOME"))
    with pytest.raises(NixError) as caught:
        caller.build(FlakeInstallable(".#app"), out_link=Path("/tmp/link"))
    assert caught.value.hint == (
        "repeat it with `nix --extra-experimental-features 'nix-command flakes' build --no-link "
        "--option cores '1 $HOME' '.#app'`"
    )


def test_a_rendered_file_goes_by_the_name_of_its_spec() -> None:
    failure = (1, "", "error: undefined variable 'x'\n\n       at /tmp/1/image.nix:1:1:\n")
    caller, runner = nix(failure, failure)
    rendered = FileInstallable(
        path=Path("/tmp/1/image.nix"), rendered_from=Path("a b/nixbridge.toml")
    )
    with pytest.raises(NixError) as caught:
        caller.build(rendered)
    assert caught.value.message == (
        "evaluating `a b/nixbridge.toml` failed: undefined variable 'x'"
    )
    assert caught.value.hint == (
        "repeat it with `nixbridge render 'a b/nixbridge.toml' --output image.nix` and "
        "`nix --extra-experimental-features 'nix-command flakes' build --no-link "
        "--file ./image.nix`"
    )
    assert runner.calls[1][-2:] == ("--file", "/tmp/1/image.nix")


def test_fetching_store_paths_is_not_called_building() -> None:
    caller, _ = nix((1, "", "error: no substituter\n"))
    with pytest.raises(NixError, match=f"^fetching `{A}` failed: no substituter$"):
        caller.build(StorePathInstallable((A,)))


def test_progress_is_told_of_builds() -> None:
    listener = Listener()
    caller, _ = nix((0, BUILT_A, "hello\n\n"), listener=listener)
    caller.build(FlakeInstallable(".#app"))
    assert listener.events == [Said("hello")]


# Evaluating.


def test_evaluate() -> None:
    caller, runner = nix((0, '{"a": 1}', ""), search_path={"nixbridge": Path("/n")})
    assert caller.evaluate(FlakeInstallable(".#lib"), apply="x: x") == {"a": 1}
    words = ("--apply", "x: x", "-I", "nixbridge=/n", ".#lib")
    assert runner.calls == [("nix", *FEATURES, "eval", "--json", *LOG, *words)]


def test_evaluate_what_cannot_be() -> None:
    caller, _ = nix((1, "", Call("2.34", "ij-eval-error").bytes("stderr").decode()))
    with pytest.raises(NixError) as caught:
        caller.evaluate(FileInstallable(path=Path("bad.nix"), attribute="x"))
    assert caught.value.message == (
        "evaluating `bad.nix -A x` failed: undefined variable 'undefinedVar'"
    )
    assert caught.value.hint == (
        "repeat it with `nix --extra-experimental-features 'nix-command flakes' eval --json "
        "--file ./bad.nix x`"
    )


# Asking the store.


def path_infos(*paths: StorePath) -> tuple[int, str, str]:
    return (0, json.dumps({str(path): INFO for path in paths}), "")


def test_path_infos() -> None:
    caller, runner = nix(path_infos(B, A))
    assert [info.path for info in caller.path_infos((B,))] == [A, B]
    words = ("path-info", "--json", "--recursive", str(B))
    assert runner.calls == [("nix", *FEATURES, *words)]


def test_path_infos_of_2_34_ask_for_a_format() -> None:
    caller, runner = nix(path_infos(A), version="nix (Nix) 2.34.8")
    caller.path_infos((A,), recursive=False)
    words = ("path-info", "--json", "--json-format", "1", str(A))
    assert runner.calls == [("nix", *FEATURES, *words)]


def test_path_infos_of_no_paths_ask_nothing() -> None:
    """nix would take no argument to mean the flake in the current directory."""
    caller, runner = nix()
    assert caller.path_infos(()) == ()
    assert runner.calls == []


def test_path_infos_of_many_paths_come_in_parts() -> None:
    """The kernel limits the length of a command line; closures have thousands of paths."""
    paths = [
        StorePath(f"/nix/store/{number:032d}-{'n' * 211}".replace("e", "f"))
        for number in range(2500)
    ]
    parts = (path_infos(*paths[:1000]), path_infos(*paths[1000:2000]), path_infos(*paths[1999:]))
    caller, runner = nix(*parts)
    assert [info.path for info in caller.path_infos(paths)] == paths
    assert [len(call) - 6 for call in runner.calls] == [1000, 1000, 500]
    assert max(sum(len(word) + 1 for word in call) for call in runner.calls) < 2**18


def test_path_infos_of_a_path_that_is_not_there() -> None:
    invalid = Call("2.8", "path-info-invalid")
    caller, _ = nix((0, invalid.bytes("json").decode(), invalid.bytes("stderr").decode()))
    with pytest.raises(NixError, match=r"^the Nix store does not hold `/nix/store/a{32}-nothing`$"):
        caller.path_infos((A,))


def test_path_infos_that_fail() -> None:
    caller, _ = nix((1, "", f"error: path '{A}' is not valid\n"))
    with pytest.raises(NixError) as caught:
        caller.path_infos((A,))
    assert caught.value.message == (f"reading what the store holds failed: path '{A}' is not valid")


STORE_ARGUMENTS = ("--store", "/mnt", "--option", "cores", "2")


def test_only_settings_of_the_users_arguments_go_to_all_subcommands() -> None:
    extra = ("--impure", *STORE_ARGUMENTS, "--rebuild", "--option")
    settings = (0, '{"store": {"value": "/mnt"}}', "")
    caller, runner = nix(path_infos(A), settings, (0, "", ""), extra_arguments=extra)
    caller.path_infos((A,))
    assert caller.store_root() == StoreRoot(Path("/mnt"))
    caller.ping_store()
    assert runner.calls == [
        ("nix", *FEATURES, "path-info", "--json", "--recursive", *STORE_ARGUMENTS, str(A)),
        ("nix", *FEATURES, "config", "show", "--json", *STORE_ARGUMENTS),
        ("nix", *FEATURES, "store", "info", *STORE_ARGUMENTS),
    ]


def test_2_8_has_other_names() -> None:
    settings = (0, '{"store": {"value": "auto"}}', "")
    caller, runner = nix(settings, (0, "", ""), version="nix (Nix) 2.8.0")
    assert caller.settings() == {"store": "auto"}
    caller.ping_store()
    assert runner.calls == [
        ("nix", *FEATURES, "show-config", "--json"),
        ("nix", *FEATURES, "store", "ping"),
    ]


def test_settings_that_cannot_be_read() -> None:
    caller, _ = nix((1, "", "error: syntax error in configuration line 'x'\n"))
    with pytest.raises(NixError, match=r"^reading nix's settings failed: syntax error in conf"):
        caller.settings()


def test_features_are_asked_for_without_turning_them_on() -> None:
    caller, runner = nix((0, "cores = 0\nexperimental-features = flakes nix-command\n", ""))
    assert caller.enabled_features() == {"flakes", "nix-command"}
    assert runner.calls == [("nix", "config", "show")]


@pytest.mark.parametrize("version", ["2.8", "2.26", "2.34"])
def test_features_that_are_off(version: str) -> None:
    stderr = Call(version, "err-feature-disabled").bytes("stderr").decode()
    caller, _ = nix((1, "", stderr))
    assert caller.enabled_features() == set()


def test_features_that_are_off_in_lix() -> None:
    stderr = (
        "error: experimental Lix feature 'nix-command' is disabled; use '--extra-…' to override"
    )
    caller, runner = nix((1, "", stderr), version="nix (Lix, like Nix) 2.94.0")
    assert caller.enabled_features() == set()
    assert runner.calls == [("nix", "config", "show")]


def test_path_infos_of_lix_are_as_those_of_2_8() -> None:
    answer = Call("2.8", "path-info-r").bytes("json").decode()
    caller, runner = nix((0, answer, ""), version="nix (Lix, like Nix) 2.94.0")
    assert len(caller.path_infos((A,))) == 27
    assert runner.calls == [("nix", *FEATURES, "path-info", "--json", "--recursive", str(A))]


def test_features_that_cannot_be_asked_for() -> None:
    caller, _ = nix((1, "", "error: no\n"))
    with pytest.raises(NixError, match=r"^reading nix's settings failed: no$"):
        caller.enabled_features()
    caller, _ = nix((0, "cores = 0\n", ""))
    assert caller.enabled_features() == set()


def test_a_store_that_cannot_be_opened() -> None:
    caller, _ = nix((1, "", "error: cannot connect to socket at '/x': No such file\n"))
    with pytest.raises(NixError) as caught:
        caller.ping_store()
    assert caught.value.message == (
        "opening the Nix store failed: cannot connect to socket at '/x': No such file"
    )
