"""Nix and images as a test wants them; `nixbridge/pytest_nix.py` makes fixtures of it."""

from __future__ import annotations

from nixbridge.testing.built_image import BuiltImage, BuiltLayer, ImageConfig
from nixbridge.testing.nix_tester import NixTester
from nixbridge.testing.private_store import missing_namespaces, private_environment

__all__ = [
    "BuiltImage",
    "BuiltLayer",
    "ImageConfig",
    "NixTester",
    "missing_namespaces",
    "private_environment",
]
