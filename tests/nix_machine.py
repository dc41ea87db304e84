"""A real store of a test's own, `nixbridge` run as a user runs it, and which files it opens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NIXBRIDGE = [sys.executable, "-m", "nixbridge"]


@dataclass(frozen=True)
class Machine:
    """A store of its own (with another root), a cache, and a folder to work in."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        # A store elsewhere builds in a root of its own, which has no shell unless it is given one.
        shell = " ".join(path for path in ("/bin", "/lib", "/lib64", "/usr") if Path(path).exists())
        return {
            **os.environ,
            "NIX_REMOTE": str(self.folder / "store"),
            "NIX_CONFIG": f"{os.environ.get('NIX_CONFIG', '')}\nsandbox-paths = {shell}",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, check=False, capture_output=True, text=True, cwd=self.folder, env=self.environment
        )

    def output(self, *argv: str) -> str:
        done = self.run(*argv)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def copy(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.run(*NIXBRIDGE, "copy", *argv)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )

    def add(self, name: str, files: dict[str, bytes]) -> str:
        """Put a directory into the store; nothing keeps it from garbage collection."""
        source = self.folder / name
        source.mkdir()
        for file, data in files.items():
            (source / file).write_bytes(data)
        return self.output("nix-store", "--add", str(source))

    def place(self, path: str) -> Path:
        return self.folder / "store" / path.lstrip("/")


@dataclass(frozen=True)
class Process:
    """What strace saw of one process or thread."""

    lines: list[str]

    @property
    def runs_nix(self) -> bool:
        return any(re.match(r'execve\("[^"]*/nix[^/"]*".* = 0$', line) for line in self.lines)

    @property
    def children(self) -> list[int]:
        found = (re.match(r"(?:clone|clone3|fork|vfork)\(.* = (\d+)$", each) for each in self.lines)
        return [int(match[1]) for match in found if match]

    @property
    def opened(self) -> list[str]:
        found = (re.match(r'open(?:at2?)?\((?:[^,"]*, )?"([^"]*)"', each) for each in self.lines)
        return [match[1] for match in found if match]


def opened_by_nixbridge(machine: Machine, strace: str, *argv: str) -> list[str]:
    """Copy, and return the files that were opened by us and our threads, but not by nix."""
    for old in machine.folder.glob("trace.*"):
        old.unlink()
    calls = "trace=open,openat,openat2,execve,clone,clone3,fork,vfork"
    command = [strace, "-ff", "-s", "4096", "-e", calls, "-o", "trace", *NIXBRIDGE, "copy", *argv]
    machine.output(*command)
    seen = {
        int(path.suffix[1:]): Process(path.read_text(errors="replace").splitlines())
        for path in machine.folder.glob("trace.*")
    }
    children = {child for process in seen.values() for child in process.children}
    [first] = seen.keys() - children

    def ours(number: int) -> Iterator[str]:
        process = seen[number]
        if not process.runs_nix:
            yield from process.opened
            for child in process.children:
                yield from ours(child)

    return list(ours(first))
