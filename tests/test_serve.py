"""`nixbridge serve` and `copy` into engines with real Nix: images run wherever they came from."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engines import Dockerd, PodmanStorage
from registry_server import RegistryServer

pytestmark = [pytest.mark.nix, pytest.mark.tools]

IMAGE = """
{ pkgs ? import <nixbridge/debpkgs> { } }:
let
  inherit ((import <nixbridge> { inherit pkgs; }).nix2container) buildImage buildLayer;
in
buildImage {
  name = "NAME";
  tag = "1";
  config.entrypoint = [ "${pkgs.hello}/bin/hello" ];
  config.cmd = [ "--greeting=from NAME" ];
  layers = [ (buildLayer { deps = [ pkgs.glibc ]; }) ];
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sources")
    for file, name in (("one.nix", "one"), ("two.nix", "registry.example.org/team/two")):
        (directory / file).write_text(IMAGE.replace("NAME", name))
    return directory


@contextlib.contextmanager
def serving(folder: Path, *arguments: str, temporary: Path) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "nixbridge", "serve", *arguments]
    with subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_of(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


def ended(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    return process.returncode, stderr


def test_what_is_served_is_pulled_and_runs(
    folder: Path,
    tmp_path: Path,
    podman: PodmanStorage,
    dockerd: Dockerd,
    require_tool: Callable[[str], str],
) -> None:
    skopeo = require_tool("skopeo")
    with serving(folder, "one.nix", "two.nix", temporary=tmp_path) as process:
        one, two = lines_of(process, 2)
        match = re.fullmatch(r"(127\.0\.0\.1:\d+)/one:1@(sha256:[0-9a-f]{64})", one)
        assert match is not None, one
        address, digest = match.groups()
        assert re.fullmatch(rf"{address}/team/two:1@sha256:[0-9a-f]{{64}}", two)
        # The roots that keep what is served from garbage collection.
        assert len(list(tmp_path.glob("nixbridge-*/result"))) == 2

        name = f"{address}/one:1"
        podman.podman("pull", "--quiet", "--tls-verify=false", name)
        assert podman.run(name) == "from one\n"
        dockerd.pull(f"{address}/team/two:1")
        assert dockerd.run(f"{address}/team/two:1") == "from registry.example.org/team/two\n"
        inspect = [skopeo, "inspect", "--tls-verify=false", "--format={{.Digest}}"]
        shown = subprocess.run(
            [*inspect, f"docker://{name}"], check=True, capture_output=True, text=True
        )
        assert shown.stdout.strip() == digest
        status, stderr = ended(process, signal.SIGINT)
    assert status == 130
    assert stderr.splitlines()[-2:] == ["  serving; an interrupt (Ctrl-C) ends it", "interrupted"]
    assert list(tmp_path.iterdir()) == []


def test_it_ends_when_it_is_terminated_while_somebody_listens(folder: Path, tmp_path: Path) -> None:
    with serving(folder, "one.nix", "--no-cache", temporary=tmp_path) as process:
        (line,) = lines_of(process, 1)
        host, _, _ = line.partition("/")
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.request("GET", "/v2/one/manifests/1")
        assert connection.getresponse().status == 200
        status, stderr = ended(process, signal.SIGTERM)
        connection.close()
    assert status == 143
    assert re.search(r"  pack +(\d+) layers: \1 packed for their digests \(not sent\) ", stderr)
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_told_before_anything_is_built(
    folder: Path, tmp_path: Path
) -> None:
    with serving(folder, "one.nix", temporary=tmp_path) as process:
        (line,) = lines_of(process, 1)
        address = line.partition("/")[0]
        with serving(folder, "one.nix", "--listen", address, temporary=tmp_path) as other:
            stdout, stderr = other.communicate(timeout=30)
        assert (other.returncode, stdout) == (7, "")
        assert stderr == (
            f"error: `{address}` is taken: something else listens there\n"
            "  hint: take another port, or any that is free: `127.0.0.1:0`\n"
        )


def test_two_images_of_one_name(folder: Path, tmp_path: Path) -> None:
    (folder / "again.nix").write_text(IMAGE.replace('"--greeting', '"--traditional" "--greeting'))
    text = (folder / "again.nix").read_text().replace("NAME", "one")
    (folder / "again.nix").write_text(text)
    with serving(folder, "one.nix", "again.nix", temporary=tmp_path) as process:
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (2, "")
    assert "error: two images would be served as `one:1`\n" in stderr


@pytest.mark.parametrize("engine", ["podman", "docker"])
def test_a_copy_into_an_engine_tells_what_it_took_and_what_it_had(
    podman: PodmanStorage, dockerd: Dockerd, engine: str, tmp_path: Path
) -> None:
    destination = f"{podman.prefix}told" if engine == "podman" else "docker-daemon:told"
    # The daemon is shared: it may have what other tests gave it, and so must not begin with it.
    text = IMAGE.replace("NAME", "told").replace("pkgs.glibc", f'(pkgs.writeText "{engine}" "")')
    (tmp_path / "new.nix").write_text(text)

    def copy(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nixbridge", "copy", "new.nix", destination, *arguments],
            check=True,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "DOCKER_HOST": dockerd.host},
        )

    def destinations(document: dict[str, Any]) -> list[tuple[str, str, int]]:
        return [
            (each["outcome"], each["why"], each["sentBytes"])
            for layer in document["layers"]
            for each in layer["destinations"]
        ]

    first = json.loads(copy("--json").stdout)
    sizes = [layer["sizeBytes"] for layer in first["layers"]]
    had = ("skipped", "the engine had it", 0)
    assert destinations(first) == [("sent", "the engine took it", size) for size in sizes]
    assert first["sentBytes"] == sum(sizes)
    again = json.loads(copy("--json").stdout)
    assert destinations(again) == [had] * len(sizes)

    # Other words, the same layers.
    (tmp_path / "new.nix").write_text(text.replace("from told", "from another"))
    assert not re.search(r"^  (sent|skipped) ", copy().stderr, re.MULTILINE)
    shown = copy("-v").stderr
    for word in ("known", "skipped"):
        assert len(re.findall(rf"^  {word} +layer \d+ of", shown, re.MULTILINE)) == len(sizes)


def test_it_runs_wherever_it_was_copied_and_has_one_digest(
    folder: Path,
    tmp_path: Path,
    podman: PodmanStorage,
    dockerd: Dockerd,
    docker_registry: RegistryServer,
) -> None:
    destinations = [
        docker_registry.reference("copied:1"),
        "docker-daemon:copied:1",
        f"{podman.prefix}copied:1",
        f"oci:{tmp_path}/layout:x",
        f"oci-archive:{tmp_path}/oci.tar",
        f"docker-archive:{tmp_path}/docker.tar:archived:1",
    ]
    copied = subprocess.run(
        [
            *(sys.executable, "-m", "nixbridge", "copy", "one.nix", *destinations),
            *("--compression", "none", "--dest-tls-verify=false"),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "DOCKER_HOST": dockerd.host},
    )
    assert copied.returncode == 0, copied.stderr
    references = copied.stdout.splitlines()
    assert len(references) == len(destinations)
    assert len({reference.rpartition("@")[2] for reference in references}) == 1

    assert podman.run("copied:1") == "from one\n"
    assert dockerd.run("copied:1") == "from one\n"
    pushed = f"{docker_registry.host}/copied:1"
    podman.podman("pull", "--quiet", "--tls-verify=false", pushed)
    dockerd.pull(pushed)
    assert podman.run(pushed) == dockerd.run(pushed) == "from one\n"
    podman.podman("load", "--quiet", f"--input={tmp_path}/docker.tar")
    assert podman.run("archived:1") == "from one\n"
    # One image, whatever the way that it came by.
    assert len(podman.images()) == 1
