"""The registry that judges us works as the other programs expect."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from destinations.sample_image import SAMPLE
from registry_server import RegistryServer, Request


@pytest.mark.tools
def test_skopeo_can_copy_to_the_registry(
    docker_registry: RegistryServer, require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    skopeo = require_tool("skopeo")
    SAMPLE.deliver(f"oci:{tmp_path}/image:shop")
    target = docker_registry.reference("shop:1")
    subprocess.run(
        [
            *(skopeo, "copy", "--preserve-digests", "--dest-tls-verify=false"),
            *(f"oci:{tmp_path}/image:shop", target),
        ],
        check=True,
        capture_output=True,
    )
    inspected = subprocess.run(
        [skopeo, "inspect", "--tls-verify=false", target], check=True, capture_output=True
    )
    assert json.loads(inspected.stdout)["Digest"] == str(SAMPLE.image.digest)
    assert str(SAMPLE.image.config.digest) in docker_registry.blobs()
    assert Request("PUT", "/v2/shop/manifests/1", 201, 0) in docker_registry.requests()
