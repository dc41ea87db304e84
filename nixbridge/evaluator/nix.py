"""The `nix` command: one typed function for each of its subcommands that we use.

No other module spells a flag of nix. Reading its JSON is `parse.py`, explaining its failures
`failure.py`, starting it `runner.py`. All work needs Nix 2.8 or later, or Lix.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from nixbridge.closure import PathInfo, StorePath, StoreRoot
from nixbridge.errors import InputError, NixError
from nixbridge.evaluator.failure import explain_failure
from nixbridge.evaluator.installable import FileInstallable, Installable, StorePathInstallable
from nixbridge.evaluator.parse import (
    Json,
    parse_built_paths,
    parse_json,
    parse_path_infos,
    parse_settings,
)
from nixbridge.evaluator.progress import NixLog, ProgressListener, plain_text
from nixbridge.evaluator.runner import CommandRunner, Completed
from nixbridge.evaluator.store import store_root_of
from nixbridge.evaluator.version import OLDEST, NixVersion

# Both may be off in nix.conf, and all that we use needs the first. (Not `--experimental-features`,
# which would turn off what the user turned on.)
EXPERIMENTAL_FEATURES: Final = ("--extra-experimental-features", "nix-command flakes")
INTERNAL_JSON: Final = ("--log-format", "internal-json")

INSTALL_HINT: Final = (
    "install Nix: https://nixos.org/download, or on Debian `sudo apt-get install nix-bin`"
)

# Linux takes 128 KiB in one word and, with the usual stack limit, 2 MiB in all words and the
# environment; 1000 store paths are 250 kB at the most.
_PATHS_PER_CALL: Final = 1000
_MAX_LISTED_ATTRIBUTES: Final = 20

# The names in an attribute set, of a function's value too when all its arguments have defaults.
_ATTRIBUTE_NAMES: Final = (
    "value: let set = if builtins.isFunction value then value { } else value; "
    "in if builtins.isAttrs set then builtins.attrNames set else [ ]"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Nix:
    """A `nix` that is there and new enough; made by `find_nix`.

    `extra_arguments` are what the user wrote after `--`. `search_path` are the `-I` entries, such
    as `<nixbridge>`.
    """

    runner: CommandRunner
    version: NixVersion
    program: str = "nix"
    extra_arguments: tuple[str, ...] = ()
    search_path: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    listener: ProgressListener | None = None

    def build(
        self, installable: Installable, *, out_link: Path | None = None
    ) -> tuple[StorePath, ...]:
        """Build `installable`, or fetch it, and return its outputs, `out` first.

        Of a derivation with several outputs, Nix 2.8 builds the default one, and later versions
        those to be installed (`meta.outputsToInstall`, or else all).

        With `out_link`, that symbolic link (`…-1`, `…-dev` for further outputs) keeps the garbage
        collector from what was built; without, nothing does.

        Raises `NixError`: it cannot be evaluated or built. Raises `InputError`: it is an attribute
        set of which the user must pick one.
        """
        if isinstance(installable, FileInstallable):
            self._refuse_attribute_set(installable)
        if isinstance(installable, StorePathInstallable) and not installable.paths:
            return ()  # nix would take no argument to mean the flake in the current directory
        link = ("--no-link",) if out_link is None else ("--out-link", str(out_link))
        words = (*self._search_path(), *self.extra_arguments)
        named = installable.arguments()
        completed = self._run("build", "--json", *link, *INTERNAL_JSON, *words, *named)
        if completed.status != 0:
            raise explain_failure(
                completed,
                subject=f"`{installable}`",
                verb="fetching" if isinstance(installable, StorePathInstallable) else "building",
                repeat=self._repeat("build", "--no-link", *words, installable=installable),
            )
        built = parse_built_paths(completed.stdout, version=self.version)
        if isinstance(installable, StorePathInstallable):
            return installable.paths  # nix 2.8 does not keep the order
        return built

    def evaluate(self, installable: Installable, *, apply: str | None = None) -> Json:
        """Evaluate `installable`, or the Nix function `apply` of it, to JSON.

        Raises `NixError`.
        """
        applied = () if apply is None else ("--apply", apply)
        words = (*applied, *self._search_path(), *self.extra_arguments)
        completed = self._run("eval", "--json", *INTERNAL_JSON, *words, *installable.arguments())
        if completed.status != 0:
            raise explain_failure(
                completed,
                subject=f"`{installable}`",
                verb="evaluating",
                repeat=self._repeat("eval", "--json", *words, installable=installable),
            )
        return parse_json(completed.stdout, command="nix eval", version=self.version)

    def path_infos(
        self, paths: Sequence[StorePath], *, recursive: bool = True
    ) -> tuple[PathInfo, ...]:
        """Return what nix knows of `paths`, and with `recursive` of all that they refer to.

        Each path comes once, sorted.

        Raises `NixError`: a path is not in the store.
        """
        infos: dict[StorePath, PathInfo] = {}
        for start in range(0, len(paths), _PATHS_PER_CALL):
            words = (
                *(("--json-format", "1") if self.version.has_json_format else ()),
                *(("--recursive",) if recursive else ()),
                *self._store_arguments(),
                *(str(path) for path in paths[start : start + _PATHS_PER_CALL]),
            )
            completed = self._run("path-info", "--json", *words)
            if completed.status != 0:
                raise explain_failure(
                    completed,
                    subject="what the store holds",
                    verb="reading",
                    repeat=self._repeat("path-info", "--json", *words),
                )
            for info in parse_path_infos(completed.stdout, version=self.version):
                infos[info.path] = info
        return tuple(infos[path] for path in sorted(infos))

    def settings(self) -> Mapping[str, Json]:
        """Return nix's settings, those of nix.conf, the environment and our command line.

        Raises `NixError`.
        """
        words = (*self._show_settings(), "--json", *self._store_arguments())
        completed = self._run(*words)
        if completed.status != 0:
            raise explain_failure(
                completed,
                subject="nix's settings",
                verb="reading",
                repeat=self._repeat(*words),
            )
        return parse_settings(completed.stdout, version=self.version)

    def enabled_features(self) -> frozenset[str]:
        """Return the experimental features that are on without our asking: those of nix.conf.

        Raises `NixError`.
        """
        # As text: the JSON of 2.8 has numbers here that differ from version to version.
        argv = (self.program, *self._show_settings())
        completed = _start(self.runner, argv, None)
        if completed.status != 0:
            if "feature 'nix-command' is disabled" in plain_text(completed.stderr):
                return frozenset()
            raise explain_failure(
                completed, subject="nix's settings", verb="reading", repeat=(shlex.join(argv),)
            )
        for line in completed.stdout.decode(errors="replace").splitlines():
            name, _, value = line.partition(" = ")
            if name == "experimental-features":
                return frozenset(value.split())
        return frozenset()

    def ping_store(self) -> None:
        """Open the store, and the connection to its daemon where there is one.

        Raises `NixError`: it cannot be opened.
        """
        verb = "info" if self.version.has_store_info else "ping"
        words = ("store", verb, *self._store_arguments())
        completed = self._run(*words)
        if completed.status != 0:
            raise explain_failure(
                completed, subject="the Nix store", verb="opening", repeat=self._repeat(*words)
            )

    def store_root(self) -> StoreRoot:
        """Return where the files of the store lie that nix uses.

        Raises `InputError`: they lie on another machine.
        """
        return store_root_of(str(self.settings().get("store", "auto")), os.environ)

    def _refuse_attribute_set(self, installable: FileInstallable) -> None:
        """Refuse a file whose value is a set of things: `nix build` would build all of them.

        Raises `InputError`.
        """
        attribute = installable.attribute
        kind = replace(installable, attribute="type" if attribute is None else f"{attribute}.type")
        words = (*self._search_path(), *self.extra_arguments)
        completed = self._run("eval", "--raw", *words, *kind.arguments())
        # Any other failure is one of the user's expression, which `nix build` explains.
        missing = "attribute 'type' in selection path"
        if completed.status == 0 or missing not in plain_text(completed.stderr):
            return
        try:
            names = self.evaluate(installable, apply=_ATTRIBUTE_NAMES)
        except NixError:
            names = []
        picked = "" if attribute is None else f"{attribute}."
        listed = ", ".join(f"`-A {picked}{name}`" for name in names[:_MAX_LISTED_ATTRIBUTES])
        more = f" or one of {len(names) - _MAX_LISTED_ATTRIBUTES} more"
        raise InputError(
            f"the value of `{installable}` is not a derivation",
            hint=f"pick one of its attributes: {listed}"
            + (more if len(names) > _MAX_LISTED_ATTRIBUTES else "")
            if names
            else "the value must be an image or another derivation",
        )

    def _show_settings(self) -> tuple[str, ...]:
        return ("config", "show") if self.version.has_config_show else ("show-config",)

    def _search_path(self) -> tuple[str, ...]:
        return tuple(
            word
            for name, directory in self.search_path.items()
            for word in ("-I", f"{name}={directory}")
        )

    def _store_arguments(self) -> tuple[str, ...]:
        """Return those of the user's arguments that every subcommand takes: settings."""
        words: list[str] = []
        waiting = list(self.extra_arguments)
        while waiting:
            word = waiting.pop(0)
            count = {"--store": 1, "--option": 2}.get(word, 0)
            if count and len(waiting) >= count:
                words += [word, *waiting[:count]]
                del waiting[:count]
        return tuple(words)

    def _run(self, *words: str) -> Completed:
        log = NixLog()

        def tell(line: str) -> None:
            event = log.read(line)
            if event is not None and self.listener is not None:
                self.listener.on_nix_event(event)

        argv = (self.program, *EXPERIMENTAL_FEATURES, *words)
        listens = self.listener is not None and INTERNAL_JSON[0] in words
        return _start(self.runner, argv, tell if listens else None)

    def _repeat(self, *words: str, installable: Installable | None = None) -> tuple[str, ...]:
        """Return the commands with which a person does the same again, and reads what it says."""
        first: tuple[str, ...] = ()
        if isinstance(installable, FileInstallable) and installable.rendered_from is not None:
            spec, file = str(installable.rendered_from), "image.nix"
            first = (shlex.join(("nixbridge", "render", spec, "--output", file)),)
            installable = replace(installable, path=Path(file))
        named = () if installable is None else installable.arguments()
        return (*first, shlex.join((self.program, *EXPERIMENTAL_FEATURES, *words, *named)))


