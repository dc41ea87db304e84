"""`NixVersion`: which Nix it is, read from `nix --version`.

Only what decides how we call nix or read its output. The versions between which a behaviour
changed are constants here, beside the question that they answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from nixbridge.errors import NixError

# The oldest Nix whose `build --json` and `path-info --json` we know: Debian 12's.
OLDEST: Final = (2, 8)
# The oldest that we have seen with `config show` and `store info` instead of `show-config` and
# `store ping`, which then still work. Lix, which begins with 2.90, has the first of them.
_CONFIG_SHOW: Final = (2, 26)
_STORE_INFO: Final = (2, 26)
# The setting `always-allow-substitutes`, by the release notes; Lix has not got it.
_ALWAYS_ALLOW_SUBSTITUTES: Final = (2, 19)
# `path-info --json` without `--json-format` warns from here on, and is to become an error.
_JSON_FORMAT: Final = (2, 34)

# `nix (Nix) 2.28pre20250305_1a2b`, `nix (Lix, like Nix) 2.91.0`, `nix (Determinate Nix 3.0) 2.26`
_VERSION: Final = re.compile(
    r"nix \((?P<implementation>.+)\) (?P<major>\d+)\.(?P<minor>\d+)(?:\.(?P<patch>\d+))?(?!\d)\S*"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NixVersion:
    """The version of a Nix. `text` is what nix prints; a pre-release counts as its release."""

    text: str
    implementation: str
    numbers: tuple[int, int, int]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the first line that `nix --version` prints.

        Raises `NixError`.
        """
        line = text.partition("\n")[0].strip()
        match = _VERSION.fullmatch(line)
        if match is None:
            raise NixError(
                f"`nix --version` printed `{line}`, which is no version of Nix that we know",
                hint="is another program called `nix` on the PATH?",
            )
        return cls(
            text=line,
            implementation=match["implementation"],
            numbers=(int(match["major"]), int(match["minor"]), int(match["patch"] or 0)),
        )

    @property
    def is_lix(self) -> bool:
        """Whether it is Lix, which counts its versions on its own: 2.90 followed Nix's 2.18."""
        return self.implementation.startswith("Lix")

    @property
    def is_too_old(self) -> bool:
        """Whether it is older than every Nix that we can talk to."""
        return self.numbers < OLDEST

    @property
    def has_config_show(self) -> bool:
        """Whether `nix config show` exists."""
        return self.numbers >= _CONFIG_SHOW

    @property
    def has_store_info(self) -> bool:
        """Whether `nix store info` exists."""
        return not self.is_lix and self.numbers >= _STORE_INFO

    @property
    def has_json_format(self) -> bool:
        """Whether `nix path-info` knows, and wants, `--json-format`."""
        return not self.is_lix and self.numbers >= _JSON_FORMAT

    @property
    def has_always_allow_substitutes(self) -> bool:
        """Whether a setting overrules derivations that want to be built and never fetched."""
        return not self.is_lix and self.numbers >= _ALWAYS_ALLOW_SUBSTITUTES

    def __str__(self) -> str:
        return self.text
