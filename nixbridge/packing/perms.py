"""Which mode and owner the files of a store path get in the image: the rule of `perms`.

It is nix2container's: every perm whose regex matches anywhere in the file's store name (never the
place it is read from) applies, in order; uid and gid are always set, the others when given.
"""

from __future__ import annotations

import re
from typing import Final

from nixbridge.description import Perm
from nixbridge.errors import InputError
from nixbridge.packing.go_regex import compile_go_regex
from nixbridge.packing.header import Owner

_MODE_LIMIT: Final = 8**7


class PermRules:
    """The perms of one store path, ready to be asked."""

    def __init__(self, perms: tuple[Perm, ...]) -> None:
        """Compile the regexes.

        Raises `InputError`: a regex cannot be used, or a mode is out of range.
        """
        self._rules: list[tuple[re.Pattern[str], Perm]] = []
        for perm in perms:
            if perm.mode is not None and not 0 <= perm.mode < _MODE_LIMIT:
                raise InputError(f"the mode `{perm.mode:o}` for `{perm.path}` is out of range")
            try:
                pattern = compile_go_regex(perm.regex)
            except InputError as error:
                message = f"in the perms for `{perm.path}`, {error.message}"
                raise InputError(message, hint=error.hint) from error
            self._rules.append((pattern, perm))

    def apply(self, store_name: bytes, mode: int, owner: Owner) -> tuple[int, Owner]:
        """Return the mode and owner of the file whose name in the store is `store_name`."""
        text = store_name.decode("utf-8", "surrogateescape")
        for pattern, perm in self._rules:
            if pattern.search(text):
                owner = Owner(
                    perm.uid, perm.gid, perm.uname or owner.uname, perm.gname or owner.gname
                )
                mode = mode if perm.mode is None else perm.mode
        return mode, owner
