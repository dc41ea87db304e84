from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nixbridge.closure import StorePath, StoreRoot
from nixbridge.errors import InputError

HASH = "c659sx8sxrpzb18npqz9bgp56gw7l85d"
GLIBC = f"/nix/store/{HASH}-glibc-2.36"

HASHES = st.text("0123456789abcdfghijklmnpqrsvwxyz", min_size=32, max_size=32)
NAMES = st.text(
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-._?=", min_size=1, max_size=211
)
DIRECTORIES = st.sampled_from(["/nix/store", "/gnu/store", "/home/me/.nix/store", "/s"])


def test_the_parts_of_a_store_path() -> None:
    path = StorePath.parse(GLIBC)
    assert path.base_name == f"{HASH}-glibc-2.36"
    assert path.hash_part == HASH
    assert path.name == "glibc-2.36"
    assert path.store_dir == "/nix/store"
    assert str(path) == GLIBC


@given(DIRECTORIES, HASHES, NAMES)
def test_every_store_path_is_parsed_and_printed_exactly(
    directory: str, digits: str, name: str
) -> None:
    path = StorePath.parse(f"{directory}/{digits}-{name}")
    assert str(path) == f"{directory}/{digits}-{name}"
    assert (path.store_dir, path.hash_part, path.name) == (directory, digits, name)
    assert path.base_name == f"{digits}-{name}"


NO_STORE_PATHS = [
    "",
    "/",
    "/nix/store",
    f"{HASH}-glibc-2.36",
    f"/{HASH}-glibc-2.36",
    f"nix/store/{HASH}-glibc-2.36",
    f"{GLIBC}/",
    f"{GLIBC}/lib",
    f"{GLIBC}\n",
    f" {GLIBC}",
    f"/nix/store//{HASH}-glibc",
    f"/nix/../store/{HASH}-glibc",
    f"/nix/store/./{HASH}-glibc",
    f"/nix/st\0re/{HASH}-glibc",
    f"/nix/store/{HASH}",
    f"/nix/store/{HASH}-",
    f"/nix/store/{HASH}-with space",
    f"/nix/store/{HASH}-é",
    f"/nix/store/{HASH}-{'n' * 212}",
    f"/nix/store/{HASH[1:]}-short",
    f"/nix/store/e{HASH[1:]}-no-such-digit",
    f"/nix/store/{HASH.upper()}-glibc",
]


@pytest.mark.parametrize("text", NO_STORE_PATHS)
def test_what_is_not_a_store_path_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        StorePath.parse(text)
    assert caught.value.message == f"`{text}` is not a store path"
    assert caught.value.hint is not None


@given(st.lists(st.tuples(HASHES, NAMES)))
def test_the_order_is_that_of_the_text(parts: list[tuple[str, str]]) -> None:
    texts = [f"/nix/store/{digits}-{name}" for digits, name in parts]
    assert [str(path) for path in sorted(map(StorePath, texts))] == sorted(texts)


def test_where_the_files_of_a_path_lie() -> None:
    path = StorePath(GLIBC)
    assert StoreRoot().locate(path) == Path(GLIBC)
    assert StoreRoot(Path("/mnt")).locate(path) == Path(f"/mnt{GLIBC}")
