"""`pullImage`, `pullImageFromManifest` and `fromImage`, with a registry of Debian's on loopback."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from image_files import ImageFiles, Layout
from nixbridge import cli
from nixbridge.containers import Bubblewrap
from nixbridge.destinations.oci_layout import OciLayout
from nixside.nix_functions import NixProgram

pytestmark = [pytest.mark.nix, pytest.mark.tools]

FILE = Path(__file__).parent / "from_image.nix"
RELEASE = "made by umoci\n"


def run(*argv: str | Path) -> str:
    result = subprocess.run(argv, capture_output=True, check=False, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Path:
    """An image that another tool has made: one compressed layer, and a config to take over."""
    umoci = require_tool("umoci")
    folder = tmp_path_factory.mktemp("base")
    image = f"{folder / 'layout'}:base"
    rootless = () if os.geteuid() == 0 else ("--rootless",)
    run(umoci, "init", "--layout", folder / "layout")
    run(umoci, "new", "--image", image)
    run(umoci, "unpack", *rootless, "--image", image, folder / "bundle")
    (folder / "bundle/rootfs/etc").mkdir()
    (folder / "bundle/rootfs/etc/base-release").write_text(RELEASE)
    run(umoci, "repack", "--image", image, folder / "bundle")
    words = [
        *("--config.env", "PATH=/usr/bin", "--config.env", "GREETING=hi"),
        *("--config.label", "base=yes", "--config.cmd", "/bin/sh", "--config.workingdir", "/etc"),
        *("--architecture", "amd64", "--os", "linux"),
    ]
    run(umoci, "config", "--image", image, *words)
    return folder / "layout"


@dataclass(frozen=True)
class Registry:
    address: str
    digest: str
    manifest: Path


@pytest.fixture(scope="module")
def registry(
    base: Path, tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]
) -> Iterator[Registry]:
    """A registry with the base image in it."""
    program, skopeo = require_tool("docker-registry"), require_tool("skopeo")
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    configuration = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
        "log": {"level": "error"},
    }
    (folder / "config.yml").write_text(json.dumps(configuration))
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    with (folder / "log").open("w") as log:
        argv = [program, "serve", str(folder / "config.yml")]
        server = subprocess.Popen(argv, stdout=log, stderr=log, env=environment)
    try:
        wait_for(address, server)
        reference = f"docker://{address}/team/base"
        plain = ("--insecure-policy", "copy", "--dest-tls-verify=false")
        run(skopeo, *plain, f"oci:{base}:base", f"{reference}:latest")
        raw = run(skopeo, "inspect", "--tls-verify=false", "--raw", f"{reference}:latest")
        inspected = json.loads(run(skopeo, "inspect", "--tls-verify=false", f"{reference}:latest"))
        (folder / "manifest.json").write_text(raw)
        yield Registry(address, inspected["Digest"], folder / "manifest.json")
    finally:
        server.terminate()
        server.wait(10)


def wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the registry did not start")


def build(attribute: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Build with the network: without the sandbox, which has none of this machine's."""
    options = ("--no-out-link", "--option", "sandbox", "false")
    return NixProgram().run("nix-build", *options, FILE, "--attr", attribute, *arguments)


def copy(folder: Path, attribute: str, *arguments: str) -> ImageFiles:
    argv = ["copy", str(FILE), f"oci:{folder / attribute}:test", "-A", attribute, *arguments, "-q"]
    assert cli.main(argv) == 0
    return ImageFiles(Layout(folder / attribute, "test"))


def manifest_of(layout: Path) -> dict[str, Any]:
    entry = json.loads((layout / "index.json").read_text())["manifests"][0]
    manifest: dict[str, Any] = json.loads(
        (layout / "blobs/sha256" / entry["digest"][7:]).read_text()
    )
    return manifest


def check_upon(image: ImageFiles, base: Path) -> None:
    """The layers of the base image lie below, as they are, and its config is taken over."""
    layers = image.layout.manifest["layers"]
    # What we know of them is written on them.
    below = [{**layer, "annotations": None} for layer in layers[: len(manifest_of(base)["layers"])]]
    assert below == [{**layer, "annotations": None} for layer in manifest_of(base)["layers"]]
    assert layers[0]["mediaType"].endswith("+gzip")
    assert image["etc/base-release"].text == RELEASE
    config = image.layout.config["config"]
    assert config.pop("Entrypoint")[1:] == ["/etc/base-release"]
    assert config == {
        "Env": ["PATH=/usr/bin", "GREETING=hi"],
        "WorkingDir": "/etc",
        "Labels": {"base": "yes"},
    }
    history = image.layout.config["history"]
    assert [entry["created_by"] for entry in history] == [
        "umoci repack",
        "umoci config",
        "nixbridge",
    ]


