"""An interrupt ends the command at once, also while a registry lets it wait."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nixbridge.packing import Compression
from programs import write_program
from registry.fake_registry import Exchange, FakeRegistry, fail, never_answer
from registry.shop import Shop

TESTS = Path(__file__).parents[1]
SIZES = (2_000, 3_000, 300_000, 400_000)
# What is to be done within about two seconds, and what a busy machine may add.
SOON_SECONDS = 2.0
SLACK_SECONDS = float(os.environ.get("NIXBRIDGE_TEST_SLACK", "3"))

# The command, whose verb is a delivery of the tests' own: by two workers, in small pieces.
PROGRAM = """
import importlib, os, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from nixbridge.destinations import Access, registry_upload
from nixbridge.destinations.patience import Patience
from nixbridge.packing import Compression
from programs import write_program
from registry.shop import Shop, Waits

registry_upload.SMALL_LAYER_BYTES, registry_upload._PIECE_BYTES = 50_000, 10_000
Waits.patience = Patience()

def verb(**_):
    access = Access(verifies_tls=False, environment=os.environ)
    shop = Shop(Path({directory!r}), {sizes!r})
    options = dict(access=access, workers={workers}, with_cache=True)
    shop.deliver({reference!r}, compression=Compression.parse({compression!r}), **options)

command = importlib.import_module("nixbridge.cli.main")
command.make_app = lambda _: verb
command.run()
"""


def slowly(exchange: Exchange) -> None:
    """Take what is sent a little at a time."""
    while exchange.handler.read_body(2_000):
        time.sleep(0.5)


HANGING: dict[str, tuple[str, str, Callable[[Exchange], None]]] = {
    "the first contact": ("GET", "/v2/$", never_answer),
    "looking for a blob": ("HEAD", "/blobs/", never_answer),
    "opening an upload": ("POST", "/uploads/", never_answer),
    "a stream": ("PATCH", "/uploads/", never_answer),
    "a slow stream": ("PATCH", "/uploads/", slowly),
    "the end of an upload": ("PUT", "/uploads/", never_answer),
    "the manifest": ("PUT", "/manifests/", never_answer),
    "a token": ("GET", "/token", never_answer),
    "a wait": ("POST", "/uploads/", fail(503, Retry_After="60")),
    "a wait after a lost stream": ("PATCH", "/uploads/", fail(503, Retry_After="60")),
}


class Command:
    """The command in a session of its own, with a directory of its own for what is temporary."""

    def __init__(self, arguments: list[str], directory: Path, **environment: str) -> None:
        self.temporary = directory / "temporary"
        self.temporary.mkdir()
        environment = {**os.environ, "TMPDIR": str(self.temporary), **environment}
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def interrupt(self, number: signal.Signals) -> str:
        """Send a signal, see that it ends as it should; return what it said."""
        started = time.monotonic()
        self.process.send_signal(number)
        stdout, stderr = self.process.communicate(timeout=60)
        seconds = time.monotonic() - started
        assert self.process.returncode == (130 if number == signal.SIGINT else 143), stderr
        assert seconds < SOON_SECONDS + SLACK_SECONDS
        assert stdout == ""
        assert "Traceback" not in stderr
        assert list(self.temporary.iterdir()) == []
        with pytest.raises(ProcessLookupError):
            os.killpg(self.process.pid, 0)
        return stderr


def deliver(
    directory: Path,
    reference: str,
    *,
    workers: int = 2,
    compression: str = "none",
    **environment: str,
) -> Command:
    program = PROGRAM.format(
        tests=str(TESTS),
        directory=str(directory),
        sizes=SIZES,
        reference=reference,
        workers=workers,
        compression=compression,
    )
    Shop(directory, SIZES)
    return Command(["-c", program], directory, **environment)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # Who was asked a moment ago is waited for by now.
    time.sleep(0.2)


@pytest.mark.parametrize(("workers", "compression"), [(1, "gzip"), (2, "none"), (2, "gzip")])
@pytest.mark.parametrize("hanging", HANGING)
def test_an_interrupt_while_a_registry_lets_us_wait(
    fake: FakeRegistry, tmp_path: Path, hanging: str, workers: int, compression: str
) -> None:
    if hanging == "a token":
        fake.auth = "bearer"
        fake.allows_anonymous = True
    if hanging == "looking for a blob":
        # By several threads, as all layers are known.
        known = Compression.parse(compression)
        reference = f"docker://{fake.host}/other:1"
        Shop(tmp_path, SIZES).deliver(reference, with_cache=True, compression=known)
    fake.on(*HANGING[hanging], times=1000)
    reference = f"docker://{fake.host}/shop:1"
    command = deliver(tmp_path, reference, workers=workers, compression=compression)
    wait_until(lambda: fake.faults[0].times < 1000 or command.process.poll() is not None)
    number = signal.SIGINT if workers == 2 else signal.SIGTERM
    stderr = command.interrupt(number)
    assert stderr == ("interrupted\n" if number == signal.SIGINT else "")
    assert fake.image("shop", "1") is None


def test_uploads_are_given_up_where_the_registry_still_answers(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    fake.on("PATCH", "/uploads/", slowly, times=1000)
    command = deliver(tmp_path, f"docker://{fake.host}/shop:1")
    wait_until(lambda: len(fake.sent("PATCH")) == 2)
    command.interrupt(signal.SIGINT)
    assert len(fake.sent("DELETE", "/uploads/")) == 2


def test_an_error_of_one_layer_does_not_wait_for_another(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    """It would be five minutes."""
    fake.on("PATCH", "/uploads/", never_answer)
    fake.on("PATCH", "/uploads/", fail(413, "SIZE_INVALID", "too large"))
    started = time.monotonic()
    command = deliver(tmp_path, f"docker://{fake.host}/shop:1")
    stdout, stderr = command.process.communicate(timeout=60)
    assert time.monotonic() - started < 30
    assert command.process.returncode == 7
    assert stdout == ""
    message = f"{fake.host} refused to write `shop`: 413 size invalid: too large"
    error, layer, hint = stderr.splitlines()
    assert error == f"error: {message}"
    # Which of the two it is depends on who comes first.
    assert layer in {"  it was layer 3 of 4: path-2", "  it was layer 4 of 4: path-3"}
    assert hint.startswith("  hint: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_of_what_only_reads(tmp_path: Path, number: signal.Signals) -> None:
    """Nobody takes the connection, and so there is not even TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
        words = ["-m", "nixbridge", "inspect", f"docker://{host}/shop:1"]
        command = Command(words, tmp_path)
        server.settimeout(60)
        connection, _ = server.accept()
        with connection:
            command.interrupt(number)


def test_an_interrupt_ends_a_credential_helper(fake: FakeRegistry, tmp_path: Path) -> None:
    fake.auth = "basic"
    begun = tmp_path / "begun"
    write_program(tmp_path / "docker-credential-slow", f"echo $$ > {begun}\nexec sleep 600")
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "slow"}))
    command = deliver(
        tmp_path,
        f"docker://{fake.host}/shop:1",
        PATH=f"{tmp_path}:{os.environ['PATH']}",
        DOCKER_CONFIG=str(tmp_path),
        XDG_RUNTIME_DIR=str(tmp_path),
        HOME=str(tmp_path),
    )
    wait_until(lambda: begun.exists() and begun.read_text() != "")
    command.interrupt(signal.SIGINT)
    # It has a session of its own.
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)
