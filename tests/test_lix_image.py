"""The image that `docker.nix` makes, box by box of the checklist for Lix's image.

The expression is rendered from a spec with Lix's words, called with other arguments where a box
asks for it, built by real Nix from the embedded package set, and looked at with tarfile.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from image_files import ImageFiles, Layout
from nixbridge import cli

pytestmark = pytest.mark.nix

SPEC = """
template = "docker"

[nix]
packages = "debpkgs"

[image]
name = "lix"
title = "Lix"
description = "Minimal Lix container image, with some batteries included."
source = "https://git.lix.systems/lix-project/lix"
vendor = "Lix project"
"""
PACKAGES = (
    "coreutils",
    "curl",
    "libxml2",
    "sqlite",
    "git",
    "bash",
    "tar",
    "gzip",
    "grep",
    "which",
    "less",
    "wget",
    "man",
    "certificates",
    "findutils",
    "netbase",
    "openssh",
    "nix",
)

PROFILE = "/nix/var/nix/profiles/default"
USERS = (
    "nixbld1",
    *(f"nixbld{n}" for n in range(10, 20)),
    "nixbld2",
    *(f"nixbld{n}" for n in range(20, 30)),
    "nixbld3",
    *(f"nixbld{n}" for n in range(30, 33)),
    *(f"nixbld{n}" for n in range(4, 10)),
    "nobody",
    "root",
)
BUILDERS = USERS[:-2]
STORE_PATH = r"/nix/store/[0-9a-z]{32}-[^/\s]+"

Build = Callable[..., ImageFiles]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Render the spec, build it with arguments, return the image's files."""
    folder = tmp_path_factory.mktemp("lix-image")
    (folder / "nixbridge.toml").write_text(SPEC)
    expression = folder / "docker.nix"
    assert cli.main(["render", str(folder), "--output", str(expression), "-q"]) == 0
    built: dict[tuple[str, ...], ImageFiles] = {}

    def run(*arguments: str) -> ImageFiles:
        if arguments not in built:
            destination = folder / f"image{len(built)}"
            argv = ["copy", str(expression), f"oci:{destination}:test", *arguments, "-q"]
            assert cli.main(argv) == 0
            built[arguments] = ImageFiles(Layout(destination, "test"))
        return built[arguments]

    return run


@pytest.fixture(scope="module")
def image(build: Build) -> ImageFiles:
    return build()


def store_names(layer: object) -> set[str]:
    assert isinstance(layer, dict)
    found = (re.fullmatch(r"/nix/store/[0-9a-z]{32}-([^/]+)", name) for name in layer)
    return {match[1] for match in found if match}


# Layers


def test_first_layer_is_coreutils_and_its_closure(image: ImageFiles) -> None:
    names = store_names(image.layers[0])
    assert any(name.startswith("coreutils") for name in names)
    assert any(name.startswith("glibc") for name in names)


def test_second_layer_is_curl_libxml2_sqlite(image: ImageFiles) -> None:
    names = store_names(image.layers[1])
    for package in ("curl", "libxml2", "sqlite"):
        assert any(name.startswith(package) for name in names), package
    assert not any(name.startswith(("coreutils", "glibc")) for name in names)


def test_third_layer_is_git(image: ImageFiles) -> None:
    assert any(name.startswith("git") for name in store_names(image.layers[2]))


def test_fourth_layer_is_the_channel_and_not_in_the_profile(image: ImageFiles) -> None:
    assert "channel-nixpkgs" in store_names(image.layers[3])
    assert not any("channel" in name for name in image.below(image.resolve(PROFILE)))


def test_no_more_than_the_explicit_layers_maxlayers_and_the_database(image: ImageFiles) -> None:
    assert len(image.layers) <= 4 + 100 + 1


