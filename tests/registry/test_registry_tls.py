"""A registry with TLS and htpasswd: certificates, credentials, and what is said without them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from destinations.sample_image import SAMPLE
from nixbridge.cli import main
from nixbridge.destinations import Access, parse_destination
from nixbridge.destinations.patience import Patience
from nixbridge.destinations.registry import Registry
from nixbridge.errors import DestinationError, InputError
from registry.fake_registry import PASSWORD, USER
from registry_server import RegistryServer, TlsFiles, make_tls_files, running_registry

pytestmark = pytest.mark.tools

# What `htpasswd -B` makes of the password.
HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls_files(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(
    require_tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles
) -> Iterator[RegistryServer]:
    program = require_tool("docker-registry")
    folder = tmp_path_factory.mktemp("registry")
    with running_registry(program, folder, tls=tls, htpasswd=HTPASSWD) as server:
        yield server


@pytest.fixture
def certificates(tmp_path: Path, tls: TlsFiles) -> Path:
    """A directory that says whom to trust."""
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(tls.certificate.read_bytes())
    return folder


def hasty(reference: str) -> Registry:
    """Return a destination that waits for nobody."""
    destination = parse_destination(reference)
    assert isinstance(destination, Registry)
    return dataclasses.replace(destination, patience=Patience(wait_for=lambda *_: None))


def test_with_certificate_and_credentials(
    server: RegistryServer,
    certificates: Path,
    tmp_path: Path,
    require_tool: Callable[[str], str],
) -> None:
    reference = server.reference("shop:1")
    access = Access(certificates=certificates, credentials=f"{USER}:{PASSWORD}")
    delivered = SAMPLE.deliver(hasty(reference), access)
    assert delivered == f"{server.host}/shop:1@{SAMPLE.image.digest}"
    # What `docker login` and `podman login` leave is found as skopeo finds it.
    auth = tmp_path / "auth.json"
    login = [require_tool("skopeo"), "login", "--authfile", str(auth), "--tls-verify=false"]
    subprocess.run(
        [*login, "-u", USER, "--password-stdin", server.host],
        input=PASSWORD.encode(),
        check=True,
        capture_output=True,
    )
    environment = {"REGISTRY_AUTH_FILE": str(auth)}
    access = Access(certificates=certificates, environment=environment)
    assert hasty(reference).inspect(access).digest == SAMPLE.image.digest
    skopeo = [require_tool("skopeo"), "inspect", "--authfile", str(auth), "--tls-verify=false"]
    found = subprocess.run([*skopeo, reference], check=True, capture_output=True)
    assert json.loads(found.stdout)["Digest"] == str(SAMPLE.image.digest)


def test_certificates_lie_where_podman_has_them(
    server: RegistryServer, certificates: Path, tmp_path: Path
) -> None:
    place = tmp_path / ".config/containers/certs.d" / server.host
    place.parent.mkdir(parents=True)
    certificates.rename(place)
    access = Access(environment={"HOME": str(tmp_path)}, credentials=f"{USER}:{PASSWORD}")
    SAMPLE.deliver(hasty(server.reference("podman:1")), access)


def test_an_unknown_certificate_is_not_trusted(server: RegistryServer) -> None:
    with pytest.raises(DestinationError) as caught:
        SAMPLE.deliver(hasty(server.reference("shop:2")), Access(option_prefix="--dest-"))
    assert caught.value.message == (
        f"{server.host} cannot be reached: its certificate is not trusted (self-signed certificate)"
    )
    assert caught.value.hint == (
        "trust its authority with `--dest-cert-dir DIR`, or, if it need not be who it says that "
        "it is, or speaks plain http, say `--dest-tls-verify=false`"
    )


def test_who_only_reads_is_told_of_the_options_that_there_are(server: RegistryServer) -> None:
    with pytest.raises(DestinationError) as caught:
        hasty(server.reference("shop:2")).inspect(Access())
    assert caught.value.hint == (
        "trust its authority with `--cert-dir DIR`, or, if it need not be who it says that it is, "
        "or speaks plain http, say `--tls-verify=false`"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_certificate_of_somebody_else_is_not_trusted(
    require_tool: Callable[[str], str], tmp_path: Path, host: str
) -> None:
    tls = make_tls_files(tmp_path / "certs", names="DNS:example.org,IP:127.0.0.2")
    program = require_tool("docker-registry")
    with running_registry(program, tmp_path / "registry", tls=tls) as server:
        place = server.host.replace("127.0.0.1", host)
        with pytest.raises(DestinationError) as caught:
            hasty(f"docker://{place}/shop:1").inspect(Access(certificates=tmp_path / "certs"))
    assert caught.value.message == f"{place} cannot be reached: its certificate is another's"


def test_without_verifying_anybody_is_trusted(server: RegistryServer) -> None:
    access = Access(verifies_tls=False, credentials=f"{USER}:{PASSWORD}")
    SAMPLE.deliver(hasty(server.reference("shop:3")), access)


def test_wrong_credentials(server: RegistryServer, certificates: Path) -> None:
    access = Access(certificates=certificates, credentials=f"{USER}:wrong")
    with pytest.raises(DestinationError) as caught:
        SAMPLE.deliver(hasty(server.reference("shop:4")), access)
    assert caught.value.message == (
        f"{server.host} refused to look for a layer in `shop`: 401 unauthorized "
        "(credentials from the command line)"
    )
    assert "wrong" not in server.log


def test_plain_http_is_spoken_only_when_asked_for(docker_registry: RegistryServer) -> None:
    with pytest.raises(DestinationError) as caught:
        hasty(docker_registry.reference("shop:1")).inspect(Access())
    assert caught.value.message == (
        f"{docker_registry.host} cannot be reached: it does not speak TLS there"
    )
    assert docker_registry.requests() == []


def test_certificates_that_cannot_be_used(tmp_path: Path, certificates: Path) -> None:
    (certificates / "client.cert").write_text("nothing")
    with pytest.raises(InputError) as caught:
        hasty("docker://r.example.org/shop:1").inspect(Access(certificates=certificates))
    path = certificates / "client.cert"
    assert caught.value.message == f"the certificate `{path}` has no key `client.key` beside it"
    (certificates / "client.key").write_text("nothing")
    with pytest.raises(InputError) as caught:
        hasty("docker://r.example.org/shop:1").inspect(Access(certificates=certificates))
    assert caught.value.message.startswith(
        f"the certificates in `{tmp_path}/certs` cannot be used: "
    )


def test_inspect_on_the_command_line(
    server: RegistryServer, certificates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    access = Access(certificates=certificates, credentials=f"{USER}:{PASSWORD}")
    reference = server.reference("command:1")
    SAMPLE.deliver(hasty(reference), access)
    argv = ["inspect", reference, "--cert-dir", str(certificates), "--json"]
    assert main([*argv, "--creds", f"{USER}:{PASSWORD}"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == str(SAMPLE.image.digest)
    assert main([*argv, "--creds", f"{USER}:hush"]) == 7
    out, err = capsys.readouterr()
    assert out == ""
    assert "hush" not in err
