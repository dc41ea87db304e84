"""`nixbridge copy` as a user runs it, on a real store: compressed, from memory, and in safety."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from fake_store import FakeStore, nar
from image_files import Layout
from nix_machine import NIXBRIDGE, Machine, opened_by_nixbridge

pytestmark = pytest.mark.nix


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# More than what is on its way in pipes and buffers, so that reading goes on after we have looked.
PLENTY = 48 << 20


def large_files() -> dict[str, bytes]:
    return {"a": b"a" * PLENTY, "b": b"b" * 1000, "c": b"c" * 200_000}


class Stalled:
    """A copy that has begun to pack, and waits until its archive is read on."""

    def __init__(self, machine: Machine, source: str, *destinations: str) -> None:
        self._archive = machine.folder / "pipe"
        os.mkfifo(self._archive)
        self._process = machine.start(
            *NIXBRIDGE, "copy", source, *destinations, "docker-archive:pipe:x:1"
        )

    def __enter__(self) -> Self:
        self._reader = self._archive.open("rb")
        self._begin = self._reader.read(100_000)
        assert len(self._begin) == 100_000
        assert self._process.poll() is None
        return self

    def finish(self) -> tuple[bytes, subprocess.CompletedProcess[str]]:
        data = self._begin + self._reader.read()
        stdout, stderr = self._process.communicate(timeout=120)
        return data, subprocess.CompletedProcess([], self._process.returncode, stdout, stderr)

    def __exit__(self, *_error: object) -> None:
        self._reader.close()
        self._process.kill()
        self._process.communicate()


DERIVATION = """
derivation {
  name = "big";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  args = [
    "-c"
    "export PATH=/bin:/usr/bin; mkdir $out; head -c @size@ /dev/zero > $out/a; echo end > $out/c"
  ];
}
"""


def sources(machine: Machine, kind: str) -> str:
    """Return a SOURCE of that kind, of which nothing is kept from garbage collection."""
    if kind in {"store path", "description", "description in the store"}:
        path = machine.add("big", large_files())
        if kind == "store path":
            return path
        document = machine.output(*NIXBRIDGE, "show", path)
        (machine.folder / "image.json").write_text(document)
        if kind == "description in the store":
            return machine.output("nix-store", "--add", "image.json")
        return "image.json"
    (machine.folder / "image.nix").write_text(DERIVATION.replace("@size@", str(PLENTY)))
    if kind == "nix file":
        return "image.nix"
    flake = machine.folder / "flake"
    flake.mkdir()
    derivation = (machine.folder / "image.nix").read_text()
    system = "x86_64-linux"
    text = derivation.replace("builtins.currentSystem", f'"{system}"')
    (flake / "flake.nix").write_text(
        f'{{ outputs = _: {{ packages.{system}.big = {text} // {{ type = "derivation"; }}; }}; }}'
    )
    return f"path:{flake}#big"


@pytest.fixture(
    params=["store path", "description", "description in the store", "nix file", "flake"]
)
def source(request: pytest.FixtureRequest, machine: Machine) -> str:
    kind: str = request.param
    if kind in {"nix file", "flake"}:
        request.getfixturevalue("needs_namespaces")
    return sources(machine, kind)


def test_garbage_is_collected_in_the_middle(machine: Machine, source: str) -> None:
    canary = machine.add("canary", {"x": b"x"})
    with Stalled(machine, source) as stalled:
        machine.output("nix-collect-garbage")
        assert not machine.place(canary).exists(), "nothing was collected"
        data, result = stalled.finish()
    assert result.returncode == 0, result.stderr
    archive = machine.folder / "image.tar"
    archive.write_bytes(data)
    with tarfile.open(archive) as outer:
        [name] = json.loads(outer.extractfile("manifest.json").read())[0]["Layers"]  # type: ignore[union-attr]
        with tarfile.open(fileobj=outer.extractfile(name)) as layer:
            sizes = {Path(member.name).name: member.size for member in layer if member.isfile()}
    assert sizes["a"] == PLENTY
    assert sizes["c"] > 0
    # Afterwards nothing is protected any more.
    machine.output("nix-collect-garbage")
    assert [path.name for path in machine.place("/nix/store").iterdir() if "big" in path.name] == []


def grow(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"!")


def shrink(file: Path) -> None:
    os.truncate(file, 10)


def swap_for_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("a")


def swap_for_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Path.unlink, "`@` is not there"),
        (grow, "`@` changed while it was packed: it should have 200000 bytes"),
        (shrink, "`@` changed while it was packed: it should have 200000 bytes"),
        (swap_for_link, "reading `@` failed: too many levels of symbolic links"),
        (swap_for_directory, "reading `@` failed: is a directory"),
    ],
    ids=["gone", "grown", "shrunk", "a link", "a directory"],
)
@pytest.mark.parametrize("options", [[], ["--check-contents"]], ids=["", "checked"])
def test_a_file_that_changes_while_it_is_packed(
    machine: Machine, change: Callable[[Path], None], message: str, options: list[str]
) -> None:
    path = machine.add("big", large_files())
    with Stalled(machine, path, "oci:out:x", *options) as stalled:
        machine.place(path).chmod(0o755)
        file = machine.place(path) / "c"
        file.chmod(0o644)
        change(file)
        _, result = stalled.finish()
    assert result.returncode == 5, result.stderr
    assert result.stdout == ""
    assert f"error: {message.replace('@', f'{path}/c')}\n" in result.stderr
    # Nothing is half-written, and nothing is remembered.
    assert not (machine.folder / "out").exists()
    assert machine.output(*NIXBRIDGE, "cache", "info").splitlines()[1] == "layers  0"


def test_contents_that_are_not_what_nix_knows(machine: Machine) -> None:
    path = machine.add("app", {"file": b"right"})
    assert machine.copy(path, "oci:out:x", "--check-contents").returncode == 0
    file = machine.place(path) / "file"
    file.chmod(0o644)
    file.write_bytes(b"wrong")
    file.chmod(0o444)
    result = machine.copy(path, "oci:other:x", "--check-contents", "--json")
    assert result.returncode == 6
    assert result.stdout == ""
    error = json.loads(result.stderr.splitlines()[-1])["error"]
    assert error["code"] == "integrity"
    judged = hashlib.sha256(nar(machine.place(path))).hexdigest()
    assert error["message"].startswith(
        f"the contents of `{path}` are not what Nix knows: they have the hash `sha256:{judged}`"
    )
    assert not (machine.folder / "other").exists()


def test_our_reference_of_a_nar_is_nixs(tmp_path: Path) -> None:
    store = FakeStore(tmp_path)
    info = store.add(
        "x",
        {
            "ü": {"a-b": (b"1" * 9, True), "a": {"b": (b"", False)}, "A": "ü/../x"},
            "empty": {},
            "file": (b"12345678", False),
        },
    )
    dumped = subprocess.run(
        ["nix-store", "--dump", store.place(info)], check=True, capture_output=True
    )
    assert dumped.stdout == nar(store.place(info))


# What the system sees.


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_an_unchanged_image_is_copied_without_opening_a_file_of_it(
    machine: Machine, require_tool: Callable[[str], str], compression: str
) -> None:
    strace = require_tool("strace")
    path = machine.add("app", {f"file-{number}": b"x" * number for number in range(50)})
    argv = [path, "oci:out:x", "--compression", compression]
    store = str(machine.place("/nix/store"))
    first = opened_by_nixbridge(machine, strace, *argv)
    assert sum(name.startswith(f"{machine.place(path)}/file-") for name in first) == 50
    manifest = (machine.folder / "out/index.json").read_bytes()
    again = opened_by_nixbridge(machine, strace, *argv)
    assert any(name.endswith("/layers.sqlite") for name in again), "nothing was seen"
    assert [name for name in again if name.startswith((store, "/nix/store"))] == []
    assert (machine.folder / "out/index.json").read_bytes() == manifest


def test_contents_are_checked_without_a_second_read(
    machine: Machine, require_tool: Callable[[str], str]
) -> None:
    files = {f"file-{number}": b"x" * (number * 5000) for number in range(20)}
    path = machine.add("app", files)
    argv = (path, "oci:out:x", "--check-contents", "--compression", "gzip")
    opened = opened_by_nixbridge(machine, require_tool("strace"), *argv)
    place = str(machine.place(path))
    found = [name for name in opened if name.startswith(f"{place}/") and "file-" in name]
    assert sorted(found) == sorted(f"{place}/{name}" for name in files)


def test_no_cache(machine: Machine) -> None:
    path = machine.add("app", {"file": b"x"})
    for _ in range(2):
        result = machine.copy(path, "oci:out:x", "--no-cache")
        assert result.returncode == 0, result.stderr
        assert "not read" not in result.stderr
    assert not (machine.folder / "cache/nixbridge").exists()


def test_a_home_that_cannot_be_written_to(machine: Machine) -> None:
    (machine.folder / "cache").write_text("in the way")
    path = machine.add("app", {"file": b"x"})
    result = machine.copy(path, "oci:out:x")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("warning: ") == 1
    assert "warning: going on without the layer cache: " in result.stderr
    assert "  hint: let `XDG_CACHE_HOME` name a directory that you can write to\n" in result.stderr


def test_cache_verbs(machine: Machine) -> None:
    path = machine.add("app", {"file": b"x"})
    reference = machine.copy(path, "oci:out:x").stdout
    info = json.loads(machine.output(*NIXBRIDGE, "cache", "info", "--json"))
    file = machine.folder / "cache/nixbridge/layers.sqlite"
    assert info == {
        "version": 1,
        "path": str(file),
        "layers": 1,
        "sizeBytes": file.stat().st_size,
        "limitBytes": 80 << 20,
    }
    assert machine.run(*NIXBRIDGE, "cache", "verify").returncode == 0
    result = machine.copy(path, "oci:out:x")
    assert "pack      1 layer: 1 known from the cache (not read)" in result.stderr
    assert result.stdout == reference
    assert machine.output(*NIXBRIDGE, "cache", "clear") == ""
    assert not file.exists()
    assert machine.output(*NIXBRIDGE, "cache", "info").splitlines()[1:] == [
        "layers  0",
        "size    0 B of about 84 MB",
    ]


def test_verify_finds_a_lie(machine: Machine) -> None:
    path = machine.add("app", {"file": b"x"})
    assert machine.copy(path, "oci:out:x").returncode == 0
    lie = (
        "import dataclasses, sys; from pathlib import Path; "
        "from nixbridge.packing import LayerCache; "
        "cache = LayerCache(Path(sys.argv[1]), warn=print); "
        "cache.remember({recipe: dataclasses.replace(known, tar_size_bytes=1) "
        "for recipe, known in cache.layers().items()})"
    )
    file = machine.folder / "cache/nixbridge/layers.sqlite"
    machine.output(sys.executable, "-c", lie, str(file))
    result = machine.run(*NIXBRIDGE, "cache", "verify")
    assert result.returncode == 6
    assert result.stderr.endswith(
        "error: of 1 layers that could be packed again, the cache knew 1 wrongly; it has "
        "forgotten them\n"
    )
    assert machine.run(*NIXBRIDGE, "cache", "verify").returncode == 0


# Compressed images, as others see them.


@pytest.mark.parametrize("kind", ["gzip", "zlib:9", "zstd"])
@pytest.mark.parametrize("transport", ["oci", "oci-archive"])
def test_skopeo_reads_compressed_layers(
    machine: Machine, require_tool: Callable[[str], str], kind: str, transport: str
) -> None:
    skopeo = require_tool("skopeo")
    path = machine.add("app", {"file": b"text " * 50_000, "other": os.urandom(70_000)})
    result = machine.copy(path, f"{transport}:out:x", "--compression", kind)
    assert result.returncode == 0, result.stderr
    machine.output(skopeo, "copy", "--dest-decompress", f"{transport}:out:x", "dir:plain")
    manifest = json.loads((machine.folder / "plain/manifest.json").read_bytes())
    config = json.loads((machine.folder / "plain" / manifest["config"]["digest"][7:]).read_bytes())
    for layer, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
        data = (machine.folder / "plain" / layer["digest"][7:]).read_bytes()
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == diff_id


def test_umoci_unpacks_gzip(machine: Machine, require_tool: Callable[[str], str]) -> None:
    umoci = require_tool("umoci")
    path = machine.add("app", {"file": b"text " * 50_000})
    result = machine.copy(path, "oci:out:x", "--compression", "gzip")
    assert result.returncode == 0, result.stderr
    machine.output(umoci, "unpack", "--rootless", "--image", "out:x", "bundle")
    unpacked = machine.folder / "bundle/rootfs" / path.lstrip("/") / "file"
    assert unpacked.read_bytes() == b"text " * 50_000


def test_the_same_diff_ids_however_compressed(machine: Machine) -> None:
    path = machine.add("app", {"file": b"text " * 50_000})
    images = {}
    for kind in ("none", "gzip", "zstd"):
        machine.output(*NIXBRIDGE, "copy", path, f"oci:out:{kind}", "--compression", kind)
        images[kind] = Layout(machine.folder / "out", kind)
    diff_ids = [image.config["rootfs"]["diff_ids"] for image in images.values()]
    assert diff_ids[0] == diff_ids[1] == diff_ids[2]
    digests = {image.manifest["layers"][0]["digest"] for image in images.values()}
    assert len(digests) == 3


def test_a_docker_archive_is_refused_before_anything_is_built(machine: Machine) -> None:
    (machine.folder / "image.nix").write_text('throw "it was evaluated"')
    result = machine.copy("image.nix", "docker-archive:x.tar", "--compression", "gzip")
    assert result.returncode == 2
    assert result.stderr == (
        "error: `docker-archive:x.tar` takes no compressed layers, as its format wants their size "
        "first\n  hint: leave out `--compression`, or compress the archive as a whole: "
        "`nixbridge copy SOURCE - | gzip`\n"
    )
