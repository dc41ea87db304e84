"""`containers-storage:` and `docker-daemon:` with engines that the tests made themselves.

Real podman and Docker are in `test_real_engines.py`.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import signal
import socketserver
import ssl
import sys
import tarfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from destinations.sample_image import SAMPLE, Sample, packed
from nixbridge.destinations import Access, BlobState, Destination, parse_destination
from nixbridge.destinations.containers_storage import ContainersStorage, Storage
from nixbridge.destinations.docker_daemon import DockerDaemon
from nixbridge.destinations.docker_host import DockerHost
from nixbridge.destinations.stored_image import Inspectable
from nixbridge.errors import DestinationError, InputError, NixbridgeError, PackError
from nixbridge.oci import ImageReference
from nixbridge.packing import PackedLayer, Sink
from registry_server import make_tls_files

DIGEST = SAMPLE.image.digest
CONFIG = SAMPLE.image.config.digest.hex
STREAMED = (
    "{0} cannot reach us, so it cannot skip the layers that it has: all are streamed into "
    "`{0} load`"
)

# Pulls as MODE says, and takes an archive; writes down what it is called with.
PODMAN = """#!{python}
import json, os, signal, sys, time, urllib.request
arguments = [word for word in sys.argv[1:] if not word.startswith("--")]
with open(os.environ["RECORD"], "a") as record:
    print(*sys.argv[1:], file=record)
if arguments[0] == "images":
    print("[]")
if arguments[0] == "load":
    with open(os.environ["RECORD"] + ".tar", "wb") as archive:
        archive.write(sys.stdin.buffer.read())
if arguments[0] == "pull":
    if os.environ["MODE"] == "interrupts":
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)
    if os.environ["MODE"] == "unreachable":
        sys.exit("Error: connection refused")
    name, _, tag = arguments[1].rpartition(":")
    host, _, repository = name.partition("/")
    if os.environ["MODE"] == "refuses":
        urllib.request.urlopen("http://" + host + "/v2/")
        print("Trying to pull", arguments[1], file=sys.stderr)
        sys.exit("Error: no space left on device")
    place = "http://" + host + "/v2/" + repository
    manifest = json.load(urllib.request.urlopen(place + "/manifests/" + tag))
    try:
        for blob in manifest["layers"]:
            urllib.request.urlopen(place + "/blobs/" + blob["digest"]).read()
    except OSError as error:
        sys.exit("Error: unexpected EOF")
    print("0" * 64 if os.environ["MODE"] == "wrong" else manifest["config"]["digest"][7:])
