"""A small image, described and planned: what the tests of `why`, `diff` and the page look at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nixbridge.closure import ClosureGraph, NarHash, PathInfo, StorePath
from nixbridge.description import ImageDescription, LayerDescription
from nixbridge.image import BaseImage
from nixbridge.image.base_image import BaseLayer
from nixbridge.oci import DiffId, Platform

# Name → NAR size and the names that it refers to.
Packages = Mapping[str, tuple[int, Sequence[str]]]

SHOP: Packages = {
    "glibc-2.40": (30_000_000, ["glibc-2.40"]),
    "zlib-1.3": (200_000, ["glibc-2.40"]),
    "openssl-3.0.14": (6_500_000, ["glibc-2.40"]),
    "openssl-3.0.14-man": (900_000, []),
    "sqlite-3.46": (1_700_000, ["glibc-2.40", "zlib-1.3"]),
    "python3-3.12.5": (90_000_000, ["glibc-2.40", "openssl-3.0.14", "sqlite-3.46", "zlib-1.3"]),
    "shop-1.4": (400_000, ["python3-3.12.5"]),
    "curl-8.9.1": (700_000, ["glibc-2.40", "openssl-3.0.14", "openssl-3.0.14-man"]),
    "programs": (10_000, ["curl-8.9.1", "shop-1.4"]),
}


def store_path(name: str, salt: str = "") -> StorePath:
    """Return a store path whose hash is made of its name; of another build, with another `salt`."""
    digits = hashlib.sha256(f"{name}{salt}".encode()).hexdigest()[:32].replace("e", "z")
    return StorePath(f"/nix/store/{digits}-{name}")


@dataclass(frozen=True)
class SampleClosure:
    """Packages as a closure; those in `rebuilt` have other hashes than without."""

    packages: Packages
    rebuilt: frozenset[str] = frozenset()

    def path(self, name: str) -> StorePath:
        return store_path(name, "rebuilt" if name in self.rebuilt else "")

    @property
    def graph(self) -> ClosureGraph:
        return ClosureGraph.of(
            PathInfo(
                path=self.path(name),
                nar_hash=NarHash(hashlib.sha256(str(self.path(name)).encode()).hexdigest()),
                nar_size_bytes=size_bytes,
                references=tuple(sorted(map(self.path, references))),
            )
            for name, (size_bytes, references) in self.packages.items()
        )

    def describe(
        self,
        layers: Sequence[LayerDescription],
        *,
        config: Mapping[str, Any] | None = None,
        name: str = "shop",
        tag: str = "1.4",
    ) -> ImageDescription:
        return ImageDescription(
            name=name,
            tag=tag,
            platform=Platform(architecture="amd64"),
            created="1970-01-01T00:00:01Z",
            config=config or {},
            annotations={},
            layers=tuple(layers),
            nix_database=None,
            closure=self.graph,
        )

    def shop(self, **options: Any) -> ImageDescription:
        """Describe an image with one explicit layer, one root from the config, one copied to /."""
        shop = next(name for name in self.packages if name.startswith("shop-"))
        glibc = next(name for name in self.packages if name.startswith("glibc-"))
        config = {
            "Entrypoint": (f"{self.path(shop)}/bin/shop",),
            "Env": ("TZ=UTC", f"SHOP={self.path(shop)}"),
        }
        return self.describe(
            [
                layer(self.path(glibc)),
                layer(self.path(shop), copy_to_root=[self.path("programs")], max_layers=4),
            ],
            **{"config": config, **options},
        )


def base_image(*sizes_bytes: int) -> BaseImage:
    """Return an image to build upon, of layers of these sizes; no file is behind it."""
    return BaseImage(
        place="base.tar",
        platform=Platform(architecture="amd64"),
        variant=None,
        config={},
        history=(),
        layers=tuple(
            BaseLayer(
                place="base.tar",
                file="layer",
                files={},  # type: ignore[arg-type]
                media_type="application/vnd.oci.image.layer.v1.tar",
                digest=None,
                diff_id=DiffId(f"sha256:{number:064x}"),
                size_bytes=size_bytes,
            )
            for number, size_bytes in enumerate(sizes_bytes)
        ),
    )


def layer(
    *roots: StorePath, copy_to_root: Sequence[StorePath] = (), **options: Any
) -> LayerDescription:
    return LayerDescription(
        roots=roots,
        copy_to_root=tuple(copy_to_root),
        strategy="popularity",
        history={"created_by": "a test"},
        **options,
    )
