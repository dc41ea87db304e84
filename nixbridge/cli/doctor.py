"""`doctor`: what is wrong with Nix and its surroundings here."""

from __future__ import annotations

import os

import typer

from nixbridge.cli.options import JSON, Loudness
from nixbridge.doctor import diagnose, findings_document, findings_text
from nixbridge.errors import NixError
from nixbridge.evaluator import SubprocessRunner


def doctor(
    context: typer.Context,
    is_json: bool = JSON,
    *,
    loudness: Loudness,
) -> None:
    """Find out what is wrong with Nix here, and what to do."""
    console = context.obj.configure(loudness)
    findings = diagnose(SubprocessRunner(), os.environ)
    if is_json:
        console.document(findings_document(findings))
    else:
        console.data(findings_text(findings))
    if any(finding.status == "problem" for finding in findings):
        raise typer.Exit(NixError.exit_status)
