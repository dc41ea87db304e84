"""`oci-archive:` and `docker-archive:`: what is written, and that it is all or nothing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from destinations.sample_image import (
    EMPTY,
    OTHER,
    SAMPLE,
    Interrupted,
    NoLayers,
    Sample,
    files_below,
    packed,
    program,
)
from nixbridge.destinations import Access
from nixbridge.destinations.docker_archive import DockerArchive
from nixbridge.destinations.oci_archive import OciArchive
from nixbridge.destinations.staging import PARTIAL_PREFIX
from nixbridge.errors import DestinationError, InputError, IntegrityError
from nixbridge.oci import ImageReference

KINDS = ("oci-archive", "docker-archive")


def members_of(archive: Path | bytes) -> dict[str, bytes]:
    data = archive if isinstance(archive, bytes) else archive.read_bytes()
    members = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for member in tar:
            assert member.isreg()
            assert (member.mode, member.uid, member.gid, member.mtime) == (0o644, 0, 0, 1)
            assert member.name not in members, "a name stands twice"
            file = tar.extractfile(member)
            assert file is not None
            members[member.name] = file.read()
    return members


def test_oci_archive(tmp_path: Path) -> None:
    archive = tmp_path / "new" / "shop.tar"
    image = SAMPLE.image
    assert SAMPLE.deliver(f"oci-archive:{archive}:v1") == f"oci-archive:{archive}:v1@{image.digest}"
    members = members_of(archive)
    assert json.loads(members.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(members.pop("index.json"))
    assert [entry["annotations"] for entry in index["manifests"]] == [
        {"org.opencontainers.image.ref.name": "v1"}
    ]
    assert index["manifests"][0]["digest"] == str(image.digest)
    assert set(members.values()) == {*SAMPLE.tars, image.config_bytes, image.manifest_bytes}
    for name, data in members.items():
        assert name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"


def test_oci_archive_whose_last_layer_was_there_already(tmp_path: Path) -> None:
    """The space of the second is taken back, though nothing follows but small things."""
    tar = SAMPLE.tars[2]
    sample = Sample((tar, tar))
    sample.deliver(f"oci-archive:{tmp_path}/shop.tar")
    members = members_of(tmp_path / "shop.tar")
    assert sorted(members) == sorted(
        [
            f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"
            for data in (tar, sample.image.config_bytes, sample.image.manifest_bytes)
        ]
        + ["index.json", "oci-layout"]
    )
    assert (tmp_path / "shop.tar").stat().st_size < 2 * len(tar)


@pytest.mark.tools
def test_oci_archive_of_layers_whose_size_is_not_known(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """As with compressed ones; the file is the longer for what stands before each."""
    archive = OciArchive(path=tmp_path / "shop.tar")
    with archive.open(default_reference="shop:1", access=Access()) as writer:
        for tar in SAMPLE.tars:
            sink = writer.begin_layer(None)
            sink.write(tar)
            sink.finish(packed(tar))
        writer.commit(SAMPLE.image, NoLayers())
    members = members_of(archive.path)
    assert {*SAMPLE.tars} <= set(members.values())
    assert [layer.size_bytes for layer in archive.inspect(Access()).layers] == [
        len(tar) for tar in SAMPLE.tars
    ]
    skopeo = [require_tool("skopeo"), "copy", "--quiet", f"oci-archive:{archive.path}"]
    subprocess.run([*skopeo, f"dir:{tmp_path}/copied"], check=True, capture_output=True)
    for tar in SAMPLE.tars:
        assert (tmp_path / "copied" / hashlib.sha256(tar).hexdigest()).read_bytes() == tar


def docker_manifest(members: dict[str, bytes]) -> dict[str, Any]:
    (manifest,) = json.loads(members["manifest.json"])
    assert isinstance(manifest, dict)
    return manifest


def test_docker_archive(tmp_path: Path) -> None:
    archive = tmp_path / "new" / "shop.tar"
    image = SAMPLE.image
    reference = SAMPLE.deliver(f"docker-archive:{archive}")
    assert reference == f"docker-archive:{archive}:shop:1@{image.digest}"
    members = members_of(archive)
    assert docker_manifest(members) == {
        "Config": f"{image.config.digest.hex}.json",
        "RepoTags": ["shop:1"],
        "Layers": ["layer-001.tar", "layer-002.tar", "layer-003.tar", "layer-004.tar"],
    }
    assert members[f"{image.config.digest.hex}.json"] == image.config_bytes
    assert tuple(members[f"layer-00{number}.tar"] for number in (1, 2, 3, 4)) == SAMPLE.tars
    assert len(members) == 6


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (":v2", "v2:latest"),
        (":ghcr.io/me/shop:1.4", "ghcr.io/me/shop:1.4"),
        (":localhost:5000/shop", "localhost:5000/shop:latest"),
        ("", "shop:1"),
    ],
)
def test_docker_archive_names_the_image(tmp_path: Path, text: str, tag: str) -> None:
    reference = OTHER.deliver(f"docker-archive:{tmp_path}/a{text}")
    assert docker_manifest(members_of(tmp_path / "a"))["RepoTags"] == [tag]
    assert reference == f"docker-archive:{tmp_path}/a:{tag}@{OTHER.image.digest}"


def test_docker_archive_of_an_image_without_a_name(tmp_path: Path) -> None:
    reference = OTHER.deliver(f"docker-archive:{tmp_path}/a:")
    # As skopeo and `docker save` by an image's id write it.
    assert docker_manifest(members_of(tmp_path / "a"))["RepoTags"] is None
    assert reference == f"docker-archive:{tmp_path}/a:@{OTHER.image.digest}"
    stored = DockerArchive.parse(f"{tmp_path}/a").inspect(Access())
    assert stored.config == json.loads(OTHER.image.config_bytes)


@pytest.mark.parametrize(
    "text",
    ["", ":", ":shop", "a:Shop", "a:shop:", "a:@0", "a:shop@sha256:" + "0" * 64],
)
def test_docker_archive_refuses(text: str) -> None:
    with pytest.raises(InputError):
        DockerArchive.parse(text)


def test_docker_archive_of_a_package_whose_name_no_image_can_have(tmp_path: Path) -> None:
    archive = DockerArchive.parse(f"{tmp_path}/a")
    with pytest.raises(InputError, match=r"`gtk\+3:1` is not an image reference") as caught:
        archive.open(default_reference="gtk+3:1", access=Access())
    assert caught.value.hint == "give the image another name: `docker-archive:FILE:NAME:TAG`"
    assert files_below(tmp_path) == {}


@pytest.mark.parametrize("text", ["", ":shop", "a:", "a:x y"])
def test_oci_archive_refuses(text: str) -> None:
    with pytest.raises(InputError):
        OciArchive.parse(text)


def test_parse() -> None:
    assert OciArchive.parse("/a/b.tar:v:1") == OciArchive(path=Path("/a/b.tar"), name="v:1")
    assert DockerArchive.parse("b.tar") == DockerArchive(path=Path("b.tar"))
    assert DockerArchive.parse("-") == DockerArchive(path=None)
    assert DockerArchive.parse("-:shop:2") == DockerArchive(
        path=None, reference=ImageReference(name="shop", tag="2")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_image_makes_the_same_bytes(tmp_path: Path, kind: str) -> None:
    for name in ("one", "two", "two"):
        SAMPLE.deliver(f"{kind}:{tmp_path}/{name}:shop")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_mode_does_not_depend_on_the_umask(tmp_path: Path, kind: str, umask: int) -> None:
    previous = os.umask(umask)
    try:
        SAMPLE.deliver(f"{kind}:{tmp_path}/a")
    finally:
        os.umask(previous)
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_without_layers(tmp_path: Path, kind: str) -> None:
    EMPTY.deliver(f"{kind}:{tmp_path}/a")
    assert EMPTY.image.config_bytes in members_of(tmp_path / "a").values()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [0, 2])
def test_leaving_without_commit_leaves_nothing(tmp_path: Path, kind: str, layers: int) -> None:
    with pytest.raises(Interrupted):
        SAMPLE.interrupt(f"{kind}:{tmp_path}/a/b/shop.tar", layers=layers)
    assert files_below(tmp_path) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_leaving_without_commit_keeps_what_was_there(tmp_path: Path, kind: str) -> None:
    (tmp_path / "shop.tar").write_text("old")
    with pytest.raises(Interrupted):
        SAMPLE.interrupt(f"{kind}:{tmp_path}/shop.tar", layers=2)
    assert files_below(tmp_path) == {"shop.tar": b"old"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_link_points_to_is_replaced(tmp_path: Path, kind: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "shop.tar").write_text("old")
    (tmp_path / "link").symlink_to("real/shop.tar")
    OTHER.deliver(f"{kind}:{tmp_path}/link:shop:1")
    assert (tmp_path / "link").is_symlink()
    assert len(members_of(tmp_path / "real" / "shop.tar")) >= 3


def run(text: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    arguments = [sys.executable, "-c", text]
    return subprocess.run(arguments, check=False, timeout=60, stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_after_kill_9_the_next_run_works(tmp_path: Path, kind: str) -> None:
    kill = "staging.FileOutput.publish = lambda self: os.kill(os.getpid(), signal.SIGKILL)"
    killed = run(program(f"{kind}:{tmp_path}/shop.tar", kill))
    assert killed.returncode == -9
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.startswith(PARTIAL_PREFIX)
    OTHER.deliver(f"{kind}:{tmp_path}/shop.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["shop.tar"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_nothing(tmp_path: Path, kind: str) -> None:
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    failed = run(program(f"{kind}:{tmp_path}/a/shop.tar", limit))
    message = f"DestinationError: writing `{tmp_path}/a/shop.tar` failed: file too large"
    assert message in failed.stderr.decode()
    assert files_below(tmp_path) == {}


def test_a_full_device() -> None:
    with pytest.raises(DestinationError) as caught:
        SAMPLE.deliver("docker-archive:/dev/full:shop:1")
    assert caught.value.message == "writing `/dev/full` failed: no space left on device"
    assert caught.value.hint == "make room there, or write elsewhere"


@pytest.mark.parametrize("kind", KINDS)
def test_a_directory_is_no_file(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DestinationError) as caught:
        SAMPLE.deliver(f"{kind}:{tmp_path}")
    assert caught.value.message == f"writing `{tmp_path}` failed: it is there, and it is no file"


def test_an_oci_archive_cannot_be_a_stream() -> None:
    with pytest.raises(DestinationError, match="`/dev/null` failed: it is there, and it is no"):
        SAMPLE.deliver("oci-archive:/dev/null:shop")


@pytest.mark.parametrize("kind", KINDS)
def test_the_place_is_below_a_file(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DestinationError, match=f"writing `{tmp_path}/file/a` failed: not a dir"):
        SAMPLE.deliver(f"{kind}:{tmp_path}/file/a")


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_of_another_size_is_refused(tmp_path: Path, kind: str) -> None:
    tar = OTHER.tars[0]
    parse = OciArchive.parse if kind == "oci-archive" else DockerArchive.parse
    with parse(f"{tmp_path}/a").open(default_reference="shop:1", access=Access()) as writer:
        sink = writer.begin_layer(len(tar))
        sink.write(tar[:-1])
        with pytest.raises(IntegrityError, match="has 10239 bytes"):
            sink.finish(packed(tar))
    assert files_below(tmp_path) == {}


def test_standard_output_is_the_same_archive(tmp_path: Path) -> None:
    SAMPLE.deliver(f"docker-archive:{tmp_path}/a")
    text = program("-", "sys.stdout.write('before')").replace("print(", "sys.stderr.write(")
    with (tmp_path / "stdout").open("wb") as file:
        done = run(text, stdout=file)
    assert done.stderr.decode() == f"shop:1@{SAMPLE.image.digest}"
    assert (tmp_path / "stdout").read_bytes() == b"before" + (tmp_path / "a").read_bytes()


def test_a_named_pipe_is_written_as_it_comes(tmp_path: Path) -> None:
    SAMPLE.deliver(f"docker-archive:{tmp_path}/a")
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as cat:
        SAMPLE.deliver(f"docker-archive:{tmp_path}/pipe")
        assert cat.communicate()[0] == (tmp_path / "a").read_bytes()


def test_nobody_reads_standard_output() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    failed = run(program("-", ""), stdout=writing)
    os.close(writing)
    lines = failed.stderr.decode().splitlines()
    assert lines[-1].endswith("DestinationError: writing `standard output` failed: broken pipe")


def test_a_terminal_is_refused() -> None:
    controller, terminal = pty.openpty()
    failed = run(program("-", ""), stdout=terminal)
    os.close(terminal)
    os.close(controller)
    assert "DestinationError: the archive would be written to the terminal" in (
        failed.stderr.decode()
    )


@pytest.mark.tools
@pytest.mark.parametrize(
    "reference",
    ["oci-archive:a", "oci-archive:a:shop", "docker-archive:a", "docker-archive:a:shop:1"],
)
def test_skopeo_reads_it(
    tmp_path: Path, require_tool: Callable[[str], str], reference: str
) -> None:
    skopeo = require_tool("skopeo")
    SAMPLE.deliver(reference.replace(":a", f":{tmp_path}/a", 1))
    subprocess.run(
        [skopeo, "--insecure-policy", "copy", "-q", reference, "dir:copied"],
        check=True,
        cwd=tmp_path,
    )
    manifest = json.loads((tmp_path / "copied" / "manifest.json").read_bytes())
    digests = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in SAMPLE.tars]
    assert [layer["digest"] for layer in manifest["layers"]] == digests
    assert manifest["config"]["digest"] == str(SAMPLE.image.config.digest)
    for tar, digest in zip(SAMPLE.tars, digests, strict=True):
        assert (tmp_path / "copied" / digest.removeprefix("sha256:")).read_bytes() == tar


@pytest.fixture
def podman(require_tool: Callable[[str], str]) -> Iterator[list[str]]:
    """Podman with a store of its own, whose path podman wants to be shorter than pytest's."""
    program = require_tool("podman")
    with tempfile.TemporaryDirectory(prefix="podman-") as store:
        yield [program, f"--root={store}/a", f"--runroot={store}/b", "--storage-driver=vfs"]


