"""What a push reads and sends, as strace and the wire see it; and that all destinations agree."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fake_store import nar
from nix_machine import NIXBRIDGE, Machine, opened_by_nixbridge
from registry_server import RegistryServer

pytestmark = [pytest.mark.nix, pytest.mark.tools]

PLAIN = ("--dest-tls-verify", "false")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@dataclass
class CountingProxy:
    """Passes connections on to `target`, and counts what goes through, both ways together."""

    target: tuple[str, int]
    host: str = ""
    counts: list[int] = field(default_factory=list)

    @property
    def passed_bytes(self) -> int:
        return sum(self.counts)

    def serve(self, listener: socket.socket) -> None:
        # It ends when the listener is closed.
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self.serve_one, args=(client,), daemon=True).start()

    def serve_one(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.target) as server:
            back = threading.Thread(target=self.pass_on, args=(server, client), daemon=True)
            back.start()
            self.pass_on(client, server)
            back.join()

    def pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.counts.append(len(data))
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(docker_registry: RegistryServer) -> Iterator[CountingProxy]:
    host, _, port = docker_registry.host.partition(":")
    counting = CountingProxy(target=(host, int(port)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        counting.host = f"127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=counting.serve, args=(listener,), daemon=True)
        thread.start()
        yield counting
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


class Image:
    """An image of so many store paths, with a layer for each and a Nix database."""

    def __init__(self, machine: Machine, path_count: int) -> None:
        self.machine = machine
        sources = []
        for number in range(path_count):
            source = machine.folder / f"p{number:02}"
            source.mkdir()
            # No two are alike.
            (source / "file").write_bytes(f"{number:06}".encode() * 5000)
            sources.append(str(source))
        self.paths = machine.output("nix-store", "--add", *sources).splitlines()
        self.write()

    def write(self) -> None:
        document = json.loads(self.machine.output(*NIXBRIDGE, "show", self.paths[0]))
        [layer] = document["layers"]
        layer.update(roots=sorted(self.paths), strategy="one-per-path", maxLayers=0)
        closure = [self.describe(path) for path in sorted(self.paths)]
        document.update(closure=closure, nixDatabase={"uid": 0, "gid": 0})
        (self.machine.folder / "image.json").write_text(json.dumps(document))

    def describe(self, path: str) -> dict[str, Any]:
        data = nar(self.machine.place(path))
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return {"path": path, "narHash": digest, "narSize": len(data), "references": []}

    def change(self, number: int) -> str:
        """Change one of the paths; return the new one."""
        source = self.machine.folder / "new" / f"p{number:02}"
        source.mkdir(parents=True)
        (source / "file").write_bytes(b"changed" * 5000)
        self.paths[number] = self.machine.output("nix-store", "--add", str(source))
        self.write()
        return self.paths[number]

    def forget(self) -> None:
        """Let this machine be one that has never seen the image."""
        self.machine.output(*NIXBRIDGE, "cache", "clear")


def below(store: str, opened: list[str]) -> set[str]:
    return {name for name in opened if name.startswith((store, "/nix/store"))}


@pytest.fixture
def strace(require_tool: Callable[[str], str]) -> str:
    return require_tool("strace")


def test_from_an_empty_cache_an_unchanged_image_is_pushed_without_opening_a_file_of_it(
    machine: Machine, strace: str, proxy: CountingProxy
) -> None:
    Image(machine, 100)
    store = str(machine.place("/nix/store"))
    argv = ("image.json", f"docker://{proxy.host}/team/app:1", *PLAIN)
    first = opened_by_nixbridge(machine, strace, *argv)
    assert sum(name.endswith("/file") for name in below(store, first)) == 100
    pushed_bytes = proxy.passed_bytes
    machine.output(*NIXBRIDGE, "cache", "clear")
    again = opened_by_nixbridge(machine, strace, *argv)
    assert any(name.endswith("/image.json") for name in again), "nothing was seen"
    assert below(store, again) == set()
    sent_bytes = proxy.passed_bytes - pushed_bytes
    assert 1000 < sent_bytes < 1_000_000


def test_of_a_hundred_paths_only_the_one_that_changed_is_read(
    machine: Machine, strace: str, proxy: CountingProxy
) -> None:
    image = Image(machine, 100)
    store = str(machine.place("/nix/store"))
    old, new = (f"docker://{proxy.host}/team/app:{tag}" for tag in (1, 2))
    first = machine.copy("image.json", old, *PLAIN)
    assert first.returncode == 0, first.stderr
    changed = image.change(7)
    image.forget()
    opened = opened_by_nixbridge(machine, strace, "image.json", new, "--against", old, *PLAIN)
    found = {name.rstrip("/") for name in below(store, opened)}
    assert {name for name in found if not name.endswith("/nix/store")} == {
        str(machine.place(changed)),
        f"{machine.place(changed)}/file",
    }


def copied(machine: Machine, *argv: str) -> dict[str, Any]:
    result = machine.copy(*argv, "--json")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("layer ") == 0
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_the_document_tells_what_was_done_with_each_layer(
    machine: Machine, docker_registry: RegistryServer
) -> None:
    image = Image(machine, 10)
    old, new, other = (
        docker_registry.reference(name) for name in ("team/app:1", "team/app:2", "other/app:1")
    )
    first = copied(machine, "image.json", old, *PLAIN)
    assert first["readBytes"] == 10 * 30_000
    assert first["sentBytes"] == sum(layer["sizeBytes"] for layer in first["layers"])
    image.change(7)
    image.forget()
    second = copied(machine, "image.json", new, "--against", old, *PLAIN)
    known = [layer["knownFrom"] for layer in second["layers"]]
    # The layers are sorted by their paths, so the changed one may be anywhere.
    assert sorted(known, key=str) == [None, None] + [old] * 9
    outcomes = [layer["destinations"][0]["outcome"] for layer in second["layers"]]
    assert [outcome for outcome, source in zip(outcomes, known, strict=True) if source] == [
        "skipped"
    ] * 9
    assert second["readBytes"] == 35_000
    assert 0 < second["sentBytes"] < 50_000
    assert second["references"] == [f"{new.removeprefix('docker://')}@{second['digest']}"]
    image.forget()
    third = copied(machine, "image.json", other, "--against", new, *PLAIN)
    assert third["digest"] == second["digest"]
    assert {layer["destinations"][0]["outcome"] for layer in third["layers"]} == {"mounted"}
    assert {layer["destinations"][0]["why"] for layer in third["layers"]} == {
        "it was in another repository of the registry"
    }
    assert (third["readBytes"], third["sentBytes"]) == (0, 0)
    image.forget()
    # The layers are kept as they were in any case, but nobody's word is taken for their bytes.
    read = copied(machine, "image.json", new, "--against", new, "--no-trust-annotations", *PLAIN)
    assert read["readBytes"] == 9 * 30_000 + 35_000
    assert read["digest"] == second["digest"]


def test_the_words_for_people(machine: Machine, docker_registry: RegistryServer) -> None:
    image = Image(machine, 10)
    old, new = (docker_registry.reference(f"team/app:{tag}") for tag in (1, 2))
    first = machine.copy("image.json", old, *PLAIN)
    lines = first.stderr.splitlines()
    assert sum(line.startswith("  sent      layer ") for line in lines) == 11
    assert "  pack      11 layers, " in lines[-1]
    image.change(7)
    image.forget()
    second = machine.copy("image.json", new, "--against", old, *PLAIN)
    _, *sent, summary = second.stderr.splitlines()
    assert len(sent) == 2
    assert "  pack      11 layers: 9 known from app:1 (not read), 2 sent (" in summary
    third = machine.copy("image.json", new, "-v", *PLAIN)
    assert third.stderr.count("  skipped   layer ") == 11
    # What an image says is not remembered, what was packed is.
    assert third.stderr.count(" (known from app:2, not read)") == 9
    assert third.stderr.count(" (known from the cache, not read)") == 2
    [summary] = [line for line in third.stderr.splitlines() if line.startswith("  pack ")]
    assert "  pack      11 layers: " in summary
    assert "9 known from app:2 (not read)" in summary
    assert "2 known from the cache (not read)" in summary


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_digests_are_the_same_at_all_destinations(
    machine: Machine,
    docker_registry: RegistryServer,
    require_tool: Callable[[str], str],
    compression: str,
) -> None:
    Image(machine, 10)
    reference = docker_registry.reference("app:1")
    result = machine.copy(
        *("image.json", "oci:layout:x", "oci-archive:archive.tar:x", reference),
        *("--compression", compression, *PLAIN),
    )
    assert result.returncode == 0, result.stderr
    references = result.stdout.splitlines()
    assert len(references) == 3
    digests = {text.partition("@")[2] for text in references}
    skopeo = [require_tool("skopeo"), "--insecure-policy", "copy", "--quiet", "--preserve-digests"]
    source = ["--src-tls-verify=false", reference]
    subprocess.run([*skopeo, *source, f"oci:{machine.folder}/pulled:x"], check=True)
    archive = f"oci-archive:{machine.folder}/archive.tar:x"
    subprocess.run([*skopeo, archive, f"oci:{machine.folder}/unpacked:x"], check=True)
    for layout in ("layout", "pulled", "unpacked"):
        index = json.loads((machine.folder / layout / "index.json").read_text())
        digests.add(index["manifests"][0]["digest"])
    assert len(digests) == 1
