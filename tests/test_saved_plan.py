"""A plan that is saved, committed and followed: by `copy --plan`, by a spec, by Nix functions."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command import nixbridge, said

pytestmark = pytest.mark.nix

# An application on a library, upon bash and glibc; each can be changed by itself.
IMAGES = """
{
  pkgs ? import <nixbridge/debpkgs> { },
  library ? "1",
  application ? "1",
  plan ? null,
}:
let
  inherit (import <nixbridge> { inherit pkgs; }) buildImage;
  lib = pkgs.writeTextDir "share/lib" library;
  app = pkgs.writeShellScriptBin "app" "cat ${lib}/share/lib; echo ${application}";
  image =
    name: program:
    buildImage {
      inherit name plan;
      maxLayers = 3;
      config.entrypoint = [ program ];
    };
in
{
  shop = image "shop" "${app}/bin/app";
  greeter = image "greeter" (pkgs.writeShellScript "greeter" "echo hello");
  bare = image "bare" (builtins.toFile "bare" "");
}
"""

SPEC = """
[nix]
packages = "debpkgs"

[image]
name = "tools"
packages = ["jq"]
config.cmd = ["jq"]

[layering]
max_layers = 3
"""


def shop(application: str = "1", library: str = "1") -> list[str]:
    return [
        *("images.nix", "-A", "shop", "--argstr", "application", application),
        *("--argstr", "library", library),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images.nix").write_text(IMAGES)
    return tmp_path


def names_of(layer: dict[str, Any]) -> list[str]:
    return sorted(path.partition("-")[2] for path in layer["paths"])


def names_in_file(path: Path) -> list[list[str]]:
    """Return the names of the paths of each layer of a saved plan."""
    (image,) = json.loads(path.read_text())["images"]
    return [names_of(layer) for layer in image["layers"]]


def copied(*argv: str, cwd: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Return the names of the paths of all layers that a copy made, and of those that it sent."""
    layers = json.loads(said("copy", *argv, "--json", cwd=cwd))["layers"]
    sent = [layer for layer in layers if layer["destinations"][0]["outcome"] == "sent"]
    return [names_of(layer) for layer in layers], [names_of(layer) for layer in sent]


def test_copy_by_a_saved_plan_sends_what_changed_and_no_more(folder: Path) -> None:
    said("plan", *shop(), "--save", "plan.json", cwd=folder)
    saved = names_in_file(folder / "plan.json")
    assert len(saved) == 3
    followed = ["--plan", "plan.json", "--strategy", "single"]
    assert copied(*shop(), "oci:out:1", *followed, cwd=folder) == (saved, saved)
    # What is built anew has the place of the old; with the strategy, all would be one layer.
    for number, argv in enumerate([shop("2"), shop("2", "2")], 2):
        layers, sent = copied(*argv, f"oci:out:{number}", *followed, cwd=folder)
        assert layers == saved
        assert sent == [names for names in saved if {"app", "lib"} & {*names}]
        assert len(sent) < len(saved)
    # Nothing changed, so nothing is sent, whatever is to be planned for the next time.
    assert copied(*shop("2", "2"), "oci:out:4", *followed, cwd=folder) == (saved, [])


def test_plan_of_another_image_is_told_of(folder: Path) -> None:
    said("plan", *shop(), "--save", "plan.json", cwd=folder)
    result = nixbridge(
        "copy", "images.nix", "-A", "greeter", "oci:o", "--plan", "plan.json", cwd=folder
    )
    assert result.returncode == 0
    assert "warning: `plan.json` was saved for the image `shop`\n" in result.stderr
    result = nixbridge(
        "copy", "images.nix", "-A", "bare", "oci:bare", "--plan", "plan.json", cwd=folder
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-2:] == [
        "error: `plan.json` is the plan of another image: it has no package of this one",
        "  hint: save the plan of this one: `nixbridge plan SOURCE --save FILE`",
    ]
    assert not (folder / "bare").exists()


def test_plan_that_says_little_of_an_image_is_told_of(folder: Path) -> None:
    said("plan", "images.nix", "-A", "bare", "--save", "bare.json", cwd=folder)
    plan = json.loads((folder / "bare.json").read_text())
    plan["images"][0]["layers"][0]["paths"] = [f"/nix/store/{'0' * 32}-app"]
    (folder / "little.json").write_text(json.dumps(plan))
    result = nixbridge("plan", *shop(), "--plan", "little.json", cwd=folder)
    assert result.returncode == 0
    count = len(json.loads(said("closure", *shop(), "--json", cwd=folder))["paths"])
    few = f"{count - 1} of the {count} store paths"
    assert f"warning: `little.json` has no layer for {few} of the image" in result.stderr


