"""`docker://[REGISTRY/]NAME[:TAG]`: an image in a registry.

Layers go up first, side by side, then the config, then the manifest: each only names what is there,
so that a tag names the old image or the new one, and never half of one. What a delivery leaves
behind when it ends early are blobs that nobody names, and the next one finds them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final, Self

from nixbridge.destinations.destination import Access, BlobState, LayerSource, giving_up
from nixbridge.destinations.patience import Patience
from nixbridge.destinations.published_image import read_published
from nixbridge.destinations.registries_conf import Place, place_to_write, places_to_read
from nixbridge.destinations.registry_blobs import RegistryBlobs
from nixbridge.destinations.registry_client import RegistryClient, Request
from nixbridge.destinations.registry_errors import RequestFailedError
from nixbridge.destinations.registry_upload import Losses, RegistryLayerSink
from nixbridge.destinations.repository import PublishedName
from nixbridge.destinations.staging import Delivery
from nixbridge.destinations.stored_image import StoredImage
from nixbridge.errors import DestinationError, InputError, IntegrityError
from nixbridge.image import Image
from nixbridge.oci import MEDIA_TYPE_MANIFEST, BlobDigest, Descriptor, Platform
from nixbridge.packing import PackedLayer

_LOG: Final = logging.getLogger(__name__)

# From so many other repositories a blob is asked for.
_MOST_SOURCES: Final = 3
# So long a blob that was there is believed to be there still; a registry looks as well, when it is
# given the manifest.
_BELIEVED_SECONDS: Final = 60.0
# So long uploads may take together to stop when they are given up.
_STOP_SECONDS: Final = 0.5
# So many blobs are looked for at the same time.
_LOOKS_AT_ONCE: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Registry:
    """An image in a registry; where it is for several platforms, `platform` says which is read.

    None is this machine's. `patience` is how long the registry is waited for.
    """

    name: PublishedName
    platform: Platform | None = None
    patience: Patience = field(default_factory=Patience, compare=False)

    @property
    def takes_compressed_layers(self) -> bool:
        """Whether layers may be compressed while they are written."""
        return True

    @property
    def default_compression(self) -> str:
        """Gzip: the network is slower, and everybody can read it."""
        return "gzip"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `//[REGISTRY/]NAME[:TAG][@DIGEST]`.

        Raises `InputError`.
        """
        if not text.startswith("//"):
            raise InputError(
                f"`docker:{text}` names no image in a registry", hint=f"write `docker://{text}`"
            )
        return cls(name=PublishedName.parse(text.removeprefix("//")))

    def open(self, *, default_reference: str, access: Access) -> RegistryWriter:  # noqa: ARG002
        """Begin a delivery; the image has the name that stands here, and no other.

        Raises `InputError`: it stands here by a digest, which it has not got yet, or a certificate
        cannot be used. Raises `DestinationError`: so it is with `registries.conf`, or it blocks it.
        """
        if self.name.tag is None:
            raise InputError(
                f"`docker://{self.name}` cannot be written: an image gets its digest by being made",
                hint=f"name a tag: `docker://{self.name.repository}:latest`",
            )
        place = place_to_write(self.name, access)
        return RegistryWriter(self.name, self._client(place, access, writes=True), access)

    def inspect(self, access: Access) -> StoredImage:
        """Return the image that lies there, or at a mirror that `registries.conf` names.

        Raises `AbsentImageError`: there is none. Raises `DestinationError`, `IntegrityError`,
        `InputError`.
        """
        failures: list[str] = []
        for place in places_to_read(self.name, access):
            try:
                return self._read(place, access)
            except (DestinationError, IntegrityError) as error:
                if not place.is_mirror:
                    for failure in failures:
                        error.add_detail(failure)
                    raise
                failures.append(f"before that, of its mirror: {error.message}")
                _LOG.debug("a mirror is passed over: %s", error.message)
        raise AssertionError

    def previous_image(self, access: Access) -> StoredImage:
        """Return the image that the tag names by now, where a delivery would move it.

        Raises what `inspect` raises.
        """
        return self._read(place_to_write(self.name, access), access)

    def _read(self, place: Place, access: Access) -> StoredImage:
        client = self._client(place, access, writes=False)
        try:
            image = read_published(client, place.name, self.platform)
        finally:
            client.close()
        if access.places is not None:
            digests = [layer.digest for layer in image.layers if layer.digest is not None]
            repository = place.name.repository
            access.places.remember_places(repository.registry, repository.name, digests)
        return replace(image, reference=f"docker://{self.name}")

    def _client(self, place: Place, access: Access, *, writes: bool) -> RegistryClient:
        if access.verifies_tls is None:
            access = replace(access, verifies_tls=not place.is_insecure)
        if place.name.repository.registry != self.name.repository.registry:
            # They are another registry's.
            access = replace(access, credentials=None)
        patience = self.patience
        if place.is_mirror:
            patience = replace(patience, attempts=1, first_contact_attempts=1)
        return RegistryClient(place.name.repository, access, patience, writes=writes)


