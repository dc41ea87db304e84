"""`oci:DIR[:NAME]`: what is written, and that it is all or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from destinations.sample_image import (
    EMPTY,
    OTHER,
    SAMPLE,
    Interrupted,
    NoLayers,
    files_below,
    packed,
    program,
)
from nixbridge.destinations import Access, BlobState
from nixbridge.destinations.oci_layout import OciLayout
from nixbridge.destinations.staging import PARTIAL_PREFIX
from nixbridge.errors import DestinationError, InputError, IntegrityError


def index_of(directory: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((directory / "index.json").read_bytes())
    return index


def names_in(directory: Path) -> list[str | None]:
    return [
        entry.get("annotations", {}).get("org.opencontainers.image.ref.name")
        for entry in index_of(directory)["manifests"]
    ]


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("out", OciLayout(directory=Path("out"))),
        ("out:shop", OciLayout(directory=Path("out"), name="shop")),
        ("/a/b:v1.2", OciLayout(directory=Path("/a/b"), name="v1.2")),
        # As skopeo has it: the first colon ends the path.
        (
            "out:registry.example.org:5000/shop:1",
            OciLayout(directory=Path("out"), name="registry.example.org:5000/shop:1"),
        ),
    ],
)
def test_parse(text: str, layout: OciLayout) -> None:
    assert OciLayout.parse(text) == layout


@pytest.mark.parametrize("text", ["", ":shop", "out:", "out:a b", "out:-a", "out:a/"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(InputError):
        OciLayout.parse(text)


def test_layout(tmp_path: Path) -> None:
    out = tmp_path / "not" / "yet" / "there"
    image = SAMPLE.image
    assert SAMPLE.deliver(f"oci:{out}:shop") == f"oci:{out}:shop@{image.digest}"
    assert json.loads((out / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert index_of(out) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": str(image.digest),
                "size": len(image.manifest_bytes),
                "platform": {"architecture": "amd64", "os": "linux"},
                "annotations": {"org.opencontainers.image.ref.name": "shop"},
            }
        ],
    }
    blobs = {path.name: path.read_bytes() for path in (out / "blobs" / "sha256").iterdir()}
    assert set(blobs.values()) == {*SAMPLE.tars, image.config_bytes, image.manifest_bytes}
    for name, data in blobs.items():
        assert hashlib.sha256(data).hexdigest() == name
    assert {path.name for path in out.iterdir()} == {"blobs", "index.json", "oci-layout"}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    previous = os.umask(umask)
    try:
        SAMPLE.deliver(f"oci:{tmp_path}/out:shop")
    finally:
        os.umask(previous)
    for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]:
        assert path.stat().st_mode & 0o7777 == (0o755 if path.is_dir() else 0o644), path


def test_the_same_image_makes_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two", "two"):
        SAMPLE.deliver(f"oci:{tmp_path / name}:shop")
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two")


def test_an_image_without_layers(tmp_path: Path) -> None:
    EMPTY.deliver(f"oci:{tmp_path}/out")
    assert len(list((tmp_path / "out" / "blobs" / "sha256").iterdir())) == 2


def test_several_images_in_one_layout(tmp_path: Path) -> None:
    SAMPLE.deliver(f"oci:{tmp_path}/out:one")
    SAMPLE.deliver(f"oci:{tmp_path}/out")
    SAMPLE.deliver(f"oci:{tmp_path}/out:two")
    assert names_in(tmp_path / "out") == ["one", None, "two"]
    OTHER.deliver(f"oci:{tmp_path}/out:one")
    OTHER.deliver(f"oci:{tmp_path}/out")
    assert names_in(tmp_path / "out") == ["one", None, "two"]
    digests = [entry["digest"] for entry in index_of(tmp_path / "out")["manifests"]]
    other, sample = str(OTHER.image.digest), str(SAMPLE.image.digest)
    assert digests == [other, other, sample]


def test_what_others_wrote_into_the_index_stays(tmp_path: Path) -> None:
    SAMPLE.deliver(f"oci:{tmp_path}:shop")
    theirs = {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": "sha256:" + "0" * 64,
        "size": 1,
        "annotations": {"org.opencontainers.image.ref.name": "theirs", "com.example": "x"},
        "com.example.new": [1],
    }
    index = index_of(tmp_path)
    ours = index["manifests"][0]
    index["annotations"] = {"kept": "yes"}
    # Others append without replacing: two of one name become one.
    index["manifests"] = [theirs, ours, ours]
    (tmp_path / "index.json").write_text(json.dumps(index))
    SAMPLE.deliver(f"oci:{tmp_path}:shop")
    assert index_of(tmp_path) == {**index, "manifests": [theirs, ours]}


def test_a_damaged_blob_is_replaced(tmp_path: Path) -> None:
    SAMPLE.deliver(f"oci:{tmp_path}:shop")
    whole = files_below(tmp_path)
    for path in (tmp_path / "blobs" / "sha256").iterdir():
        path.write_bytes(bytes(path.stat().st_size))
    SAMPLE.deliver(f"oci:{tmp_path}:shop")
    assert files_below(tmp_path) == whole


def test_a_blob_that_is_reused_is_checked(tmp_path: Path) -> None:
    SAMPLE.deliver(f"oci:{tmp_path}:shop")
    warnings: list[str] = []

    def warn(message: str, hint: str | None = None) -> None:
        assert hint is None
        warnings.append(message)

    layout = OciLayout.parse(f"{tmp_path}:shop")
    blob = packed(SAMPLE.tars[0]).descriptor
    for damage in (b"", b"x" * blob.size_bytes):
        with layout.open(default_reference="shop:1", access=Access(warn=warn)) as writer:
            assert writer.find_blob(blob) is BlobState.THERE
            whole = layout.blob(blob.digest).read_bytes()
            layout.blob(blob.digest).write_bytes(damage)
            assert writer.find_blob(blob) is BlobState.ABSENT
        layout.blob(blob.digest).write_bytes(whole)
    # One that is cut off is seen at once.
    assert warnings == [f"the blob `{blob.digest}` in `{tmp_path}` is damaged; it is written anew"]


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_leaving_without_commit_leaves_nothing(tmp_path: Path, layers: int) -> None:
    with pytest.raises(Interrupted):
        SAMPLE.interrupt(f"oci:{tmp_path}/a/b:shop", layers=layers)
    assert files_below(tmp_path) == {}


def test_leaving_without_commit_changes_nothing_that_was_there(tmp_path: Path) -> None:
    OTHER.deliver(f"oci:{tmp_path}:shop")
    before = files_below(tmp_path)
    with pytest.raises(Interrupted):
        SAMPLE.interrupt(f"oci:{tmp_path}:shop", layers=2)
    assert files_below(tmp_path) == before


def run(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=60
    )


KILL = """
count = 0
def kill_at_{function}(self, *arguments, original=staging.{owner}.{function}):
    global count
    count += 1
    if count == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, *arguments)
