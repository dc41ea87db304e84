"""What `tests/fixtures/nix-cli` holds: the output of three Nix versions."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from nixbridge.evaluator import Completed, NixVersion

NIX_CLI = Path(__file__).parent.parent / "fixtures" / "nix-cli"
VERSIONS = ("2.8", "2.26", "2.34")


@dataclass(frozen=True)
class Call:
    """One recorded call of one version of nix."""

    version_name: str
    name: str

    def path(self, suffix: str) -> Path:
        return NIX_CLI / self.version_name / f"{self.name}.{suffix}"

    def bytes(self, suffix: str) -> bytes:
        path = self.path(suffix)
        return path.read_bytes() if path.exists() else b""

    @property
    def command(self) -> str:
        return self.path("cmd").read_text().strip()

    @property
    def status(self) -> int:
        return int(self.bytes("rc") or b"0")

    @property
    def version(self) -> NixVersion:
        return NixVersion.parse((NIX_CLI / self.version_name / "version.txt").read_text())

    @property
    def completed(self) -> Completed:
        return Completed(
            argv=tuple(shlex.split(self.command)),
            status=self.status,
            stdout=self.bytes("json") or self.bytes("txt"),
            stderr=self.bytes("stderr").decode(),
        )

    def __str__(self) -> str:
        return f"{self.version_name}/{self.name}"


def calls(pattern: str) -> list[Call]:
    """All recorded calls whose name matches `pattern`."""
    return [
        Call(version_name, path.stem)
        for version_name in VERSIONS
        for path in sorted((NIX_CLI / version_name).glob(f"{pattern}.cmd"))
    ]
