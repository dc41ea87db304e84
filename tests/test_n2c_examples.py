"""nix2container's tests of its examples, unmodified, with our functions and podman.

Nothing of nix2container is in this repository. Where `NIXBRIDGE_N2C_REPOSITORY` names a checkout of
it, its test scripts are built and run as they are, on images of Debian's packages. What we hold of
the same behaviours without it is `tests/nixside/test_nixside_behaviours.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nixbridge.containers.container import remove_tree
from nixside.nix_functions import NixProgram

pytestmark = [pytest.mark.nix, pytest.mark.tools]

VARIABLE = "NIXBRIDGE_N2C_REPOSITORY"
# All but those that need the internet (fromImage, fromImageManifest, *GetManifest), a web server
# (nginx, uwsgi) or skopeo's `dir:`, which is no destination of ours (nonRegressionIssue12).
TESTS = (
    "basic",
    "bashLs",
    "bashVersion",
    "copyToRoot",
    "created",
    "duplicated",
    "hello",
    "layered",
    "metadata",
    "nested",
    "nix",
    "nix-user",
    "nixNested",
    "nonRegressionIssue45",
    "nonReproducible",
    "openbar",
    "ownership",
)
# Theirs call a podman that needs no words; on a machine inside a container it needs some.
PODMAN = """#!/bin/sh
verb=$1
shift
case $verb in run) set -- --cgroups=disabled --network=none \\
  --ulimit=nofile=1024:1024 --ulimit=nproc=4096:4096 "$@" ;; esac
exec unshare {namespaces} sh -c '
  umount /sys/fs/cgroup/unified 2>/dev/null
  exec {podman} --root={storage}/s --runroot={storage}/r "$@"
' podman "$verb" "$@"
"""


@pytest.fixture(scope="module")
def their_repository() -> Path:
    repository = os.environ.get(VARIABLE)
    if not repository:
        pytest.skip(f"{VARIABLE} names no checkout of nix2container")
    return Path(repository).resolve()


@pytest.fixture(scope="module")
def podman(
    require_tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Return a directory with `bin/podman`, whose images are its own."""
    # Podman refuses a storage with a long name.
    storage = Path(tempfile.mkdtemp(prefix="n2c-"))
    program = tmp_path_factory.mktemp("podman") / "bin/podman"
    program.parent.mkdir()
    namespaces = "--mount" if os.geteuid() == 0 else "--user --map-current-user"
    program.write_text(
        PODMAN.format(namespaces=namespaces, podman=require_tool("podman"), storage=storage)
    )
    program.chmod(0o755)
    yield program.parent.parent
    remove_tree(storage)


@pytest.mark.parametrize("name", TESTS)
def test_theirs(name: str, their_repository: Path, podman: Path, repository: Path) -> None:
    built = NixProgram().output(
        "nix-build",
        "--no-out-link",
        repository / "tests/nixside/nix2container_tests.nix",
        *("--arg", "repository", their_repository),
        *("--arg", "podman", podman),
        *("--argstr", "program", f"{sys.executable} -m nixbridge"),
        *("--attr", name),
    )
    # Its scripts call jq, and ours podman, by name.
    assert shutil.which("jq"), "jq is not on PATH"
    environment = {**os.environ, "PATH": f"{podman}/bin:{os.environ['PATH']}"}
    # By a shell, because two of them have no first line that says what they are.
    argv = ["sh", "-c", '"$0"', f"{built}/bin/test-script"]
    result = subprocess.run(argv, capture_output=True, check=False, env=environment)
    words = (result.stdout + result.stderr).decode(errors="replace")
    assert result.returncode == 0, words
    assert "Error" not in words
