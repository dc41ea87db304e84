"""`NixTester`: evaluate, build and look at images, on one Nix store, in a line each.

Thin: what a source is is `source.py`, what nix does `evaluator/`, how an image is made
`pipeline.py`. A call is never answered from an earlier one, for the files that it reads may have
changed; only packing an image twice is saved.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NoReturn

from nixbridge import pipeline
from nixbridge.closure import ClosureGraph, StorePath
from nixbridge.console import Console
from nixbridge.containers.container import remove_tree
from nixbridge.delivery import Described
from nixbridge.destinations.oci_layout import OciLayout
from nixbridge.evaluator import Nix, NixVersion, SubprocessRunner, find_nix
from nixbridge.share import nix_directory
from nixbridge.source import NixArguments, parse_source
from nixbridge.testing.built_image import BuiltImage
from nixbridge.testing.caller import at_the_callers_line

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class NixTester:
    """A nix and the store that it works on.

    A `source` is what the command line takes: a Nix file, a flake attribute, a spec, a store path;
    relative to the working directory. `attribute`, `arg` and `argstr` are `-A`, `--arg` and
    `--argstr`, and are for Nix files.
    """

    def __init__(
        self,
        nix: Nix,
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        no_container: Callable[[str], NoReturn] | None = None,
    ) -> None:
        self._nix = nix
        self._folder = folder
        self._environment = environment
        self._no_container = no_container
        self._images: list[tuple[Described, BuiltImage]] = []
        self._calls = 0

    @classmethod
    def open(
        cls,
        program: str,
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        no_container: Callable[[str], NoReturn] | None = None,
    ) -> NixTester:
        """Return one for the nix that `program` names; what it writes is in `folder`.

        Without `environment`, nix runs in ours.

        Raises `NixError`: there is no such nix, or it is too old.
        """
        nix = find_nix(
            SubprocessRunner(environment),
            program=program,
            search_path={"nixbridge": nix_directory()},
        )
        return cls(nix, folder, environment=environment, no_container=no_container)

    @property
    def nix(self) -> Nix:
        """The nix below, to ask it what is not here."""
        return self._nix

    @property
    def version(self) -> NixVersion:
        """Which nix it is."""
        return self._nix.version

    @property
    def environment(self) -> Mapping[str, str]:
        """What to run other programs of nix in, so that they use the same store."""
        return dict(os.environ) if self._environment is None else self._environment

    @at_the_callers_line
    def eval(
        self,
        source: str | Path,
        *,
        attribute: str | None = None,
        arg: Mapping[str, str] = _NOTHING,
        argstr: Mapping[str, str] = _NOTHING,
        apply: str | None = None,
    ) -> Any:
        """Return the value of `source`, or of the Nix function `apply` of it, as JSON has it.

        Raises `NixError`: with nix's own message. Raises `InputError`.
        """
        parsed = parse_source(str(source), attribute=attribute)
        arguments = NixArguments(expressions=arg, strings=argstr)
        installable = pipeline.to_installable(parsed, arguments, self._next_folder())
        return self._nix.evaluate(installable, apply=apply)

    @at_the_callers_line
    def build(
        self,
        source: str | Path,
        *,
        attribute: str | None = None,
        arg: Mapping[str, str] = _NOTHING,
        argstr: Mapping[str, str] = _NOTHING,
    ) -> Path:
        """Build `source`, and return where the files of its first output are.

        Raises `NixError`: with nix's own message. Raises `InputError`.
        """
        built = self._build(source, attribute, NixArguments(expressions=arg, strings=argstr))
        return self._nix.store_root().locate(built[0])

    @at_the_callers_line
    def closure(
        self,
        source: str | Path,
        *,
        attribute: str | None = None,
        arg: Mapping[str, str] = _NOTHING,
        argstr: Mapping[str, str] = _NOTHING,
    ) -> ClosureGraph:
        """Build `source`, and return all that it refers to at run time, itself included.

        Raises `NixError`: with nix's own message. Raises `InputError`.
        """
        built = self._build(source, attribute, NixArguments(expressions=arg, strings=argstr))
        return ClosureGraph.of(self._nix.path_infos(built))

    @at_the_callers_line
    def image(
        self,
        source: str | Path,
        *,
        attribute: str | None = None,
        arg: Mapping[str, str] = _NOTHING,
        argstr: Mapping[str, str] = _NOTHING,
    ) -> BuiltImage:
        """Build the image that `source` is; anything that is none becomes one of its closure.

        Raises `NixbridgeError`, as the command line does.
        """
        parsed = parse_source(str(source), attribute=attribute)
        arguments = NixArguments(expressions=arg, strings=argstr)
        console = Console(verbosity=-1)  # pytest shows its warnings with a test that fails
        with pipeline.describe(parsed, self._nix, arguments, console) as described:
            for known, image in self._images:
                if known == described:
                    return image
            layout = OciLayout(directory=self._next_folder() / "image", name="image")
            pipeline.deliver(described, pipeline.plan(described), [layout], console)
        image = BuiltImage(layout, no_container=self._no_container)
        self._images.append((described, image))
        return image

    def __repr__(self) -> str:
        return f"<{self.version}>"

    def close(self) -> None:
        """Remove the images and all else that was written."""
        for _, image in self._images:
            image.close()
        remove_tree(self._folder)

    def _build(
        self, source: str | Path, attribute: str | None, arguments: NixArguments
    ) -> tuple[StorePath, ...]:
        folder = self._next_folder()
        parsed = parse_source(str(source), attribute=attribute)
        installable = pipeline.to_installable(parsed, arguments, folder)
        # The link keeps it from the garbage collector, until the end of the session.
        return self._nix.build(installable, out_link=folder / "result")

    def _next_folder(self) -> Path:
        self._calls += 1
        folder = self._folder / str(self._calls)
        folder.mkdir(parents=True)
        return folder
