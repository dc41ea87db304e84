"""The repository's own image in a running container, by podman and by bubblewrap."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nixbridge.containers import Bubblewrap, Container, Podman
from nixbridge.destinations.oci_layout import OciLayout
from nixbridge.testing import BuiltImage

pytestmark = [pytest.mark.nix, pytest.mark.tools]


@pytest.fixture(scope="module")
def layout(nix_image: Callable[..., BuiltImage], repository: Path) -> OciLayout:
    return nix_image(repository).layout


@pytest.fixture(scope="module", params=["podman", "bwrap"])
def container(
    request: pytest.FixtureRequest, layout: OciLayout, require_tool: Callable[[str], str]
) -> Iterator[Container]:
    require_tool(request.param)
    engine = Podman if request.param == "podman" else Bubblewrap
    with engine.open(layout) as entered:
        yield entered


def output(container: Container, script: str) -> str:
    result = container.run(["/bin/sh", "-ec", script])
    assert result.status == 0, result.stderr
    return result.stdout.strip()


def test_programs_run(container: Container) -> None:
    assert re.fullmatch(r"nix \(Nix\) 2\.\d+\.\d+", output(container, "nix --version"))
    assert output(container, "git --version").startswith("git version 2.")
    assert output(container, "whoami") == "root"
    assert output(container, "echo $USER") == "root"


def test_a_derivation_is_built_inside(container: Container) -> None:
    expression = (
        'derivation { name = "x"; system = builtins.currentSystem; builder = "/bin/sh"; '
        'args = [ "-c" "echo made by $(command -v sh) > $out" ]; }'
    )
    assert output(container, f"cat $(nix-build --no-out-link -E '{expression}')").startswith("made")


def test_the_store_is_valid_and_complete(container: Container) -> None:
    result = container.run(["nix-store", "--verify", "--check-contents"])
    assert result.status == 0, result.stderr
    words = result.stderr.splitlines()
    assert words, "nix-store says what it is doing"
    assert all(re.match(r"(reading|checking|path '|\(build)", word) for word in words), words
    assert "disappear" not in result.stderr
    assert "modified" not in result.stderr


def test_the_database_names_every_store_path(container: Container) -> None:
    on_disk = output(container, "cd /nix/store; echo [0-9a-z]*-*").split()
    # What was built by other tests in the same container is registered as well.
    assert set(output(container, "nix-store --query --requisites /nix/store/*-*").split()) >= {
        f"/nix/store/{name}" for name in on_disk
    }
    assert len(on_disk) > 50


def test_garbage_collection_keeps_the_image(container: Container) -> None:
    before = set(output(container, "echo /nix/store/*-*").split())
    after = set(output(container, "nix-collect-garbage >&2; echo /nix/store/*-*").split())
    assert {path for path in before if not path.endswith(("-x", "-x.drv"))} <= after


def test_shebangs(container: Container) -> None:
    script = (
        "printf '#!/bin/sh\\necho by sh' > /tmp/a; printf '#!/usr/bin/env bash\\necho by bash' "
        "> /tmp/b; chmod +x /tmp/a /tmp/b; /tmp/a; /tmp/b"
    )
    assert output(container, script) == "by sh\nby bash"


def test_the_channel_evaluates(container: Container) -> None:
    name = output(container, "nix-instantiate --eval --expr '(import <nixpkgs> { }).hello.pname'")
    assert name == '"hello"'


def test_certificates_are_found(container: Container) -> None:
    assert int(output(container, "grep -c BEGIN $SSL_CERT_FILE")) > 100
