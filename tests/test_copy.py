"""`nixbridge copy` with real Nix, from every kind of source, run as a user runs it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from command import nixbridge, said
from image_files import ImageFiles, Layout

pytestmark = pytest.mark.nix

IMAGE = """
{
  pkgs ? import <nixbridge/debpkgs> { },
  greeting ? "hello",
}:
let
  inherit ((import <nixbridge> { inherit pkgs; }).nix2container) buildImage buildLayer;
  image =
    name:
    buildImage {
      inherit name;
      tag = "test";
      config.entrypoint = [ "${pkgs.hello}/bin/hello" ];
      config.env = [ "GREETING=${greeting}" ];
      layers = [ (buildLayer { deps = [ pkgs.glibc ]; }) ];
      copyToRoot = [ (pkgs.writeTextDir "etc/greeting" greeting) ];
      initializeNixDatabase = true;
    };
in
"""


def copied(*argv: str, cwd: Path) -> str:
    return said("copy", *argv, cwd=cwd).strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one.nix").write_text(IMAGE + 'image "one"\n')
    (tmp_path / "two.nix").write_text(IMAGE + '{ a = image "a"; b = image "b"; }\n')
    return tmp_path


def test_the_last_line_is_the_digest_reference(folder: Path) -> None:
    lines = copied("one.nix", "oci:out:x", "docker-archive:out.tar", cwd=folder).splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"oci:out:x@sha256:[0-9a-f]{64}", lines[0])
    assert re.fullmatch(r"docker-archive:out.tar:one:test@sha256:[0-9a-f]{64}", lines[1])
    assert lines[0].partition("@")[2] == lines[1].partition("@")[2]
    assert sorted(path.name for path in folder.iterdir()) == [
        "one.nix",
        "out",
        "out.tar",
        "two.nix",
    ]


def test_files_and_config(folder: Path) -> None:
    copied("one.nix", "oci:out:x", "--argstr", "greeting", "good day", cwd=folder)
    image = ImageFiles(Layout(folder / "out", "x"))
    assert image["/etc/greeting"].text == "good day"
    assert image.layout.environment == {"GREETING": "good day"}
    assert len(image.layers) == 3
    entrypoint = image.layout.config["config"]["Entrypoint"][0]
    assert image.resolve(entrypoint) == entrypoint


def test_the_same_on_any_machine(folder: Path, tmp_path: Path) -> None:
    """Two runs that differ in all that must not count write the same files."""
    worlds: list[tuple[dict[str, str], int]] = [
        ({"LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "0"}, 0o022),
        ({"LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "4242"}, 0o077),
    ]
    written: list[dict[str, bytes]] = []
    for number, (env, umask) in enumerate(worlds):
        place = tmp_path / f"world{number}"
        place.mkdir()
        shutil.copy(folder / "one.nix", place)
        result = nixbridge(
            "copy",
            "one.nix",
            "oci:out:x",
            "docker-archive:a.tar",
            "oci-archive:b.tar:x",
            cwd=place,
            env=env,
            umask=umask,
        )
        assert result.returncode == 0, result.stderr
        written.append(
            {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}
        )
    assert written[0].keys() == written[1].keys()
    assert [name for name in written[0] if written[0][name] != written[1][name]] == []


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_same_for_any_number_of_workers(folder: Path, compression: str) -> None:
    arguments = ("--no-cache", "--compression", compression)
    layouts = []
    for workers in ("1", "2", "7"):
        copied("one.nix", f"oci:layout{workers}:x", "--workers", workers, *arguments, cwd=folder)
        copied(
            "one.nix", f"oci-archive:{workers}.tar:x", "--workers", workers, *arguments, cwd=folder
        )
        unpacked = folder / f"archive{workers}"
        unpacked.mkdir()
        subprocess.run(["tar", "-xf", f"{workers}.tar", "-C", unpacked], check=True, cwd=folder)
        layouts += [Layout(folder / f"{kind}{workers}", "x") for kind in ("layout", "archive")]
    first = layouts[0]
    assert len(ImageFiles(first).layers) == 3
    for other in layouts[1:]:
        # First what says most of what went wrong: other paths (the key), another tar (the diff id),
        # or another blob of the same tar.
        for one_layer, other_layer in zip(
            first.manifest["layers"], other.manifest["layers"], strict=True
        ):
            assert other_layer["annotations"] == one_layer["annotations"], other.directory
        assert other.config == first.config, other.directory
        assert other.manifest == first.manifest, other.directory
        assert files_of(other.directory) == files_of(first.directory), other.directory


def files_of(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below `directory`, by its name."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_what_nix2container_makes_of_it(folder: Path) -> None:
    copied("one.nix", "oci:ours:x", cwd=folder)
    copied("one.nix", "oci:theirs:x", "--n2c-exact", cwd=folder)
    ours, theirs = (Layout(folder / name, "x") for name in ("ours", "theirs"))
    # The last layer is the Nix database, which has other modes.
    ours_ids, theirs_ids = (layout.config["rootfs"]["diff_ids"] for layout in (ours, theirs))
    assert theirs_ids[:-1] == ours_ids[:-1]
    assert theirs_ids[-1] != ours_ids[-1]
    assert theirs.config["history"] == [{"created_by": "nix2container"}] * 3
    assert theirs.config["config"] == ours.config["config"]
    assert "annotations" not in json.dumps(theirs.manifest)
    assert "annotations" in json.dumps(ours.manifest)


def test_attribute(folder: Path) -> None:
    assert copied("two.nix", "-A", "b", "docker-archive:b.tar", cwd=folder).startswith(
        "docker-archive:b.tar:b:test@"
    )
    result = nixbridge("copy", "two.nix", "oci:out", cwd=folder)
    assert result.returncode == 2
    assert "`-A a`, `-A b`" in result.stderr
    assert not (folder / "out").exists()


def test_standard_output_is_a_docker_archive(
    folder: Path, require_tool: Callable[[str], str]
) -> None:
    with (folder / "image.tar").open("wb") as archive:
        command = [sys.executable, "-m", "nixbridge", "copy", "one.nix", "-"]
        result = subprocess.run(
            command, stdout=archive, stderr=subprocess.PIPE, cwd=folder, check=False
        )
    assert result.returncode == 0, result.stderr
    skopeo = require_tool("skopeo")
    seen = subprocess.run(
        [skopeo, "inspect", "--config", "docker-archive:image.tar"],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    assert json.loads(seen.stdout)["config"]["Env"] == ["GREETING=hello"]


def test_a_reader_that_goes_away(folder: Path) -> None:
    script = (
        f"{sys.executable} -m nixbridge copy one.nix - | head -c 1000 >/dev/null; "
        "exit ${PIPESTATUS[0]}"
    )
    result = subprocess.run(
        ["bash", "-c", script], check=False, capture_output=True, text=True, cwd=folder
    )
    assert result.returncode in {7, 141}
    assert "Traceback" not in result.stderr


def test_store_path_and_link(folder: Path) -> None:
    built = subprocess.run(
        [
            "nix-build",
            "--expr",
            "(import <nixbridge/debpkgs> { }).hello",
            "-o",
            "result",
            "-I",
            f"nixbridge={Path(__file__).parent.parent / 'nix'}",
        ],
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
    ).stdout.strip()
    by_path = copied(built, "oci:out:path", cwd=folder)
    by_link = copied("result", "oci:out:link", cwd=folder)
    assert by_path.partition("@")[2] == by_link.partition("@")[2]
    image = ImageFiles(Layout(folder / "out", "path"))
    assert f"{built}/bin/hello" in image
    requisites = subprocess.run(
        ["nix-store", "--query", "--requisites", built], check=True, capture_output=True, text=True
    ).stdout.split()
    assert {f"/nix/store/{name}" for name in image.below("/nix/store")} == set(requisites)


def test_description(folder: Path) -> None:
    shown = nixbridge("show", "one.nix", cwd=folder)
    (folder / "image.json").write_text(shown.stdout)
    by_file = copied("one.nix", "oci:out:x", cwd=folder)
    by_description = copied("image.json", "oci:out:y", cwd=folder)
    assert by_file.partition("@")[2] == by_description.partition("@")[2]


def test_flake(folder: Path, repository: Path) -> None:
    flake = folder / "flake"
    flake.mkdir()
    (flake / "flake.nix").write_text(
        """
        {
          inputs.debpkgs.url = "path:@nix@/debpkgs";
          inputs.nixbridge.url = "path:@nix@";
          inputs.nixbridge.flake = false;
          outputs = { debpkgs, nixbridge, ... }: {
            packages.x86_64-linux.app =
              let
                pkgs = debpkgs.legacyPackages.x86_64-linux;
              in
              (import nixbridge { inherit pkgs; }).buildImage {
                name = "app";
                config.Cmd = [ "${pkgs.hello}/bin/hello" ];
              };
          };
        }
        """.replace("@nix@", str(repository / "nix"))
    )
    reference = copied(f"path:{flake}#app", "docker-archive:x.tar:app:1", cwd=folder)
    assert reference.startswith("docker-archive:x.tar:app:1@sha256:")


def test_a_failing_build(folder: Path) -> None:
    (folder / "bad.nix").write_text(
        '(import <nixbridge/debpkgs> { }).runCommand "shop-1.0" { } "echo no such module; exit 3"'
    )
    result = nixbridge("copy", "bad.nix", "oci:out", cwd=folder)
    assert result.returncode == 3
    assert result.stdout == ""
    assert result.stderr.startswith("error: building `bad.nix` failed: ")
    assert "no such module" in result.stderr
    assert "nix log /nix/store/" in result.stderr
    assert not (folder / "out").exists()


def test_a_failing_evaluation(folder: Path) -> None:
    (folder / "bad.nix").write_text("{ }:\nundefinedName\n")
    result = nixbridge("copy", "bad.nix", "oci:out", "--json", cwd=folder)
    assert result.returncode == 3
    assert result.stdout == ""
    error = json.loads(result.stderr)["error"]
    assert "undefined variable 'undefinedName'" in f"{error['message']} {error['details']}"
    assert re.search(r"bad\.nix:2:1", f"{error['message']} {error['details']}")


@pytest.mark.usefixtures("needs_namespaces")
def test_a_store_with_another_root(folder: Path, tmp_path: Path) -> None:
    """Paths keep their names in the image, and their files are read from where they lie."""
    store = tmp_path / "store"
    expression = (
        'derivation { name = "x"; system = "x86_64-linux"; builder = "/bin/sh"; '
        'args = [ "-c" "echo elsewhere > $out" ]; }'
    )
    (folder / "x.nix").write_text(expression)
    # A store elsewhere builds in a root of its own, which has no shell unless it is given one.
    paths = " ".join(str(p) for p in map(Path, ("/bin", "/lib", "/lib64", "/usr")) if p.exists())
    env = {
        "NIX_REMOTE": str(store),
        "NIX_CONFIG": f"{os.environ.get('NIX_CONFIG', '')}\nsandbox-paths = {paths}",
    }
    result = nixbridge("copy", "x.nix", "oci:out:x", cwd=folder, env=env)
    assert result.returncode == 0, result.stderr
    image = ImageFiles(Layout(folder / "out", "x"))
    name = next(iter(image.below("/nix/store")))
    assert image[f"/nix/store/{name}"].text == "elsewhere\n"
    assert not Path(f"/nix/store/{name}").exists()


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_the_middle(folder: Path, kind: signal.Signals) -> None:
    # A number of our own: another run of this test would hold the lock of the same derivation.
    sleep = f"sleep 6{os.getpid()}{kind:02}"
    (folder / "slow.nix").write_text(
        f'(import <nixbridge/debpkgs> {{ }}).runCommand "slow" {{ }} "echo begun; {sleep}"'
    )
    command = [sys.executable, "-m", "nixbridge", "copy", "-v", "slow.nix", "oci:out"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        assert process.stderr is not None
        assert any("begun" in line for line in process.stderr)
        started = time.monotonic()
        process.send_signal(kind)
        process.communicate(timeout=60)
    assert process.returncode == (130 if kind == signal.SIGINT else 143)
    assert time.monotonic() - started < 30
    assert not (folder / "out").exists()
    left = subprocess.run(["pgrep", "-f", sleep], check=False, capture_output=True)
    assert left.stdout == b""
