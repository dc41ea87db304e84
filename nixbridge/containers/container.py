"""Commands in a container made of an OCI layout: by podman, or by bubblewrap alone.

Two engines, because podman needs cgroups and ulimits that a machine inside another container often
has not; bubblewrap needs only a user namespace, and as root not even that. Neither touches the
user's own images and containers. What processes say and how they end is the caller's to judge.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

from nixbridge.containers.files import layer_blobs, merge, read_layers
from nixbridge.destinations import Access
from nixbridge.destinations.oci_layout import OciLayout
from nixbridge.errors import DestinationError, InputError
from nixbridge.evaluator import Completed, SubprocessRunner

TIMEOUT_SECONDS: Final = 300.0

_NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
# What podman and docker set where the image does not.
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# To try an engine with: images need not have any program, and each says when one is missing.
_NO_PROGRAM: Final = "/nixbridge-tries-the-engine"
_STATUS_NOT_FOUND: Final = 127
_TIDYING_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """A command that has ended in a container. `status` is negative when a signal killed it."""

    engine: str
    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str


class Container(ABC):
    """The image of a layout, to run one command after another in.

    Whether a command finds what an earlier one wrote depends on the engine: with podman each has
    a fresh container, with bubblewrap they share one.
    """

    engine: str
    program: str

    def __init__(self, layout: OciLayout) -> None:
        self.layout = layout
        # Its own folder, so that nothing of the user's is touched and all can be removed. Podman
        # refuses one with a long name (a pytest's `tmp_path`, for one).
        self.scratch = Path(tempfile.mkdtemp(prefix="nixbridge-"))

    def run(
        self,
        argv: Sequence[str] = (),
        *,
        environment: Mapping[str, str] = _NO_VARIABLES,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Ran:
        """Run `argv` instead of the image's entrypoint and command; without words, run those.

        User, working directory and variables are the image's; `environment` is added to them.
        There is no network. Never raises for the command's exit status.

        Raises `DestinationError`: it was not done in time. Raises `InputError`: the image has
        nothing to run.
        """
        words = self._words(tuple(argv), environment)
        try:
            completed = self._start(words, timeout_seconds)
        except TimeoutError as error:
            self._stop()
            what = f"`{argv[0]}`" if argv else "the image's own command"
            raise DestinationError(
                f"{what} was not done after {timeout_seconds:g} s in a container by {self.engine}"
            ) from error
        return Ran(
            engine=self.engine,
            argv=tuple(argv),
            status=completed.status,
            stdout=completed.stdout.decode(errors="replace"),
            stderr=completed.stderr.encode(errors="surrogateescape").decode(errors="replace"),
        )

    def close(self) -> None:
        """Remove all that was written for the container."""
        remove_tree(self.scratch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @classmethod
    def open(cls, layout: OciLayout) -> Self:
        """Make the container of the image in `layout`; `close` removes what it wrote.

        Raises `DestinationError`: the engine does not work here.
        """
        if shutil.which(cls.program) is None:
            raise DestinationError(f"`{cls.program}` is not on PATH")
        container = cls(layout)
        try:
            container._prepare()
            container._try()
        except BaseException:
            container.close()
            raise
        return container

    @abstractmethod
    def _prepare(self) -> None:
        """Make the files of the image ready."""

    @abstractmethod
    def _words(self, argv: tuple[str, ...], environment: Mapping[str, str]) -> tuple[str, ...]:
        """Return the words that run `argv`."""

    @abstractmethod
    def _stop(self) -> None:
        """Stop what still runs after the engine's own process was killed."""

    @abstractmethod
    def _try(self) -> None:
        """Run a program that is not there.

        Raises `DestinationError`: that is not what the engine complains of.
        """

    def _start(self, argv: Sequence[str], timeout_seconds: float = TIMEOUT_SECONDS) -> Completed:
        # What is set for the Nix of this machine is not for the Nix in the image.
        variables = {name: value for name, value in os.environ.items() if name[:4] != "NIX_"}
        try:
            return SubprocessRunner(variables, timeout_seconds).run(argv)
        except FileNotFoundError as error:
            raise DestinationError(f"`{argv[0]}` is not on PATH") from error

    def _refused(self, completed: Completed) -> DestinationError:
        return DestinationError(
            f"{self.engine} refused: {completed.stderr.strip() or f'exit {completed.status}'}"
        )


