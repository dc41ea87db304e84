"""What a container engine would see of an OCI layout, read with none of our own code."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Layout:
    """One image of an OCI layout, read without any of nixbridge's own code."""

    directory: Path
    tag: str

    def blob(self, digest: str) -> Path:
        algorithm, _, digits = digest.partition(":")
        return self.directory / "blobs" / algorithm / digits

    @property
    def manifest(self) -> dict[str, Any]:
        index = json.loads((self.directory / "index.json").read_text())
        for entry in index["manifests"]:
            if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == self.tag:
                manifest: dict[str, Any] = json.loads(self.blob(entry["digest"]).read_text())
                return manifest
        raise AssertionError(f"{self.directory} has no image {self.tag}")

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads(
            self.blob(self.manifest["config"]["digest"]).read_text()
        )
        return config

    @property
    def environment(self) -> dict[str, str]:
        entries = self.config.get("config", {}).get("Env", [])
        return dict(entry.split("=", 1) for entry in entries)


@dataclass(frozen=True)
class Member:
    """One file, directory or link as the topmost layer that has it says."""

    info: tarfile.TarInfo
    layer: int
    data: bytes | None

    @property
    def mode(self) -> int:
        return self.info.mode

    @property
    def target(self) -> str:
        assert self.info.issym(), self.info.name
        return self.info.linkname

    @property
    def text(self) -> str:
        assert self.data is not None, self.info.name
        return self.data.decode()


_KEPT_BYTES = 1 << 20


@dataclass(frozen=True)
class ImageFiles:
    layout: Layout

    @cached_property
    def layers(self) -> tuple[Mapping[str, Member], ...]:
        """The members of each layer from bottom to top; small files with their data."""
        found = []
        for number, descriptor in enumerate(self.layout.manifest["layers"]):
            members: dict[str, Member] = {}
            with tarfile.open(self.layout.blob(descriptor["digest"])) as tar:
                for info in tar:
                    data = None
                    if info.isfile() and info.size <= _KEPT_BYTES:
                        file = tar.extractfile(info)
                        assert file is not None
                        data = file.read()
                    # tarfile takes the leading slash away for nobody: names are as written.
                    assert info.name not in members, f"{info.name} is twice in layer {number}"
                    members[info.name] = Member(info, number, data)
            found.append(members)
        return tuple(found)

    @cached_property
    def files(self) -> Mapping[str, Member]:
        """All layers over each other."""
        merged: dict[str, Member] = {}
        for layer in self.layers:
            merged.update(layer)
        return merged

    def __getitem__(self, path: str) -> Member:
        return self.files[path]

    def __contains__(self, path: str) -> bool:
        return path in self.files

    def below(self, directory: str) -> set[str]:
        """The names directly in `directory`."""
        prefix = directory.rstrip("/") + "/"
        return {
            name.removeprefix(prefix)
            for name in self.files
            if name.startswith(prefix) and "/" not in name.removeprefix(prefix) and name != prefix
        }

    def resolve(self, path: str) -> str:
        """Follow links as in the container, and return the path of what is no link."""
        seen = 0
        parts = [part for part in path.split("/") if part]
        at = ""
        while parts:
            part = parts.pop(0)
            here = f"{at}/{part}"
            member = self.files.get(here)
            if member is None:
                raise FileNotFoundError(f"{path}: there is no {here}")
            if member.info.issym():
                seen += 1
                assert seen < 40, f"{path}: too many links"
                target = member.info.linkname
                if target.startswith("/"):
                    at = ""
                parts = [word for word in target.split("/") if word and word != "."] + parts
                while parts and parts[0] == "..":
                    parts.pop(0)
                    at = at.rpartition("/")[0]
                continue
            at = here
        return at or "/"
