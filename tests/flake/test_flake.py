"""The flake of a clean checkout, as its users run it, by two versions of Nix, without a network."""

from __future__ import annotations

import grp
import gzip
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engines import Dockerd, PodmanStorage
from flake.flake_checkout import REPOSITORY, Flake, make_checkout, make_repository
from image_files import Layout
from nixbridge import __version__
from programs import write_program
from registry_server import RegistryServer

pytestmark = pytest.mark.nix

# What answers to `docker version` and `podman version`, and is the machine's own for all else.
CLIENT = """
test "$1" = version || exec {program} "$@"
"""

NAMES_OF_NIXPKGS = """
{
  outputs = _: rec {
    lib = import ./lib;
    systems = [ "aarch64-darwin" "aarch64-linux" "riscv64-linux" "x86_64-darwin" "x86_64-linux" ];
    legacyPackages = lib.genAttrs systems (system: {
      nixfmt = null;
      nixfmt-tree = null;
      python3Packages = {
        aiofiles = null;
        aiohttp = null;
        mako = null;
      };
      stdenv.hostPlatform.isLinux = lib.hasSuffix "-linux" system;
      writeShellApplication = arguments: arguments;
    });
  };
}
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkout(tmp_path_factory.mktemp("flake") / "checkout")


@pytest.fixture(scope="module")
def nix_2_26(tmp_path_factory: pytest.TempPathFactory) -> Path:
    link = tmp_path_factory.mktemp("nix") / "nix"
    argv = ["nix-build", str(REPOSITORY / "nix/debpkgs"), "-A", "nix", "--out-link", str(link)]
    subprocess.run(argv, check=True, capture_output=True)
    return link / "bin"


@pytest.fixture(scope="module", params=["machine", "2.26"])
def flake(request: pytest.FixtureRequest, checkout: Path, nix_2_26: Path) -> Flake:
    programs = nix_2_26 if request.param == "2.26" else None
    return Flake(checkout, {"nixpkgs": f"path:{checkout}/nix/debpkgs"}, programs)


@pytest.fixture(scope="module")
def project(flake: Flake, tmp_path_factory: pytest.TempPathFactory) -> Flake:
    """What `nix flake init -t` makes, with this checkout as its nixbridge."""
    directory = tmp_path_factory.mktemp("project") / "hello"
    directory.mkdir()
    nixbridge = f"git+file://{flake.directory}"
    subprocess.run(
        ["nix", "flake", "init", "--template", nixbridge],
        cwd=directory,
        check=True,
        capture_output=True,
        env=flake.environment,
    )
    make_repository(directory)
    return Flake(directory, {"nixbridge": nixbridge, **flake.inputs}, flake.programs)


@pytest.fixture(scope="module")
def runner(project: Flake) -> Path:
    """The program of `nix run .#image`."""
    return project.build("image.run", project.directory.parent / "run") / "bin/run-image"


def digest_of(reference: str) -> str:
    return reference.rpartition("@")[2]


def test_everything_evaluates(flake: Flake) -> None:
    flake.output("flake", "check", "--no-build")
    shown = json.loads(flake.output("flake", "show", "--json"))
    # The embedded set has no formatter for Nix, and Nix 2.26 does not show an empty output.
    assert set(shown) - {"formatter"} == {
        *("apps", "checks", "devShells", "lib", "overlays", "packages", "templates")
    }
    system = "x86_64-linux"
    assert set(shown["packages"][system]) == {"default", "dockerImage"}
    # The embedded set has not what pynixify needs.
    assert set(shown["apps"][system]) == {"default", "dockerImage"}


def test_who_runs_it_does_not_wait_for_its_tests(flake: Flake) -> None:
    def needs(attribute: str) -> set[str]:
        paths = flake.output("path-info", "--recursive", "--derivation", attribute).split()
        return {path[44:].removesuffix(".drv").rpartition("-")[0] for path in paths}

    without = needs(".#packages.x86_64-linux.default")
    tested = needs(".#checks.x86_64-linux.nixbridge")
    assert "python3-jinja2" in without & tested
    assert tested - without >= {"python3-pytest", "python3-hypothesis"}


def test_other_systems(checkout: Path, tmp_path: Path) -> None:
    """With a nixpkgs of names alone, as the embedded packages are for one system only."""
    shutil.copytree(checkout / "nix/debpkgs/lib", tmp_path / "lib")
    (tmp_path / "flake.nix").write_text(NAMES_OF_NIXPKGS)
    flake = Flake(checkout, {"nixpkgs": f"path:{tmp_path}"})
    everywhere = ["aarch64-darwin", "aarch64-linux", "x86_64-darwin", "x86_64-linux"]
    for output, of_darwin, of_linux in (
        ("apps", ["default", "pynixify"], ["default", "dockerImage", "pynixify"]),
        ("packages", ["default"], ["default", "dockerImage"]),
    ):
        names = flake.output(
            "eval", f".#{output}", "--json", "--apply", "builtins.mapAttrs (_: builtins.attrNames)"
        )
        assert json.loads(names) == {
            system: of_linux if "linux" in system else of_darwin for system in everywhere
        }
    formatters = flake.output("eval", ".#formatter", "--json", "--apply", "builtins.attrNames")
    assert json.loads(formatters) == everywhere
    shells = flake.output("eval", ".#devShells", "--json", "--apply", "builtins.attrNames")
    assert json.loads(shells) == ["aarch64-linux", "x86_64-linux"]


def test_what_nixpkgs_itself_is_asked_for(flake: Flake) -> None:
    """The lock names it; here it cannot be fetched, but it is what would be."""
    metadata = json.loads(
        Flake(flake.directory, {}, flake.programs).output("flake", "metadata", "--json")
    )
    nodes = metadata["locks"]["nodes"]
    assert nodes["nixpkgs"]["locked"]["rev"] == "8fd9daa3db09ced9700431c5b7ad0e8ba199b575"
    assert nodes["nixpkgs"]["original"]["ref"] == "nixos-25.11"
    assert nodes["pynixify"]["flake"] is False
    assert nodes["pynixify"]["locked"]["rev"] == "bdf8d71228e7332a4c6a61a75eb3838f7b9d4fbb"
    assert set(nodes) == {"nixpkgs", "pynixify", "root"}


def test_the_developer_shell(flake: Flake) -> None:
    said = flake.output("develop", "--command", "nixbridge", "--version")
    assert said == f"nixbridge {__version__}"
    where = "import nixbridge, pytest; print(nixbridge.__file__)"
    file = flake.output("develop", "--command", "python3", "-c", where)
    assert Path(file) == flake.directory / "nixbridge/__init__.py"


def test_the_image_is_that_of_make_image(flake: Flake, tmp_path: Path) -> None:
    ours = flake.output("run", ".#dockerImage", "--", f"oci:{tmp_path}/a:x")
    copied = flake.output("run", ".#dockerImage.copyTo", "--", f"oci:{tmp_path}/c:x")
    described = flake.build("dockerImage", tmp_path / "description")
    # As scripts/make-image does it.
    nixbridge(flake, "render", "nixbridge.toml", "--output", f"{tmp_path}/docker.nix")
    made = nixbridge(flake, "copy", f"{tmp_path}/docker.nix", f"oci:{tmp_path}/b:x")
    built = nixbridge(flake, "copy", str(described), f"oci:{tmp_path}/d:x")
    assert {digest_of(reference) for reference in (copied, made, built)} == {digest_of(ours)}
    layers = [Layout(tmp_path / name, "x").manifest["layers"] for name in "abcd"]
    assert layers == [layers[0]] * 4
    assert len(layers[0]) > 50


def nixbridge(flake: Flake, *words: str) -> str:
    """Run the checkout's own command as one who has no flakes does; return what it prints."""
    result = subprocess.run(
        [sys.executable, "-m", "nixbridge", *words],
        cwd=flake.directory,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(flake.directory)},
    )
    return result.stdout.strip()


