"""`docker://` names: what is filled in, and what is refused."""

from __future__ import annotations

import pytest

from nixbridge.destinations import Access, parse_destination
from nixbridge.destinations.registry import Registry
from nixbridge.errors import InputError

DIGEST = f"sha256:{'1' * 64}"


@pytest.mark.parametrize(
    ("text", "name", "asked"),
    [
        ("alpine", "docker.io/library/alpine:latest", "registry-1.docker.io"),
        ("team/shop:1", "docker.io/team/shop:1", "registry-1.docker.io"),
        ("docker.io/alpine", "docker.io/library/alpine:latest", "registry-1.docker.io"),
        ("index.docker.io/a/b", "docker.io/a/b:latest", "registry-1.docker.io"),
        ("localhost/shop", "localhost/shop:latest", "localhost"),
        ("localhost:5000/shop", "localhost:5000/shop:latest", "localhost:5000"),
        ("ghcr.io/me/app:1.4", "ghcr.io/me/app:1.4", "ghcr.io"),
        ("[::1]:5000/shop", "[::1]:5000/shop:latest", "[::1]:5000"),
        (f"ghcr.io/me/app@{DIGEST}", f"ghcr.io/me/app@{DIGEST}", "ghcr.io"),
    ],
)
def test_names(text: str, name: str, asked: str) -> None:
    destination = parse_destination(f"docker://{text}")
    assert isinstance(destination, Registry)
    assert str(destination.name) == name
    assert destination.name.repository.api_host == asked


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "docker:ghcr.io/me/app",
            "`docker:ghcr.io/me/app` names no image in a registry",
            "write `docker://ghcr.io/me/app`",
        ),
        (
            "docker://",
            "`docker://` names no image",
            (
                "write `docker://REGISTRY/NAME:TAG`, for example "
                "`docker://registry.example.org/team/shop:1.4`"
            ),
        ),
        (
            "docker://ghcr.io/Me/app",
            "`ghcr.io/Me/app` is not an image reference",
            "names are lower case: `ghcr.io/me/app`",
        ),
        (
            f"docker://a/b:1@{DIGEST}",
            f"`docker://a/b:1@{DIGEST}` has a tag and a digest",
            "write one of the two, as with skopeo",
        ),
    ],
)
def test_names_that_are_refused(text: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_destination(text)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_an_image_cannot_be_written_by_its_digest() -> None:
    destination = parse_destination(f"docker://r.io/shop@{DIGEST}")
    with pytest.raises(InputError) as caught:
        destination.open(default_reference="x:1", access=Access())
    assert caught.value.message == (
        f"`docker://r.io/shop@{DIGEST}` cannot be written: an image gets its digest by being made"
    )
    assert caught.value.hint == "name a tag: `docker://r.io/shop:latest`"