@pytest.mark.tools
@pytest.mark.parametrize(
    ("destination", "name"),
    [("oci-archive:a:shop", "localhost/shop:latest"), ("docker-archive:a", "localhost/shop:1")],
)
def test_podman_loads_it(tmp_path: Path, podman: list[str], destination: str, name: str) -> None:
    SAMPLE.deliver(destination.replace(":a", f":{tmp_path}/a", 1))
    loaded = subprocess.run(
        [*podman, "load", "-i", tmp_path / "a"], check=True, capture_output=True, text=True
    )
    assert loaded.stdout.strip() == f"Loaded image: {name}"
    inspected = subprocess.run(
        [*podman, "image", "inspect", name], check=True, capture_output=True, text=True
    )
    (facts,) = json.loads(inspected.stdout)
    assert facts["Id"] == SAMPLE.image.config.digest.hex
    assert facts["RootFS"]["Layers"] == [str(layer.diff_id) for layer in SAMPLE.image.layers]


@pytest.mark.tools
def test_bsdtar_lists_it(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    SAMPLE.deliver(f"docker-archive:{tmp_path}/a")
    listed = subprocess.run(
        [require_tool("bsdtar"), "-tf", tmp_path / "a"], check=True, capture_output=True, text=True
    )
    assert listed.stdout.split() == list(members_of(tmp_path / "a"))
    assert listed.stderr == ""
