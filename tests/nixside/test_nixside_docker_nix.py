"""The rendered `docker.nix`, built by real Nix from the embedded packages: what it describes.

What the finished image holds, box by box, is `tests/test_lix_image.py`; here are the description
and the store paths that it names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nixbridge.description.reader import read_description
from nixbridge.render import render
from nixbridge.spec import read_spec
from nixside.nix_functions import NIX, NixProgram, build_expression

pytestmark = pytest.mark.nix

PROFILE = "/nix/var/nix/profiles/default"
PACKAGES = [
    "coreutils",
    "curl",
    "libxml2-utils",
    "sqlite3",
    "gitMinimal",
    "bash",
    "tar",
    "gzip",
    "grep",
    "gnu-which",
    "less",
    "wget",
    "man-db",
    "ca-certificates",
    "findutils",
    "netbase",
    "openssh",
    "nix",
]

Description = Mapping[str, Any]
Build = Callable[..., Description]


@pytest.fixture(scope="module")
def docker_nix(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("docker") / "docker.nix"
    file.write_text(render(read_spec(repository / "nixbridge.toml")))
    return file


@pytest.fixture(scope="module")
def build(docker_nix: Path) -> Build:
    """Build docker.nix with arguments, once for each, and return the description."""

    @cache
    def run(*arguments: str) -> Description:
        return read_json(NixProgram().build(docker_nix, *arguments))

    return run


@pytest.fixture(scope="module")
def description(build: Build) -> Description:
    return build()


@pytest.fixture(scope="module")
def trixie_nix() -> NixProgram:
    """Nix 2.26, as the embedded packages have it."""
    nix = NixProgram().output("nix-build", "--no-out-link", NIX / "debpkgs", "-A", "nix")
    return NixProgram(Path(nix) / "bin")


def read_json(path: Path) -> Description:
    description: Description = json.loads(path.read_text())
    return description


def base_system(description: Description) -> Path:
    [root] = description["layers"][-1]["copyToRoot"]
    return Path(root)


def names(paths: list[str]) -> list[str]:
    """Return the names of store paths without hash and version."""
    return [re.sub(r"-[0-9].*", "", path[44:]) for path in paths]


def test_what_is_described(description: Description) -> None:
    assert description["name"] == "nixbridge-nix"
    assert description["tag"] == "latest"
    assert description["architecture"] == "amd64"
    assert description["os"] == "linux"
    assert description["created"] == "0001-01-01T00:00:00Z"
    assert description["nixDatabase"] == {"uid": 0, "gid": 0}
    assert set(description["config"]) == {"Cmd", "Env", "Labels"}
    assert [entry.partition("=")[0] for entry in description["config"]["Env"]] == [
        "USER",
        "PATH",
        "MANPATH",
        "SSL_CERT_FILE",
        "GIT_SSL_CAINFO",
        "NIX_SSL_CERT_FILE",
        "NIX_PATH",
    ]
    version = description["config"]["Labels"]["org.opencontainers.image.version"]
    assert version.startswith("2.26.")


def test_the_layers_from_bottom_to_top(description: Description) -> None:
    layers = description["layers"]
    assert [names(layer["roots"]) for layer in layers] == [
        ["coreutils"],
        ["curl", "libxml2-utils", "sqlite3"],
        ["gitMinimal"],
        ["channel-nixpkgs"],
        [],
    ]
    assert [layer["maxLayers"] for layer in layers] == [1, 1, 1, 1, 100]
    assert [names(layer["copyToRoot"]) for layer in layers] == [[], [], [], [], ["base-system"]]
    [perm] = layers[-1]["perms"]
    assert perm == {
        "path": str(base_system(description)),
        "regex": "(/var)?/tmp",
        "mode": "1777",
        "uid": 0,
        "gid": 0,
        "uname": "",
        "gname": "",
    }


def test_the_closure_is_what_nix_says_it_is(docker_nix: Path) -> None:
    nix = NixProgram()
    file = nix.build(docker_nix)
    description = read_json(file)
    roots = [
        path for layer in description["layers"] for path in layer["roots"] + layer["copyToRoot"]
    ]
    paths = [info["path"] for info in description["closure"]]
    assert paths == sorted(nix.output("nix-store", "-qR", *roots).splitlines())
    # All are kept while the description is.
    assert paths == sorted(nix.output("nix-store", "-q", "--references", file).splitlines())
    # These print a line for each path, in the order of the arguments.
    assert [info["narHash"] for info in description["closure"]] == nix.output(
        "nix-store", "-q", "--hash", *paths
    ).splitlines()
    assert [info["narSize"] for info in description["closure"]] == [
        int(size) for size in nix.output("nix-store", "-q", "--size", *paths).splitlines()
    ]
    for info in description["closure"]:
        references = nix.output("nix-store", "-q", "--references", info["path"]).splitlines()
        assert info["references"] == sorted(references)


def test_our_reader_reads_it(docker_nix: Path) -> None:
    image = read_description(NixProgram().build(docker_nix))
    assert image.name == "nixbridge-nix"
    assert len(image.layers) == 5


def test_two_versions_of_nix_make_the_same(docker_nix: Path, trixie_nix: NixProgram) -> None:
    assert trixie_nix.output("nix", "--version").startswith("nix (Nix) 2.26")
    assert trixie_nix.build(docker_nix) == NixProgram().build(docker_nix)
    # The file exists already, so the other Nix has only evaluated it: let it build one of its own.
    own = trixie_nix.build(docker_nix, "--argstr", "tag", "made-by-2.26")
    theirs = dict(read_json(own))
    ours = dict(read_json(NixProgram().build(docker_nix)))
    assert theirs.pop("tag") == "made-by-2.26"
    assert ours.pop("tag") == "latest"
    assert theirs == ours


def test_it_evaluates_purely(docker_nix: Path, tmp_path: Path, trixie_nix: NixProgram) -> None:
    """As in a flake: nothing is looked up, everything is given."""
    flake = tmp_path / "flake"
    flake.mkdir()
    (flake / "docker.nix").write_text(docker_nix.read_text())
    (flake / "flake.nix").write_text(
        f"""
        {{
          inputs.nixbridge = {{ url = "path:{NIX}"; flake = false; }};
          outputs = {{ self, nixbridge }}:
            let pkgs = import (nixbridge + "/debpkgs") {{ system = "x86_64-linux"; }}; in {{
              packages.x86_64-linux.default = import ./docker.nix {{
                inherit pkgs;
                inherit (import nixbridge {{ inherit pkgs; }}) nix2container;
                bundleNixpkgs = false;
              }};
            }};
        }}
        """
    )
    paths = []
    for nix in (NixProgram(), trixie_nix):
        built = nix.output(
            "nix", "build", "--json", "--no-link", "--no-write-lock-file", f"path:{flake}"
        )
        paths.append(json.loads(built)[0]["outputs"]["out"])
    assert paths[0] == paths[1]
    assert len(read_json(Path(paths[0]))["layers"]) == 5


# The arguments of Lix's docker.nix


def test_every_argument_of_lixs_file_is_taken(docker_nix: Path, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    registry.mkdir()
    (registry / "flake-registry.json").write_text('{"flakes":[],"version":2}')
    caller = tmp_path / "caller.nix"
    caller.write_text(
        f"""
        let
          pkgs = import {NIX}/debpkgs {{ suite = "trixie"; }};
          inherit (import {NIX} {{ inherit pkgs; }}) nix2container;
        in
        import {docker_nix} {{
          inherit pkgs nix2container;
          inherit (pkgs) lib;
          lixRevision = "0a1b2c";
          name = "lix";
          tag = pkgs.nix.version;
          bundleNixpkgs = false;
          channelName = "lixpkgs";
          channelURL = "https://example.org/lixpkgs";
          extraPkgs = [ pkgs.hello ];
          maxLayers = 3;
          nixConf = {{ sandbox = "true"; experimental-features = [ "flakes" "nix-command" ]; }};
          flake-registry = {registry};
        }}
        """
    )
    description = read_json(NixProgram().build(caller))
    root = base_system(description)
    assert description["name"] == "lix"
    assert description["tag"].startswith("2.26.")
    assert description["layers"][-1]["maxLayers"] == 3
    labels = description["config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == "0a1b2c"
    channel = Path(description["layers"][3]["roots"][0])
    assert list(channel.iterdir()) == []
    assert (root / "root/.nix-channels").read_text() == "https://example.org/lixpkgs lixpkgs\n"
    assert (root / "etc/nix/nix.conf").read_text() == (
        "build-users-group = nixbld\n"
        "experimental-features = flakes nix-command\n"
        "sandbox = true\n"
        "trusted-public-keys = "
        "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=\n"
    )
    profile = profile_of(root)
    assert (profile / "bin/hello").exists()
    assert [entry["name"].rpartition("-")[0] for entry in manifest(profile)] == [*PACKAGES, "hello"]
    link = root / "root/.cache/nix/flake-registry.json"
    assert re.fullmatch(
        r"/nix/store/[0-9a-z]{32}-registry/flake-registry.json", str(link.readlink())
    )
    assert link.read_text() == '{"flakes":[],"version":2}'
    # Nix's own name for a root of that path.
    text = tmp_path / "path"
    text.write_text("/root/.cache/nix/flake-registry.json")
    name = NixProgram().output("nix", "hash", "file", "--type", "sha1", "--base32", text)
    [auto] = (root / "nix/var/nix/gcroots/auto").iterdir()
    assert auto.name == name
    assert str(auto.readlink()) == "/root/.cache/nix/flake-registry.json"


def test_a_flake_registry_may_be_a_file(docker_nix: Path, tmp_path: Path) -> None:
    registry = tmp_path / "my-registry.json"
    registry.write_text('{"flakes":[],"version":2}')
    file = NixProgram().build(docker_nix, "--arg", "flake-registry", registry)
    link = base_system(read_json(file)) / "root/.cache/nix/flake-registry.json"
    assert str(link.readlink()).endswith("-my-registry.json")
    assert link.read_text() == registry.read_text()


# The files


def profile_of(root: Path) -> Path:
    return (root / "nix/var/nix/profiles/default-1-link").readlink()


def manifest(profile: Path) -> list[Mapping[str, Any]]:
    assert (profile / "manifest.nix").is_symlink()
    # Not the whole entries: as JSON, a derivation is but its path.
    expression = f"""
      map (entry: {{
        inherit (entry) name outputs system type;
        path = entry.outPath;
        outputPaths = map (output: entry.${{output}}.outPath) entry.outputs;
      }}) (import {profile}/manifest.nix)
    """
    arguments = ["--eval", "--strict", "--json", "--readonly-mode", "--expr", expression]
    entries: list[Mapping[str, Any]] = json.loads(
        NixProgram().output("nix-instantiate", *arguments)
    )
    return entries


def files_of(root: Path) -> dict[str, str]:
    """Return what is below `root`: a link's target, or the kind and mode."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        kind = "dir" if path.is_dir() else "file"
        is_link = path.is_symlink()
        found[name] = (
            str(path.readlink()) if is_link else f"{kind} {path.stat().st_mode & 0o7777:o}"
        )
    return found


