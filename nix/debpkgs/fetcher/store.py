"""The Nix store: where a file of known hash will be, whether it is there, and adding it.

Paths are computed here, so that asking for hundreds takes one `nix-store`. The store is the one
that Nix itself would use (NIX_REMOTE, NIX_STORE_DIR).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import DebpkgsError

_BASE32 = "0123456789abcdfghijklmnpqrsvwxyz"


def store_directory() -> str:
    """Return the store directory that paths are named by."""
    return os.environ.get("NIX_STORE_DIR", "/nix/store")


def fixed_output_path(name: str, sha256: str, *, recursive: bool) -> str:
    """Return the store path of a file (flat) or a tree (recursive) with this hash.

    https://nix.dev/manual/nix/latest/protocols/store-path
    """
    if recursive:
        return _store_path("source", sha256, name)
    inner = hashlib.sha256(f"fixed:out:sha256:{sha256}:".encode()).hexdigest()
    return _store_path("output:out", inner, name)


def _store_path(kind: str, sha256: str, name: str) -> str:
    fingerprint = f"{kind}:sha256:{sha256}:{store_directory()}:{name}"
    digest = hashlib.sha256(fingerprint.encode()).digest()
    # Nix folds the digest to 160 bits and writes them from the last to the first, five a digit.
    folded = bytearray(20)
    for index, byte in enumerate(digest):
        folded[index % 20] ^= byte
    number = int.from_bytes(folded, "little")
    text = "".join(_BASE32[number >> 5 * digit & 31] for digit in reversed(range(32)))
    return f"{store_directory()}/{text}-{name}"


def invalid_paths(paths: Iterable[str]) -> set[str]:
    """Return those of the paths that are not in the store."""
    return set(_nix_store(["--check-validity", "--print-invalid", *paths]).split())


def add_files(files: Sequence[Path]) -> list[str]:
    """Add files by their sha256 and return their store paths, in order."""
    return _nix_store(["--add-fixed", "sha256", *map(str, files)]).split() if files else []


def add_tree(directory: Path) -> str:
    """Add a directory by the sha256 of its NAR and return its store path."""
    return _nix_store(["--add-fixed", "--recursive", "sha256", str(directory)]).strip()


def nar_sha256(directory: Path) -> str:
    """Return the sha256 of a directory's NAR in hexadecimal."""
    return _run(["nix-hash", "--type", "sha256", str(directory)]).strip()


def _nix_store(arguments: list[str]) -> str:
    return _run(["nix-store", *arguments])


def _run(argv: list[str]) -> str:
    if shutil.which(argv[0]) is None:
        raise DebpkgsError(
            f"`{argv[0]}` is not on this machine", hint="install the package nix-bin"
        )
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
        raise DebpkgsError(f"`{' '.join(argv[:3])} …` failed: {lines[-1].removeprefix('error: ')}")
    return result.stdout