class Podman(Container):
    """A container of podman's, in a storage of its own."""

    engine = "podman"
    program = "podman"

    def _prepare(self) -> None:
        source = f"oci:{self.layout.directory}"
        source += "" if self.layout.name is None else f":{self.layout.name}"
        pulled = self._start([*self._podman(), "pull", "--quiet", source])
        if pulled.status != 0:
            raise self._refused(pulled)
        self._image = pulled.stdout.decode().split()[-1]

    def _words(self, argv: tuple[str, ...], environment: Mapping[str, str]) -> tuple[str, ...]:
        entrypoint = (f"--entrypoint={json.dumps([argv[0]])}",) if argv else ()
        return (
            *self._podman(),
            "run",
            "--rm",
            "--cgroups=disabled",
            "--network=none",
            # A signal is for podman itself: the first process of a container may ignore it.
            "--sig-proxy=false",
            "--ulimit=nofile=1024:1024",
            "--ulimit=nproc=4096:4096",
            *(f"--env={name}={value}" for name, value in environment.items()),
            *entrypoint,
            self._image,
            *argv[1:],
        )

    def _try(self) -> None:
        tried = self._start(self._words((_NO_PROGRAM,), {}))
        if tried.status != _STATUS_NOT_FOUND:
            raise self._refused(tried)

    def _stop(self) -> None:
        self._start([*self._podman(), "rm", "--all", "--force", "--time=0"])

    def close(self) -> None:
        """Remove all that was written for the container."""
        # What watched a container tidies up after `podman run` has ended, and would make the
        # storage anew that we remove.
        deadline = time.monotonic() + _TIDYING_SECONDS
        while _is_named_by_a_process(self.scratch) and time.monotonic() < deadline:
            time.sleep(0.02)
        super().close()

    def _podman(self) -> tuple[str, ...]:
        storage = (f"--root={self.scratch / 'storage'}", f"--runroot={self.scratch / 'run'}")
        if os.geteuid() != 0:
            return ("podman", *storage)
        # crun refuses a hybrid cgroup hierarchy; in a mount namespace of its own podman does not
        # see it, and its mounts are gone when it ends.
        script = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec podman "$@"'
        return ("unshare", "--mount", "sh", "-c", script, "podman", *storage)