def test_the_files_at_the_root(description: Description) -> None:
    root = base_system(description)
    files = files_of(root)
    assert re.fullmatch(r"/nix/store/.{32}-bash-[^/]*/bin/bash", files.pop("bin/sh"))
    assert re.fullmatch(r"/nix/store/.{32}-coreutils-[^/]*/bin/env", files.pop("usr/bin/env"))
    assert files.pop("nix/var/nix/profiles/default-1-link").endswith("-user-environment")
    channels = files.pop("nix/var/nix/profiles/per-user/root/channels-1-link")
    assert channels == description["layers"][3]["roots"][0]
    directories = [
        *("bin", "etc", "etc/nix", "etc/ssl", "etc/ssl/certs", "nix", "nix/var", "nix/var/nix"),
        *("nix/var/nix/gcroots", "nix/var/nix/profiles", "nix/var/nix/profiles/per-user"),
        *("nix/var/nix/profiles/per-user/root", "root", "root/.nix-defexpr", "tmp", "usr"),
        *("usr/bin", "var", "var/tmp"),
    ]
    regular = ("etc/group", "etc/nix/nix.conf", "etc/passwd", "etc/shadow", "root/.nix-channels")
    assert files == {
        **dict.fromkeys(directories, "dir 555"),
        **dict.fromkeys(regular, "file 444"),
        "etc/ssl/certs/ca-bundle.crt": f"{PROFILE}/etc/ssl/certs/ca-bundle.crt",
        "nix/var/nix/gcroots/profiles": "/nix/var/nix/profiles",
        "nix/var/nix/profiles/default": f"{PROFILE}-1-link",
        "nix/var/nix/profiles/per-user/root/channels": (
            "/nix/var/nix/profiles/per-user/root/channels-1-link"
        ),
        "root/.nix-defexpr/channels": "/nix/var/nix/profiles/per-user/root/channels",
        "root/.nix-profile": PROFILE,
        "usr/share": "/nix/var/nix/profiles/share",
    }
    assert root.stat().st_mode & 0o7777 == 0o555


