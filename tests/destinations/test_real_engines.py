"""Podman and Docker with a small image: what they ask for, and what they call it afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from destinations.sample_image import SAMPLE, Sample, packed, tar_of
from destinations.test_engines import STREAMED, Delivered, SampleLayers
from engines import Dockerd, PodmanStorage, running_dockerd, skip_without_namespaces
from nixbridge.destinations.catalogue import Catalogue
from nixbridge.destinations.destination import unheard
from nixbridge.destinations.serving import ListenAddress, RegistryServer
from nixbridge.errors import DestinationError
from programs import write_program

pytestmark = pytest.mark.tools

# As the sample, but for the layer in the middle; and but for the one on top.
MIDDLE = Sample((SAMPLE.tars[0], tar_of({"changed": b"middle"}), SAMPLE.tars[2]))
TOP = Sample((SAMPLE.tars[0], SAMPLE.tars[1], SAMPLE.tars[2], tar_of({"changed": b"top"})))
# What other tests do not know: their engine is the same.
LEFT = Sample((tar_of({"left": b"over"}),))
AFTER = Sample((tar_of({"after": b"that"}),))
CONFIG = SAMPLE.image.config.digest.hex


def asked_for(sample: Sample, destination: str, environment: dict[str, str]) -> set[int]:
    """Deliver, and return the numbers of the layers that the engine came for."""
    delivered = Delivered({**os.environ, **environment}, layers=SampleLayers(sample), sample=sample)
    reference = delivered.deliver(destination)
    assert reference.endswith(f"@{sample.image.digest}")
    assert delivered.warnings == []
    digests = [str(packed(tar).descriptor.digest) for tar in sample.tars]
    return {digests.index(digest) for digest in delivered.layers.written}


def test_podman_asks_only_for_what_it_lacks(podman: PodmanStorage) -> None:
    assert asked_for(SAMPLE, f"{podman.prefix}team/shop:1", {}) == {0, 1, 2}
    assert podman.images() == {CONFIG: ["localhost/team/shop:1"]}
    assert asked_for(SAMPLE, f"{podman.prefix}team/shop:1", {}) == set()
    assert asked_for(MIDDLE, f"{podman.prefix}registry.example.org/shop", {}) == {1}
    assert podman.images() == {
        CONFIG: ["localhost/team/shop:1"],
        MIDDLE.image.config.digest.hex: ["registry.example.org/shop:latest"],
    }
    # The name moves.
    assert asked_for(MIDDLE, f"{podman.prefix}team/shop:1", {}) == set()
    assert podman.images()[MIDDLE.image.config.digest.hex] == [
        "localhost/team/shop:1",
        "registry.example.org/shop:latest",
    ]
    assert podman.images()[CONFIG] == []


@contextlib.contextmanager
def left_by_a_killed_delivery(pull: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Have an engine pull as a delivery has it, without dropping the names that it gives.

    They are of a delivery that has ended, and of one that is under way in the body.
    """
    repository = "nixbridge-pull/team/shop"
    catalogue = Catalogue()
    catalogue.add(repository, "1", LEFT.image, SampleLayers(LEFT))
    names = []
    with RegistryServer(ListenAddress(), catalogue, warn=unheard) as alive:
        with RegistryServer(ListenAddress(), catalogue, warn=unheard) as dead:
            for server in (dead, alive):
                server.start()
                names.append(f"{server.address}/{repository}:1")
                pull(names[-1])
        yield names[0], names[1]


def test_podman_loses_names_that_killed_deliveries_left(podman: PodmanStorage) -> None:
    def pull(name: str) -> None:
        podman.podman("pull", "--quiet", "--tls-verify=false", name)

    others = ["127.0.0.1:1/team/shop:1", "localhost/nixbridge-pull/shop:1"]
    with left_by_a_killed_delivery(pull) as (dead, alive):
        podman.podman("tag", dead, *others)
        asked_for(SAMPLE, f"{podman.prefix}team/shop:1", {})
        found = podman.images()
    assert found.pop(CONFIG) == ["localhost/team/shop:1"]
    assert found == {LEFT.image.config.digest.hex: sorted([*others, alive])}
    # Nobody listens any more: then it is the last name of its image.
    podman.podman("untag", LEFT.image.config.digest.hex, *others)
    asked_for(SAMPLE, f"{podman.prefix}team/shop:1", {})
    assert podman.images() == {CONFIG: ["localhost/team/shop:1"]}


