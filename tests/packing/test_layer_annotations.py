"""What a layer's descriptor says of it: written and read by one module."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nixbridge.closure import StorePath
from nixbridge.errors import InputError
from nixbridge.packing import LayerAnnotations, LayerKey

PATHS = st.builds(
    lambda character, name: StorePath.parse(f"/nix/store/{character * 32}-{name}"),
    st.sampled_from("0abz"),
    st.from_regex(r"[a-z][a-z0-9+?=._-]{0,20}", fullmatch=True),
)
SIZES = st.integers(0, 1 << 50)
NO_SIZE = "the annotation `org.nixbridge.tar-size` has `@` where a number of bytes should be"


@given(
    key=st.none() | st.binary().map(LayerKey.of),
    identity=st.none() | st.text(),
    tar_size=st.none() | SIZES,
    sizes=st.dictionaries(PATHS, SIZES, max_size=5),
)
def test_what_is_written_is_read(
    key: LayerKey | None, identity: str | None, tar_size: int | None, sizes: dict[StorePath, int]
) -> None:
    annotations = LayerAnnotations(
        key=key, compression_identity=identity, tar_size_bytes=tar_size, nar_sizes_bytes=sizes
    )
    written = annotations.to_oci()
    assert LayerAnnotations.parse({**written, "org.example.other": "x"}) == annotations


def test_store_paths_stand_sorted_a_line_each() -> None:
    paths = [StorePath.parse(f"/nix/store/{'a' * 32}-{name}") for name in ("b", "a", "a-b")]
    annotations = LayerAnnotations(nar_sizes_bytes=dict(zip(paths, (1, 20, 3), strict=True)))
    assert annotations.to_oci() == {
        "org.nixbridge.store-paths": (
            f"/nix/store/{'a' * 32}-a 20\n/nix/store/{'a' * 32}-a-b 3\n/nix/store/{'a' * 32}-b 1"
        )
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("layer-key", "sha256:12", "`sha256:12` is not a sha256 digest"),
        ("tar-size", "-1", NO_SIZE.replace("@", "-1")),
        ("tar-size", "٣", NO_SIZE.replace("@", "٣")),
        (
            "store-paths",
            f"/nix/store/{'a' * 32}-a",
            "the annotation `org.nixbridge.store-paths` has `` where a number of bytes should be",
        ),
        ("store-paths", "/etc 1", "`/etc` is not a store path"),
        ("store-paths", f"/nix/store/{'a' * 32}-a 1\n\n", "`` is not a store path"),
        # More digits than Python's `int` takes.
        ("tar-size", "9" * 5000, NO_SIZE.replace("@", "9" * 5000)),
    ],
)
def test_what_is_malformed(name: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        LayerAnnotations.parse({f"org.nixbridge.{name}": text})
    assert caught.value.message == message
