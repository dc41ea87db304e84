"""What the tests of several reports look at."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest


@pytest.fixture
def app_and_lib(require_tool: Callable[[str], str]) -> str:
    """A store path, `app-2.0`, that refers to another, `lib-1.0`; for tests marked `nix`."""
    expression = 'builtins.toFile "app-2.0" "needs ${builtins.toFile "lib-1.0" "lib"}"'
    nix = require_tool("nix-instantiate")
    words = [nix, "--eval", "--read-write-mode", "--json", "--expr", expression]
    result = subprocess.run(words, check=True, capture_output=True, text=True)
    path: str = json.loads(result.stdout)
    return path
