"""containerd, as Debian has it and as the nodes of kind and minikube use it: pull, import, run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engines import Containerd
from test_serve import IMAGE, lines_of, serving

pytestmark = [pytest.mark.nix, pytest.mark.tools]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    directory = tmp_path / "sources"
    directory.mkdir()
    (directory / "one.nix").write_text(IMAGE.replace("NAME", "one"))
    return directory


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_what_is_served_is_pulled_and_runs(
    folder: Path, tmp_path: Path, containerd: Containerd, compression: str
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with serving(folder, "one.nix", "--compression", compression, temporary=temporary) as process:
        name, _, digest = lines_of(process, 1)[0].partition("@")
        containerd.pull(name, "--plain-http")
    assert containerd.checked(name) == (digest, True)
    assert containerd.run(name) == "from one\n"


def test_it_is_pulled_by_hosts_toml(folder: Path, tmp_path: Path, containerd: Containerd) -> None:
    """As docs/engines.md has it for kind: where it is, and that it is plain HTTP, is said there."""
    with serving(folder, "one.nix", temporary=tmp_path) as process:
        address, _, rest = lines_of(process, 1)[0].partition("/")
        hosts = tmp_path / "certs.d" / "nixbridge.example:5000"
        hosts.mkdir(parents=True)
        (hosts / "hosts.toml").write_text(f'[host."http://{address}"]\n')
        tag, _, digest = rest.partition("@")
        name = f"nixbridge.example:5000/{tag}"
        containerd.pull(name, f"--hosts-dir={hosts.parent}")
    assert containerd.checked(name) == (digest, True)
    assert containerd.run(name) == "from one\n"


def test_an_archive_is_imported_as_kind_does_it(
    folder: Path, tmp_path: Path, containerd: Containerd
) -> None:
    archive = tmp_path / "one.tar"
    copy = [sys.executable, "-m", "nixbridge", "copy", "one.nix", f"docker-archive:{archive}"]
    subprocess.run(copy, check=True, capture_output=True, cwd=folder)
    # https://github.com/kubernetes-sigs/kind/blob/v0.20.0/pkg/cluster/nodeutils/util.go
    load = ["images", "import", "--all-platforms", "--digests", "--snapshotter=native", "-"]
    containerd.ctr(*load, stdin=archive.read_bytes())
    name = "docker.io/library/one:1"
    assert containerd.checked(name)[1]
    assert containerd.run(name) == "from one\n"
