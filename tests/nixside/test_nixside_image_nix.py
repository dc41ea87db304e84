"""The rendered application image, built by real Nix from the embedded packages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nixbridge.render import render
from nixbridge.spec import read_spec
from nixside.nix_functions import NixProgram

pytestmark = pytest.mark.nix

DEBPKGS = '[nix]\npackages = "debpkgs"\n'


def build(folder: Path, spec: str) -> Mapping[str, Any]:
    file = folder / "nixbridge.toml"
    file.write_text(DEBPKGS + spec)
    (folder / "image.nix").write_text(render(read_spec(file)))
    built: Mapping[str, Any] = json.loads(NixProgram().build(folder / "image.nix").read_text())
    return built


def root_of(description: Mapping[str, Any]) -> Path:
    [root] = description["layers"][-1]["copyToRoot"]
    return Path(root)


def test_an_application(tmp_path: Path) -> None:
    description = build(
        tmp_path,
        """
        [image]
        name = "shop"
        packages = ["jq", "bashInteractive"]
        revision = "0a1b"
        annotations = { "org.example.a" = "b" }
        [image.config]
        entrypoint = ["jq", "--version"]
        user = "app"
        env = { PATH = "/bin:/sbin", GREETING = "it's ${HOME} \\"and\\" ''more''" }
        ports = [8080]
        [layering]
        max_layers = 9
        strategy = "single"
        layers = [["glibc"]]
        """,
    )
    assert description["config"] == {
        "Entrypoint": ["jq", "--version"],
        "Env": [
            "PATH=/bin:/sbin",
            "SSL_CERT_FILE=/etc/ssl/certs/ca-bundle.crt",
            "GREETING=it's ${HOME} \"and\" ''more''",
        ],
        "ExposedPorts": {"8080/tcp": {}},
        "Labels": {
            "org.opencontainers.image.title": "shop",
            "org.opencontainers.image.revision": "0a1b",
        },
        "User": "1000",
    }
    assert description["annotations"] == {"org.example.a": "b"}
    assert description["nixDatabase"] is None
    below, own = description["layers"]
    assert [path[44:].partition("-")[0] for path in below["roots"]] == ["glibc"]
    assert own["maxLayers"] == 9
    assert own["strategy"] == "single"
    assert [(p["regex"], p["mode"], p["uid"], p["gid"], p["uname"]) for p in own["perms"]] == [
        ("(/var)?/tmp$", "1777", 0, 0, ""),
        ("/home/app$", "0755", 1000, 1000, "app"),
    ]

    root = root_of(description)
    matching = {
        perm["regex"]: sorted(
            str(path.relative_to(root))
            for path in root.rglob("*")
            if re.search(perm["regex"], str(path))
        )
        for perm in own["perms"]
    }
    assert matching == {"(/var)?/tmp$": ["tmp", "var/tmp"], "/home/app$": ["home/app"]}
    assert (root / "etc/passwd").read_text() == (
        "root:x:0:0:System administrator:/root:/bin/sh\n"
        "nobody:x:65534:65534:Unprivileged account:/var/empty:/bin/false\n"
        "app:x:1000:1000::/home/app:/bin/sh\n"
    )
    assert (root / "etc/group").read_text() == "root:x:0:\nnobody:x:65534:\napp:x:1000:\n"
    assert not (root / "etc/passwd").is_symlink()
    for program in ("jq", "bash", "sh"):
        assert (root / "bin" / program).exists(), program
    assert (root / "etc/ssl/certs/ca-bundle.crt").read_text().count("BEGIN CERTIFICATE") > 50
    assert str((root / "etc/ssl/certs/ca-certificates.crt").readlink()) == "ca-bundle.crt"


def test_the_smallest_image_has_what_programs_expect(tmp_path: Path) -> None:
    description = build(tmp_path, '[image]\nname = "empty"\nca_certificates = false\n')
    root = root_of(description)
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == [
        "etc",
        "etc/group",
        "etc/passwd",
        "root",
        "tmp",
        "var",
        "var/empty",
        "var/tmp",
    ]
    # Nothing but the files themselves.
    assert [info["path"] for info in description["closure"]] == [str(root)]
    assert description["config"]["Env"] == ["PATH=/bin"]


@pytest.mark.parametrize(
    ("user", "line", "group", "uid"),
    [
        ('"nobody"', None, None, "65534"),
        ('"root"', None, None, "0"),
        ('"1234:5"', "user:x:1234:5::/home/user:/bin/sh", "user:x:5:", "1234"),
        ('"7:0"', "user:x:7:0::/home/user:/bin/sh", None, "7"),
    ],
)
def test_users(tmp_path: Path, user: str, line: str | None, group: str | None, uid: str) -> None:
    description = build(tmp_path, f'[image]\nname = "a"\nconfig.user = {user}\n')
    root = root_of(description)
    assert description["config"]["User"] == uid
    assert (root / "etc/passwd").read_text().splitlines()[2:] == ([line] if line else [])
    assert (root / "etc/group").read_text().splitlines()[2:] == ([group] if group else [])
    assert (root / "home").is_dir() == (line is not None)
