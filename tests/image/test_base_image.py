"""Images to build upon: every format, what is taken over, and what is not as promised."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import re
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from nixbridge.closure import StoreRoot
from nixbridge.description import inherit_config
from nixbridge.errors import InputError, IntegrityError, NixbridgeError
from nixbridge.image import BaseImage, read_base_image
from nixbridge.oci import DiffId, Platform
from nixbridge.packing import decompress

AMD64 = Platform(architecture="amd64")
OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


TARS = (tar({"etc/a": b"1"}), tar({"etc/b": b"2" * 5000}))
BLOBS = (gzip.compress(TARS[0], mtime=0), TARS[1])


@dataclass
class Parts:
    """An image in parts, to be put together in one of the formats."""

    config: dict[str, Any]
    media_types: tuple[str, ...] = (f"{OCI}.layer.v1.tar+gzip", f"{OCI}.layer.v1.tar")
    manifest_type: str = f"{OCI}.manifest.v1+json"
    blobs: tuple[bytes, ...] = BLOBS

    @property
    def config_bytes(self) -> bytes:
        return json.dumps(self.config).encode()

    @property
    def manifest_bytes(self) -> bytes:
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": self.manifest_type,
                "config": {
                    "mediaType": f"{OCI}.config.v1+json",
                    "digest": digest(self.config_bytes),
                    "size": len(self.config_bytes),
                },
                "layers": [
                    {"mediaType": kind, "digest": digest(blob), "size": len(blob)}
                    for kind, blob in zip(self.media_types, self.blobs, strict=True)
                ],
            }
        ).encode()

    def skopeo_directory(self) -> dict[str, bytes]:
        return {
            "version": b"Directory Transport Version: 1.1\n",
            "manifest.json": self.manifest_bytes,
            **{digest(data)[7:]: data for data in (self.config_bytes, *self.blobs)},
        }

    def layout(self, *, nested: bool = False) -> dict[str, bytes]:
        blobs = [self.config_bytes, self.manifest_bytes, *self.blobs]
        entry = {
            "mediaType": self.manifest_type,
            "digest": digest(self.manifest_bytes),
            "size": len(self.manifest_bytes),
            "platform": {"architecture": "amd64", "os": "linux"},
        }
        other = {**entry, "platform": {"architecture": "arm64", "os": "linux"}}
        other["digest"] = digest(b"not here")
        index = json.dumps({"schemaVersion": 2, "manifests": [other, entry] if nested else [entry]})
        if nested:
            blobs.append(index.encode())
            inner = {"mediaType": f"{OCI}.index.v1+json", "digest": digest(index.encode())}
            index = json.dumps({"schemaVersion": 2, "manifests": [{**inner, "size": len(index)}]})
        return {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
            "index.json": index.encode(),
            **{f"blobs/sha256/{digest(data)[7:]}": data for data in blobs},
        }

    def docker_archive(self) -> dict[str, bytes]:
        manifest = [{"Config": "c.json", "RepoTags": ["a:b"], "Layers": ["1/layer.tar", "2.tar"]}]
        return {
            "1/layer.tar": self.blobs[0],
            "2.tar": self.blobs[1],
            "c.json": self.config_bytes,
            "manifest.json": json.dumps(manifest).encode(),
        }


def parts(**config: object) -> Parts:
    return Parts(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], "Volumes": None, "Custom": 1},
            "rootfs": {"type": "layers", "diff_ids": [digest(data) for data in TARS]},
            "history": [
                {"created_by": "ADD a"},
                {"created_by": "CMD", "empty_layer": True},
                {"created_by": "ADD b"},
            ],
            **config,
        }
    )


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def read(path: Path) -> BaseImage:
    return read_base_image(path, platform=AMD64, store=StoreRoot())


def copy_all(path: Path) -> None:
    for layer in read(path).layers:
        layer.copy_to(io.BytesIO())


def as_skopeo_directory(folder: Path) -> Path:
    return write(folder / "x", parts().skopeo_directory())


def as_dockers_words(folder: Path) -> Path:
    image = parts()
    image.manifest_type = f"{DOCKER}.distribution.manifest.v2+json"
    image.media_types = (
        f"{DOCKER}.image.rootfs.diff.tar.gzip",
        f"{DOCKER}.image.rootfs.diff.tar",
    )
    return write(folder / "x", image.skopeo_directory())


def as_layout(folder: Path) -> Path:
    return write(folder / "x", parts().layout())


def as_layout_for_many_platforms(folder: Path) -> Path:
    return write(folder / "x", parts().layout(nested=True))


def as_layout_archive(folder: Path) -> Path:
    (folder / "x.tar").write_bytes(tar(parts().layout()))
    return folder / "x.tar"


def as_docker_archive(folder: Path) -> Path:
    (folder / "x.tar").write_bytes(tar(parts().docker_archive()))
    return folder / "x.tar"


def as_compressed_docker_archive(folder: Path) -> Path:
    (folder / "x.tar.gz").write_bytes(gzip.compress(tar(parts().docker_archive())))
    return folder / "x.tar.gz"


def as_links(folder: Path) -> Path:
    """As pullImageFromManifest has it, in a store with another root."""
    folder = folder / "x"
    files = parts().skopeo_directory()
    write(folder, {name: files.pop(name) for name in ("manifest.json", "version")})
    for number, (name, data) in enumerate(files.items()):
        target = f"/nix/store/{str(number) * 32}-{name}"
        write(folder, {f"root{target}": data})
        (folder / name).symlink_to(target)
    return folder


@pytest.mark.parametrize(
    "make",
    [
        as_skopeo_directory,
        as_dockers_words,
        as_layout,
        as_layout_for_many_platforms,
        as_layout_archive,
        as_docker_archive,
        as_compressed_docker_archive,
        as_links,
    ],
)
def test_every_format(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    base = read_base_image(path, platform=AMD64, store=StoreRoot(path / "root"))
    assert base.platform == AMD64
    assert base.config == {"Cmd": ("sh",), "Env": ("PATH=/bin",), "Custom": 1}
    assert [entry["created_by"] for entry in base.history] == ["ADD a", "CMD", "ADD b"]
    assert [layer.size_bytes for layer in base.layers] == [len(blob) for blob in BLOBS]
    for layer, blob, content in zip(base.layers, BLOBS, TARS, strict=True):
        sink = io.BytesIO()
        packed = layer.packed(layer.copy_to(sink))
        assert sink.getvalue() == blob
        assert str(packed.descriptor.digest) == digest(blob)
        assert packed.descriptor.size_bytes == len(blob)
        assert str(packed.diff_id) == digest(content)
        assert packed.tar_size_bytes == len(content)
    kinds = [layer.media_type for layer in base.layers]
    assert kinds == [f"{OCI}.layer.v1.tar+gzip", f"{OCI}.layer.v1.tar"]


def test_an_image_without_history_gets_an_entry_for_each_layer(tmp_path: Path) -> None:
    base = read(write(tmp_path, parts(history=None).skopeo_directory()))
    assert base.history == ({}, {})


def test_a_layer_that_zstd_compressed_is_handed_on(tmp_path: Path) -> None:
    # Two frames, and what a frame need not have: the size of what is in it.
    compress = zstandard.ZstdCompressor(write_content_size=False).compress
    image = parts()
    image.blobs = (compress(TARS[0][:700]) + compress(TARS[0][700:]), TARS[1])
    image.media_types = (f"{OCI}.layer.v1.tar+zstd", f"{OCI}.layer.v1.tar")
    [first, _] = read(write(tmp_path, image.skopeo_directory())).layers
    sink = io.BytesIO()
    packed = first.packed(first.copy_to(sink))
    assert packed.descriptor.media_type == f"{OCI}.layer.v1.tar+zstd"
    assert packed.tar_size_bytes == len(TARS[0])
    assert sink.getvalue() == image.blobs[0]


@pytest.mark.parametrize("blob", [b"not zstd", None], ids=["damaged", "of another tar"])
def test_a_layer_that_zstd_compressed_is_checked(tmp_path: Path, blob: bytes | None) -> None:
    image = parts()
    image.blobs = (blob or zstandard.ZstdCompressor().compress(b"another"), TARS[1])
    image.media_types = (f"{OCI}.layer.v1.tar+zstd", f"{OCI}.layer.v1.tar")
    [first, _] = read(write(tmp_path, image.skopeo_directory())).layers
    with pytest.raises(IntegrityError) as caught:
        first.copy_to(io.BytesIO())
    layer = f"layer `{first.file}` of the base image `{tmp_path}`"
    if blob is None:
        promised = f"and should have `{digest(TARS[0])}`"
        assert caught.value.message == (
            f"{layer} has the diff id `{digest(b'another')}`, {promised}"
        )
    else:
        assert caught.value.message.startswith(f"{layer} cannot be read: zstd decompress error: ")


def test_a_layer_is_handed_on_in_large_pieces(tmp_path: Path) -> None:
    sizes: list[int] = []

    class Sink:
        def write(self, data: bytes | memoryview, /) -> None:
            sizes.append(len(data))

    data = random.Random(1).randbytes(5 << 19)
    image = parts()
    image.blobs = (gzip.compress(data), TARS[1])
    [first, _] = read(write(tmp_path, image.skopeo_directory())).layers
    replace(first, diff_id=DiffId(digest(data))).copy_to(Sink())
    assert sizes[:2] == [1 << 20, 1 << 20]


@given(st.binary(max_size=3000), st.integers(1, 4), st.sampled_from(["gzip", "zstd"]))
def test_what_was_compressed_comes_back(data: bytes, members: int, kind: str) -> None:
    compress = gzip.compress if kind == "gzip" else zstandard.ZstdCompressor().compress
    blob = io.BytesIO(b"".join(compress(data) for _ in range(members)))
    assert b"".join(decompress(blob, f"{OCI}.layer.v1.tar+{kind}")) == data * members


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_what_grows_much_comes_back_a_little_at_a_time(kind: str) -> None:
    data = bytes(50 << 20)
    compress = gzip.compress if kind == "gzip" else zstandard.ZstdCompressor().compress
    pieces = list(decompress(io.BytesIO(compress(data)), f"{OCI}.layer.v1.tar+{kind}"))
    assert b"".join(pieces) == data
    assert max(len(piece) for piece in pieces) <= 1 << 20


# What is wrong


def without(name: str) -> Callable[[dict[str, bytes]], None]:
    def remove(files: dict[str, bytes]) -> None:
        del files[name]

    return remove


def with_file(name: str, data: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda files: files.update({name: data})


CONFIG_NAME = digest(parts().config_bytes)[7:]
LAYER_NAMES = [digest(blob)[7:] for blob in BLOBS]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (without("manifest.json"), InputError, "the base image `PATH` is none that we know"),
        (without(CONFIG_NAME), InputError, f"the base image `PATH` has no `{CONFIG_NAME}`"),
        (without(LAYER_NAMES[0]), InputError, f"the base image `PATH` has no `{LAYER_NAMES[0]}`"),
        (
            with_file("manifest.json", b"{"),
            InputError,
            "`PATH/manifest.json` is not JSON: Expecting property name",
        ),
        (
            with_file("manifest.json", b"{}"),
            InputError,
            "in `PATH/manifest.json`, `config` is miss",
        ),
        (
            with_file("manifest.json", b'{"manifests": []}'),
            InputError,
            "the base image `PATH` is a list of images",
        ),
        (
            with_file(CONFIG_NAME, b"{}"),
            IntegrityError,
            f"`sha256:{CONFIG_NAME}` in the base image `PATH` has the digest `{digest(b'{}')}`",
        ),
        (
            with_file(LAYER_NAMES[1], b"short"),
            IntegrityError,
            f"layer `{LAYER_NAMES[1]}` of the base image `PATH` has 5 bytes, and should have ",
        ),
        (
            with_file(LAYER_NAMES[1], BLOBS[1][:-1] + b"x"),
            IntegrityError,
            f"layer `{LAYER_NAMES[1]}` of the base image `PATH` has the digest `sha256:",
        ),
        (
            with_file(LAYER_NAMES[0], b"x" * len(BLOBS[0])),
            IntegrityError,
            f"layer `{LAYER_NAMES[0]}` of the base image `PATH` cannot be read: Not a gzipped",
        ),
    ],
)
def test_what_is_wrong_is_named(
    change: Callable[[dict[str, bytes]], None],
    error: type[NixbridgeError],
    message: str,
    tmp_path: Path,
) -> None:
    files = parts().skopeo_directory()
    change(files)
    with pytest.raises(error) as caught:
        copy_all(write(tmp_path, files))
    assert caught.value.message.startswith(message.replace("PATH", str(tmp_path)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rootfs": {"diff_ids": []}}, "has 2 layers, and its config tells of 0"),
        (
            {"rootfs": {"diff_ids": [digest(b"x"), digest(TARS[1])]}},
            f"has the diff id `{digest(TARS[0])}`, and should have `{digest(b'x')}`",
        ),
    ],
)
def test_a_config_that_tells_of_other_layers(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(IntegrityError, match=re.escape(message)):
        copy_all(write(tmp_path, parts(**change).skopeo_directory()))


def test_a_layer_of_a_kind_that_we_do_not_know(tmp_path: Path) -> None:
    image = parts()
    image.media_types = (f"{OCI}.layer.nondistributable.v1.tar+gzip", f"{OCI}.layer.v1.tar")
    with pytest.raises(InputError, match="is no kind of layer that we know"):
        read(write(tmp_path, image.skopeo_directory()))


def test_a_layout_for_other_platforms(tmp_path: Path) -> None:
    folder = write(tmp_path, parts().layout(nested=True))
    with pytest.raises(InputError) as caught:
        read_base_image(folder, platform=Platform(architecture="s390x"), store=StoreRoot())
    assert caught.value.message == (
        f"the base image `{folder}` is 2 images, and 0 of them are for linux/s390x"
    )


def test_a_layer_that_ends_too_early(tmp_path: Path) -> None:
    image = parts()
    image.blobs = (BLOBS[0][:-4], BLOBS[1])
    [layer, _] = read(write(tmp_path, image.skopeo_directory())).layers
    with pytest.raises(IntegrityError, match="cannot be read: Compressed file ended before"):
        layer.copy_to(io.BytesIO())


# What is taken over of the config


def test_own_words_win_and_the_rest_is_taken_over() -> None:
    base = {
        "User": "me",
        "WorkingDir": "/srv",
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ("CMD", "true")},
    }
    assert inherit_config(base, {"WorkingDir": "/"}) == {**base, "WorkingDir": "/"}


def test_variables_are_merged_by_name() -> None:
    base = {"Env": ("PATH=/bin", "A=1", "B=x=y")}
    assert inherit_config(base, {"Env": ("C=", "A=2")})["Env"] == (
        "PATH=/bin",
        "A=2",
        "B=x=y",
        "C=",
    )
    assert inherit_config(base, {})["Env"] == base["Env"]
    assert inherit_config({}, {"Env": ("A=2",)})["Env"] == ("A=2",)


@pytest.mark.parametrize("key", ["Labels", "ExposedPorts", "Volumes"])
def test_names_are_merged(key: str) -> None:
    merged = inherit_config({key: {"a": "1", "b": "1"}}, {key: {"b": "2", "c": "2"}})
    assert merged[key] == {"a": "1", "b": "2", "c": "2"}


@pytest.mark.parametrize(
    ("own", "entrypoint", "command"),
    [
        ({}, ("init",), ("run",)),
        ({"Cmd": ("x",)}, ("init",), ("x",)),
        ({"Entrypoint": ("x",)}, ("x",), None),
        ({"Entrypoint": ("x",), "Cmd": ("y",)}, ("x",), ("y",)),
        ({"Entrypoint": ()}, (), None),
    ],
)
def test_a_command_is_for_its_entrypoint(
    own: dict[str, Any], entrypoint: tuple[str, ...], command: tuple[str, ...] | None
) -> None:
    merged = inherit_config({"Entrypoint": ("init",), "Cmd": ("run",)}, own)
    assert (merged.get("Entrypoint"), merged.get("Cmd")) == (entrypoint, command)


def test_triggers_are_not_passed_over() -> None:
    base = {"OnBuild": ("RUN make",)}
    with pytest.raises(InputError) as caught:
        inherit_config(base, {})
    assert caught.value.message == (
        "the base image has `OnBuild` triggers, which only `docker build` can run"
    )
    assert inherit_config(base, {"OnBuild": ()}) == {"OnBuild": ()}
