"""Files of text that verbs write: whole or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nixbridge.errors import InputError
from nixbridge.source import SPEC_FILE_NAME


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all.

    Raises `InputError`.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(f"cannot write `{path}`: {error.strerror}") from error


def check_text(path: Path, text: str) -> None:
    """Compare a file with what would be written.

    Raises `InputError`: it is not the same.
    """
    try:
        is_same = path.read_bytes() == text.encode()
    except OSError as error:
        raise InputError(f"cannot read `{path}`: {error.strerror}") from error
    if not is_same:
        raise InputError(
            f"`{path}` is not what its spec renders to",
            hint="write it anew: the same command without `--check`",
        )


def write_first_spec(directory: Path, template: str) -> Path:
    """Write a spec to begin with into `directory`, which is made; the image is called like it.

    Raises `InputError`: there is one already, no such template, or it cannot be written.
    """
    from nixbridge.render import first_spec  # noqa: PLC0415 - Jinja2 takes long to import

    path = directory / SPEC_FILE_NAME
    if os.path.lexists(path):
        raise InputError(
            f"`{path}` is there already", hint="edit it, or name another directory to begin in"
        )
    name = "-".join(re.findall("[a-z0-9]+", directory.resolve().name.lower())) or "app"
    text = first_spec(template, image_name=name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make `{directory}`: {error.strerror}") from error
    write_text(path, text)
    return path