"""


@dataclass
class SampleLayers:
    """The layers of a sample; remembers which were asked for."""

    sample: Sample = SAMPLE
    written: list[str] = field(default_factory=list)
    error: NixbridgeError | None = None

    def write_layer(self, layer: PackedLayer, sink: Sink) -> None:
        self.written.append(str(layer.descriptor.digest))
        if self.error is not None:
            raise self.error
        sink.write(next(tar for tar in self.sample.tars if packed(tar).diff_id == layer.diff_id))


@dataclass
class Delivered:
    """What came of delivering the sample; some of its layers are known, the others are packed."""

    environment: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    layers: SampleLayers = field(default_factory=SampleLayers)
    sample: Sample = SAMPLE

    def warn(self, message: str, hint: str | None = None) -> None:
        assert hint is None
        self.warnings.append(message)

    def deliver(self, destination: Destination | str) -> str:
        if isinstance(destination, str):
            destination = parse_destination(destination)
        access = Access(environment=self.environment, warn=self.warn)
        with destination.open(default_reference="ignored:1", access=access) as writer:
            known, new = packed(self.sample.tars[0]), self.sample.tars[1:]
            assert writer.find_blob(known.descriptor) is not BlobState.ABSENT
            writer.reuse_layer(known)
            for tar in new:
                sink = writer.begin_layer(len(tar))
                sink.write(tar)
                sink.finish(packed(tar))
            return writer.commit(self.sample.image, self.layers)


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("shop", ContainersStorage(reference=ImageReference(name="localhost/shop", tag="latest"))),
        ("shop:1", ContainersStorage(reference=ImageReference(name="localhost/shop", tag="1"))),
        (
            "team/shop:1",
            ContainersStorage(reference=ImageReference(name="localhost/team/shop", tag="1")),
        ),
        (
            "ghcr.io/me/shop:1",
            ContainersStorage(reference=ImageReference(name="ghcr.io/me/shop", tag="1")),
        ),
        (
            "[vfs@/a+/b:x=1,y=2]localhost:5000/shop:1",
            ContainersStorage(
                reference=ImageReference(name="localhost:5000/shop", tag="1"),
                storage=Storage(
                    text="[vfs@/a+/b:x=1,y=2]",
                    driver="vfs",
                    root="/a",
                    run_root="/b",
                    options=("x=1", "y=2"),
                ),
            ),
        ),
        (
            "[/a]shop",
            ContainersStorage(
                reference=ImageReference(name="localhost/shop", tag="latest"),
                storage=Storage(text="[/a]", root="/a"),
            ),
        ),
    ],
)
def test_the_grammar_of_containers_storage(text: str, destination: ContainersStorage) -> None:
    assert parse_destination(f"containers-storage:{text}") == destination


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("containers-storage:", "`containers-storage:` names no image"),
        ("containers-storage:[vfs@/a", "`containers-storage:[vfs@/a` has a `[` without its `]`"),
        ("containers-storage:[]shop", "`[]` is no storage"),
        ("containers-storage:[a/b]shop", "`[a/b]` is no storage"),
        ("containers-storage:[@/a]shop", "`[@/a]` is no storage"),
        ("containers-storage:[/a+b]shop", "`[/a+b]` is no storage"),
        ("containers-storage:[/a:]shop", "`[/a:]` is no storage"),
        ("containers-storage:[/a]", "`containers-storage:` names no image"),
        ("containers-storage:Shop", "`Shop` is not an image reference"),
        ("docker-daemon:", "`docker-daemon:` names no image"),
        (
            f"docker-daemon:shop@{DIGEST}",
            f"`docker-daemon:shop@{DIGEST}` asks for a digest, which comes of what is delivered",
        ),
    ],
)
def test_what_names_no_image(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_destination(text)
    assert caught.value.message == message


def test_the_grammar_of_docker_daemon() -> None:
    assert parse_destination("docker-daemon:team/shop") == DockerDaemon(
        reference=ImageReference(name="team/shop", tag="latest")
    )


@dataclass
class FakePodman:
    directory: Path

    def delivered(self, mode: str) -> Delivered:
        return Delivered(
            {"PATH": str(self.directory), "RECORD": str(self.directory / "record"), "MODE": mode}
        )

    @property
    def calls(self) -> list[str]:
        return (self.directory / "record").read_text().splitlines()


@pytest.fixture
def podman(tmp_path: Path) -> FakePodman:
    program = tmp_path / "podman"
    program.write_text(PODMAN.format(python=sys.executable))
    program.chmod(0o755)
    return FakePodman(tmp_path)


def served_name(call: str) -> str:
    """Check a call of `podman pull`, and return what it pulls."""
    *words, name = call.split()
    assert words == ["pull", "--quiet", "--tls-verify=false"]
    assert name.startswith("127.0.0.1:")
    return name


def test_podman_pulls_and_only_the_users_name_stays(podman: FakePodman) -> None:
    delivered = podman.delivered("pulls")
    reference = delivered.deliver("containers-storage:team/shop:1")
    assert reference == f"containers-storage:localhost/team/shop:1@{DIGEST}"
    pull, *others = podman.calls
    name = served_name(pull)
    assert name.endswith("/team/shop:1")
    assert others == [
        f"tag {CONFIG} localhost/team/shop:1",
        f"untag {CONFIG} {name}",
        "images --format=json",
    ]
    # The sample has one layer twice, which this podman asks for twice.
    assert delivered.layers.written == [str(packed(tar).descriptor.digest) for tar in SAMPLE.tars]
    assert delivered.warnings == []


def test_podman_is_told_of_the_storage(podman: FakePodman) -> None:
    delivered = podman.delivered("pulls")
    reference = delivered.deliver("containers-storage:[vfs@/a+/b:x=1]ghcr.io/shop")
    assert reference == f"containers-storage:[vfs@/a+/b:x=1]ghcr.io/shop:latest@{DIGEST}"
    told = "--root=/a --runroot=/b --storage-driver=vfs --storage-opt=x=1 "
    assert len(podman.calls) == 4
    assert all(call.startswith(told) for call in podman.calls)


def test_a_podman_that_cannot_come_is_sent_an_archive(podman: FakePodman) -> None:
    delivered = podman.delivered("unreachable")
    assert delivered.deliver("containers-storage:shop:1") == (
        f"containers-storage:localhost/shop:1@{DIGEST}"
    )
    assert delivered.warnings == [STREAMED.format("podman")]
    pull, untag, load = podman.calls
    served_name(pull)
    assert (untag.split()[0], load) == ("untag", "load --quiet")
    check_archive((podman.directory / "record.tar").read_bytes(), "localhost/shop:1")


def check_archive(data: bytes, name: str) -> None:
    with tarfile.open(fileobj=BytesIO(data)) as archive:

        def read(member: str) -> bytes:
            file = archive.extractfile(member)
            assert file is not None
            return file.read()

        (manifest,) = json.loads(read("manifest.json"))
        assert manifest["RepoTags"] == [name]
        assert [read(layer) for layer in manifest["Layers"]] == list(SAMPLE.tars)
        assert read(manifest["Config"]) == SAMPLE.image.config_bytes


def test_what_podman_says_when_it_fails(podman: FakePodman) -> None:
    delivered = podman.delivered("refuses")
    with pytest.raises(DestinationError) as caught:
        delivered.deliver("containers-storage:shop:1")
    assert caught.value.message == "`podman pull` failed: no space left on device"
    assert [call.split()[0] for call in podman.calls] == ["pull", "untag"]
    assert delivered.warnings == []


def test_an_interrupt_leaves_no_name(podman: FakePodman) -> None:
    """Podman may have named the image when we are told to end."""
    with pytest.raises(KeyboardInterrupt):
        podman.delivered("interrupts").deliver("containers-storage:shop:1")
    pull, untag = podman.calls
    assert untag == f"untag {CONFIG} {served_name(pull)}"


def test_a_podman_that_has_something_else(podman: FakePodman) -> None:
    with pytest.raises(NixbridgeError) as caught:
        podman.delivered("wrong").deliver("containers-storage:shop:1")
    assert caught.value.message == f"podman pulled `{'0' * 64}` for the image `{CONFIG}`"
    assert [call.split()[0] for call in podman.calls] == ["pull", "untag"]


@pytest.mark.parametrize("mode", ["pulls", "unreachable"])
def test_a_layer_that_cannot_be_made_is_what_is_told(podman: FakePodman, mode: str) -> None:
    """And not what the engine makes of it."""
    delivered = podman.delivered(mode)
    delivered.layers.error = PackError("a path has vanished")
    with pytest.raises(PackError, match="a path has vanished"):
        delivered.deliver("containers-storage:shop:1")


def test_without_podman(tmp_path: Path) -> None:
    with pytest.raises(DestinationError) as caught:
        Delivered({"PATH": str(tmp_path)}).deliver("containers-storage:shop")
    assert caught.value.message == (
        "`podman` is not on PATH, and `containers-storage:` is written by it"
    )
    assert caught.value.hint == "install podman, or write a file for it: `oci-archive:FILE`"


@dataclass
class FakeDocker:
    """A daemon at a socket, which pulls as `mode` says."""

    path: Path
    mode: str = "pulls"
    asked: list[str] = field(default_factory=list)
    archive: bytes = b""

    def delivered(self) -> Delivered:
        return Delivered({"DOCKER_HOST": f"unix://{self.path}"})


class _Daemon(http.server.BaseHTTPRequestHandler):
    docker: FakeDocker
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.docker.asked.append(f"GET {self.path}")
        self.answer(b"[]" if self.path == "/images/json" else b"OK")

    def do_DELETE(self) -> None:
        self.docker.asked.append(f"DELETE {self.path}")
        if self.docker.mode == "hangs":
            time.sleep(60)
            return
        self.answer(b"[]")

    def do_POST(self) -> None:
        self.docker.asked.append(f"POST {self.path}")
        if self.path.startswith("/images/load"):
            while size := int(self.rfile.readline(), 16):
                self.docker.archive += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            bad = self.docker.mode == "loads nothing"
            self.answer(b'{"error":"no space left on device"}' if bad else b'{"stream":"Loaded"}')
        elif "/tag?" in self.path:
            self.answer(b"", 201)
        else:
            self.pull()

    def pull(self) -> None:
        name, _, digest = self.path.partition("=")[2].partition("&tag=")
        host, _, repository = urllib.parse.unquote(name).partition("/")
        match self.docker.mode:
            case "unreachable" | "loads nothing":
                self.answer(b'{"message":"dial tcp: connection refused"}', 500)
            case "hangs":
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)
            case "refuses":
                urllib.request.urlopen(f"http://{host}/v2/").close()
                error = {"errorDetail": {"message": "disk full"}, "error": "disk full"}
                self.answer(b'{"status":"Pulling"}\r\n' + json.dumps(error).encode() + b"\r\n")
            case _:
                place = f"http://{host}/v2/{repository}/manifests/{urllib.parse.unquote(digest)}"
                with urllib.request.urlopen(place) as manifest:
                    assert manifest.read() == SAMPLE.image.manifest_bytes
                self.answer(b'{"status":"Pulling"}\r\n{"status":"Done"}\r\n')


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[FakeDocker]:
    fake = FakeDocker(tmp_path / "docker.sock")
    daemon = type("Daemon", (_Daemon,), {"docker": fake})
    with socketserver.ThreadingUnixStreamServer(str(fake.path), daemon) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield fake
        server.shutdown()
        thread.join()


def unquoted(asked: list[str]) -> list[str]:
    return [urllib.parse.unquote(line) for line in asked]


def test_docker_pulls_and_only_the_users_name_stays(docker: FakeDocker) -> None:
    delivered = docker.delivered()
    assert delivered.deliver("docker-daemon:ghcr.io/me/shop:1") == (
        f"docker-daemon:ghcr.io/me/shop:1@{DIGEST}"
    )
    ping, pull, tag, remove, listing = unquoted(docker.asked)
    assert ping == "GET /_ping"
    name = pull.removeprefix("POST /images/create?fromImage=").removesuffix(f"&tag={DIGEST}")
    assert name.startswith("127.0.0.1:")
    assert name.endswith("/me/shop")
    assert tag == f"POST /images/{name}@{DIGEST}/tag?repo=ghcr.io/me/shop&tag=1"
    assert remove == f"DELETE /images/{name}@{DIGEST}?noprune=1"
    assert listing == "GET /images/json"
    # It had all layers.
    assert delivered.layers.written == []
    assert delivered.warnings == []


def test_an_interrupt_does_not_wait_for_a_docker_that_hangs(docker: FakeDocker) -> None:
    """Not for its pull, and not for long for the name to be dropped."""
    docker.mode = "hangs"
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        docker.delivered().deliver("docker-daemon:shop:1")
    assert time.monotonic() - started < 20
    assert [line.split()[0] for line in docker.asked] == ["GET", "POST", "DELETE"]


def test_a_docker_that_cannot_come_is_sent_an_archive(docker: FakeDocker) -> None:
    docker.mode = "unreachable"
    delivered = docker.delivered()
    assert delivered.deliver("docker-daemon:shop") == f"docker-daemon:shop:latest@{DIGEST}"
    assert delivered.warnings == [STREAMED.format("docker")]
    assert docker.asked[-1] == "POST /images/load?quiet=1"
    check_archive(docker.archive, "shop:latest")


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("refuses", "docker refused: disk full"),
        ("loads nothing", "docker refused: no space left on device"),
    ],
)
def test_what_docker_says_when_it_fails(docker: FakeDocker, mode: str, message: str) -> None:
    docker.mode = mode
    with pytest.raises(DestinationError) as caught:
        docker.delivered().deliver("docker-daemon:shop:1")
    assert caught.value.message == message


def test_without_docker(tmp_path: Path) -> None:
    with pytest.raises(DestinationError) as caught:
        Delivered({"DOCKER_HOST": f"unix://{tmp_path}/none"}).deliver("docker-daemon:shop")
    assert caught.value.message == (
        f"no Docker daemon answers at `unix://{tmp_path}/none`: no such file or directory"
    )
    assert caught.value.hint == "start it, or say where it is: `DOCKER_HOST=unix:///PATH`"
    assert caught.value.exit_status == 7


@pytest.mark.parametrize(
    ("environment", "text", "is_here"),
    [
        ({"DOCKER_HOST": "unix:///a/b"}, "unix:///a/b", True),
        ({"DOCKER_HOST": "tcp://127.0.0.1:99"}, "tcp://127.0.0.1:99", True),
        ({"DOCKER_HOST": "tcp://localhost"}, "tcp://localhost", True),
        ({"DOCKER_HOST": "tcp://[::1]:99"}, "tcp://[::1]:99", True),
        ({"DOCKER_HOST": "tcp://build.example.org"}, "tcp://build.example.org", False),
        ({"DOCKER_HOST": "tcp://192.0.2.1:1"}, "tcp://192.0.2.1:1", False),
    ],
)
def test_where_docker_is(environment: dict[str, str], text: str, *, is_here: bool) -> None:
    host = DockerHost.of(environment)
    assert (host.text, host.is_this_machine) == (text, is_here)


def test_a_docker_behind_tls() -> None:
    environment = {"DOCKER_HOST": "tcp://192.0.2.1", "DOCKER_TLS_VERIFY": "1", "HOME": "/home/me"}
    host = DockerHost.of(environment)
    assert (host.port, host.certificates) == (2376, Path("/home/me/.docker"))
    host = DockerHost.of({**environment, "DOCKER_CERT_PATH": "/certs"})
    assert host.certificates == Path("/certs")


def write_context(folder: Path, name: str, host: str) -> Path:
    """Write what `docker context create` does; return where certificates would be."""
    identity = hashlib.sha256(name.encode()).hexdigest()
    (folder / "contexts/meta" / identity).mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host}}}
    (folder / "contexts/meta" / identity / "meta.json").write_text(json.dumps(meta))
    return folder / "contexts/tls" / identity / "docker"


def test_a_docker_that_a_context_names(tmp_path: Path) -> None:
    folder = tmp_path / ".docker"
    write_context(folder, "colima", "unix:///home/me/.colima/docker.sock")
    tls = write_context(folder, "build", "tcp://build.example.org")
    tls.mkdir(parents=True)
    environment = {"HOME": str(tmp_path)}
    assert DockerHost.of(environment).text == "unix:///var/run/docker.sock"
    config = folder / "config.json"
    config.write_text('{"auths": {}}')
    assert DockerHost.of(environment).text == "unix:///var/run/docker.sock"
    config.write_text('{"currentContext": "colima"}')
    assert DockerHost.of(environment).text == "unix:///home/me/.colima/docker.sock"
    host = DockerHost.of({**environment, "DOCKER_CONTEXT": "build"})
    assert (host.text, host.port, host.certificates) == ("tcp://build.example.org", 2376, tls)
    host = DockerHost.of({**environment, "DOCKER_HOST": "unix:///a"})
    assert host.text == "unix:///a"
    config.write_text('{"currentContext": "default"}')
    assert DockerHost.of(environment).text == "unix:///var/run/docker.sock"


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        DockerHost.of({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "gone"})
    identity = hashlib.sha256(b"gone").hexdigest()
    assert caught.value.message == (
        f"cannot read `{tmp_path}/contexts/meta/{identity}/meta.json`, where Docker keeps where "
        "its daemon is: no such file or directory"
    )
    assert caught.value.hint == "say where the daemon is: `DOCKER_HOST=unix:///PATH`"
    write_context(tmp_path, "far", "ssh://me@far")
    with pytest.raises(InputError) as caught:
        DockerHost.of({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "far"})
    assert caught.value.message == (
        "the Docker context `far` is `ssh://me@far`, which is no place of a daemon that we can ask"
    )
    next(tmp_path.glob("contexts/meta/*/meta.json")).write_text("[]")
    with pytest.raises(InputError) as caught:
        DockerHost.of({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "far"})
    assert caught.value.message == ("the Docker context `far` does not say where its daemon is")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=f"cannot read `{tmp_path}/config.json`, where Docker"):
        DockerHost.of({"DOCKER_CONFIG": str(tmp_path)})


def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    environment = {
        "DOCKER_HOST": "tcp://127.0.0.1:1",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(tmp_path),
    }
    with pytest.raises(DestinationError) as caught:
        Delivered(environment).deliver("docker-daemon:shop")
    assert caught.value.message == (
        f"the certificates for Docker in `{tmp_path}` cannot be used: no such file or directory"
    )
    assert caught.value.hint == (
        "`DOCKER_CERT_PATH` is the directory of `ca.pem`, `cert.pem` and `key.pem`"
    )


@pytest.mark.tools
def test_a_docker_that_wants_certificates(tmp_path: Path, docker: FakeDocker) -> None:
    """It pulls as one at a socket does, as it is on this machine's loopback."""
    tls = make_tls_files(tmp_path)
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    for name, file in (("ca", tls.certificate), ("cert", tls.certificate), ("key", tls.key)):
        (certificates / f"{name}.pem").write_bytes(file.read_bytes())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tls.certificate))
    context.load_cert_chain(tls.certificate, tls.key)
    context.verify_mode = ssl.CERT_REQUIRED
    daemon = type("Daemon", (_Daemon,), {"docker": docker})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), daemon) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            delivered = Delivered(
                {
                    "DOCKER_HOST": f"tcp://127.0.0.1:{server.server_address[1]}",
                    "DOCKER_TLS_VERIFY": "1",
                    "DOCKER_CERT_PATH": str(certificates),
                }
            )
            delivered.deliver("docker-daemon:shop:1")
        finally:
            server.shutdown()
            thread.join()
    assert delivered.warnings == []
    assert [line.split()[0] for line in docker.asked] == [*("GET", "POST", "POST", "DELETE", "GET")]


@pytest.mark.parametrize(
    "text", ["ssh://me@host", "tcp://", "tcp://host:x", "unix://a", "npipe:////./pipe/docker"]
)
def test_a_docker_that_we_cannot_ask(text: str) -> None:
    with pytest.raises(InputError) as caught:
        DockerHost.of({"DOCKER_HOST": text})
    assert caught.value.message == (
        f"`DOCKER_HOST` is `{text}`, which is no place of a daemon that we can ask"
    )


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("containers-storage:shop", "`podman image inspect localhost/shop:latest`"),
        ("docker-daemon:shop", "`docker image inspect shop:latest`"),
    ],
)
def test_who_looks_into_an_engine(text: str, hint: str) -> None:
    destination = parse_destination(text)
    assert isinstance(destination, Inspectable)
    with pytest.raises(InputError) as caught:
        destination.inspect(Access())
    assert caught.value.hint == hint
