"""What engines that have an image pull of the next is what was said before.

Podman and containerd reuse each layer for itself, Docker those at the bottom only. What a registry
sends is told by its own log.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engines import Containerd, Dockerd, PodmanStorage
from fake_store import FakeStore
from nixbridge.report.update import LayersToSend, Update
from registry.test_stable_updates import Image, Push, life
from registry_server import RegistryServer

pytestmark = pytest.mark.tools


def pulled(registry: RegistryServer, push: Push, pull: Callable[[str], object]) -> dict[int, int]:
    """Pull; return the numbers of the layers that the registry sent, and how much of each."""
    numbers: dict[str, list[int]] = {}
    for number, layer in enumerate(push.image.layers, 1):
        numbers.setdefault(str(layer.descriptor.digest), []).append(number)
    before = len(registry.requests())
    pull(push.reference)
    sent: dict[int, int] = {}
    for request in registry.requests()[before:]:
        digest = request.path.rpartition("/")[2]
        if request.method == "GET" and "/blobs/" in request.path and digest in numbers:
            assert request.status == 200
            number = numbers[digest][0]
            sent[number] = sent.get(number, 0) + request.sent_bytes
    return sent


def follow(
    registry: RegistryServer,
    image: Image,
    pull: Callable[[str], object],
    said: Callable[[Update], LayersToSend],
    *,
    is_stable: bool,
) -> bool:
    """Pull version by version; return whether Docker and the others would ever differ."""
    differ = False
    for packages in life():
        push = image.push(packages, is_stable=is_stable)
        sent = pulled(registry, push, pull)
        if push.update is None:
            assert set(sent) == set(range(1, len(push.image.layers) + 1))
            continue
        expected = said(push.update)
        assert set(sent) == set(expected.numbers)
        assert sum(sent.values()) == pytest.approx(expected.stored_size_bytes, rel=0.02)
        differ |= push.update.push != push.update.pull_from_bottom
    return differ


@pytest.mark.parametrize("is_stable", [True, False])
@pytest.mark.parametrize("engine", ["podman", "docker", "containerd"])
def test_what_is_pulled_is_what_the_plan_said(
    request: pytest.FixtureRequest,
    docker_registry: RegistryServer,
    tmp_path: Path,
    engine: str,
    *,
    is_stable: bool,
) -> None:
    strategy = "update-cost" if is_stable else "popularity"
    image = Image(FakeStore(tmp_path), docker_registry, strategy)
    if engine == "podman":
        podman: PodmanStorage = request.getfixturevalue("podman")
        differ = follow(
            docker_registry,
            image,
            lambda name: podman.podman("pull", "--quiet", "--tls-verify=false", name),
            lambda update: update.push,
            is_stable=is_stable,
        )
    elif engine == "docker":
        dockerd: Dockerd = request.getfixturevalue("dockerd")
        differ = follow(
            docker_registry,
            image,
            dockerd.pull,
            lambda update: update.pull_from_bottom,
            is_stable=is_stable,
        )
    else:
        containerd: Containerd = request.getfixturevalue("containerd")
        differ = follow(
            docker_registry,
            image,
            lambda name: containerd.pull(name, "--plain-http"),
            lambda update: update.push,
            is_stable=is_stable,
        )
    # Else this would not tell one kind of engine from the other.
    assert differ or not is_stable