def test_users_and_groups(description: Description) -> None:
    root = base_system(description)
    passwd = (root / "etc/passwd").read_text()
    group = (root / "etc/group").read_text()
    shadow = (root / "etc/shadow").read_text()
    # By the names' characters, so that 10 stands before 2.
    builders = sorted(f"nixbld{n}" for n in range(1, 33))
    lines = passwd.removesuffix("\n").split("\n")
    assert lines[:-2] == [
        f"{name}:x:{30000 + int(name[6:])}:30000:Nix build user {name[6:]}:/var/empty:/bin/false"
        for name in builders
    ]
    assert re.fullmatch(
        r"nobody:x:65534:65534:Unprivileged account \(don't use!\):/var/empty:"
        r"/nix/store/.{32}-shadow-[^/]*/bin/nologin",
        lines[-2],
    )
    assert re.fullmatch(
        r"root:x:0:0:System administrator:/root:/nix/store/.{32}-bash-[^/]*/bin/bash", lines[-1]
    )
    assert group == f"nixbld:x:30000:{','.join(builders)}\nnobody:x:65534:nobody\nroot:x:0:root\n"
    assert shadow == "".join(f"{name}:!:1::::::\n" for name in [*builders, "nobody", "root"])


def test_the_profile(description: Description) -> None:
    profile = profile_of(base_system(description))
    for program in ("nix", "git", "bash", "curl", "sqlite3", "xmllint", "man", "ssh", "less", "ls"):
        assert (profile / "bin" / program).exists(), program
    assert (profile / "etc/ssl/certs/ca-bundle.crt").is_file()
    entries = manifest(profile)
    assert [entry["name"].rpartition("-")[0] for entry in entries] == PACKAGES
    for entry in entries:
        assert entry["outputs"] == ["out"]
        assert entry["outputPaths"] == [entry["path"]]
        assert re.fullmatch(r"/nix/store/.{32}-" + re.escape(entry["name"]), entry["path"])
        assert entry["system"] == "x86_64-linux"
        assert entry["type"] == "derivation"


