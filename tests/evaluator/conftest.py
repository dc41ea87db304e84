"""Real nix for the tests of `evaluator`: this machine's, and Debian trixie's from debpkgs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

# No network, no build users, no sandbox; experimental features are for nixbridge to turn on.
NIX_CONFIG = (
    "build-users-group =\nsubstitute = false\nsandbox = false\nsandbox-paths =\n"
    "experimental-features =\n"
)


def _trixie_nix(repository: Path) -> str:
    environment = os.environ | {
        "NIX_CONFIG": f"{NIX_CONFIG}experimental-features = nix-command flakes\n"
    }
    argv = ("nix-build", "--no-out-link", str(repository / "nix" / "debpkgs"), "-A", "nix")
    built = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        last_words = built.stderr[-2000:]
        if os.environ.get("NIXBRIDGE_REQUIRE_TOOLS") == "1":
            pytest.fail(f"the Nix of debpkgs cannot be built:\n{last_words}")
        pytest.skip(f"the Nix of debpkgs cannot be built:\n{last_words}")
    return f"{built.stdout.strip()}/bin/nix"


@pytest.fixture(scope="session", params=["machine", "trixie"])
def nix_program(
    request: pytest.FixtureRequest, repository: Path, require_tool: Callable[[str], str]
) -> str:
    """The path of a nix; each test that asks for it runs with each of the two."""
    machine = require_tool("nix")
    return machine if request.param == "machine" else _trixie_nix(repository)


@pytest.fixture
def nix_environment() -> Mapping[str, str]:
    """The environment in which the tests' nix runs."""
    return os.environ | {"NIX_CONFIG": NIX_CONFIG}