staging.{owner}.{function} = kill_at_{function}
"""


@pytest.mark.parametrize(
    ("owner", "function", "at"),
    [
        ("BlobSink", "write", 4),
        ("StagingDirectory", "write", 3),
        # layout file, three layers, config, manifest, index
        *(("StagingDirectory", "publish", at) for at in range(1, 8)),
    ],
)
def test_after_kill_9_the_next_run_works(
    tmp_path: Path, owner: str, function: str, at: int
) -> None:
    OTHER.deliver(f"oci:{tmp_path}/clean:other")
    SAMPLE.deliver(f"oci:{tmp_path}/clean:shop")
    out = tmp_path / "out"
    killed = run(program(f"oci:{out}:other", KILL.format(owner=owner, function=function, at=at)))
    assert killed.returncode == -9, killed.stderr
    assert any(path.name.startswith(PARTIAL_PREFIX) for path in out.iterdir())
    assert not (out / "index.json").exists()
    for blob in (out / "blobs" / "sha256").glob("*"):
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    OTHER.deliver(f"oci:{out}:other")
    SAMPLE.deliver(f"oci:{out}:shop")
    assert files_below(out) == files_below(tmp_path / "clean")


def test_a_delivery_under_way_is_no_leftover(tmp_path: Path) -> None:
    layout = OciLayout.parse(f"{tmp_path}/out:slow")
    with layout.open(default_reference="shop:1", access=Access()) as writer:
        tar = OTHER.tars[0]
        sink = writer.begin_layer(len(tar))
        sink.write(tar[:100])
        SAMPLE.deliver(f"oci:{tmp_path}/out:quick")
        sink.write(tar[100:])
        sink.finish(packed(tar))
        writer.commit(OTHER.image, NoLayers())
    assert names_in(tmp_path / "out") == ["quick", "slow"]


def test_many_writers_at_once(tmp_path: Path) -> None:
    names = [f"tag{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda name: SAMPLE.deliver(f"oci:{tmp_path}/out:{name}"), names))
    assert sorted(str(name) for name in names_in(tmp_path / "out")) == sorted(names)
    assert len(list((tmp_path / "out" / "blobs" / "sha256").iterdir())) == 5
    assert not list((tmp_path / "out").glob(PARTIAL_PREFIX + "*"))


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    # A process may be kept from writing large files; the system then refuses as on a full disk.
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    failed = run(program(f"oci:{tmp_path}/out:shop", limit))
    assert "DestinationError: writing" in failed.stderr
    assert f"`{tmp_path}/out` failed: file too large" in failed.stderr
    assert files_below(tmp_path) == {}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"out/notes.txt": "mine"}, "is not empty, and it is no OCI layout"),
        ({"out": "a file"}, "failed: not a directory"),
        ({"out/oci-layout": "{"}, "oci-layout` is not JSON"),
        ({"out/oci-layout": '{"imageLayoutVersion": "2.0.0"}'}, "that is not ours: `2.0.0`"),
        (
            {"out/oci-layout": '{"imageLayoutVersion": "1.0.0"}', "out/index.json": "[]"},
            "index.json` is not a JSON object",
        ),
        (
            {"out/oci-layout": '{"imageLayoutVersion": "1.0.0"}', "out/index.json": "{}"},
            "index.json` is no index of images",
        ),
        (
            {"out/oci-layout": '{"imageLayoutVersion": "1.0.0"}', "out/index.json": '{"mani'},
            "index.json` is not JSON",
        ),
    ],
)
def test_refuses_what_is_no_layout(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        write(tmp_path / name, text)
    before = files_below(tmp_path)
    with pytest.raises(DestinationError) as caught:
        SAMPLE.deliver(f"oci:{tmp_path}/out:shop")
    assert message in caught.value.message
    assert f"{tmp_path}/out" in caught.value.message
    assert files_below(tmp_path) == before


def test_a_place_where_nobody_may_write() -> None:
    with pytest.raises(DestinationError, match="writing `/proc/nixbridge` failed: "):
        SAMPLE.deliver("oci:/proc/nixbridge:shop")


@pytest.mark.parametrize(("announced", "written"), [(10_240, 10_239), (10_239, 10_240)])
def test_a_layer_of_another_size_is_refused(tmp_path: Path, announced: int, written: int) -> None:
    tar = OTHER.tars[0]
    assert len(tar) == 10_240
    layout = OciLayout.parse(f"{tmp_path}/out")
    with layout.open(default_reference="shop:1", access=Access()) as writer:
        sink = writer.begin_layer(announced)
        sink.write(tar[:written])
        with pytest.raises(IntegrityError, match=f"has {written} bytes, was announced with"):
            sink.finish(packed(tar))
    assert files_below(tmp_path) == {}


def test_a_layer_that_was_not_written_is_missed(tmp_path: Path) -> None:
    layout = OciLayout.parse(f"{tmp_path}/out")
    with (
        layout.open(default_reference="shop:1", access=Access()) as writer,
        pytest.raises(IntegrityError, match="which was not written"),
    ):
        writer.commit(SAMPLE.image, NoLayers())
    assert files_below(tmp_path) == {}


@pytest.mark.tools
def test_skopeo_reads_it(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    skopeo = require_tool("skopeo")
    SAMPLE.deliver(f"oci:{tmp_path}/out:shop")
    OTHER.deliver(f"oci:{tmp_path}/out:v1")
    for name, sample in (("shop", SAMPLE), ("v1", OTHER)):
        copied = tmp_path / name
        subprocess.run(
            [
                skopeo,
                "--insecure-policy",
                "copy",
                "-q",
                f"oci:{tmp_path}/out:{name}",
                f"dir:{copied}",
            ],
            check=True,
        )
        assert (copied / "manifest.json").read_bytes() == sample.image.manifest_bytes
        inspected = subprocess.run(
            [skopeo, "inspect", f"oci:{tmp_path}/out:{name}"], check=True, capture_output=True
        )
        facts = json.loads(inspected.stdout)
        assert facts["Digest"] == str(sample.image.digest)
        assert facts["Labels"] == {"a": "1", "b": "2"}
        assert facts["Env"] == ["A=<&>"]


@pytest.mark.tools
def test_skopeo_reads_the_only_image_without_its_name(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    SAMPLE.deliver(f"oci:{tmp_path}/out")
    SAMPLE.deliver(f"oci:{tmp_path}/out")
    subprocess.run([require_tool("skopeo"), "inspect", f"oci:{tmp_path}/out"], check=True)


@pytest.mark.tools
def test_skopeo_and_we_write_into_one_layout(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    skopeo = require_tool("skopeo")
    SAMPLE.deliver(f"oci:{tmp_path}/ours:shop")
    copy = [skopeo, "--insecure-policy", "copy", "-q", f"oci:{tmp_path}/ours:shop"]
    subprocess.run([*copy, f"oci:{tmp_path}/theirs:shop"], check=True)
    OTHER.deliver(f"oci:{tmp_path}/theirs:mine")
    subprocess.run([*copy, f"oci:{tmp_path}/theirs:again"], check=True)
    assert names_in(tmp_path / "theirs") == ["shop", "mine", "again"]


@pytest.mark.tools
def test_umoci_unpacks_it(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    umoci = require_tool("umoci")
    SAMPLE.deliver(f"oci:{tmp_path}/out:shop")
    OTHER.deliver(f"oci:{tmp_path}/out:v1")
    listed = subprocess.run(
        [umoci, "ls", "--layout", str(tmp_path / "out")], check=True, capture_output=True, text=True
    )
    assert listed.stdout.split() == ["shop", "v1"]
    stat = subprocess.run(
        [umoci, "stat", "--json", "--image", f"{tmp_path}/out:shop"],
        check=True,
        capture_output=True,
    )
    history = json.loads(stat.stdout)["history"]
    assert [entry["layer"]["digest"] for entry in history] == [
        str(layer.descriptor.digest) for layer in SAMPLE.image.layers
    ]
    bundle = tmp_path / "bundle"
    subprocess.run(
        [umoci, "unpack", "--rootless", "--image", f"{tmp_path}/out:shop", str(bundle)], check=True
    )
    assert (bundle / "rootfs" / "bin" / "shop").read_bytes() == b"#!/bin/sh\n"
    assert len(list((bundle / "rootfs" / "many").iterdir())) == 40
    config = json.loads((bundle / "config.json").read_bytes())
    assert config["process"]["args"] == ["/bin/shop"]