def test_docker_loses_names_that_killed_deliveries_left(dockerd: Dockerd) -> None:
    identity = LEFT.image.config.digest.hex
    environment = {"DOCKER_HOST": dockerd.host}
    with left_by_a_killed_delivery(dockerd.pull) as (dead, alive):
        asked_for(AFTER, "docker-daemon:after/shop:1", environment)
        names = dockerd.images()[identity]
    assert alive in names
    assert dead not in names
    asked_for(AFTER, "docker-daemon:after/shop:1", environment)
    found = dockerd.images()
    assert identity not in found
    assert found[AFTER.image.config.digest.hex] == ["after/shop:1"]


def test_skopeo_finds_the_reference(
    podman: PodmanStorage, require_tool: Callable[[str], str]
) -> None:
    skopeo = require_tool("skopeo")
    delivered = Delivered(dict(os.environ))
    reference = delivered.deliver(f"{podman.prefix}shop:1")
    shown = subprocess.run(
        [skopeo, "inspect", "--raw", reference], check=True, capture_output=True
    ).stdout
    assert shown == SAMPLE.image.manifest_bytes


def test_docker_asks_only_for_what_it_lacks(dockerd: Dockerd) -> None:
    environment = {"DOCKER_HOST": dockerd.host}
    assert asked_for(SAMPLE, "docker-daemon:team/shop:1", environment) == {0, 1, 2}
    assert dockerd.images()[CONFIG] == ["team/shop:1"]
    assert asked_for(SAMPLE, "docker-daemon:team/shop:1", environment) == set()
    assert asked_for(TOP, "docker-daemon:team/shop:1", environment) == {3}
    assert dockerd.images()[TOP.image.config.digest.hex] == ["team/shop:1"]
    assert dockerd.images()[CONFIG] == []
    # To Docker a layer is what lies below it, too.
    assert asked_for(MIDDLE, "docker-daemon:team/shop:2", environment) == {1, 2}
    assert asked_for(SAMPLE, "docker-daemon:ghcr.io/me/shop", environment) == set()
    assert dockerd.images()[CONFIG] == ["ghcr.io/me/shop:latest"]
    shown = json.loads(dockerd.ask("GET", "/images/ghcr.io/me/shop:latest/json"))
    assert shown["RootFS"]["Layers"] == [str(packed(tar).diff_id) for tar in SAMPLE.tars]


@pytest.fixture
def distant_dockerd(require_tool: Callable[[str], str]) -> Iterator[Dockerd]:
    program = require_tool("dockerd")
    skip_without_namespaces()
    with running_dockerd(program, has_own_network=True) as daemon:
        yield daemon


def test_a_docker_in_another_network_loads_it(distant_dockerd: Dockerd) -> None:
    delivered = Delivered({"DOCKER_HOST": distant_dockerd.host})
    delivered.deliver("docker-daemon:team/shop:1")
    assert delivered.warnings == [STREAMED.format("docker")]
    assert distant_dockerd.images() == {CONFIG: ["team/shop:1"]}


def test_a_podman_in_another_network_loads_it(podman: PodmanStorage, tmp_path: Path) -> None:
    write_program(tmp_path / "podman", f'exec unshare --net {podman.program} "$@"')
    delivered = Delivered({**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    delivered.deliver(f"{podman.prefix}team/shop:1")
    assert delivered.warnings == [STREAMED.format("podman")]
    assert podman.images() == {CONFIG: ["localhost/team/shop:1"]}


def test_docker_refuses_what_it_cannot_keep(dockerd: Dockerd) -> None:
    """It is not streamed once more: it came, and does not like what it sees."""
    broken = Sample((b"this is no tar archive" * 100,))
    delivered = Delivered({"DOCKER_HOST": dockerd.host}, layers=SampleLayers(broken), sample=broken)
    with pytest.raises(DestinationError, match="docker refused: "):
        delivered.deliver("docker-daemon:broken:1")
    assert delivered.warnings == []
    assert "broken:1" not in str(dockerd.images())