def test_pulled(registry: Registry, base: Path, tmp_path: Path) -> None:
    arguments = ["--argstr", "registry", registry.address, "--argstr", "digest", registry.digest]
    # As a user finds the hash out.
    refused = build("pulled", *arguments)
    assert refused.returncode != 0
    got = re.search(r"got: *(sha256-\S+)", refused.stderr)
    assert got, refused.stderr
    arguments += ["--argstr", "sha256", got[1]]
    pulled = build("pulled", *arguments)
    assert pulled.returncode == 0, pulled.stderr
    # As nix2container has it: what skopeo's `dir:` is.
    files = sorted(path.name for path in Path(pulled.stdout.strip()).iterdir())
    manifest = json.loads((Path(pulled.stdout.strip()) / "manifest.json").read_text())
    digests = [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
    assert files == sorted([*(digest[7:] for digest in digests), "manifest.json", "version"])
    check_upon(copy(tmp_path, "uponPulled", *arguments), base)


def test_pulled_from_a_manifest(registry: Registry, base: Path, tmp_path: Path) -> None:
    arguments = ["--argstr", "registry", registry.address]
    arguments += ["--arg", "manifest", str(registry.manifest)]
    pulled = build("fromManifest", *arguments)
    assert pulled.returncode == 0, pulled.stderr
    check_upon(copy(tmp_path, "uponManifest", *arguments), base)


def test_the_manifest_is_printed(registry: Registry) -> None:
    built = build("getManifest", "--argstr", "registry", registry.address)
    assert built.returncode == 0, built.stderr
    printed = run(Path(built.stdout.strip()) / "bin/get-manifest")
    assert json.loads(printed) == json.loads(registry.manifest.read_text())


def test_a_layout_and_upon_an_image_of_ours(
    base: Path, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    arguments = ("--arg", "base", str(base))
    below = copy(tmp_path, "uponBase", *arguments)
    check_upon(below, base)
    image = copy(tmp_path, "uponUpon", *arguments)
    layers = image.layout.manifest["layers"]
    # Own layers and the Nix database; coreutils, which the layer below has, does not come again.
    assert layers[:2] == below.layout.manifest["layers"]
    assert len(layers) == 4
    assert image["/etc/own"].text == "own"
    config = image.layout.config["config"]
    assert config["Env"] == ["PATH=/usr/bin", "GREETING=hello", "B=2"]
    assert config["Labels"] == {"base": "yes", "own": "yes"}
    # Said here anew, and taken over from two below.
    assert config["Cmd"] == ["/etc/base-release"]
    assert config["Entrypoint"] == below.layout.config["config"]["Entrypoint"]
    store = {name for name in image.below("/nix/store") if not name.startswith(".")}
    assert image.below("/nix/var/nix/gcroots/docker") == store
    require_tool("bwrap")
    with Bubblewrap.open(OciLayout(directory=tmp_path / "uponUpon", name="test")) as container:
        ran = container.run()
    assert ran.stdout == RELEASE * 2, ran.stderr


def test_without_nix_it_is_the_same(base: Path, tmp_path: Path) -> None:
    arguments = ("--arg", "base", str(base))
    image = copy(tmp_path, "uponUpon", *arguments)
    built = build("uponUpon", *arguments)
    assert built.returncode == 0, built.stderr
    argv = ["copy", "--no-nix", built.stdout.strip(), f"oci:{tmp_path / 'other'}:test", "-q"]
    assert cli.main(argv) == 0
    assert Layout(tmp_path / "other", "test").manifest == image.layout.manifest


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_archives(
    kind: str, base: Path, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    archive = tmp_path / "base.tar"
    skopeo = (require_tool("skopeo"), "--insecure-policy", "copy")
    run(*skopeo, f"oci:{base}:base", f"{kind}:{archive}:base:latest")
    image = copy(tmp_path, "uponBase", "--arg", "base", str(archive))
    assert image["etc/base-release"].text == RELEASE
    assert image.layout.config["config"]["Env"] == ["PATH=/usr/bin", "GREETING=hi"]


def test_a_docker_archive_holds_the_layers_as_they_are(
    base: Path, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    archive = f"docker-archive:{tmp_path / 'image.tar'}"
    argv = ["copy", str(FILE), archive, "-A", "uponBase", "--arg", "base", str(base), "-q"]
    assert cli.main(argv) == 0
    # skopeo reads it, compressed layers and all, and checks what it reads.
    out = f"oci:{tmp_path / 'out'}:test"
    run(require_tool("skopeo"), "--insecure-policy", "copy", archive, out)
    config = Layout(tmp_path / "out", "test").config
    assert len(config["rootfs"]["diff_ids"]) == 2


def test_another_architecture_is_refused(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["copy", str(FILE), f"oci:{tmp_path / 'x'}", "-A", "uponOther", "--arg", "base"]
    assert cli.main([*argv, str(base)]) == 2
    assert (
        "is for linux/amd64, and the image is for linux/arm64\n"
        "  hint: pull the base image for linux/arm64, or set the image's `arch`"
    ) in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_damaged_layer_is_refused(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = tmp_path / "layout"
    run("cp", "-r", base, layout)
    digest = manifest_of(layout)["layers"][0]["digest"]
    blob = layout / "blobs/sha256" / digest[7:]
    blob.chmod(0o644)
    blob.write_bytes(b"x" * blob.stat().st_size)
    argv = ["copy", str(FILE), f"oci:{tmp_path / 'x'}", "-A", "uponBase", "--arg", "base"]
    assert cli.main([*argv, str(layout)]) == 6
    assert f"`blobs/sha256/{digest[7:]}` of the base image" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
