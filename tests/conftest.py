"""Fixtures that all rooms' tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent

# What would make a test depend on the machine or the person that runs it.
_SCRUBBED = (
    "FORCE_COLOR",
    "NIX_PATH",
    "NIX_REMOTE",
    "NO_COLOR",
    "REGISTRY_AUTH_FILE",
    "SOURCE_DATE_EPOCH",
)


@pytest.fixture(autouse=True)
def _scrubbed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _SCRUBBED:
        monkeypatch.delenv(name, raising=False)


def _require_tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        message = f"`{name}` is not on PATH"
        if os.environ.get("NIXBRIDGE_REQUIRE_TOOLS") == "1":
            pytest.fail(f"{message}, and NIXBRIDGE_REQUIRE_TOOLS=1 asks for it")
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """Return the path of a program; skip without it, fail where the run promises all tools."""
    return _require_tool


@pytest.fixture(scope="session")
def needs_namespaces() -> None:
    """Skip where the kernel makes no user namespaces: in a chroot, in some containers.

    Nix builds in its sandbox, and in a store with another root, only with them.
    """
    probe = ["unshare", "--user", "--mount", "--pid", "--fork", "true"]
    if subprocess.run(probe, check=False, capture_output=True).returncode != 0:
        pytest.skip("no user namespaces can be made here")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top of the checkout."""
    return REPOSITORY


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the quick tests speak first: without a mark, then real tools, then real Nix."""

    def slowness(item: pytest.Item) -> int:
        return 2 if item.get_closest_marker("nix") else 1 if item.get_closest_marker("tools") else 0

    items.sort(key=slowness)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `nix` needs `nix`."""
    if item.get_closest_marker("nix"):
        _require_tool("nix")