class Bubblewrap(Container):
    """A bare container: the unpacked image as root, own namespaces, no network.

    It has one user: the image's, who may do with the files what who runs this may.
    """

    engine = "bubblewrap"
    program = "bwrap"

    def _prepare(self) -> None:
        self.root = self.scratch / "root"
        self.root.mkdir()
        self._config = dict(self.layout.inspect(Access()).config.get("config") or {})
        layers = read_layers(self.layout)
        self._files = merge(layers)
        # What a layer hides of those below, and the whiteouts that say so.
        hidden = {
            file.name_in_blob.rstrip("/")
            for layer in layers
            for path, file in layer.items()
            if path not in self._files
        }
        self._unpack(hidden)
        self._user = self._find_user(str(self._config.get("User") or "0"))

    def _unpack(self, hidden: Iterable[str]) -> None:
        exclude_file = self.scratch / "hidden"
        exclude_file.write_text("".join(f"{name}\n" for name in sorted(hidden)))
        # One stream of all layers: the modes of directories are set when it ends, so that a
        # layer can still write below a directory that a lower layer made read-only.
        script = (
            'root=$1 hidden=$2; shift 2; gzip --decompress --force --stdout -- "$@" | '
            "tar --extract --ignore-zeros --delay-directory-restore --preserve-permissions "
            "--numeric-owner --anchored --no-wildcards "
            '--exclude-from="$hidden" --directory="$root"'
        )
        blobs = [str(blob) for blob in layer_blobs(self.layout)]
        unpacked = self._start(
            ["sh", "-c", script, "sh", str(self.root), str(exclude_file), *blobs]
        )
        # "Removing leading `/' from member names" is all that tar should say.
        if unpacked.status != 0:
            raise self._refused(unpacked)

    def _words(self, argv: tuple[str, ...], environment: Mapping[str, str]) -> tuple[str, ...]:
        words = argv or (
            *(self._config.get("Entrypoint") or ()),
            *(self._config.get("Cmd") or ()),
        )
        if not words:
            raise InputError("the image has neither an entrypoint nor a command to run")
        variables = {
            "PATH": _DEFAULT_PATH,
            "HOME": self._user.home,
            # One user id is all that a container without subordinate ids has.
            "NIX_CONFIG": "build-users-group =",
            **dict(entry.split("=", 1) for entry in self._config.get("Env") or ()),
            **environment,
        }
        return (
            "bwrap",
            *self._user.namespaces,
            "--die-with-parent",
            "--clearenv",
            *(word for name, value in variables.items() for word in ("--setenv", name, value)),
            # Docker and podman make /proc, /dev, /etc/hosts; the image need not have them.
            *("--bind", str(self.root), "/"),
            *("--proc", "/proc", "--dev", "/dev"),
            *("--chdir", self._config.get("WorkingDir") or "/"),
            *words,
        )

    def _try(self) -> None:
        tried = self._start(self._words((_NO_PROGRAM,), {}))
        if f"execvp {_NO_PROGRAM}" not in tried.stderr:
            raise self._refused(tried)

    def _stop(self) -> None:
        """Leave it: bubblewrap's children die with it."""

    def _find_user(self, text: str) -> _User:
        """Return the user that the image names: `1000`, `1000:100`, `nobody`, `nobody:users`."""
        name, _, group = text.partition(":")
        accounts = self._accounts("/etc/passwd")
        account = next((fields for fields in accounts if name in {fields[0], fields[2]}), None)
        if account is None and not name.isdecimal():
            raise InputError(f"the image has no user `{name}` in its `/etc/passwd`")
        uid = int(account[2] if account else name)
        gid = int(account[3]) if account else 0
        if group:
            groups = self._accounts("/etc/group")
            found = next((fields for fields in groups if group in {fields[0], fields[2]}), None)
            if found is None and not group.isdecimal():
                raise InputError(f"the image has no group `{group}` in its `/etc/group`")
            gid = int(found[2] if found else group)
        return _User(uid=uid, gid=gid, home=account[5] if account else "/")

    def _accounts(self, path: str) -> list[list[str]]:
        try:
            lines = self._files.find(path, follow_links=True).text.splitlines()
        except InputError:
            return []
        split = (line.split(":") for line in lines)
        return [fields for fields in split if len(fields) >= (7 if path.endswith("wd") else 4)]


@dataclass(frozen=True, kw_only=True, slots=True)
class _User:
    """Who a command runs as in bubblewrap."""

    uid: int
    gid: int
    home: str

    @property
    def namespaces(self) -> tuple[str, ...]:
        if os.geteuid() == 0 and self.uid == self.gid == 0:
            # Root needs no user namespace, and in a chroot the kernel gives none.
            return ("--unshare-ipc", "--unshare-net", "--unshare-pid", "--unshare-uts")
        return ("--unshare-all", "--uid", str(self.uid), "--gid", str(self.gid))


ENGINES: Final[tuple[type[Container], ...]] = (Podman, Bubblewrap)


def open_container(layout: OciLayout) -> tuple[Container, tuple[str, ...]]:
    """Return a container by the first engine that works, and why others do not.

    Raises `DestinationError`: none works here.
    """
    refusals: list[str] = []
    for engine in ENGINES:
        try:
            return engine.open(layout), tuple(refusals)
        except DestinationError as refusal:
            refusals.append(refusal.message)
    raise DestinationError(
        f"no container can be started here: {'; '.join(refusals)}",
        hint="install podman or bubblewrap",
    )


def _is_named_by_a_process(path: Path) -> bool:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            if os.fsencode(path) in file.read_bytes():
                return True
    return False


def remove_tree(path: Path) -> None:
    """Remove a file, or a directory with the read-only ones in it; also as an ordinary user."""
    if path.is_symlink() or path.is_file():
        path.parent.chmod(0o700)
        path.unlink()
        return
    for directory, _, _ in os.walk(path):
        Path(directory).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)
