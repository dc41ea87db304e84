"""`nixbridge init`: the first spec of a user."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from image_files import Layout
from nixbridge import cli
from nixbridge.plugins import PluginGroup, plugins
from nixbridge.render import render
from nixbridge.share import nix_directory
from nixbridge.spec import read_spec

TEMPLATES = tuple(plugins(PluginGroup.TEMPLATES))
COMMENTED = re.compile(r"^# (?=\w+ = )", re.MULTILINE)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_first_spec(template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "My Shop"
    assert cli.main(["init", str(place), "--template", template]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"wrote {place}/nixbridge.toml\nnext: nixbridge copy '{place}' oci:out\n"
    spec = read_spec(place / "nixbridge.toml")
    assert (spec.image.name, spec.template) == ("my-shop", template)
    assert render(spec)


@pytest.mark.parametrize("template", TEMPLATES)
def test_what_is_commented_out_may_be_used(template: str, tmp_path: Path) -> None:
    cli.main(["init", str(tmp_path), "--template", template, "-q"])
    place = tmp_path / "nixbridge.toml"
    given = read_spec(place).given
    text, count = COMMENTED.subn("", place.read_text())
    place.write_text(text)
    spec = read_spec(place)
    assert count > 5
    assert len(spec.given - given) == count
    assert render(spec)


def test_a_spec_that_is_there_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nixbridge.toml").write_text("mine")
    assert cli.main(["init"]) == 2
    assert capsys.readouterr().err == (
        "error: `nixbridge.toml` is there already\n"
        "  hint: edit it, or name another directory to begin in\n"
    )
    assert Path("nixbridge.toml").read_text() == "mine"


def test_a_template_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", str(tmp_path / "new"), "--template", "dokcer"]) == 2
    assert capsys.readouterr().err == (
        "error: there is no template `dokcer`\n  hint: did you mean `docker`?\n"
    )
    assert not (tmp_path / "new").exists()


def test_a_directory_that_cannot_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert cli.main(["init", str(tmp_path / "file/new")]) == 2
    assert capsys.readouterr().err == (
        f"error: cannot make `{tmp_path}/file/new`: Not a directory\n"
    )


@pytest.mark.nix
def test_what_it_says_to_type_next_works(tmp_path: Path) -> None:
    place = tmp_path / "shop"
    assert cli.main(["init", str(place), "-q"]) == 0
    packages = f"nixpkgs={nix_directory()}/debpkgs"
    argv = ["copy", str(place), f"oci:{tmp_path}/out:x", "-q", "--", "-I", packages]
    assert cli.main(argv) == 0
    assert Layout(tmp_path / "out", "x").config["config"]["Entrypoint"] == ["hello"]
