"""`init`: write a first spec."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from nixbridge.cli.options import Loudness
from nixbridge.texts import write_first_spec


def init(
    context: typer.Context,
    directory: Path = typer.Argument(
        Path(), metavar="DIR", help="Where to write it; made if it is not there."
    ),
    template: str = typer.Option(
        "image",
        "--template",
        metavar="NAME",
        help='What the image is to be: "image" has some programs in it, "docker" has Nix.',
    ),
    *,
    loudness: Loudness,
) -> None:
    """Write a first nixbridge.toml, with comments."""
    console = context.obj.configure(loudness)
    path = write_first_spec(directory, template)
    command = ("nixbridge", "copy", str(directory), "oci:out")
    console.say(f"wrote {path}\nnext: {shlex.join(command)}")
