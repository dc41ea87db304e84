"""Freeze what nix2container itself makes of the layers in `n2c_layers.json`.

    sudo python tests/packing/freeze_n2c_layers.py path/to/nix2container

The program must be static, as it runs in a chroot where the cases' store paths lie in /nix/store.
A case says what is in its store paths (`files`, in the order in which they are made) and how they
are packed (`paths`); `digest` and `size_bytes` are written here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CASES = Path(__file__).with_name("n2c_layers.json")


def make_files(root: Path, files: list[dict[str, Any]]) -> None:
    """Make the files of a case below `root`; directories get their modes last."""
    os.umask(0o022)  # whose directories a case does not name have mode 0755
    for file in files:
        place = os.fsencode(root) + file["name"].encode("utf-8", "surrogateescape")
        os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120 - bytes
        if "target" in file:
            target = file["target"].encode("utf-8", "surrogateescape")
            os.symlink(target, place)  # noqa: PTH211
        elif "same_as" in file:
            os.link(os.fsencode(root) + file["same_as"].encode(), place)
        elif "size_bytes" in file:
            with open(place, "wb") as opened:  # noqa: PTH123
                opened.write(bytes(number % 251 for number in range(file["size_bytes"])))
        else:
            os.makedirs(place, exist_ok=True)  # noqa: PTH103
    for file in reversed(files):
        if "target" not in file and "same_as" not in file:
            place = os.fsencode(root) + file["name"].encode("utf-8", "surrogateescape")
            os.chmod(place, int(file["mode"], 8))  # noqa: PTH101


def freeze(case: dict[str, Any], program: Path) -> None:
    """Have nix2container pack a case."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_files(root, case["files"])
        shutil.copy(program, root / "nix2container")
        paths = case["paths"]
        documents = {
            "graph": [
                {"path": path["path"], "references": [], "narHash": "", "narSize": 1}
                for path in paths
            ],
            "rewrites": [
                {"path": path["path"], "regex": f"^{path['path']}", "repl": ""}
                for path in paths
                if path["copy_to_root"]
            ],
            "perms": [{"path": path["path"], **perm} for path in paths for perm in path["perms"]],
        }
        for name, document in documents.items():
            (root / f"{name}.json").write_text(json.dumps(document))
        subprocess.run(
            [
                *("chroot", folder, "/nix2container", "layers-from-reproducible-storepaths"),
                *("/out.json", "/graph.json", "--rewrites", "/rewrites.json"),
                *("--perms", "/perms.json", "--max-layers", "1"),
            ],
            check=True,
            capture_output=True,
        )
        (layer,) = json.loads((root / "out.json").read_text())
        case["digest"], case["size_bytes"] = layer["digest"], layer["size"]


def main() -> None:
    """Freeze all cases."""
    cases = json.loads(CASES.read_text())
    for case in cases:
        freeze(case, Path(sys.argv[1]))
    CASES.write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
