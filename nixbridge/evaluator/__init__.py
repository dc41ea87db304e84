"""Run the `nix` command, and read what it prints. The only room that starts processes."""

from __future__ import annotations

from nixbridge.evaluator.installable import (
    FileInstallable,
    FlakeInstallable,
    Installable,
    StorePathInstallable,
)
from nixbridge.evaluator.nix import Nix, find_nix, nix_version
from nixbridge.evaluator.parse import parse_path_info_file
from nixbridge.evaluator.progress import NixEvent, ProgressListener
from nixbridge.evaluator.runner import CommandRunner, Completed, SubprocessRunner
from nixbridge.evaluator.version import NixVersion

__all__ = [
    "CommandRunner",
    "Completed",
    "FileInstallable",
    "FlakeInstallable",
    "Installable",
    "Nix",
    "NixEvent",
    "NixVersion",
    "ProgressListener",
    "StorePathInstallable",
    "SubprocessRunner",
    "find_nix",
    "nix_version",
    "parse_path_info_file",
]