def test_no_store_path_is_in_two_layers(image: ImageFiles) -> None:
    seen: dict[str, int] = {}
    for number, layer in enumerate(image.layers):
        for name in layer:
            if re.fullmatch(STORE_PATH, name):
                assert name not in seen, f"{name} is in layers {seen[name]} and {number}"
                seen[name] = number
    assert len(seen) > 50


@pytest.mark.parametrize("maximum", [1, 2, 5])
def test_max_layers(build: Build, image: ImageFiles, maximum: int) -> None:
    few = build("--arg", "maxLayers", str(maximum))
    assert len(few.layers) == 4 + maximum + 1
    assert few.files.keys() == image.files.keys()


def test_profile_holds_the_packages_in_order(image: ImageFiles) -> None:
    manifest = image[image.resolve(f"{PROFILE}/manifest.nix")].text
    names = re.findall(r'\bname = "([^"]+)"', manifest)
    assert len(names) == len(PACKAGES)
    for name, package in zip(names, PACKAGES, strict=True):
        assert package in name
    outputs = re.findall(rf'outPath = "?({STORE_PATH}?)"?;', manifest)
    assert len(outputs) >= len(PACKAGES)
    assert all(f"{path}" in image for path in outputs)


# Files of base-system


def test_passwd(image: ImageFiles) -> None:
    member = image["/etc/passwd"]
    lines = member.text.removesuffix("\n").split("\n")
    assert member.text.endswith("\n")
    assert tuple(line.split(":")[0] for line in lines) == USERS
    by_name = {line.split(":")[0]: line for line in lines}
    for builder in BUILDERS:
        number = int(builder.removeprefix("nixbld"))
        assert by_name[builder] == (
            f"{builder}:x:{30000 + number}:30000:Nix build user {number}:/var/empty:/bin/false"
        )
    assert re.fullmatch(
        rf"nobody:x:65534:65534:Unprivileged account \(don't use!\):/var/empty:{STORE_PATH}"
        r"/bin/nologin",
        by_name["nobody"],
    )
    assert re.fullmatch(
        rf"root:x:0:0:System administrator:/root:{STORE_PATH}/bin/bash", by_name["root"]
    )
    for user in ("nobody", "root"):
        assert image.resolve(by_name[user].split(":")[-1])


def test_group(image: ImageFiles) -> None:
    assert image["/etc/group"].text.split() == [
        f"nixbld:x:30000:{','.join(BUILDERS)}",
        "nobody:x:65534:nobody",
        "root:x:0:root",
    ]


def test_shadow(image: ImageFiles) -> None:
    assert image["/etc/shadow"].text == "".join(f"{user}:!:1::::::\n" for user in USERS)
    assert image["/etc/shadow"].mode == 0o444


def test_nix_conf(build: Build, image: ImageFiles) -> None:
    lines = image["/etc/nix/nix.conf"].text.splitlines()
    assert image["/etc/nix/nix.conf"].text.endswith("\n")
    assert lines == sorted(lines)
    settings = dict(line.split(" = ", 1) for line in lines)
    assert settings["build-users-group"] == "nixbld"
    assert settings["sandbox"] == "false"
    assert settings["trusted-public-keys"].startswith("cache.nixos.org-1:6NCHdD59")
    changed = build("--arg", "nixConf", '{ sandbox = "true"; substituters = [ "a" "b" ]; }')
    lines = changed["/etc/nix/nix.conf"].text.splitlines()
    assert "sandbox = true" in lines
    assert "substituters = a b" in lines
    assert "build-users-group = nixbld" in lines


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/etc/ssl/certs/ca-bundle.crt", f"{PROFILE}/etc/ssl/certs/ca-bundle.crt"),
        ("/usr/share", "/nix/var/nix/profiles/share"),
        ("/usr/bin/env", rf"{STORE_PATH}/bin/env"),
        ("/bin/sh", rf"{STORE_PATH}/bin/bash"),
        ("/root/.nix-profile", PROFILE),
        (
            "/root/.nix-defexpr/channels",
            "/nix/var/nix/profiles/per-user/root/channels",
        ),
        (PROFILE, f"{PROFILE}-1-link"),
        (f"{PROFILE}-1-link", rf"{STORE_PATH}-?user-environment"),
        (
            "/nix/var/nix/profiles/per-user/root/channels",
            "/nix/var/nix/profiles/per-user/root/channels-1-link",
        ),
        (
            "/nix/var/nix/profiles/per-user/root/channels-1-link",
            r"/nix/store/[0-9a-z]{32}-channel-nixpkgs",
        ),
        ("/nix/var/nix/gcroots/profiles", "/nix/var/nix/profiles"),
    ],
)
def test_links(image: ImageFiles, path: str, target: str) -> None:
    pattern = target.replace(rf"{STORE_PATH}-?user-environment", r"/nix/store/\w{32}-user-env.*")
    assert re.fullmatch(pattern, image[path].target)
    assert image[path].mode == 0o777
    if path != "/usr/share":  # dangling in Lix's image too
        assert image.resolve(path)


