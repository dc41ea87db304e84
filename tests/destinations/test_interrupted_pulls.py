"""Pulls from a registry of ours over connections that break: engines go on where they were.

Debian's podman 4.3 does not: it gives up at the first one.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from destinations.sample_image import Sample, tar_of
from destinations.test_serving import Layers
from engines import Containerd, Dockerd
from nixbridge.destinations.catalogue import Catalogue
from nixbridge.destinations.serving import ListenAddress, RegistryServer
from registry.cutting_proxy import CuttingProxy

pytestmark = pytest.mark.tools

# No connection carries the whole layer: who begins anew each time never has it.
LAYER_BYTES = 5_000_000
CUT_AFTER_BYTES = 3_000_000
CUTS = 100


@pytest.mark.parametrize("engine", ["docker", "containerd"])
def test_a_pull_that_is_cut_ends_well(request: pytest.FixtureRequest, engine: str) -> None:
    # Of its own, so that no daemon has it from another test.
    data = random.Random(f"cut {engine}").randbytes(LAYER_BYTES)
    sample = Sample((tar_of({"large": data}),))
    layers = Layers(sample)
    catalogue = Catalogue()
    catalogue.add("cut", "1", sample.image, layers)
    warnings: list[str] = []

    def warn(message: str, hint: str | None = None) -> None:  # noqa: ARG001
        warnings.append(message)

    with RegistryServer(ListenAddress(), catalogue, warn=warn) as server:
        server.start()
        proxy = CuttingProxy(server.address, [CUT_AFTER_BYTES] * CUTS)
        with proxy.running():
            pull(request, engine)(f"{proxy.host}/cut:1")
    assert proxy.cuts >= 1
    assert len(layers.written) == proxy.cuts + 1
    assert warnings == []


def pull(request: pytest.FixtureRequest, engine: str) -> Callable[[str], object]:
    """Return how the engine pulls and unpacks."""
    if engine == "docker":
        dockerd: Dockerd = request.getfixturevalue("dockerd")
        return dockerd.pull
    containerd: Containerd = request.getfixturevalue("containerd")
    return lambda name: containerd.pull(name, "--plain-http")
