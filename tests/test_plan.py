"""`nixbridge plan` with real Nix: against what is out, from a saved plan, of a family."""

from __future__ import annotations

import json
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
  maxLayers ? 6,
}:
let
  inherit ((import <nixbridge> { inherit pkgs; }).nix2container) buildImage;
  lib = pkgs.writeTextDir "share/lib" library;
  app = pkgs.writeShellScriptBin "app" "cat ${lib}/share/lib; echo ${application}";
  image =
    name: program:
    buildImage {
      inherit maxLayers name;
      config.entrypoint = [ program ];
      initializeNixDatabase = true;
    };
in
{
  shop = image "shop" "${app}/bin/app";
  greeter = image "greeter" (pkgs.writeShellScript "greeter" "echo hello");
}
"""


def document(*argv: str, cwd: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said("plan", *argv, "--json", cwd=cwd))
    return found


def shop(application: str = "1", library: str = "1") -> list[str]:
    return [
        *("images.nix", "-A", "shop", "--argstr", "application", application),
        *("--argstr", "library", library),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images, and one of them delivered."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "images.nix").write_text(IMAGES)
    said("copy", *shop(), "oci:out:1", "--compression", "zlib", cwd=folder)
    return folder


def test_plan_against_an_image_says_what_a_push_sends(folder: Path) -> None:
    same = document(*shop(), "--against", "oci:out:1", cwd=folder)
    assert same["update"]["push"]["layers"] == []
    new = document(*shop("2"), "--against", "oci:out:1", cwd=folder)
    # The application's layer, and the database of the store paths.
    sent = new["update"]["push"]["layers"]
    count = len(new["layers"])
    assert sent == [count, count + 1]
    names = [path["path"].partition("-")[2] for path in new["layers"][-1]["paths"]]
    assert "app" in names
    # The page tells the same.
    said("plan", *shop("2"), "--against", "oci:out:1", "--html", "plan.html", cwd=folder)
    page = (folder / "plan.html").read_text()
    assert "<dt>against</dt><dd>oci:out:1</dd>" in page
    assert f"<dt>push</dt><dd>2 layers ({count}-{count + 1}), " in page
    # It is what is sent.
    said("copy", *shop("2"), "oci:out:2", "--compression", "zlib", cwd=folder)
    diff_ids = [
        [
            layer["diffId"]
            for layer in json.loads(said("inspect", f"oci:out:{tag}", "--json", cwd=folder))[
                "layers"
            ]
        ]
        for tag in "12"
    ]
    assert [number for number, each in enumerate(diff_ids[1], 1) if each not in diff_ids[0]] == sent


def test_push_that_is_too_large_fails_with_status_4(folder: Path) -> None:
    options = ["--against", "oci:out:1", "--max-push"]
    assert "push  2 layers" in said("plan", *shop("2"), *options, "1MB", cwd=folder)
    result = nixbridge("plan", *shop("2", "2"), *options, "10B", "--json", cwd=folder)
    assert (result.returncode, result.stdout) == (4, "")
    error = json.loads(result.stderr.splitlines()[-1])["error"]
    assert error["code"] == "plan"
    assert error["message"].startswith("a push would send about ")
    assert error["message"].endswith(" kB, and 10 B is the most that it may")


def test_saved_plan_is_followed_and_saved_again_as_it_was(folder: Path) -> None:
    result = nixbridge("plan", *shop(), "--save", "plan.json", cwd=folder)
    assert result.stderr.splitlines()[-1] == "wrote plan.json"
    saved = (folder / "plan.json").read_bytes()
    said("plan", *shop(), "--plan", "plan.json", "--save", "again.json", cwd=folder)
    assert (folder / "again.json").read_bytes() == saved
    against = document(*shop(), "--against", "plan.json", cwd=folder)
    assert against["update"]["push"]["layers"] == []


def test_family_shares_layers_and_its_plan_is_followed(folder: Path) -> None:
    (folder / "greeter.nix").write_text("(import ./images.nix { maxLayers = 2; }).greeter")
    (folder / "shop.nix").write_text("(import ./images.nix { maxLayers = 2; }).shop")
    family = ["shop.nix", "greeter.nix", "--shared"]
    planned = document(*family, "--save", "shared.json", cwd=folder)
    assert planned["together"]["narSizeBytes"] < planned["alone"]["narSizeBytes"]
    keys = {
        image["name"]: [layer["key"] for layer in image["layers"]] for image in planned["images"]
    }
    assert keys["shop"][0] == keys["greeter"][0]
    for name in keys:
        followed = document(f"{name}.nix", "--plan", "shared.json", cwd=folder)
        (image,) = [each for each in planned["images"] if each["name"] == name]
        assert [layer["paths"] for layer in image["layers"]] == [
            [path["path"] for path in layer["paths"]] for layer in followed["layers"]
        ]


def test_layers_are_as_the_command_line_says(folder: Path) -> None:
    plan = document(*shop(), cwd=folder)
    assert plan["otherStrategies"].keys() >= {"auto", "single", "update-cost"}
    assert plan["floorBytes"] <= plan["otherStrategies"]["update-cost"] <= plan["expectedBytes"]
    options = ["--strategy", "update-cost", "--max-layers", "3"]
    plan = document(*shop(), *options, cwd=folder)
    assert len(plan["layers"]) == 3
    likely = [layer["changeProbability"] for layer in plan["layers"]]
    assert likely[0] < likely[-1] == 1
    assert len(document(*shop(), *options, "--leave-layers", "124", cwd=folder)["layers"]) == 2

    said("copy", *shop(), "oci:split:1", *options, "--weight", "app*=50", cwd=folder)
    layers = json.loads(said("inspect", "oci:split:1", "--json", cwd=folder))["layers"]
    assert len(layers) == 4  # the Nix database, too
    heavy = document(*shop(), *options, "--weight", "app*=50", cwd=folder)["layers"][-1]
    assert "app" in [path["path"].partition("-")[2] for path in heavy["paths"]]
    assert heavy["changeProbability"] > 0.8

    past = said("closure", *shop("2"), "--json", cwd=folder)
    (folder / "past.json").write_text(past)
    taught = document(*shop(), *options, "--history", "past.json", cwd=folder)
    # The application changed by itself, and so what it needs is less likely to.
    assert taught["layers"][0]["changeProbability"] < plan["layers"][0]["changeProbability"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--weight", "app"], "`--weight app` is no weight of a pattern"),
        (["--weight", "app=0"], "`--weight app=0` is no weight of a pattern"),
        (["--max-push", "5MB"], "`--max-push` needs an image to compare with"),
        (["--repack-within", "3"], "`--repack-within` needs an image whose layers are kept"),
        (["a.nix", "b.nix"], "2 images are to be planned"),
        (["--shared", "--plan", "x"], "`--shared` makes a plan, and `--plan` follows one"),
        (["--shared", "--against", "x"], "`--against` keeps the layers of one image; those that"),
        (["--shared", "--html", "x"], "`--html` shows the plan of one image"),
        (["--against", "x.json"], "cannot read the plan `x.json`: No such file or directory"),
        (["--against", "oci:x:y", "--max-push", "much"], "`much` is not a size"),
        (
            ["--max-layers", "-1"],
            "invalid value for '--max-layers'",
        ),
        (
            ["--leave-layers", "127"],
            "invalid value for '--leave-layers'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(argv: list[str], message: str, tmp_path: Path) -> None:
    result = nixbridge("plan", *argv, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines()[0].startswith(f"error: {message}")


def test_two_images_of_one_name_are_refused(folder: Path) -> None:
    result = nixbridge("plan", "images.nix", "images.nix", "-A", "shop", "--shared", cwd=folder)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-2:] == [
        "error: two images are called `shop`",
        "  hint: plans are told apart by the images' names: give each one of its own",
    ]