class RegistryWriter(Delivery):
    """One delivery."""

    def __init__(self, name: PublishedName, client: RegistryClient, access: Access) -> None:
        self._name = name
        self._client = client
        self._places = access.places
        self._blobs = RegistryBlobs(client)
        self._losses = Losses()
        self._lock = threading.Lock()
        self._sinks: set[RegistryLayerSink] = set()
        # What was sent, and what was there, by the registry's own word.
        self._sent: set[BlobDigest] = set()
        self._reused: dict[BlobDigest, Descriptor] = {}
        self._seen_at: dict[BlobDigest, float] = {}
        self._closed_sources: set[str] = set()

    @property
    def takes_layers_side_by_side(self) -> bool:
        """Yes: each is an upload of its own."""
        return True

    @property
    def publishes_by_renaming(self) -> bool:
        """No: a registry may refuse to."""
        return False

    def find_blob(self, blob: Descriptor) -> BlobState:
        """Return whether the blob is there, or could be taken over from another repository.

        Raises `DestinationError`, `IntegrityError`.
        """
        if blob.digest in self._sent:
            return BlobState.THERE
        try:
            if self._blobs.has(blob):
                self._seen_at[blob.digest] = time.monotonic()
                return BlobState.THERE
        except RequestFailedError as failure:
            raise failure.error from failure
        return BlobState.MOUNTED if self._mount(blob) else BlobState.ABSENT

    def _mount(self, blob: Descriptor) -> bool:
        """Try to take a blob over from where it was seen; that this is refused is no error."""
        if self._places is None:
            return False
        repository = self._name.repository
        seen = self._places.repositories(repository.registry, blob.digest)
        sources = [
            name for name in seen if name != repository.name and name not in self._closed_sources
        ]
        for source in sources[:_MOST_SOURCES]:
            try:
                if self._blobs.mount(blob, source):
                    return True
            except (RequestFailedError, DestinationError):
                # Not ours to read, for one: then that is so for all of its blobs.
                self._closed_sources.add(source)
        return False

    def reuse_layer(self, layer: PackedLayer) -> None:
        """Take a layer whose blob is there."""
        if layer.descriptor.digest not in self._sent:
            self._reused[layer.descriptor.digest] = layer.descriptor

    def begin_layer(self, size_bytes: int | None) -> RegistryLayerSink:  # noqa: ARG002
        """Begin the next layer; a registry wants no size before."""

        def finished(layer: PackedLayer) -> None:
            with self._lock:
                self._sent.add(layer.descriptor.digest)
                self._sinks.discard(sink)

        sink = RegistryLayerSink(self._blobs, self._losses, finished=finished)
        with self._lock:
            self._sinks.add(sink)
        return sink

    def commit(self, image: Image, layers: LayerSource) -> str:  # noqa: ARG002 - nothing is pulled
        """Write config and manifest, return the digest reference.

        Raises `DestinationError`, `IntegrityError`.
        """
        for layer in image.layers:
            if layer.descriptor.digest not in self._sent | self._reused.keys():
                raise IntegrityError(
                    f"the image names layer `{layer.descriptor.digest}`, which was not written"
                )
        try:
            self._check_reused()
            self._blobs.send(image.config, image.config_bytes)
            self._put_manifest(image)
        except RequestFailedError as failure:
            raise failure.error from failure
        repository = self._name.repository
        if self._places is not None:
            digests = [layer.descriptor.digest for layer in image.layers]
            self._places.remember_places(repository.registry, repository.name, digests)
        return f"{self._name}@{image.digest}"

    def _check_reused(self) -> None:
        """See that what was there is there still, unless it was there a moment ago.

        Raises `DestinationError`.
        """
        recently = time.monotonic() - _BELIEVED_SECONDS
        blobs: Iterable[Descriptor] = [
            blob
            for digest, blob in self._reused.items()
            if digest not in self._sent and self._seen_at.get(digest, recently) <= recently
        ]
        with (
            ThreadPoolExecutor(_LOOKS_AT_ONCE, thread_name_prefix="look") as threads,
            giving_up(self),
        ):
            for blob, is_there in zip(blobs, threads.map(self._blobs.has, blobs), strict=True):
                if not is_there:
                    raise DestinationError(
                        f"the layer `{blob.digest}` was removed from `{self._name.repository}` "
                        "meanwhile",
                        hint="run it again",
                    )

    def _put_manifest(self, image: Image) -> None:
        doing = f"write `{self._name.repository.name}`"
        answer = self._client.ask(
            Request(
                method="PUT",
                target=self._client.path(f"manifests/{self._name.tag}"),
                doing=doing,
                expected=frozenset({200, 201, 202, 204}),
                headers={"Content-Type": MEDIA_TYPE_MANIFEST},
                body=image.manifest_bytes,
            )
        )
        self._client.check_digest(answer, image.digest, doing=doing)
        if not self._client.tells_digest(answer):
            self._check_manifest(image)

    def _check_manifest(self, image: Image) -> None:
        """See that the manifest is there: a proxy can say yes to anything.

        Raises `DestinationError`, `IntegrityError`, `RequestFailedError`.
        """
        repository = self._name.repository
        doing = f"look for the manifest in `{repository.name}`"
        answer = self._client.ask(
            Request(
                method="HEAD",
                target=self._client.path(f"manifests/{image.digest}"),
                doing=doing,
                expected=frozenset({HTTPStatus.OK, HTTPStatus.NOT_FOUND}),
                headers={"Accept": MEDIA_TYPE_MANIFEST},
            )
        )
        if answer.status == HTTPStatus.NOT_FOUND:
            raise DestinationError(
                f"{repository.registry} was asked to write `{repository.name}`, and says that it "
                "did, but has not got the image"
            )
        self._client.check_digest(answer, image.digest, doing=doing)

    def give_up(self) -> None:
        """Let go who waits for the registry."""
        self._client.give_up()

    def close(self) -> None:
        """Give up what is still on its way."""
        with self._lock:
            sinks = list(self._sinks)
        if sinks:
            # An upload that is still being written to may outlive being forgotten.
            end = time.monotonic() + _STOP_SECONDS
            for sink in sinks:
                sink.stop(max(end - time.monotonic(), 0.0))
            # The registry may be the reason: whoever says farewell to it waits for a moment only.
            self.give_up()
        for sink in sinks:
            sink.abandon()
        self._client.close()