def test_the_channel(description: Description) -> None:
    channel = Path(description["layers"][3]["roots"][0])
    assert (channel / "manifest.nix").read_text() == "[]\n"
    assert (channel / "nixpkgs/default.nix").is_file()
    assert (channel / "nixpkgs").is_symlink()


# The image that describes only what it must


def test_what_the_config_refers_to_is_in_the_image(tmp_path: Path) -> None:
    result = build_expression(
        """
        buildImage {
          name = "a";
          config.entrypoint = [ "${pkgs.hello}/bin/hello" ];
          config.Env = [ "TZDIR=${pkgs.iana-etc}/share:${pkgs.hello}" ];
        }
        """,
        tmp_path,
    )
    assert result.returncode == 0, result.stderr
    description = read_json(Path(result.stdout.strip()))
    [layer] = description["layers"]
    assert sorted(names(layer["roots"])) == ["hello", "netbase"]
    assert not any("config.json" in info["path"] for info in description["closure"])


def test_perms_of_what_is_not_in_the_image_are_refused(tmp_path: Path) -> None:
    result = build_expression(
        """
        buildImage { name = "a"; copyToRoot = pkgs.iana-etc; perms = [ { path = pkgs.hello; } ]; }
        """,
        tmp_path,
    )
    assert result.returncode != 0
    assert re.search(
        r"buildImage: `perms` names `/nix/store/.{32}-hello-[^`]*`, which no layer of the image ",
        result.stderr,
    )
