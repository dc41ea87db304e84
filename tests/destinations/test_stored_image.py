"""`inspect`: what was delivered is found again, and damage is named."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from destinations.sample_image import OTHER, SAMPLE
from nixbridge.destinations import Access, parse_destination
from nixbridge.destinations.stored_image import AbsentImageError, Inspectable, StoredImage
from nixbridge.errors import DestinationError, InputError, IntegrityError, NixbridgeError


def inspect(text: str) -> StoredImage:
    destination = parse_destination(text)
    assert isinstance(destination, Inspectable)
    return destination.inspect(Access())


@pytest.mark.parametrize(
    "text",
    ["oci:a", "oci:a:shop", "oci-archive:a:v1", "docker-archive:a", "docker-archive:a:shop"],
)
def test_finds_what_was_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    SAMPLE.deliver(text)
    stored = inspect(text)
    assert stored.reference == text + (":latest" if text == "docker-archive:a:shop" else "")
    assert stored.digest == (None if "docker" in text else SAMPLE.image.digest)
    assert stored.config == json.loads(SAMPLE.image.config_bytes)
    assert [(layer.diff_id, layer.size_bytes) for layer in stored.layers] == [
        (layer.diff_id, layer.descriptor.size_bytes) for layer in SAMPLE.image.layers
    ]


def test_several_images(tmp_path: Path) -> None:
    SAMPLE.deliver(f"oci:{tmp_path}:one")
    OTHER.deliver(f"oci:{tmp_path}:two")
    assert inspect(f"oci:{tmp_path}:two").digest == OTHER.image.digest
    with pytest.raises(InputError) as caught:
        inspect(f"oci:{tmp_path}")
    assert caught.value.message == f"`{tmp_path}` holds 2 images"
    assert caught.value.hint == "add the name of one: `one`, `two`"
    with pytest.raises(AbsentImageError) as absent:
        inspect(f"oci:{tmp_path}:three")
    assert absent.value.message == f"`{tmp_path}` holds no image `three`"
    assert absent.value.hint == "it holds: `one`, `two`"
    SAMPLE.deliver(f"oci:{tmp_path}/nameless")
    with pytest.raises(AbsentImageError) as absent:
        inspect(f"oci:{tmp_path}/nameless:three")
    assert absent.value.hint == "it holds: one without a name"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("oci:missing", "`missing` holds no `index.json`"),
        ("oci-archive:missing", "reading `missing` failed: no such file or directory"),
        ("docker-archive:missing", "reading `missing` failed: no such file or directory"),
        ("docker-archive:.", "reading `.` failed: is a directory"),
        ("oci-archive:text", "`text` is no tar archive"),
        ("docker-archive:oci.tar", "`oci.tar` holds no `manifest.json`"),
        ("oci-archive:docker.tar", "`docker.tar` holds no `index.json`"),
    ],
)
def test_what_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("text")
    OTHER.deliver("oci-archive:oci.tar")
    OTHER.deliver("docker-archive:docker.tar")
    with pytest.raises(DestinationError) as caught:
        inspect(text)
    assert caught.value.message == message


def test_a_damaged_config(tmp_path: Path) -> None:
    SAMPLE.deliver(f"oci:{tmp_path}")
    blob = tmp_path / "blobs" / "sha256" / SAMPLE.image.config.digest.hex
    blob.write_bytes(blob.read_bytes().replace(b"amd64", b"arm64"))
    with pytest.raises(IntegrityError, match=f"the blob `{SAMPLE.image.config.digest}` in"):
        inspect(f"oci:{tmp_path}")


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("kept_bytes", [100, 5_000, 20_000, 61_000])
def test_an_archive_that_was_cut_off(tmp_path: Path, kind: str, kept_bytes: int) -> None:
    path = tmp_path / "a"
    SAMPLE.deliver(f"{kind}:{path}")
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(DestinationError):
        inspect(f"{kind}:{path}")


def store_blob(layout: Path, document: object) -> str:
    data = json.dumps(document).encode()
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256" / digest).write_bytes(data)
    return f"sha256:{digest}"


JUNK: list[Any] = [None, True, 1, "x", [], [1], [None], {}, {"x": 1}]


@pytest.mark.parametrize("junk", JUNK, ids=json.dumps)
def test_nothing_in_an_image_of_others_is_a_bug_of_ours(tmp_path: Path, junk: object) -> None:
    """Junk in the place of any part gives an image or an error that the user can read."""
    SAMPLE.deliver(f"oci:{tmp_path}")
    manifest = json.loads(SAMPLE.image.manifest_bytes)
    config = json.loads(SAMPLE.image.config_bytes)
    index = json.loads((tmp_path / "index.json").read_bytes())

    def look() -> None:
        with contextlib.suppress(NixbridgeError):
            stored = inspect(f"oci:{tmp_path}")
            assert isinstance(stored.config.get("config"), dict | None)

    def with_config(document: object) -> dict[str, Any]:
        digest = store_blob(tmp_path, document)
        return {**manifest, "config": {**manifest["config"], "digest": digest}}

    def look_at_manifest(document: object) -> None:
        entry = {**index["manifests"][0], "digest": store_blob(tmp_path, document)}
        (tmp_path / "index.json").write_text(json.dumps({**index, "manifests": [entry]}))
        look()

    for key in ("rootfs", "history", "config"):
        look_at_manifest(with_config({**config, key: junk}))
    look_at_manifest(with_config(junk))
    look_at_manifest(junk)
    for key in ("layers", "config"):
        look_at_manifest({**manifest, key: junk})
    look_at_manifest({**manifest, "config": {**manifest["config"], "digest": junk}})
    for key in ("digest", "annotations", "size"):
        entry = {**index["manifests"][0], key: junk}
        (tmp_path / "index.json").write_text(json.dumps({**index, "manifests": [entry]}))
        look()
    for document in (junk, {**index, "manifests": junk}):
        (tmp_path / "index.json").write_text(json.dumps(document))
        look()


@pytest.mark.tools
@pytest.mark.parametrize("target", ["oci:b:v1", "oci-archive:b:v1", "docker-archive:b:shop:1"])
def test_reads_what_skopeo_wrote(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    require_tool: Callable[[str], str],
    target: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    SAMPLE.deliver("oci:a")
    copy = [require_tool("skopeo"), "--insecure-policy", "copy", "-q", "oci:a"]
    name = target.replace("shop:1", "docker.io/library/shop:1")
    subprocess.run([*copy, name], check=True)
    stored = inspect(name)
    assert [layer.diff_id for layer in stored.layers] == [
        layer.diff_id for layer in SAMPLE.image.layers
    ]
    assert stored.config["config"]["Cmd"] == ["/bin/shop"]
