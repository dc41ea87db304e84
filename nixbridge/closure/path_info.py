"""What Nix knows of one store path: `PathInfo`, with its `NarHash`.

Pure values. They come from `nix path-info --json` (`evaluator/`) or from an image description
(`description/`); all spellings of a hash that Nix versions print become the same value.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final, Self

from nixbridge.closure.store_path import StorePath
from nixbridge.errors import InputError

_BASE32: Final = "0123456789abcdfghijklmnpqrsvwxyz"
_SHA256_BYTES: Final = 32
_SHA256_BASE32_DIGITS: Final = 52


@dataclass(frozen=True, slots=True, order=True)
class NarHash:
    """The sha256 of a path's NAR, as 64 lower case hex digits."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sha256:` with hex or Nix's base 32, or an SRI hash `sha256-…`.

        Raises `InputError`.
        """
        for prefix in ("sha256:", "sha256-"):
            if text.startswith(prefix):
                digest = _decode(text.removeprefix(prefix), is_sri=prefix == "sha256-")
                if digest is not None:
                    return cls(digest.hex())
        raise InputError(f"`{text}` is not a sha256 hash of a NAR")

    @property
    def base32(self) -> str:
        """`sha256:` and Nix's base 32, as `nix-store --dump-db` prints it."""
        number = int.from_bytes(bytes.fromhex(self.hex), "little")
        return "sha256:" + "".join(_BASE32[number >> 5 * place & 31] for place in range(51, -1, -1))

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


def _decode(text: str, *, is_sri: bool) -> bytes | None:
    try:
        if is_sri:
            digest = base64.b64decode(text, validate=True)
        elif len(text) == 2 * _SHA256_BYTES:
            digest = bytes.fromhex(text)
        elif len(text) != _SHA256_BASE32_DIGITS:
            return None
        else:
            number = 0
            for digit in text:
                number = number * 32 + _BASE32.index(digit)
            digest = number.to_bytes(_SHA256_BYTES, "little")
    except (ValueError, OverflowError, binascii.Error):
        return None
    return digest if len(digest) == _SHA256_BYTES else None


@dataclass(frozen=True, kw_only=True, slots=True)
class PathInfo:
    """One valid store path. `references` are sorted and may contain the path itself."""

    path: StorePath
    nar_hash: NarHash
    nar_size_bytes: int
    references: tuple[StorePath, ...]
    deriver: StorePath | None = None
