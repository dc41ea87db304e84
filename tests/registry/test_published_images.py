"""Images that lie in a registry: read by two requests, checked, picked by platform."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from nixbridge.delivery import previous_images
from nixbridge.destinations import BlobState, registry
from nixbridge.destinations.destination import UnreachableError
from nixbridge.destinations.patience import Patience
from nixbridge.destinations.stored_image import AbsentImageError
from nixbridge.errors import DestinationError, InputError, IntegrityError
from nixbridge.oci import BlobDigest, Platform
from registry.fake_registry import FakeRegistry, change_headers, cut, fail
from registry.shop import PLAIN, Shop

ZEROS = f"sha256:{'0' * 64}"


@dataclass
class Places:
    """Remembers where blobs were seen, and is asked for it."""

    found: tuple[str, ...] = ()
    remembered: list[tuple[str, str, list[BlobDigest]]] = field(default_factory=list)

    def repositories(self, registry: str, digest: BlobDigest) -> tuple[str, ...]:  # noqa: ARG002
        return self.found

    def remember_places(
        self, registry: str, repository: str, digests: Iterable[BlobDigest]
    ) -> None:
        self.remembered.append((registry, repository, list(digests)))


def test_a_registry_that_cannot_be_reached_is_waited_for_once(
    fake: FakeRegistry, shop: Shop
) -> None:
    """Who looks for the image that a tag names by now finds out that it cannot be moved, either."""
    reference = f"docker://{fake.host}/shop:1"
    warnings: list[str] = []
    access = replace(PLAIN, warn=lambda message, _hint=None: warnings.append(message))
    fake.on("GET", "/v2/$", cut, times=1000)
    with pytest.raises(UnreachableError) as caught:
        previous_images({reference: shop.registry(reference)}, access)
    assert caught.value.message.startswith(f"{fake.host} cannot be reached: ")
    assert warnings == []
    assert len(fake.seen) == Patience().first_contact_attempts
    # That it is there and does not give the image is another thing: it may take one.
    fake.faults.clear()
    fake.on("GET", "/manifests/", fail(403, "DENIED"))
    assert previous_images({reference: shop.registry(reference)}, access) == ()
    assert warnings == [
        (
            f"going on without what `{reference}` holds: {fake.host} refused to read `shop`: "
            "403 denied (no credentials)"
        )
    ]


def test_two_requests_tell_all(fake: FakeRegistry, shop: Shop) -> None:
    reference = f"docker://{fake.host}/shop:1"
    image = shop.deliver(reference).image
    fake.seen.clear()
    places = Places()
    found = shop.registry(reference).inspect(replace(PLAIN, places=places))
    assert found.digest == image.digest
    assert found.reference == reference
    assert [layer.digest for layer in found.layers] == [
        layer.descriptor.digest for layer in image.layers
    ]
    assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in image.layers]
    assert [seen.path for seen in fake.seen] == [
        "/v2/",
        "/v2/shop/manifests/1",
        f"/v2/shop/blobs/{image.config.digest}",
    ]
    digests = [layer.descriptor.digest for layer in image.layers]
    assert places.remembered == [(fake.host, "shop", digests)]


def test_an_image_that_is_not_there(fake: FakeRegistry, shop: Shop) -> None:
    with pytest.raises(AbsentImageError) as caught:
        shop.registry(f"docker://{fake.host}/team/shop:9").inspect(PLAIN)
    assert caught.value.message == f"{fake.host} has no image `team/shop:9`"
    with pytest.raises(AbsentImageError) as caught:
        shop.registry(f"docker://{fake.host}/team/shop@{ZEROS}").inspect(PLAIN)
    assert caught.value.message == f"{fake.host} has no image `team/shop@{ZEROS}`"


def put(fake: FakeRegistry, reference: str, document: dict[str, Any]) -> str:
    data = json.dumps(document).encode()
    fake.manifests["shop", reference] = data
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def index_of(fake: FakeRegistry, *platforms: str) -> dict[str, str]:
    """Put an index of images under the tag `all`; return the digest of each."""
    digests = {}
    entries = []
    for platform in platforms:
        manifest = json.loads(fake.manifests["shop", "1"]) | {"annotations": {"for": platform}}
        digest = put(fake, "draft", manifest)
        fake.manifests["shop", digest] = fake.manifests.pop(("shop", "draft"))
        system, architecture, *variant = platform.split("/")
        described = {"os": system, "architecture": architecture}
        entries.append(
            {
                "digest": digest,
                "platform": described | ({"variant": variant[0]} if variant else {}),
            }
        )
        digests[platform] = digest
    put(
        fake,
        "all",
        {"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries},
    )
    return digests


def test_of_an_index_the_image_of_the_platform_is_read(fake: FakeRegistry, shop: Shop) -> None:
    shop.deliver(f"docker://{fake.host}/shop:1")
    digests = index_of(fake, "linux/amd64", "linux/arm64/v8", "unknown/unknown")
    destination = shop.registry(f"docker://{fake.host}/shop:all")
    arm = replace(destination, platform=Platform(architecture="arm64")).inspect(PLAIN)
    assert str(arm.digest) == digests["linux/arm64/v8"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "uname", lambda: os.uname_result(("Linux", "h", "r", "v", "x86_64")))
        assert str(destination.inspect(PLAIN).digest) == digests["linux/amd64"]


def test_a_platform_is_not_guessed(fake: FakeRegistry, shop: Shop) -> None:
    shop.deliver(f"docker://{fake.host}/shop:1")
    digests = index_of(fake, "linux/s390x", "linux/arm/v6", "linux/arm/v7")
    destination = shop.registry(f"docker://{fake.host}/shop:all")
    hint = "name one by its digest: " + ", ".join(
        f"`docker://{fake.host}/shop@{digest}` ({platform})" for platform, digest in digests.items()
    )
    with pytest.raises(InputError) as caught:
        replace(destination, platform=Platform(architecture="amd64")).inspect(PLAIN)
    assert caught.value.message == (
        f"`docker://{fake.host}/shop:all` holds no images for `linux/amd64`"
    )
    assert caught.value.hint == hint
    with pytest.raises(InputError) as caught:
        replace(destination, platform=Platform(architecture="arm")).inspect(PLAIN)
    assert caught.value.message == (
        f"`docker://{fake.host}/shop:all` holds 2 images for `linux/arm`"
    )


def test_a_manifest_of_docker_is_understood(fake: FakeRegistry, shop: Shop) -> None:
    shop.deliver(f"docker://{fake.host}/shop:1")
    manifest = json.loads(fake.manifests["shop", "1"])
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    digest = put(fake, "docker", manifest | {"mediaType": kind})
    found = shop.registry(f"docker://{fake.host}/shop:docker").inspect(PLAIN)
    assert str(found.digest) == digest
    assert len(found.layers) == len(manifest["layers"])


def test_what_is_no_image_is_named(fake: FakeRegistry, shop: Shop) -> None:
    put(fake, "chart", {"mediaType": "application/vnd.oci.artifact.manifest.v1+json"})
    reference = f"docker://{fake.host}/shop:chart"
    with pytest.raises(DestinationError) as caught:
        shop.registry(reference).inspect(PLAIN)
    assert caught.value.message == (
        f"`{reference}` is no image that we know, but "
        "`application/vnd.oci.artifact.manifest.v1+json`"
    )


def test_digests_are_checked(fake: FakeRegistry, shop: Shop) -> None:
    reference = f"docker://{fake.host}/shop:1"
    image = shop.deliver(reference).image
    fake.on("GET", "/manifests/", change_headers(Docker_Content_Digest=ZEROS))
    with pytest.raises(IntegrityError) as caught:
        shop.registry(reference).inspect(PLAIN)
    assert caught.value.message == (
        f"{fake.host} was asked to read `shop` with the digest `{image.digest}`, and answers for "
        f"`{ZEROS}`"
    )
    other = b'{"config": {}}'
    fake.blobs["shop"][str(image.config.digest)] = other
    with pytest.raises(IntegrityError) as caught:
        shop.registry(reference).inspect(PLAIN)
    assert caught.value.message == (
        f"{fake.host} was asked for the config `{image.config.digest}` of `shop`, and gives one "
        f"with the digest `{BlobDigest.of(other)}`"
    )
    fake.manifests["shop", ZEROS] = fake.manifests["shop", "1"]
    with pytest.raises(IntegrityError) as caught:
        shop.registry(f"docker://{fake.host}/shop@{ZEROS}").inspect(PLAIN)
    assert caught.value.message == (
        f"{fake.host} was asked for the manifest `{ZEROS}` of `shop`, and gives one with the "
        f"digest `{image.digest}`"
    )


def test_sizes_are_limited(fake: FakeRegistry, shop: Shop) -> None:
    put(fake, "1", {"mediaType": "x" * (5 << 20)})
    reference = f"docker://{fake.host}/shop:1"
    fake.on("GET", "/manifests/", change_headers(Content_Type="application/json"))
    with pytest.raises(DestinationError) as caught:
        shop.registry(reference).inspect(PLAIN)
    assert caught.value.message == f"the manifest of `{reference}` is larger than 4 MB"


def test_an_error_is_told_in_a_few_words(fake: FakeRegistry, shop: Shop) -> None:
    fake.on("GET", "/manifests/", fail(400, "NAME_INVALID", "no\nsuch \x1b[31mname " + "x" * 9999))
    with pytest.raises(DestinationError) as caught:
        shop.registry(f"docker://{fake.host}/shop:1").inspect(PLAIN)
    start = f"{fake.host} refused to read `shop`: 400 name invalid: no such [31mname x"
    assert caught.value.message.startswith(start)
    assert len(caught.value.message) < 400


def test_blobs_are_taken_over_from_where_they_were_seen(fake: FakeRegistry, shop: Shop) -> None:
    fake.auth = "bearer"
    fake.allows_anonymous = True
    image = shop.deliver(f"docker://{fake.host}/team/old:1").image
    fake.seen.clear()
    places = Places(found=("other", "team/old", "shop"))
    access = replace(PLAIN, places=places)
    destination = shop.registry(f"docker://{fake.host}/shop:1")
    with destination.open(default_reference="x:1", access=access) as writer:
        for layer in image.layers:
            assert writer.find_blob(layer.descriptor) is BlobState.MOUNTED
            assert writer.find_blob(layer.descriptor) is BlobState.THERE
            writer.reuse_layer(layer)
        writer.commit(image, None)  # type: ignore[arg-type]
    assert fake.image("shop", "1") is not None
    # Of blobs, the config alone was sent; what was not taken over left no upload open.
    assert len(fake.sent("PUT", "/uploads/")) == 1
    assert fake.uploads == {}
    [scope, *_] = [seen.query for seen in fake.sent("GET", "^/token") if "old" in seen.query]
    assert scope == (
        "service=tests&scope=repository%3Ashop%3Apull%2Cpush&scope=repository%3Ateam%2Fold%3Apull"
    )
    digests = [layer.descriptor.digest for layer in image.layers]
    assert places.remembered == [(fake.host, "shop", digests)]


def test_that_a_blob_cannot_be_taken_over_is_no_error(fake: FakeRegistry, shop: Shop) -> None:
    image = shop.deliver(f"docker://{fake.host}/old:1").image
    fake.on("POST", "mount=", fail(403, "DENIED"))
    access = replace(PLAIN, places=Places(found=("old",)))
    destination = shop.registry(f"docker://{fake.host}/shop:1")
    with destination.open(default_reference="x:1", access=access) as writer:
        for layer in image.layers:
            assert writer.find_blob(layer.descriptor) is BlobState.ABSENT
    # Who was refused once is not asked again.
    assert len(fake.sent("POST", "mount=")) == 1


def test_a_blob_of_another_size_is_not_there(fake: FakeRegistry, shop: Shop) -> None:
    image = shop.deliver(f"docker://{fake.host}/shop:1").image
    blob = image.layers[0].descriptor
    destination = shop.registry(f"docker://{fake.host}/shop:1")
    with destination.open(default_reference="x:1", access=PLAIN) as writer:
        assert writer.find_blob(blob) is BlobState.THERE
        fake.blobs["shop"][str(blob.digest)] += b"more"
        assert writer.find_blob(blob) is BlobState.ABSENT


def test_a_blob_that_vanished_before_the_end_is_told(
    fake: FakeRegistry, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the delivery took long.
    monkeypatch.setattr(registry, "_BELIEVED_SECONDS", 0.0)
    image = shop.deliver(f"docker://{fake.host}/shop:1").image
    destination = shop.registry(f"docker://{fake.host}/shop:2")
    blob = image.layers[1].descriptor
    with destination.open(default_reference="x:1", access=PLAIN) as writer:
        for layer in image.layers:
            assert writer.find_blob(layer.descriptor) is BlobState.THERE
            writer.reuse_layer(layer)
        del fake.blobs["shop"][str(blob.digest)]
        with pytest.raises(DestinationError) as caught:
            writer.commit(image, None)  # type: ignore[arg-type]
    assert caught.value.message == (
        f"the layer `{blob.digest}` was removed from `{fake.host}/shop` meanwhile"
    )
    assert caught.value.hint == "run it again"
    assert ("shop", "2") not in fake.manifests


def test_a_delivery_that_is_given_up_leaves_no_upload_open(
    fake: FakeRegistry, shop: Shop, small_pieces: None
) -> None:
    del small_pieces
    destination = shop.registry(f"docker://{fake.host}/shop:1")
    with destination.open(default_reference="x:1", access=PLAIN) as writer:
        writer.begin_layer(None).write(b"x" * 200_000)
    assert fake.uploads == {}
    assert len(fake.sent("DELETE")) == 1
