"""`PackageName`: what package a store path is of, in which version, and which output of it.

A store path does not say so; its name is split by Nix's own rule, which is right for nearly all
packages and wrong for a few (`font-2x` has the version `2x`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

# `builtins.parseDrvName`: the version begins behind the first dash that no letter follows.
_VERSION: Final = re.compile(r"-(?=[^a-zA-Z])")
# What `nix store diff-closures` takes for an output. Only behind a version: without one,
# `ca-certificates` would be the output `certificates` of `ca`.
_OUTPUT: Final = re.compile(r"(?P<version>.+)-(?P<output>[a-z]+|lib32|lib64)")


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class PackageName:
    """`openssl`, `dev`, `3.0.14`; the last two are empty where the name has none.

    The output `out` is written nowhere, so it is empty, too.
    """

    name: str
    output: str = ""
    version: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split the name of a store path, without its hash."""
        found = _VERSION.search(text)
        if found is None:
            return cls(name=text)
        name, version = text[: found.start()], text[found.end() :]
        with_output = _OUTPUT.fullmatch(version)
        if with_output is None:
            return cls(name=name, version=version)
        return cls(name=name, output=with_output["output"], version=with_output["version"])

    @property
    def package(self) -> str:
        """The name without the version: `openssl`, or `openssl (dev)` of another output."""
        return f"{self.name} ({self.output})" if self.output else self.name