def test_spec_names_the_plan_that_is_followed(folder: Path) -> None:
    (folder / "nixbridge.toml").write_text(SPEC)
    said("plan", ".", "--strategy", "single", "--save", "plan.json", cwd=folder)
    single = names_in_file(folder / "plan.json")
    assert len(single) == 1
    assert len(copied(".", "oci:out:free", cwd=folder)[0]) == 3
    (folder / "nixbridge.toml").write_text(f'{SPEC}plan = "plan.json"\n')
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    assert copied("..", "oci:out:1", cwd=elsewhere)[0] == single
    # What the command line names comes first; the saved plan is so moved on.
    said(
        "plan",
        ".",
        "--against",
        "plan.json",
        "--repack-within",
        "1000",
        "--save",
        "new.json",
        cwd=folder,
    )
    assert len(names_in_file(folder / "new.json")) == 3
    assert copied(".", "oci:out:2", "--plan", "new.json", cwd=folder)[0] != single

    (folder / "plan.json").unlink()
    result = nixbridge("copy", ".", "oci:out:3", cwd=folder)
    assert result.returncode == 2
    assert result.stderr == (
        f"error: cannot read the plan `{folder}/plan.json`: No such file or directory\n"
        "  hint: without `layering.plan` in the spec, write it: "
        f"`nixbridge plan nixbridge.toml --save {folder}/plan.json`\n"
    )


def test_nix_functions_name_the_plan_that_is_followed(folder: Path) -> None:
    said("plan", *shop(), "--strategy", "single", "--save", "plan.json", cwd=folder)
    names = names_in_file(folder / "plan.json")
    assert len(names) == 1
    argument = ["--arg", "plan", "./plan.json"]
    assert copied(*shop(), *argument, "oci:out:1", cwd=folder)[0] == names
    description = json.loads(said("show", *shop("2"), *argument, cwd=folder))
    assert description["plan"] == json.loads((folder / "plan.json").read_text())
    # It is in the description, and needs no Nix to be followed.
    (folder / "shown.json").write_text(json.dumps(description))
    assert copied("shown.json", "oci:out:2", "--no-nix", cwd=folder)[0] == names
    result = nixbridge("show", *shop(), "--arg", "plan", "1", cwd=folder)
    assert result.returncode == 3
    assert "buildImage: `plan` is int, not path or string" in result.stderr


def test_why_and_serve_speak_of_the_plan_that_is_copied(folder: Path) -> None:
    said("plan", *shop(), "--strategy", "single", "--save", "plan.json", cwd=folder)
    followed = ["--plan", "plan.json"]
    for options, count in ([], 3), (followed, 1), (["--max-layers", "2"], 2):
        digest = said("copy", *shop(), f"oci:out:{count}", *options, cwd=folder).rpartition("@")[2]
        layers = json.loads(said("inspect", f"oci:out:{count}", "--json", cwd=folder))["layers"]
        assert len(layers) == count
        answer = json.loads(said("why", *shop(), "app", *options, "--json", cwd=folder))
        assert [layer["number"] for layer in answer["matches"][0]["layers"]] == [count]
        against = [*shop("2"), "--against", f"oci:out:{count}", "--json"]
        planned = json.loads(said("plan", *against, cwd=folder))["layers"]
        (match,) = json.loads(said("why", *against, "glibc", cwd=folder))["matches"]
        (layer,) = match["layers"]
        paths = [each["path"] for each in planned[layer["number"] - 1]["paths"]]
        assert match["path"] in paths
        assert layer["reason"] == planned[layer["number"] - 1]["reason"]
        with served(*shop(), *options, cwd=folder) as line:
            assert line.rpartition("@")[2] == digest


@contextlib.contextmanager
def served(*argv: str, cwd: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "nixbridge", "serve", *argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=cwd) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline()
        finally:
            process.terminate()


def test_images_that_share_layers_learn_from_history(folder: Path) -> None:
    (folder / "greeter.nix").write_text("(import ./images.nix { }).greeter")
    (folder / "shop.nix").write_text("(import ./images.nix { }).shop")
    (folder / "past.json").write_text(said("closure", *shop("2"), "--json", cwd=folder))
    family = ["shop.nix", "greeter.nix", "--shared", "--max-layers", "2", "--strategy", "auto"]
    said("plan", *family, "--history", "past.json", "--save", "plans.json", cwd=folder)
    result = nixbridge("plan", *family, "--history", "no.json", cwd=folder)
    assert result.returncode == 2
    assert "error: cannot read the closure `no.json`" in result.stderr
    for name in ("shop", "greeter"):
        plan = json.loads(said("plan", f"{name}.nix", "--plan", "plans.json", "--json", cwd=folder))
        assert len(plan["layers"]) == 2
