from __future__ import annotations

import grp
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from evaluator.recording import RecordingRunner
from nixbridge.doctor import Finding, diagnose, findings_document, findings_text
from nixbridge.evaluator import SubprocessRunner
from programs import write_program

NIX_CONF = "`/etc/nix/nix.conf` or `~/.config/nix/nix.conf`"
FEATURES_HINT = f"put `extra-experimental-features = nix-command flakes` into {NIX_CONF}"


def by_name(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def diagnose_with(environment: Mapping[str, str]) -> dict[str, Finding]:
    return by_name(diagnose(SubprocessRunner(environment), environment))


# Machines whose nix is missing, old or strange.


def test_a_machine_without_nix(tmp_path: Path) -> None:
    found = diagnose_with({"PATH": str(tmp_path)})
    assert found["nix"] == Finding(
        name="nix",
        status="problem",
        message="there is no `nix` on this machine",
        hint="install Nix: https://nixos.org/download, or on Debian `sudo apt-get install nix-bin`",
    )
    assert "features" not in found
    assert "store" not in found
    assert found["container engines"].status == "warning"
    assert found["destinations"].status == "ok"


def test_a_nix_that_is_too_old(tmp_path: Path) -> None:
    write_program(tmp_path / "nix", 'echo "nix (Nix) 2.3.16"')
    finding = diagnose_with({"PATH": str(tmp_path)})["nix"]
    assert finding.status == "problem"
    assert finding.message == "`nix` is `nix (Nix) 2.3.16`, and nixbridge needs Nix 2.8 or later"
    assert finding.hint is not None
    assert finding.hint.startswith("install Nix: ")


def test_another_program_of_that_name(tmp_path: Path) -> None:
    write_program(tmp_path / "nix", "echo 'nix 1.0, a shell for unix'")
    finding = diagnose_with({"PATH": str(tmp_path)})["nix"]
    assert finding.status == "problem"
    assert "which is no version of Nix that we know" in finding.message
    assert finding.hint == "is another program called `nix` on the PATH?"


# Real nix.

QUIET = "substitute = false\nsandbox-paths =\nsandbox = false\nbuild-users-group =\n"


@pytest.mark.nix
def test_the_features_are_off() -> None:
    found = diagnose_with(os.environ | {"NIX_CONFIG": f"{QUIET}experimental-features ="})
    assert found["nix"].status == "ok"
    assert found["features"] == Finding(
        name="features",
        status="warning",
        message="`nix-command` and `flakes` are off; nixbridge turns them on for its own calls, "
        "but `nix run .#…` needs them",
        hint=FEATURES_HINT,
    )
    assert found["store"].status == "ok"


@pytest.mark.nix
def test_one_feature_is_off() -> None:
    found = diagnose_with(
        os.environ | {"NIX_CONFIG": f"{QUIET}experimental-features = nix-command"}
    )
    assert found["features"].message.startswith("`flakes` is off; ")
    assert found["features"].hint == FEATURES_HINT


@pytest.mark.nix
def test_a_machine_on_which_nix_is_well() -> None:
    config = f"{QUIET}experimental-features = nix-command flakes"
    found = diagnose_with(os.environ | {"NIX_CONFIG": config})
    assert found["features"].message == "`nix-command` and `flakes` are on"
    assert found["store"].message.startswith("`/nix/store`, written by ")
    assert found["substituters"].message.startswith("none: ")
    statuses = {name: finding.status for name, finding in found.items()}
    assert statuses["nix"] == statuses["store"] == statuses["substituters"] == "ok"


@pytest.mark.nix
def test_a_store_on_another_machine() -> None:
    environment = os.environ | {"NIX_CONFIG": QUIET, "NIX_REMOTE": "ssh://host.invalid"}
    finding = diagnose_with(environment)["store"]
    assert finding.status == "problem"
    assert finding.message == (
        "the files of the Nix store `ssh://host.invalid` are not on this machine"
    )


# Settings, told by a nix that is not there.


def findings_for(
    store: Path, ping: tuple[int, str, str] = (0, "", ""), **settings: object
) -> dict[str, Finding]:
    answer = (
        0,
        json.dumps(
            {name.replace("_", "-"): {"value": v} for name, v in settings.items()}
            | {"store": {"value": str(store)}}
        ),
        "",
    )
    features = (0, "experimental-features = flakes nix-command\n", "")
    runner = RecordingRunner([(0, "nix (Nix) 2.26.3\n", ""), features, answer, answer, ping])
    return by_name(diagnose(runner, {"PATH": ""}))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store that we may write, so that nix would build by itself."""
    (tmp_path / "nix" / "var" / "nix").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def _as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)


def test_the_store_cannot_be_opened(store: Path) -> None:
    failure = (1, "", "error: opening lock file '/nix/var/nix/db/big-lock': Permission denied\n")
    found = findings_for(store, failure)
    assert found["store"].status == "problem"
    assert found["store"].message == (
        "opening the Nix store failed: opening lock file '/nix/var/nix/db/big-lock': "
        "Permission denied"
    )
    assert found["store"].hint is not None
    assert found["store"].hint.startswith("be root, or have a daemon")
    assert "build users" not in found


def test_who_writes_the_store(store: Path) -> None:
    assert findings_for(store)["store"].message == f"`{store}/nix/store`, written by nix itself"
    elsewhere = store / "elsewhere"
    found = findings_for(elsewhere)
    assert found["store"].message == f"`{elsewhere}/nix/store`, written by the daemon"
    assert "build users" not in found
    assert "sandbox" not in found


@pytest.mark.usefixtures("_as_root")
def test_the_group_of_build_users_does_not_exist(store: Path) -> None:
    finding = findings_for(store, build_users_group="no-such-group")["build users"]
    assert finding.status == "problem"
    assert finding.message == (
        "the group `no-such-group`, whose members run the builders, does not exist"
    )
    assert finding.hint is not None
    assert "`groupadd -r no-such-group" in finding.hint
    assert f"or put `build-users-group =` into {NIX_CONF} to build as root" in finding.hint


@pytest.mark.usefixtures("_as_root")
@pytest.mark.parametrize(
    ("members", "status", "message"),
    [
        ([], "problem", "the group `nixbld`, whose members run the builders, has none"),
        (["nixbld1", "nixbld2"], "ok", "builders run as the 2 members of the group `nixbld`"),
    ],
)
def test_the_group_of_build_users(
    members: list[str], status: str, message: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = grp.struct_group(("nixbld", "x", 30000, members))
    monkeypatch.setattr(grp, "getgrnam", lambda _: group)
    finding = findings_for(store, build_users_group="nixbld")["build users"]
    assert (finding.status, finding.message) == (status, message)


@pytest.mark.usefixtures("_as_root")
@pytest.mark.parametrize(
    "settings",
    [{"build_users_group": ""}, {"build_users_group": "nope", "auto_allocate_uids": True}, {}],
)
def test_no_group_of_build_users_is_needed(settings: dict[str, Any], store: Path) -> None:
    assert findings_for(store, **settings)["build users"].status == "ok"


def test_who_is_not_root_needs_no_build_users(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    finding = findings_for(store, build_users_group="no-such-group")["build users"]
    assert (finding.status, finding.message) == ("ok", "builders run as you")


def test_no_sandbox(store: Path) -> None:
    finding = findings_for(store, sandbox=False)["sandbox"]
    assert finding.status == "warning"
    assert finding.hint == f"put `sandbox = true` into {NIX_CONF}, if the kernel allows it"


@pytest.mark.parametrize("sandbox", [True, "true", "relaxed"])
def test_the_sandbox_names_files_that_are_not_there(sandbox: object, store: Path) -> None:
    """Debian's Nix 2.26 names bash-static, which is rarely installed."""
    paths = ["/bin/sh=/nonexistent/bash-static", "/", "/nonexistent/optional?", "/x=/"]
    finding = findings_for(store, sandbox=sandbox, sandbox_paths=paths)["sandbox"]
    assert finding.status == "problem"
    assert finding.message == (
        "the setting `sandbox-paths` names what does not exist: `/nonexistent/bash-static`"
    )
    assert finding.hint == (
        "install it (on Debian `apt-get install bash-static`), or put `sandbox-paths =` "
        f"into {NIX_CONF}"
    )
    found = findings_for(store, sandbox=sandbox, sandbox_paths=paths[1:])
    assert found["sandbox"].status == "ok"


def test_substituters(store: Path) -> None:
    urls = ["https://one.example", "https://two.example"]
    found = findings_for(store, substituters=urls, substitute=True)
    assert found["substituters"].message == "`https://one.example`, `https://two.example`"
    assert findings_for(store, substituters=[])["substituters"].message.startswith("none: ")


# Plugins and engines.


def install(directory: Path, name: str, entry_points: str, module: str) -> None:
    """Put a distribution and its module into `directory`, as pip would."""
    information = directory / f"{name}-1.5.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (information / "entry_points.txt").write_text(entry_points)
    (directory / f"{name}.py").write_text(module)


def test_plugins_and_where_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "biggest", "[nixbridge.strategies]\nbiggest = biggest:plan\n", "plan = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    finding = diagnose_with({"PATH": ""})["strategies"]
    assert finding.status == "ok"
    assert ", `biggest` (biggest 1.5), " in finding.message
    assert "`popularity` (nixbridge " in finding.message


def test_a_plugin_that_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        tmp_path, "broken", "[nixbridge.destinations]\nftp = broken:Ftp\n", "raise OSError('no')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    finding = diagnose_with({"PATH": ""})["destinations"]
    assert finding == Finding(
        name="destinations",
        status="problem",
        message="cannot be loaded: `ftp` (broken 1.5): no",
        hint="update or remove the package that it comes from",
    )


def test_container_engines(tmp_path: Path) -> None:
    write_program(tmp_path / "docker", "")
    write_program(tmp_path / "bwrap", "")
    finding = diagnose_with({"PATH": str(tmp_path)})["container engines"]
    assert (finding.status, finding.message) == ("ok", "`docker`, `bwrap`")


# How it is shown.

TWO = (
    Finding(name="nix", status="ok", message="well"),
    Finding(name="sandbox", status="problem", message="ill", hint="take a pill"),
)


def test_as_text() -> None:
    assert findings_text(TWO) == (
        "ok       nix      well\nproblem  sandbox  ill\n                  hint: take a pill"
    )


def test_as_a_document() -> None:
    assert findings_document(TWO)["findings"] == [
        {"name": "nix", "status": "ok", "message": "well", "hint": None},
        {"name": "sandbox", "status": "problem", "message": "ill", "hint": "take a pill"},
    ]
