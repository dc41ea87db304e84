"""Store paths, and where their files lie.

A `StorePath` is parsed once and prints back exactly. Where its files are is another thing
(`StoreRoot`): in a store with another root (`NIX_REMOTE=DIR`, `local?root=DIR`) the path
`/nix/store/x` is read from `DIR/nix/store/x` and keeps its name in the image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from nixbridge.errors import InputError

DEFAULT_STORE_DIR: Final = "/nix/store"

# https://nix.dev/manual/nix/2.26/store/store-path: 32 digits of Nix's base 32, `-`, a name.
_STORE_PATH: Final = re.compile(
    r"(?P<store_dir>(?:/(?!\.{1,2}/)[^/\x00-\x1f]+)+)"
    r"/(?P<hash>[0-9a-df-np-sv-z]{32})-(?P<name>[0-9a-zA-Z+._?=-]{1,211})"
)


@dataclass(frozen=True, slots=True, order=True)
class StorePath:
    """A path directly below a store directory: `/nix/store/HASH-NAME`; ordered by its text."""

    text: str

    def __post_init__(self) -> None:
        """Refuse any text that is not a store path.

        Raises `InputError`.
        """
        if not _STORE_PATH.fullmatch(self.text):
            raise InputError(
                f"`{self.text}` is not a store path",
                hint="a store path looks like `/nix/store/HASH-NAME`, with nothing after the name",
            )

    def __hash__(self) -> int:
        """Return the hash of the text: a dataclass would make a tuple of it each time."""
        return hash(self.text)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the store path that `text` is.

        Raises `InputError`.
        """
        return cls(text)

    @property
    def base_name(self) -> str:
        """`HASH-NAME`."""
        return self.text.rpartition("/")[2]

    @property
    def hash_part(self) -> str:
        """The 32 digits that Nix looks for when it scans for references."""
        return self.base_name[:32]

    @property
    def name(self) -> str:
        """The name without the hash, for people to read."""
        return self.base_name[33:]

    @property
    def store_dir(self) -> str:
        """The store directory, `/nix/store` nearly always."""
        return self.text.rpartition("/")[0]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class StoreRoot:
    """The directory below which the files of a store lie; `/` for the machine's own store."""

    directory: Path = Path("/")

    def locate(self, path: StorePath) -> Path:
        """Return where the files of `path` are on this machine."""
        return self.directory / path.text.lstrip("/")
