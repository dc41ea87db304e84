from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from nixbridge.closure import PackageName


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("openssl-3.0.14", ("openssl", "", "3.0.14")),
        ("openssl-3.0.14-dev", ("openssl", "dev", "3.0.14")),
        ("python3.11-requests-2.31.0", ("python3.11-requests", "", "2.31.0")),
        ("glibc-2.40-66", ("glibc", "", "2.40-66")),
        ("glibc-2.40-66-bin", ("glibc", "bin", "2.40-66")),
        ("ca-certificates", ("ca-certificates", "", "")),
        ("nixpkgs", ("nixpkgs", "", "")),
        ("font-2x", ("font", "", "2x")),
        ("acl-2.3.2-lib64", ("acl", "lib64", "2.3.2")),
        ("a-", ("a-", "", "")),
        ("a--1", ("a", "", "-1")),
        ("1.0", ("1.0", "", "")),
    ],
)
def test_a_name_is_split(text: str, parts: tuple[str, str, str]) -> None:
    name = PackageName.parse(text)
    assert (name.name, name.output, name.version) == parts


def test_an_output_is_named_with_its_package() -> None:
    assert PackageName.parse("openssl-3.0.14").package == "openssl"
    assert PackageName.parse("openssl-3.0.14-dev").package == "openssl (dev)"


@pytest.mark.nix
def test_nix_splits_names_in_the_same_way(require_tool: Callable[[str], str]) -> None:
    names = ["hello-2.12", "a-b-c", "a-", "a--1", "x-1-2", "g++-12", "p_q-9.9-dev", "-1"]
    expression = f"map builtins.parseDrvName {json.dumps(names).replace(',', ' ')}"
    words = [require_tool("nix-instantiate"), "--eval", "--strict", "--json", "-E", expression]
    result = subprocess.run(words, check=True, capture_output=True, text=True)
    for text, theirs in zip(names, json.loads(result.stdout), strict=True):
        ours = PackageName.parse(text)
        version = "-".join(filter(None, (ours.version, ours.output)))
        assert (ours.name, version) == (theirs["name"], theirs["version"]), text