def test_ca_bundle_holds_certificates(image: ImageFiles) -> None:
    bundle = image[image.resolve("/etc/ssl/certs/ca-bundle.crt")]
    assert bundle.text.count("BEGIN CERTIFICATE") > 100


def test_temporary_directories_are_sticky_and_empty(image: ImageFiles) -> None:
    for path in ("/tmp", "/var/tmp"):
        assert image[path].info.isdir()
        assert image[path].mode == 0o1777
        assert image.below(path) == set()
    assert image["/var"].mode == 0o555


def test_root_home(build: Build, image: ImageFiles) -> None:
    assert image["/root"].mode == 0o555
    assert re.fullmatch(r"\S+ nixpkgs\n", image["/root/.nix-channels"].text)
    other = build("--argstr", "channelName", "mine", "--argstr", "channelURL", "file:///x")
    assert other["/root/.nix-channels"].text == "file:///x mine\n"


def test_channel(build: Build, image: ImageFiles) -> None:
    channel = image.resolve("/root/.nix-defexpr/channels")
    assert image[f"{channel}/manifest.nix"].text == "[]\n"
    assert f"{image.resolve(f'{channel}/nixpkgs')}/default.nix" in image
    without = build("--arg", "bundleNixpkgs", "false")
    assert without.below(without.resolve("/root/.nix-defexpr/channels")) == set()


def test_extra_packages(build: Build, image: ImageFiles) -> None:
    with_jq = build("--arg", "extraPkgs", "[ (import <nixbridge/debpkgs> { }).jq ]")
    assert with_jq.resolve(f"{PROFILE}/bin/jq")
    with pytest.raises(FileNotFoundError):
        image.resolve(f"{PROFILE}/bin/jq")


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_flake_registry(build: Build, tmp_path: Path, kind: str) -> None:
    registry = tmp_path / "flake-registry.json"
    registry.write_text('{"flakes":[],"version":2}')
    argument = registry if kind == "file" else tmp_path
    image = build("--arg", "flake-registry", str(argument))
    link = image["/root/.cache/nix/flake-registry.json"]
    assert image[image.resolve("/root/.cache/nix/flake-registry.json")].text == registry.read_text()
    # Nix names an automatic root by the sha1, in its base 32, of the path that it roots.
    digest = hashlib.sha1(b"/root/.cache/nix/flake-registry.json").digest()
    number = int.from_bytes(digest, "little")
    digits = "0123456789abcdfghijklmnpqrsvwxyz"
    name = "".join(digits[number >> 5 * place & 31] for place in range(31, -1, -1))
    root = image[f"/nix/var/nix/gcroots/auto/{name}"]
    assert root.target in {link.target, "/root/.cache/nix/flake-registry.json"}


# The Nix database


