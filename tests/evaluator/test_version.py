from __future__ import annotations

import pytest

from evaluator.nix_cli import VERSIONS, Call
from nixbridge.errors import NixError
from nixbridge.evaluator import NixVersion

KNOWN = {
    "nix (Nix) 2.8.0": ("Nix", (2, 8, 0)),
    "nix (Nix) 2.34.8\n": ("Nix", (2, 34, 8)),
    "nix (Nix) 2.28pre20250305_1a2b3c4": ("Nix", (2, 28, 0)),
    "nix (Nix) 2.3.16": ("Nix", (2, 3, 16)),
    "nix (Lix, like Nix) 2.91.0": ("Lix, like Nix", (2, 91, 0)),
    "nix (Lix, like Nix) 2.94.0-dev-pre20251101-abcdef0": ("Lix, like Nix", (2, 94, 0)),
    "nix (Determinate Nix 3.0) 2.26": ("Determinate Nix 3.0", (2, 26, 0)),
    "nix (Determinate Nix 3.6.2) 2.29.0": ("Determinate Nix 3.6.2", (2, 29, 0)),
    "nix (Nix) 2.18.1\nSystem type: x86_64-linux\n": ("Nix", (2, 18, 1)),
}


@pytest.mark.parametrize("text", KNOWN)
def test_versions_that_are_known(text: str) -> None:
    version = NixVersion.parse(text)
    assert (version.implementation, version.numbers) == KNOWN[text]
    assert str(version) == text.splitlines()[0]


@pytest.mark.parametrize("name", VERSIONS)
def test_versions_that_were_recorded(name: str) -> None:
    assert str(Call(name, "version").version).startswith(f"nix (Nix) {name}.")


@pytest.mark.parametrize("text", ["", "nix", "nix 2.8.0", "nix (Nix) two", "git version 2.39.5"])
def test_other_programs_are_refused(text: str) -> None:
    with pytest.raises(NixError) as caught:
        NixVersion.parse(text)
    assert caught.value.message == (
        f"`nix --version` printed `{text}`, which is no version of Nix that we know"
    )
    assert caught.value.hint == "is another program called `nix` on the PATH?"


@pytest.mark.parametrize(
    ("text", "is_too_old", "has_config_show", "has_store_info", "has_json_format"),
    [
        ("nix (Nix) 2.3.16", True, False, False, False),
        ("nix (Nix) 2.7.9", True, False, False, False),
        ("nix (Nix) 2.8.0", False, False, False, False),
        ("nix (Nix) 2.8pre20220512_aa", False, False, False, False),
        ("nix (Nix) 2.26.3", False, True, True, False),
        ("nix (Nix) 2.34.0", False, True, True, True),
        ("nix (Nix) 3.0.0", False, True, True, True),
        ("nix (Lix, like Nix) 2.90.0", False, True, False, False),
        ("nix (Lix, like Nix) 2.94.0", False, True, False, False),
    ],
)
def test_what_a_version_can_do(
    text: str,
    is_too_old: bool,  # noqa: FBT001 - a table's column
    has_config_show: bool,  # noqa: FBT001
    has_store_info: bool,  # noqa: FBT001
    has_json_format: bool,  # noqa: FBT001
) -> None:
    version = NixVersion.parse(text)
    assert version.is_too_old is is_too_old
    assert version.has_config_show is has_config_show
    assert version.has_store_info is has_store_info
    assert version.has_json_format is has_json_format


@pytest.mark.parametrize(
    ("text", "has_it"),
    [
        ("nix (Nix) 2.18.9", False),
        ("nix (Nix) 2.19.0", True),
        ("nix (Lix, like Nix) 2.91.0", False),
    ],
)
def test_always_allow_substitutes(text: str, *, has_it: bool) -> None:
    assert NixVersion.parse(text).has_always_allow_substitutes is has_it
