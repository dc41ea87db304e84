"""Names of images, and which destination a reference means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nixbridge.destinations import parse_destination
from nixbridge.destinations.docker_archive import DockerArchive
from nixbridge.destinations.oci_archive import OciArchive
from nixbridge.destinations.oci_layout import OciLayout
from nixbridge.errors import InputError
from nixbridge.oci import BlobDigest, ImageReference

DIGEST = BlobDigest("sha256:" + "0" * 64)


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("oci:out:shop", OciLayout(directory=Path("out"), name="shop")),
        ("oci-archive:a.tar", OciArchive(path=Path("a.tar"))),
        ("docker-archive:a.tar", DockerArchive(path=Path("a.tar"))),
        ("-", DockerArchive(path=None)),
    ],
)
def test_finds_the_destination(text: str, destination: object) -> None:
    assert parse_destination(text) == destination


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("ocl:out", "`ocl:` is no kind of destination that we know", "did you mean `oci`?"),
        (
            "docker-achive:a",
            "`docker-achive:` is no kind of destination that we know",
            "did you mean `docker-archive`?",
        ),
        (
            "out",
            "`out` does not say what kind of destination it is",
            "write `oci:out` for a directory, `docker-archive:out` for a file",
        ),
        (
            "podman:shop",
            "`podman:` is no kind of destination that we know",
            "it is `containers-storage:NAME:TAG`",
        ),
        (
            "https://ghcr.io/me/shop",
            "`https:` is no kind of destination that we know",
            "it is `docker://REGISTRY/NAME:TAG`",
        ),
    ],
)
def test_says_which_destinations_there_are(text: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_destination(text)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_lists_all_where_none_is_near() -> None:
    with pytest.raises(InputError) as caught:
        parse_destination("zzz:out")
    hint = caught.value.hint or ""
    assert hint.startswith("known here: ")
    for transport in ("`oci`", "`oci-archive`", "`docker-archive`"):
        assert transport in hint


# Rows of the tables in github.com/distribution/reference, reference_test.go, and our own.
@pytest.mark.parametrize(
    ("text", "name", "tag", "digest"),
    [
        ("test_com", "test_com", None, None),
        ("test.com:tag", "test.com", "tag", None),
        ("test.com:5000", "test.com", "5000", None),
        ("test.com/repo:tag", "test.com/repo", "tag", None),
        ("test:5000/repo", "test:5000/repo", None, None),
        ("test:5000/repo:tag", "test:5000/repo", "tag", None),
        (f"test:5000/repo@{DIGEST}", "test:5000/repo", None, DIGEST),
        (f"test:5000/repo:tag@{DIGEST}", "test:5000/repo", "tag", DIGEST),
        ("lowercase:Uppercase", "lowercase", "Uppercase", None),
        ("sub-dom1.foo.com/bar/baz/quux", "sub-dom1.foo.com/bar/baz/quux", None, None),
        ("sub-dom1.foo.com/bar/quux:long-tag", "sub-dom1.foo.com/bar/quux", "long-tag", None),
        ("b.gcr.io/test.example.com/a:test.com", "b.gcr.io/test.example.com/a", "test.com", None),
        ("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage", "xn--n3h.com", None),
        ("foo_bar.com:8080", "foo_bar.com", "8080", None),
        ("foo/foo_bar.com:8080", "foo/foo_bar.com", "8080", None),
        ("192.168.1.1:8080/repo", "192.168.1.1:8080/repo", None, None),
        ("[2001:db8::1]/repo:tag", "[2001:db8::1]/repo", "tag", None),
        ("[2001:db8::1]:5000/repo", "[2001:db8::1]:5000/repo", None, None),
        ("a__b/c--d", "a__b/c--d", None, None),
        ("Uppercase.example.org/lower", "Uppercase.example.org/lower", None, None),
        ("x" * 255, "x" * 255, None, None),
        ("x:" + "t" * 128, "x", "t" * 128, None),
    ],
)
def test_parses_a_reference(
    text: str, name: str, tag: str | None, digest: BlobDigest | None
) -> None:
    reference = ImageReference.parse(text)
    assert reference == ImageReference(name=name, tag=tag, digest=digest)
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":justtag",
        "@" + str(DIGEST),
        "repo@sha256:ffffffffffffffffffffffffffffffffff",
        "validname@invaliddigest:" + "f" * 128,
        "Uppercase:tag",
        "test:5000/Uppercase/lowercase:tag",
        "x" * 256,
        "x:" + "t" * 129,
        "aa/asdf$$^/aa",
        "a//b",
        "/a",
        "a/",
        "a___b",
        "-foo/bar",
        "foo-/x:",
        "a b",
        "a\n",
        "a:b\n",
        "[2001:db8::1/repo",
        "[fe80::1%eth0]/repo",
        "ä",
    ],
)
def test_refuses_what_is_no_reference(text: str) -> None:
    with pytest.raises(InputError, match="is not an image reference"):
        ImageReference.parse(text)


def test_a_name_with_capitals_gets_a_hint() -> None:
    with pytest.raises(InputError) as caught:
        ImageReference.parse("ghcr.io/Me/App:1")
    assert caught.value.hint == "names are lower case: `ghcr.io/me/app:1`"


@given(st.text(alphabet="aZ0.-_:/@[]%\n ü", max_size=30))
def test_what_parses_prints_back(text: str) -> None:
    try:
        reference = ImageReference.parse(text)
    except InputError:
        return
    assert str(reference) == text
    assert ImageReference.parse(str(reference)) == reference