def test_database_layer(image: ImageFiles) -> None:
    top = image.layers[-1]
    assert image["/nix/var/nix/db/db.sqlite"].layer == len(image.layers) - 1
    for directory in ("/nix", "/nix/store", "/nix/var", "/nix/var/nix", "/nix/var/nix/gcroots"):
        assert top[directory].mode == 0o755
        assert (top[directory].info.uid, top[directory].info.gid) == (0, 0)
    assert image["/nix/var/nix/profiles"].mode == 0o555
    assert image["/nix/store/.links"].info.isdir()
    assert image["/nix/var/nix/db/db.sqlite"].mode == 0o644


def test_gc_roots_are_exactly_the_store_paths(image: ImageFiles) -> None:
    in_store = {name for name in image.below("/nix/store") if not name.startswith(".")}
    roots = image.below("/nix/var/nix/gcroots/docker")
    assert roots == in_store
    for name in roots:
        assert image[f"/nix/var/nix/gcroots/docker/{name}"].target == f"/nix/store/{name}"


def test_what_is_not_there(image: ImageFiles) -> None:
    for path in ("/etc/os-release", "/home", "/var/empty"):
        assert path not in image
    assert "HOME" not in image.layout.environment


def test_everything_is_canonical(image: ImageFiles) -> None:
    for name, member in image.files.items():
        info = member.info
        assert (info.uid, info.gid, info.uname, info.gname) == (0, 0, "root", "root"), name
        assert info.mtime == 1, name
        if info.isfile() and name != "/nix/var/nix/db/db.sqlite":
            assert info.mode in {0o444, 0o555}, name
        assert not info.islnk(), name


# Config


def test_config(image: ImageFiles) -> None:
    document = image.layout.config
    config = document["config"]
    assert config["Cmd"] == ["/root/.nix-profile/bin/bash"]
    for key in ("Entrypoint", "User", "WorkingDir", "Volumes", "ExposedPorts"):
        assert not config.get(key), key
    bundle = f"{PROFILE}/etc/ssl/certs/ca-bundle.crt"
    assert config["Env"] == [
        "USER=root",
        f"PATH=/root/.nix-profile/bin:{PROFILE}/bin:{PROFILE}/sbin",
        f"MANPATH=/root/.nix-profile/share/man:{PROFILE}/share/man",
        f"SSL_CERT_FILE={bundle}",
        f"GIT_SSL_CAINFO={bundle}",
        f"NIX_SSL_CERT_FILE={bundle}",
        "NIX_PATH=/nix/var/nix/profiles/per-user/root/channels:/root/.nix-defexpr/channels",
    ]
    assert document["created"] == "0001-01-01T00:00:00Z"
    assert document["os"] == "linux"
    assert document["architecture"] == "amd64"
    assert len(document["history"]) == len(document["rootfs"]["diff_ids"]) == len(image.layers)


def test_labels(build: Build, image: ImageFiles) -> None:
    labels = image.layout.config["config"]["Labels"]
    version = labels.pop("org.opencontainers.image.version")
    assert labels == {
        "org.opencontainers.image.title": "Lix",
        "org.opencontainers.image.source": "https://git.lix.systems/lix-project/lix",
        "org.opencontainers.image.vendor": "Lix project",
        "org.opencontainers.image.description": (
            "Minimal Lix container image, with some batteries included."
        ),
    }
    nix = next(n for n in image.below("/nix/store") if re.fullmatch(r"\w{32}-nix-[\d.]+.*", n))
    assert nix[33:] == f"nix-{version}"
    revised = build("--argstr", "lixRevision", "abc123")
    labels = revised.layout.config["config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == "abc123"


def test_digests_are_those_of_the_blobs(image: ImageFiles) -> None:
    manifest = image.layout.manifest
    diff_ids = image.layout.config["rootfs"]["diff_ids"]
    for descriptor, diff_id in zip(manifest["layers"], diff_ids, strict=True):
        with image.layout.blob(descriptor["digest"]).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        assert f"sha256:{digest}" == diff_id == descriptor["digest"]
    assert json.loads(json.dumps(manifest))["schemaVersion"] == 2
