from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nixbridge.closure import NarHash
from nixbridge.errors import InputError

# Of the empty string: hex and base 64 by sha256sum and base64, base 32 by `nix hash to-base32`.
HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SRI = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
BASE32 = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"


@pytest.mark.parametrize("text", [f"sha256:{HEX}", f"sha256:{BASE32}", SRI])
def test_all_spellings_of_a_hash_are_one_value(text: str) -> None:
    nar_hash = NarHash.parse(text)
    assert nar_hash == NarHash(HEX)
    assert str(nar_hash) == f"sha256:{HEX}"
    assert nar_hash.base32 == f"sha256:{BASE32}"


@given(st.binary(min_size=32, max_size=32))
def test_every_hash_survives_every_spelling(digest: bytes) -> None:
    nar_hash = NarHash.parse(f"sha256:{digest.hex()}")
    assert NarHash.parse(nar_hash.base32) == nar_hash
    assert NarHash.parse(f"sha256-{base64.b64encode(digest).decode()}") == nar_hash
    assert NarHash.parse(str(nar_hash)) == nar_hash


NO_HASHES = [
    "",
    HEX,
    "sha256:",
    "sha256:0",
    "sha256-",
    f"sha256:{HEX[1:]}",
    f"sha256:{HEX}0",
    f"sha256:{' ' * 32}{HEX[:32]}",
    f"sha256:{BASE32[1:]}",
    f"sha256:0{BASE32}",
    f"sha256:e{BASE32[1:]}",
    f"sha256:z{BASE32[1:]}",  # more than 256 bits
    f"sha256-{HEX}",
    f"sha256:{SRI.removeprefix('sha256-')}",
    SRI.rstrip("="),
    f"{SRI}\n",
    f"sha512:{HEX}",
    "md5:d41d8cd98f00b204e9800998ecf8427e",
]


@pytest.mark.parametrize("text", NO_HASHES)
def test_what_is_no_sha256_hash_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        NarHash.parse(text)
    assert caught.value.message == f"`{text}` is not a sha256 hash of a NAR"


@pytest.mark.nix
@pytest.mark.parametrize("content", ["", "hello", "x" * 1000])
def test_nix_spells_hashes_the_same(content: str, tmp_path: Path) -> None:
    nix = shutil.which("nix-hash")
    assert nix is not None
    (tmp_path / "file").write_text(content)

    def nix_hash(*flags: str) -> str:
        argv = (nix or "", "--type", "sha256", *flags, str(tmp_path / "file"))
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    nar_hash = NarHash.parse(f"sha256:{nix_hash()}")
    assert nar_hash.base32 == f"sha256:{nix_hash('--base32')}"
