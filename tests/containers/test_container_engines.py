"""Both engines on an image with a static shell and little else, made by hand."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containers.handmade import layer_bytes, write_layout
from nixbridge.containers import ENGINES, Bubblewrap, Container, open_container
from nixbridge.destinations.oci_layout import OciLayout
from nixbridge.errors import DestinationError, InputError
from programs import write_program

CONFIG = {
    "User": "worker",
    "WorkingDir": "/srv",
    "Env": ["A=from the image", "B=from the image"],
    "Entrypoint": ["/bin/sh", "-c", "echo entrypoint; echo $0 $1"],
    "Cmd": ["one", "two"],
}
ACCOUNTS = {
    "/etc": None,
    "/srv": None,
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\nworker:x:1000:100::/home/worker:/bin/sh\n",
    "/etc/group": "root:x:0:\nusers:x:100:\nstaff:x:50:\n",
}


@pytest.fixture(scope="module")
def shell_layer() -> bytes:
    """A layer with `/bin/sh` and what it is linked with, from this machine."""
    programs = ["/bin/sh", *(p for name in ("id", "pwd") if (p := shutil.which(name)))]
    listed = subprocess.run(["ldd", *programs], check=True, capture_output=True, text=True)
    words = (word for line in listed.stdout.splitlines() for word in line.split())
    needed = {word for word in words if word.startswith("/") and not word.endswith(":")}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as tar:
        for name in ("/lib", "/lib64", "/bin", "/usr", "/usr/bin", "/tmp"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for name in sorted({*programs, *needed}):
            info = tarfile.TarInfo(name)
            data = Path(name).read_bytes()
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def layout(shell_layer: bytes, tmp_path_factory: pytest.TempPathFactory) -> OciLayout:
    # The first is compressed, as another tool's base image is.
    layers = [shell_layer, layer_bytes(ACCOUNTS)]
    directory = tmp_path_factory.mktemp("engines") / "image"
    write_layout(directory, layers, CONFIG, compressed=(0,))
    return OciLayout(directory=directory, name="test")


@pytest.fixture(scope="module", params=ENGINES, ids=lambda engine: engine.engine)
def container(
    request: pytest.FixtureRequest, layout: OciLayout, require_tool: Callable[[str], str]
) -> Iterator[Container]:
    require_tool(request.param.program)
    if request.param is Bubblewrap:
        # With them it can be another user than the one that runs it.
        request.getfixturevalue("needs_namespaces")
    opened: Container
    with request.param.open(layout) as opened:
        yield opened


pytestmark = pytest.mark.tools


def shell(container: Container, script: str, **options: dict[str, str]) -> str:
    ran = container.run(["/bin/sh", "-c", script], environment=options.get("environment", {}))
    assert ran.status == 0, ran
    return ran.stdout.strip()


def test_the_command_replaces_the_entrypoint(container: Container) -> None:
    ran = container.run(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (ran.engine, ran.status) == (container.engine, 3)
    assert (ran.stdout, ran.stderr) == ("out\n", "err\n")


def test_without_a_command_the_image_says_what_runs(container: Container) -> None:
    assert container.run().stdout == "entrypoint\none two\n"


def test_user_and_directory_are_the_images(container: Container) -> None:
    assert shell(container, "id -u; id -g; pwd; echo $HOME").split() == [
        "1000",
        "100",
        "/srv",
        "/home/worker",
    ]


def test_variables(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C", "from the machine")
    script = "echo $A, $B, $C, $PATH"
    assert shell(container, script, environment={"B": "from the test"}) == (
        "from the image, from the test, , "
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    )


def test_there_is_no_network(container: Container) -> None:
    devices = shell(container, "while read -r name rest; do echo $name; done < /proc/net/dev")
    assert [word for word in devices.split() if word.endswith(":")] == ["lo:"]


def test_a_program_that_is_not_there(container: Container) -> None:
    ran = container.run(["/bin/nothing"])
    assert ran.status != 0
    assert "/bin/nothing" in ran.stderr
    assert "No such file or directory" in ran.stderr


def test_bytes_that_are_no_text(container: Container) -> None:
    ran = container.run(["/bin/sh", "-c", r"printf '\377'; printf '\377' >&2"])
    assert (ran.stdout, ran.stderr) == ("\ufffd", "\ufffd")


def test_one_that_does_not_end_is_killed(container: Container) -> None:
    mark = f"sleeper-{os.getpid()}-{container.engine}"
    with pytest.raises(DestinationError) as caught:
        container.run(["/bin/sh", "-c", f": {mark}; while :; do :; done"], timeout_seconds=1)
    assert caught.value.message == (
        f"`/bin/sh` was not done after 1 s in a container by {container.engine}"
    )
    deadline = time.monotonic() + 10
    while any(mark in words for words in command_lines()):
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.05)
    assert shell(container, "echo again") == "again"


def command_lines() -> Iterator[str]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield file.read_bytes().decode(errors="replace")


@pytest.mark.usefixtures("needs_namespaces")
def test_all_is_removed_in_the_end(layout: OciLayout, require_tool: Callable[[str], str]) -> None:
    require_tool("bwrap")
    with Bubblewrap.open(layout) as container:
        container.run(["/bin/sh", "-c", "umask 777; > /tmp/closed"])
        assert container.scratch.is_dir()
    assert not container.scratch.exists()


@pytest.mark.usefixtures("needs_namespaces")
@pytest.mark.parametrize(
    ("user", "ids"),
    [
        (None, "0 0"),
        ("0", "0 0"),
        ("1000", "1000 100"),
        ("1000:50", "1000 50"),
        ("worker:staff", "1000 50"),
        ("4711", "4711 0"),
        ("4711:4712", "4711 4712"),
    ],
)
def test_bubblewrap_finds_the_user(
    shell_layer: bytes,
    tmp_path: Path,
    require_tool: Callable[[str], str],
    user: str | None,
    ids: str,
) -> None:
    """As podman does, which the tests above hold for one of them."""
    require_tool("bwrap")
    config = {} if user is None else {"User": user}
    write_layout(tmp_path / "image", [shell_layer, layer_bytes(ACCOUNTS)], config)
    with Bubblewrap.open(OciLayout(directory=tmp_path / "image", name="test")) as container:
        assert shell(container, "echo $(id -u) $(id -g)") == ids


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("nobody", "the image has no user `nobody` in its `/etc/passwd`"),
        ("worker:wheel", "the image has no group `wheel` in its `/etc/group`"),
    ],
)
def test_bubblewrap_refuses_a_user_that_is_not_there(
    tmp_path: Path, require_tool: Callable[[str], str], user: str, message: str
) -> None:
    require_tool("bwrap")
    write_layout(tmp_path / "image", [layer_bytes(ACCOUNTS)], {"User": user})
    with pytest.raises(InputError) as caught:
        Bubblewrap.open(OciLayout(directory=tmp_path / "image", name="test"))
    assert caught.value.message == message


def test_what_a_layer_hides_is_hidden_in_the_image_alone(
    shell_layer: bytes, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    require_tool("bwrap")
    (tmp_path / "machine").mkdir()
    (tmp_path / "machine/file").write_text("of this machine")
    lower = {"a": None, "a/file": "x", "b": None, "b/file": "y", "c": "z", "q": None, "q/e": "w"}
    upper = {".wh.a": "", "a": f"-> {tmp_path}/machine", "b/.wh.file": "", ".wh.c": "", ".wh.q": ""}
    write_layout(tmp_path / "image", [shell_layer, layer_bytes(lower), layer_bytes(upper)])
    with Bubblewrap.open(OciLayout(directory=tmp_path / "image", name="test")) as container:
        assert shell(container, "echo /a /a/* /b/* /c* /q*") == "/a /a/* /b/* /c* /q*"
    assert (tmp_path / "machine/file").read_text() == "of this machine"


def test_an_image_with_nothing_to_run(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    require_tool("bwrap")
    write_layout(tmp_path / "image", [layer_bytes({"/etc": None})])
    with (
        Bubblewrap.open(OciLayout(directory=tmp_path / "image", name="test")) as container,
        pytest.raises(InputError) as caught,
    ):
        container.run()
    assert caught.value.message == "the image has neither an entrypoint nor a command to run"


def test_no_engine(layout: OciLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DestinationError) as caught:
        open_container(layout)
    assert caught.value.message == (
        "no container can be started here: `podman` is not on PATH; `bwrap` is not on PATH"
    )
    assert caught.value.hint == "install podman or bubblewrap"


def test_an_engine_that_does_not_work(
    layout: OciLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("podman", "bwrap"):
        write_program(tmp_path / program, f"echo {program} is broken >&2\nexit 125")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(DestinationError) as caught:
        open_container(layout)
    assert caught.value.message == (
        "no container can be started here: podman refused: podman is broken; "
        "bubblewrap refused: bwrap is broken"
    )
