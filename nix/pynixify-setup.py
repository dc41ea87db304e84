"""A setup.py in the place of pyproject.toml, for pynixify, which knows nothing newer."""

from __future__ import annotations

import tomllib
from pathlib import Path

from setuptools import setup

document = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
project = document["project"]
setup(
    name=project["name"],
    version=project["version"],
    description=project["description"],
    setup_requires=document["build-system"]["requires"],
    install_requires=project["dependencies"],
)
