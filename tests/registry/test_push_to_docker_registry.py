"""Images pushed to Debian's docker-registry, judged by skopeo and by the registry itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from destinations.sample_image import OTHER, SAMPLE, Sample, tar_of
from nixbridge.destinations import Access, BlobState, parse_destination
from nixbridge.destinations.registry import Registry
from registry_server import RegistryServer

pytestmark = pytest.mark.tools

PLAIN = Access(verifies_tls=False)
# One layer is small, one goes up in pieces.
LARGE = Sample((*SAMPLE.tars, tar_of({"large": bytes(range(256)) * (20 << 12)})))


def registry(server: RegistryServer, name: str) -> Registry:
    destination = parse_destination(server.reference(name))
    assert isinstance(destination, Registry)
    return destination


def skopeo_says(require_tool: Callable[[str], str], reference: str) -> dict[str, Any]:
    argv = [require_tool("skopeo"), "inspect", "--tls-verify=false", reference]
    document: dict[str, Any] = json.loads(
        subprocess.run(argv, check=True, capture_output=True).stdout
    )
    return document


def test_a_pushed_image_is_what_skopeo_finds(
    docker_registry: RegistryServer, require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    reference = docker_registry.reference("team/shop:1.4")
    delivered = LARGE.deliver(reference, PLAIN)
    assert delivered == f"{docker_registry.host}/team/shop:1.4@{LARGE.image.digest}"
    found = skopeo_says(require_tool, reference)
    assert found["Digest"] == str(LARGE.image.digest)
    assert found["Layers"] == [str(layer.descriptor.digest) for layer in LARGE.image.layers]
    # It can be pulled, with every digest checked.
    subprocess.run(
        [
            *(require_tool("skopeo"), "copy", "--src-tls-verify=false", "--preserve-digests"),
            *(reference, f"oci:{tmp_path}/pulled:shop"),
        ],
        check=True,
        capture_output=True,
    )
    pulled = parse_destination(f"oci:{tmp_path}/pulled:shop")
    assert pulled.inspect(Access()).digest == LARGE.image.digest  # type: ignore[attr-defined]


def test_a_tag_moves_to_the_new_image(docker_registry: RegistryServer) -> None:
    shop = registry(docker_registry, "shop:1")
    SAMPLE.deliver(shop, PLAIN)
    OTHER.deliver(shop, PLAIN)
    found = shop.inspect(PLAIN)
    assert found.digest == OTHER.image.digest
    assert found.reference == f"docker://{docker_registry.host}/shop:1"
    assert [layer.digest for layer in found.layers] == [
        layer.descriptor.digest for layer in OTHER.image.layers
    ]
    by_digest = registry(docker_registry, f"shop@{SAMPLE.image.digest}")
    assert by_digest.inspect(PLAIN).digest == SAMPLE.image.digest


def test_only_what_is_missing_is_sent(docker_registry: RegistryServer) -> None:
    shop = registry(docker_registry, "shop:1")
    LARGE.deliver(shop, PLAIN)
    before = len(docker_registry.requests())
    with shop.open(default_reference="x:1", access=PLAIN) as writer:
        for layer in LARGE.image.layers:
            assert writer.find_blob(layer.descriptor) is BlobState.THERE
            writer.reuse_layer(layer)
        writer.commit(LARGE.image, None)  # type: ignore[arg-type]
    methods = [request.method for request in docker_registry.requests()[before:]]
    assert sorted(set(methods)) == ["GET", "HEAD", "PUT"]
    assert methods.count("PUT") == 1
