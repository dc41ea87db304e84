#!/usr/bin/env python3
"""Fetch and lock the Debian packages that nix/debpkgs is made of; see README.md beside it."""

import runpy
import sys

if __name__ == "__main__":
    # This folder is a flake: nothing that appears in it by the way may change what it is.
    sys.dont_write_bytecode = True
    runpy.run_module("fetcher", run_name="__main__")
