"""Fixtures that all rooms' tests share."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engines import (
    Containerd,
    Dockerd,
    PodmanStorage,
    podman_storage,
    running_containerd,
    running_dockerd,
    skip_without_namespaces,
)
from nixbridge.evaluator import SubprocessRunner
from nixbridge.pytest_nix import skip_or_fail
from nixbridge.testing import missing_namespaces
from registry_server import RegistryServer, running_registry

pytest_plugins = ["pytester"]

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


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What earlier runs remember of layers must not keep a test from packing them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache-home")))
        yield


@pytest.fixture(scope="session")
def require_tool(pytestconfig: pytest.Config) -> Callable[[str], str]:
    """Return the path of a program; skip without it, fail where the run promises all tools."""

    def require(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            skip_or_fail(pytestconfig, f"`{name}` is not on PATH")
        return path

    return require


@pytest.fixture
def docker_registry(
    require_tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryServer]:
    """An empty registry of Debian's on loopback, over plain http; for tests marked `tools`."""
    program = require_tool("docker-registry")
    with running_registry(program, tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="session")
def dockerd(require_tool: Callable[[str], str]) -> Iterator[Dockerd]:
    """A Docker of the tests' own, for all of them; for tests marked `tools`."""
    program = require_tool("dockerd")
    skip_without_namespaces()
    with running_dockerd(program) as daemon:
        yield daemon


@pytest.fixture
def containerd(require_tool: Callable[[str], str]) -> Iterator[Containerd]:
    """A containerd of the test's own, empty; for tests marked `tools`."""
    program, ctr = require_tool("containerd"), require_tool("ctr")
    require_tool("runc")
    skip_without_namespaces()
    with running_containerd(program, ctr) as daemon:
        yield daemon


@pytest.fixture
def podman(require_tool: Callable[[str], str]) -> Iterator[PodmanStorage]:
    """A storage of podman's, empty; for tests marked `tools`."""
    program = require_tool("podman")
    skip_without_namespaces()
    with podman_storage(program) as storage:
        yield storage


@pytest.fixture(scope="session")
def needs_namespaces() -> None:
    """Skip where the kernel makes no user namespaces: in a chroot, in some containers.

    Nix builds in its sandbox, and in a store with another root, only with them.
    """
    reason = missing_namespaces(SubprocessRunner())
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top of the checkout."""
    return REPOSITORY


def pytest_configure() -> None:
    """Let interrupts mean what they do at a terminal, also in a run in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the quick tests speak first: without a mark, then real tools, then real Nix."""

    def slowness(item: pytest.Item) -> int:
        return 2 if item.get_closest_marker("nix") else 1 if item.get_closest_marker("tools") else 0

    items.sort(key=slowness)