def find_nix(
    runner: CommandRunner,
    *,
    program: str = "nix",
    extra_arguments: tuple[str, ...] = (),
    search_path: Mapping[str, Path] = MappingProxyType({}),
    listener: ProgressListener | None = None,
) -> Nix:
    """Return the `nix` that `program` names.

    Raises `NixError`: there is none, or it is too old.
    """
    version = nix_version(runner, program=program)
    if version.is_too_old:
        oldest = ".".join(str(number) for number in OLDEST)
        raise NixError(
            f"`{program}` is `{version}`, and nixbridge needs Nix {oldest} or later",
            hint=INSTALL_HINT,
        )
    return Nix(
        runner=runner,
        version=version,
        program=program,
        extra_arguments=extra_arguments,
        search_path=search_path,
        listener=listener,
    )


def nix_version(runner: CommandRunner, *, program: str = "nix") -> NixVersion:
    """Return the version of the `nix` that `program` names, however old.

    Raises `NixError`: there is none, or it does not say.
    """
    completed = _start(runner, (program, "--version"), None)
    if completed.status != 0:
        raise explain_failure(
            completed, subject=f"`{program}`", verb="asking", repeat=(f"{program} --version",)
        )
    return NixVersion.parse(completed.stdout.decode(errors="replace"))


def _start(
    runner: CommandRunner, argv: Sequence[str], on_stderr_line: Callable[[str], None] | None
) -> Completed:
    try:
        return runner.run(argv, on_stderr_line=on_stderr_line)
    except FileNotFoundError as error:
        raise NixError(f"there is no `{argv[0]}` on this machine", hint=INSTALL_HINT) from error
    except OSError as error:
        raise NixError(f"`{argv[0]}` cannot be started: {error.strerror}") from error
