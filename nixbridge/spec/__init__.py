"""The spec: `nixbridge.toml` read into an `ImageSpec`."""

from __future__ import annotations

from nixbridge.spec.image_spec import (
    ConfigSection,
    ContainerUser,
    Debpkgs,
    DockerSection,
    Healthcheck,
    ImageSection,
    ImageSpec,
    LayeringSection,
    LookupPath,
    NixSection,
)
from nixbridge.spec.read import read_spec, spec_keys

__all__ = [
    "ConfigSection",
    "ContainerUser",
    "Debpkgs",
    "DockerSection",
    "Healthcheck",
    "ImageSection",
    "ImageSpec",
    "LayeringSection",
    "LookupPath",
    "NixSection",
    "read_spec",
    "spec_keys",
]
