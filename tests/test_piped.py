"""`copy SOURCE -`: what reads the archive from a pipe."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from engines import Dockerd, PodmanStorage
from test_serve import IMAGE

pytestmark = [pytest.mark.nix, pytest.mark.tools]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one.nix").write_text(IMAGE.replace("NAME", "piped"))
    return tmp_path


def pipe(folder: Path, *commands: Sequence[str]) -> str:
    """Pipe the archive through commands; return what the last one says."""
    ours = [sys.executable, "-m", "nixbridge", "copy", "one.nix", "-"]
    words = " | ".join(map(shlex.join, ([*ours], *commands)))
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", words],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_docker_loads_it(
    folder: Path, dockerd: Dockerd, require_tool: Callable[[str], str]
) -> None:
    said = pipe(folder, [require_tool("docker"), "--host", dockerd.host, "load"])
    assert said == "Loaded image: piped:1\n"
    assert dockerd.run("piped:1") == "from piped\n"


def test_podman_loads_it(folder: Path, podman: PodmanStorage) -> None:
    pipe(folder, podman.command("load", "--quiet"))
    assert podman.run("piped:1") == "from piped\n"


def test_skopeo_takes_it_compressed(folder: Path, require_tool: Callable[[str], str]) -> None:
    """From a pipe it takes nothing else: https://github.com/containers/image/issues/1317."""
    skopeo = [require_tool("skopeo"), "--insecure-policy", "copy"]
    pipe(
        folder,
        [require_tool("zstd"), "--quiet"],
        [*skopeo, "docker-archive:/dev/stdin", "oci:theirs:x"],
    )
    command = [sys.executable, "-m", "nixbridge", "copy", "one.nix", "oci:ours:x"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    ours, theirs = (
        json.loads(
            subprocess.run(
                [skopeo[0], "inspect", "--config", f"oci:{name}:x"],
                check=True,
                capture_output=True,
                cwd=folder,
                env=os.environ,
            ).stdout
        )
        for name in ("ours", "theirs")
    )
    assert ours == theirs