def test_docker_nix_is_what_the_spec_renders_to(repository: Path) -> None:
    argv = [sys.executable, "-m", "nixbridge", "render", "--check", "--output", "nix/docker.nix"]
    result = subprocess.run(argv, cwd=repository, check=False, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_template_is_a_project_that_works(project: Flake, tmp_path: Path) -> None:
    reference = project.output("run", ".#image", "--", f"oci:{tmp_path}/out:x")
    image = Layout(tmp_path / "out", "x")
    assert image.config["config"]["Entrypoint"] == ["hello"]
    described = project.build("image", tmp_path / "description")
    assert json.loads(described.read_text())["name"] == "hello"
    assert reference.startswith(f"oci:{tmp_path}/out:x@sha256:")


def test_a_committed_plan_is_followed(project: Flake, tmp_path: Path) -> None:
    described = project.build("image", tmp_path / "description")
    plan, spec = project.directory / "plan.json", project.directory / "nixbridge.toml"
    text = spec.read_text()
    argv = [sys.executable, "-m", "nixbridge", "plan", str(described), "--strategy", "single"]
    subprocess.run([*argv, "--save", str(plan)], check=True, capture_output=True)
    spec.write_text(f'{text}\n[layering]\nplan = "plan.json"\n')
    try:
        subprocess.run(["git", "add", "--all"], cwd=project.directory, check=True)
        project.output("run", ".#image", "--", f"oci:{tmp_path}/out:x")
    finally:
        spec.write_text(text)
        plan.unlink()
        subprocess.run(["git", "add", "--all"], cwd=project.directory, check=True)
    assert len(Layout(tmp_path / "out", "x").manifest["layers"]) == 1


def test_without_a_destination_into_a_pipe(runner: Path) -> None:
    result = subprocess.run([runner], check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(result.stdout)) as archive:
        member = archive.extractfile("manifest.json")
        assert member is not None
        (manifest,) = json.load(member)
    assert manifest["RepoTags"] == ["hello:latest"]


@pytest.fixture
def clients(tmp_path: Path) -> Path:
    """The directory of all programs that are to be found: first none."""
    directory = tmp_path / "bin"
    directory.mkdir()
    return directory


def add_client(clients: Path, name: str, script: str) -> None:
    write_program(clients / name, script)


@pytest.fixture
def add_podman(
    clients: Path, podman: PodmanStorage, tmp_path: Path
) -> Callable[[], dict[str, str]]:
    """Put podman into `clients`, and return the environment in which it has its own storage."""

    def add() -> dict[str, str]:
        add_client(clients, "podman", CLIENT.format(program=podman.program))
        storage = tmp_path / "storage.conf"
        places = f'graphroot = "{podman.directory}/data"\nrunroot = "{podman.directory}/run"\n'
        storage.write_text(f'[storage]\ndriver = "vfs"\n{places}')
        return {"CONTAINERS_STORAGE_CONF": str(storage)}

    return add


def run_on_a_terminal(
    runner: Path, clients: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    ours, terminal = pty.openpty()
    try:
        return subprocess.run(
            [runner],
            check=False,
            stdout=terminal,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": str(clients), "HOME": str(clients.parent), **environment},
        )
    finally:
        os.close(terminal)
        os.close(ours)


@pytest.mark.tools
def test_on_a_terminal_into_the_engine_that_is_there(
    runner: Path, clients: Path, dockerd: Dockerd
) -> None:
    add_client(clients, "docker", CLIENT.format(program="false"))
    add_client(clients, "podman", CLIENT.format(program="false"))
    result = run_on_a_terminal(runner, clients, DOCKER_HOST=dockerd.host)
    assert result.returncode == 0, result.stderr
    assert ["hello:latest"] in dockerd.images().values()
    assert dockerd.run("hello:latest") == "Hello, world!\n"


@pytest.mark.tools
def test_an_engine_that_does_not_answer_is_none(
    runner: Path,
    clients: Path,
    podman: PodmanStorage,
    add_podman: Callable[[], dict[str, str]],
) -> None:
    add_client(clients, "docker", "exit 1")
    result = run_on_a_terminal(runner, clients, **add_podman())
    assert result.returncode == 0, result.stderr
    assert list(podman.images().values()) == [["localhost/hello:latest"]]


def test_an_engine_that_fails_is_told_of(runner: Path, clients: Path) -> None:
    add_client(clients, "docker", CLIENT.format(program="false"))
    result = run_on_a_terminal(runner, clients, DOCKER_HOST="unix:///nowhere")
    assert result.returncode == 7
    assert result.stderr.splitlines()[-2:] == [
        "error: no Docker daemon answers at `unix:///nowhere`: no such file or directory",
        "  hint: start it, or say where it is: `DOCKER_HOST=unix:///PATH`",
    ]


def test_without_an_engine_it_says_what_to_type(runner: Path, clients: Path) -> None:
    result = run_on_a_terminal(runner, clients)
    assert result.returncode == 2
    assert result.stderr == (
        "error: no container engine answers here: neither docker nor podman\n"
        "  hint: say where the image shall go: add `-- oci:DIR` or\n"
        "        `-- docker-archive:FILE`, or send it to a program: `nix run … | podman load`\n"
    )


@pytest.mark.tools
def test_copy_to_each_engine(
    project: Flake,
    clients: Path,
    tmp_path: Path,
    dockerd: Dockerd,
    podman: PodmanStorage,
    add_podman: Callable[[], dict[str, str]],
) -> None:
    """What they are called with is handed on: here, one more destination."""
    environment = {
        "PATH": str(clients),
        "HOME": str(tmp_path),
        "DOCKER_HOST": dockerd.host,
        **add_podman(),
    }
    references = []
    for attribute in ("copyToDockerDaemon", "copyToPodman"):
        program = project.build(f"image.{attribute}", tmp_path / attribute) / "bin"
        argv = [str(next(program.iterdir())), f"oci:{tmp_path}/out"]
        copied = subprocess.run(argv, check=False, capture_output=True, text=True, env=environment)
        assert copied.returncode == 0, copied.stderr
        references += copied.stdout.splitlines()
    digest = digest_of(references[0])
    assert references == [
        f"docker-daemon:hello:latest@{digest}",
        f"oci:{tmp_path}/out@{digest}",
        f"containers-storage:localhost/hello:latest@{digest}",
        f"oci:{tmp_path}/out@{digest}",
    ]
    assert podman.run("hello:latest") == "Hello, world!\n"


@pytest.mark.tools
def test_copy_to_its_registry(
    project: Flake, tmp_path: Path, docker_registry: RegistryServer
) -> None:
    """Where its name says; this one is changed to name the registry of the tests."""
    program = project.build("image.copyToRegistry", tmp_path / "program") / "bin"
    script = (program / "copy-to-registry").read_text()
    assert "docker://hello:latest" in script
    changed = tmp_path / "copy"
    changed.write_text(
        script.replace(
            "docker://hello", f"--dest-tls-verify=false {docker_registry.reference('hello')}"
        )
    )
    changed.chmod(0o755)
    copied = subprocess.run([changed], check=True, capture_output=True, text=True)
    assert copied.stdout.startswith(
        docker_registry.reference("hello:latest").removeprefix("docker://")
    )


def test_the_tarball(project: Flake, tmp_path: Path) -> None:
    tarball = project.build("image.tarball", tmp_path / "tarball")
    product = (tarball / "nix-support/hydra-build-products").read_text()
    assert product == f"file binary-dist {tarball}/image.tar.gz\n"
    data = (tarball / "image.tar.gz").read_bytes()
    # https://www.rfc-editor.org/rfc/rfc1952#section-2.3: no flags (so no name), no time
    assert data[:8] == b"\x1f\x8b\x08\x00" + bytes(4)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as archive:
        member = archive.extractfile("manifest.json")
        assert member is not None
        (manifest,) = json.load(member)
    # Whoever publishes it names it.
    assert manifest["RepoTags"] is None


def test_the_tarball_is_the_same_without_a_sandbox(project: Flake) -> None:
    project.output("build", ".#image.tarball", "--no-link")
    options = ("--rebuild", "--option", "sandbox", "false")
    project.output("build", ".#image.tarball", "--no-link", options=options)


@pytest.mark.tools
def test_the_tarball_is_the_same_on_another_day(
    project: Flake, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    long_ago = [require_tool("faketime"), "2001-02-03 04:05:06"]
    day = subprocess.run([*long_ago, "date", "+%F"], check=True, capture_output=True, text=True)
    assert day.stdout == "2001-02-03\n"
    tarball = project.build("image.tarball", tmp_path / "tarball") / "image.tar.gz"
    described = project.build("image", tmp_path / "description")
    argv = [sys.executable, "-m", "nixbridge", "copy", "--no-nix", "--no-cache", str(described)]
    then = subprocess.run([*long_ago, *argv, "docker-archive:-:"], check=True, capture_output=True)
    # Of gzip's header, which has no time, test_the_tarball holds that.
    assert then.stdout == gzip.decompress(tarball.read_bytes())


@pytest.mark.usefixtures("needs_namespaces")
def test_the_tarball_is_the_same_in_a_sandbox_and_by_another_user(project: Flake) -> None:
    if os.geteuid() != 0 or not any(group.gr_name == "nixbld" for group in grp.getgrall()):
        pytest.skip("only root can build as another user, and only if there are build users")
    project.output("build", ".#image.tarball", "--no-link")
    settings = (("sandbox", "true"), ("sandbox-fallback", "false"), ("build-users-group", "nixbld"))
    options = [word for name, value in settings for word in ("--option", name, value)]
    project.output("build", ".#image.tarball", "--no-link", options=("--rebuild", *options))


def test_the_package_passes_its_checks(checkout: Path, nix_2_26: Path) -> None:
    """The tests that need no Nix, in Nix's sandbox, by the Python and the libraries of trixie."""
    flake = Flake(checkout, {"nixpkgs": f"path:{checkout}/nix/debpkgs"}, nix_2_26)
    flake.output("flake", "check")
    program = flake.output("build", ".#default", "--no-link", "--print-out-paths")
    closure = flake.output("path-info", "--recursive", program).splitlines()
    names = {path[44:].rpartition("-")[0] for path in closure}
    assert {"nixbridge", "glibc", "python3-jinja2"} <= names
    # What only its build and its tests need, and what makes typer prettier.
    assert not names & {"python3-pytest", "python3-hatchling", "python3-rich", "nixbridge-build"}
    size_bytes = int(flake.output("path-info", "--closure-size", program).split()[-1])
    for document in ("README.md", "docs/nix.md"):
        told = re.search(r"closure (?:of|is) (\d+) MB", (checkout / document).read_text())
        assert told is not None
        assert abs(size_bytes / 1e6 - int(told[1])) < 3
