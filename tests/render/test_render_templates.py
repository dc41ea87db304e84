"""The templates, judged by evaluating what they render: whatever a spec holds comes back as it is.

The rendered file is called with a set of packages that can evaluate nothing but names, and with a
`buildImage` that returns its arguments.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from nixbridge.errors import InputError
from nixbridge.render import DOCKER_TEMPLATE, IMAGE_TEMPLATE, render
from nixbridge.spec import (
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
    read_spec,
    spec_keys,
)
from render.nix_values import nix_json, tagged

few_runs = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)

# What could end a string, a comment, a line or an expression, or begin one.
hostile = st.one_of(
    st.sampled_from(
        (
            '"; injected = true; x = "',
            "${builtins.abort injected}",
            "''; injected = true; x = ''",
            "$${x}\\${y}\\",
            "line\nbuiltins.abort 1 # \r\n",
            "*/ abort /*",
            "{{ spec }}{% if %}",
            "",
        )
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
)
hostile_lists = st.lists(hostile, max_size=3).map(tuple)
hostile_tables = st.dictionaries(hostile, hostile, max_size=3)
maybe_hostile = st.none() | hostile

configs = st.builds(
    ConfigSection,
    entrypoint=hostile_lists,
    cmd=hostile_lists,
    env=hostile_tables,
    user=st.none() | st.just(ContainerUser(name="app", uid=7, gid=8)),
    working_dir=maybe_hostile,
    ports=hostile_lists,
    volumes=hostile_lists,
    labels=hostile_tables,
    stop_signal=maybe_hostile,
    healthcheck=st.none()
    | st.builds(
        Healthcheck, command=hostile_lists, interval_seconds=st.none() | st.integers(1, 99)
    ),
)
images = st.builds(
    ImageSection,
    name=hostile,
    tag=hostile,
    packages=hostile_lists,
    ca_certificates=st.booleans(),
    title=maybe_hostile,
    description=maybe_hostile,
    version=maybe_hostile,
    revision=maybe_hostile,
    source=maybe_hostile,
    vendor=maybe_hostile,
    annotations=hostile_tables,
    config=configs,
)
specs = st.builds(
    ImageSpec,
    path=st.just(Path("nixbridge.toml")),
    template=st.sampled_from(("docker", "image")),
    nix=st.builds(
        NixSection,
        packages=st.one_of(
            st.just(LookupPath(text="<nixpkgs>")),
            st.builds(Debpkgs, suite=maybe_hostile),
            hostile.map(lambda text: Path(f"/{text}")),
        ),
    ),
    image=images,
    layering=st.builds(
        LayeringSection,
        strategy=hostile,
        max_layers=st.integers(1, 200),
        layers=st.none() | st.lists(hostile_lists, max_size=2).map(tuple),
        plan=st.none() | hostile.map(lambda text: Path(f"/{text}")),
        volatile=hostile_lists,
        weights=st.dictionaries(hostile, st.integers(1, 100), max_size=2),
    ),
    docker=st.builds(
        DockerSection,
        bundle_nixpkgs=st.booleans(),
        channel_name=hostile,
        channel_url=hostile,
        nix_conf=st.dictionaries(hostile, hostile | hostile_lists | st.integers(0, 9), max_size=3),
        flake_registry=st.none() | hostile.map(lambda text: Path(f"/{text}")),
    ),
)

_CALL = """
file:
let
  function = import file;
  arguments = function {
    pkgs.nix.version = "2.0";
    lib.optionalAttrs = condition: set: if condition then set else { };
    nix2container.buildImage = arguments: arguments;
  };
in
tag {
  inherit (arguments) name tag maxLayers config;
  annotations = arguments.annotations or { };
  strategy = arguments.strategy or "update-cost";
  plan = if arguments ? plan then toString arguments.plan else null;
  volatile = arguments.volatile or [ ];
  weights = arguments.weights or { };
  description = arguments.meta.description;
  initializeNixDatabase = arguments.initializeNixDatabase or false;
  keys = builtins.attrNames arguments;
  parameters = builtins.attrNames (builtins.functionArgs function);
}
"""
_CALL_IMAGE = _CALL.replace(
    "    lib.optionalAttrs = condition: set: if condition then set else { };\n", ""
)

_TAG = """
let
  tag =
    value:
    if builtins.isAttrs value then
      [ "set" (map (name: [ name (tag value.${name}) ]) (builtins.attrNames value)) ]
    else if builtins.isList value then
      [ "list" (map tag value) ]
    else
      [ (builtins.typeOf value) value ];
  call = CALL;
in
"""

DOCKER_ENV = {
    "USER": "root",
    "PATH": "/root/.nix-profile/bin:/nix/var/nix/profiles/default/bin"
    ":/nix/var/nix/profiles/default/sbin",
    "MANPATH": "/root/.nix-profile/share/man:/nix/var/nix/profiles/default/share/man",
    "SSL_CERT_FILE": "/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt",
    "GIT_SSL_CAINFO": "/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt",
    "NIX_SSL_CERT_FILE": "/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt",
    "NIX_PATH": "/nix/var/nix/profiles/per-user/root/channels:/root/.nix-defexpr/channels",
}
DOCKER_PARAMETERS = [
    "bundleNixpkgs",
    "channelName",
    "channelURL",
    "extraPkgs",
    "flake-registry",
    "lib",
    "lixRevision",
    "maxLayers",
    "name",
    "nix2container",
    "nixConf",
    "pkgs",
    "revision",
    "tag",
]
IMAGE_PARAMETERS = ["maxLayers", "name", "nix2container", "pkgs", "tag"]


def call_all(expressions: Sequence[str], template: str, folder: Path) -> list[Any]:
    """Return what each rendered expression hands to buildImage."""
    for number, expression in enumerate(expressions):
        (folder / f"{template}-{number}.nix").write_text(expression, encoding="utf-8")
    judge = folder / f"judge-{template}.nix"
    files = "\n".join(f"(call ./{template}-{number}.nix)" for number in range(len(expressions)))
    call = _CALL if template == "docker" else _CALL_IMAGE
    judge.write_text(f"{_TAG.replace('CALL', f'({call})')}[\n{files}\n]", encoding="utf-8")
    results: list[Any] = nix_json(judge)
    return results


def expected_labels(spec: ImageSpec) -> Mapping[str, str]:
    image = spec.image
    defaults = {"version": "2.0"} if spec.template == "docker" else {}
    given = {
        "title": image.title or image.name,
        "description": image.description,
        "version": image.version,
        "revision": image.revision,
        "source": image.source,
        "vendor": image.vendor,
    }
    values = defaults | {key: value for key, value in given.items() if value}
    labels = {f"org.opencontainers.image.{key}": value for key, value in values.items()}
    return labels | dict(image.config.labels)


def expected_config(spec: ImageSpec) -> Mapping[str, Any]:  # noqa: C901 - a case a key
    config = spec.image.config
    is_docker = spec.template == "docker"
    env = dict(DOCKER_ENV) if is_docker else {"PATH": "/bin"}
    if not is_docker and spec.image.ca_certificates:
        env["SSL_CERT_FILE"] = "/etc/ssl/certs/ca-bundle.crt"
    env |= config.env
    expected: dict[str, Any] = {
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": expected_labels(spec),
    }
    if config.entrypoint:
        expected["Entrypoint"] = config.entrypoint
    if config.cmd or is_docker:
        expected["Cmd"] = config.cmd or ["/root/.nix-profile/bin/bash"]
    if config.user:
        expected["User"] = str(config.user.uid)
    if config.working_dir:
        expected["WorkingDir"] = config.working_dir
    if config.ports:
        expected["ExposedPorts"] = {port: {} for port in config.ports}
    if config.volumes:
        expected["Volumes"] = {path: {} for path in config.volumes}
    if config.stop_signal:
        expected["StopSignal"] = config.stop_signal
    if config.healthcheck:
        expected["Healthcheck"] = {"Test": ["CMD", *config.healthcheck.command]}
        if config.healthcheck.interval_seconds:
            seconds = config.healthcheck.interval_seconds
            expected["Healthcheck"]["Interval"] = seconds * 1_000_000_000
    return expected


def expected_call(spec: ImageSpec) -> Mapping[str, Any]:
    is_docker = spec.template == "docker"
    keys = {"config", "copyToRoot", "maxLayers", "meta", "name", "perms", "tag"}
    if is_docker:
        keys |= {"initializeNixDatabase", "layers"}
    if spec.layering.layers:
        keys |= {"layers"}
    if spec.image.annotations:
        keys |= {"annotations"}
    if spec.layering.strategy != "update-cost":
        keys |= {"strategy"}
    keys |= {key for key in ("plan", "volatile", "weights") if getattr(spec.layering, key)}
    default = (
        "A container image with Nix inside" if is_docker else "A container image of a few programs"
    )
    return {
        "name": spec.image.name,
        "tag": spec.image.tag,
        "maxLayers": spec.layering.max_layers,
        "config": expected_config(spec),
        "annotations": spec.image.annotations,
        "strategy": spec.layering.strategy,
        "plan": None if spec.layering.plan is None else canonical(spec.layering.plan),
        "volatile": list(spec.layering.volatile),
        "weights": dict(spec.layering.weights),
        "description": spec.image.description or default,
        "initializeNixDatabase": is_docker,
        "keys": sorted(keys),
        "parameters": sorted(
            [
                *(DOCKER_PARAMETERS if is_docker else IMAGE_PARAMETERS),
                *([] if spec.layering.plan is None else ["plan"]),
            ]
        ),
    }


def canonical(path: Path) -> str:
    """Return an absolute path as Nix holds it, which Python does not do to two slashes in front."""
    return "/" + os.path.normpath(path).lstrip("/")


@pytest.mark.nix
@few_runs
@given(st.data())
def test_whatever_a_spec_holds_comes_back(tmp_path: Path, data: st.DataObject) -> None:
    # Drawn here, as hypothesis hides what went wrong when arguments are too long to write down.
    many = data.draw(st.lists(specs, min_size=10, max_size=25))
    for template in ("docker", "image"):
        chosen = [spec for spec in many if spec.template == template]
        found = call_all([render(spec) for spec in chosen], template, tmp_path)
        assert found == [tagged(expected_call(spec)) for spec in chosen]


def minimal(**changes: Any) -> ImageSpec:
    spec = ImageSpec(path=Path("nixbridge.toml"), image=ImageSection(name="shop"))
    return dataclasses.replace(spec, **changes)


@pytest.mark.parametrize(
    ("packages", "expression"),
    [
        (LookupPath(text="<nixpkgs>"), "import <nixpkgs> { }"),
        (Debpkgs(), "import <nixbridge/debpkgs> { }"),
        (Debpkgs(suite="bookworm"), 'import <nixbridge/debpkgs> { suite = "bookworm"; }'),
        (Path("/home/me/packages"), "import /home/me/packages { }"),
        (Path("/home/me/my packages"), 'import (/. + "/home/me/my packages") { }'),
    ],
)
def test_packages_come_from_where_the_spec_says(
    packages: LookupPath | Debpkgs | Path, expression: str
) -> None:
    for template in ("docker", "image"):
        rendered = render(minimal(template=template, nix=NixSection(packages=packages)))
        assert f"\n  pkgs ? {expression},\n" in rendered


def test_package_names_are_attribute_paths() -> None:
    image = ImageSection(name="shop", packages=("python3Packages.flask", "7zip", "or", "a-b"))
    rendered = render(minimal(image=image))
    assert 'pkgs.python3Packages.flask\n    pkgs."7zip"\n    pkgs."or"\n    pkgs.a-b\n' in rendered


def test_explicit_layers_take_their_packages_out_of_the_rest() -> None:
    layering = LayeringSection(layers=(("openssh", "hello"), ("nix",)))
    rendered = render(minimal(template="docker", layering=layering))
    assert "    [\n      pkgs.openssh\n      pkgs.hello\n    ]\n    [ pkgs.nix ]\n" in rendered
    assert rendered.count("pkgs.openssh\n") == 1
    assert rendered.count("pkgs.coreutils-full\n") == 1


def test_an_argument_of_the_default_value_is_not_passed_to_nix2container() -> None:
    for template in ("docker", "image"):
        rendered = render(minimal(template=template))
        assert "strategy" not in rendered
        assert "annotations" not in rendered


def test_rendered_files_end_with_one_newline_and_hold_no_loose_spaces() -> None:
    config = ConfigSection(
        env={"A": "b"}, user=ContainerUser(name="app", uid=1, gid=1), labels={"a": "b"}
    )
    full = ImageSection(name="shop", packages=("jq",), annotations={"a": "b"}, config=config)
    layering = LayeringSection(strategy="single", layers=(("glibc",),))
    for image in (ImageSection(name="shop"), full):
        for template in ("docker", "image"):
            rendered = render(minimal(template=template, image=image, layering=layering))
            assert rendered.endswith("}\n")
            assert not rendered.endswith("\n\n")
            assert "\n\n\n" not in rendered
            for line in rendered.splitlines():
                assert line == line.rstrip()
                assert len(line) <= 110, line


def test_every_key_of_a_spec_is_taken_by_some_template() -> None:
    taken = IMAGE_TEMPLATE.takes | DOCKER_TEMPLATE.takes
    left = [k for k in spec_keys() if not any(k == t or k.startswith(f"{t}.") for t in taken)]
    assert left == []
    keys_and_sections = {key.rsplit(".", depth)[0] for key in spec_keys() for depth in range(3)}
    assert taken <= keys_and_sections


# Templates are found, and wrong ones refused


def refusal(spec: ImageSpec) -> InputError:
    with pytest.raises(InputError) as error:
        render(spec)
    return error.value


def test_a_key_that_the_template_does_not_take_is_refused() -> None:
    error = refusal(
        minimal(given=frozenset({"image.name", "docker.nix_conf", "docker.channel_url"}))
    )
    assert error.message == (
        "in nixbridge.toml, `docker.channel_url`, `docker.nix_conf` cannot be used with the "
        "template `image`"
    )
    assert error.hint == "leave it out, or choose another `template`"


def test_an_unknown_template_is_refused() -> None:
    error = refusal(minimal(template="doker"))
    assert error.message == "in nixbridge.toml, `template` is unknown: `doker`"
    assert error.hint == "did you mean `docker`?"
    assert refusal(minimal(template="xyz")).hint == "known here: `docker`, `image`"


def own_template(folder: Path, text: str) -> ImageSpec:
    file = folder / "mine.nix.j2"
    file.write_text(text)
    return minimal(template=file)


def test_a_template_of_the_users_is_rendered(tmp_path: Path) -> None:
    spec = own_template(tmp_path, "{ name = {{ spec.image.name }}; n = {{ [1, -2] | nix(2) }}; }\n")
    assert render(spec) == '{ name = "shop"; n = [\n    1\n    (-2)\n  ]; }\n'


def test_a_template_of_the_users_may_take_ours_in(tmp_path: Path) -> None:
    spec = own_template(tmp_path, '# mine\n{% include "image.nix.j2" %}')
    assert render(spec) == "# mine\n" + render(minimal())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "\n{{ labels.nam }}",
            "{}:2 cannot be rendered: 'dict object' has no attribute 'nam'",
        ),
        (
            "{{ spec.image.nam }}",
            "{}:1 cannot be rendered: `spec.image` has no attribute 'nam'",
        ),
        (
            "\n{{ spec.image.config.entrypont }}",
            "{}:2 cannot be rendered: `spec.image.config` has no attribute 'entrypont'",
        ),
        (
            "{{ 1 / 0 }}",
            "{}:1 cannot be rendered: ZeroDivisionError: division by zero",
        ),
        (
            "\n\n{% if %}",
            "{} is wrong at line 3: Expected an expression, got 'end of statement block'",
        ),
        ("{{ spec }}", "a value of the type `ImageSpec` has no literal in Nix"),
        (
            "{% include 'other.j2' %}",
            "in nixbridge.toml, `template` needs `{folder}/other.j2`, which is not there",
        ),
    ],
    ids=["undefined", "key", "key-of-config", "python", "syntax", "no-literal", "include"],
)
def test_a_wrong_template_is_refused_with_its_place(
    tmp_path: Path, text: str, message: str
) -> None:
    spec = own_template(tmp_path, text)
    assert refusal(spec).message == message.format(spec.template, folder=tmp_path)


def test_a_missing_or_unreadable_template_is_refused(tmp_path: Path) -> None:
    assert refusal(minimal(template=tmp_path / "no.j2")).message == (
        f"in nixbridge.toml, `template` needs `{tmp_path}/no.j2`, which is not there"
    )
    (tmp_path / "latin.j2").write_bytes(b"\xff")
    assert refusal(minimal(template=tmp_path / "latin.j2")).message.startswith(
        f"{tmp_path}/latin.j2 cannot be read: 'utf-8' codec"
    )


# The repository's own


@pytest.mark.nix
def test_the_repositorys_own_spec(repository: Path, tmp_path: Path) -> None:
    spec = read_spec(repository / "nixbridge.toml")
    [call] = call_all([render(spec)], "docker", tmp_path)
    assert call == tagged(
        {
            "name": "nixbridge-nix",
            "tag": "latest",
            "maxLayers": 100,
            "config": {
                "Cmd": ["/root/.nix-profile/bin/bash"],
                "Env": [f"{name}={value}" for name, value in DOCKER_ENV.items()],
                "Labels": {
                    "org.opencontainers.image.title": "Nix",
                    "org.opencontainers.image.version": "2.0",
                    "org.opencontainers.image.description": (
                        "Nix with git and a shell, for building in a container"
                    ),
                    "org.opencontainers.image.vendor": "nixbridge",
                },
            },
            "annotations": {},
            "strategy": "update-cost",
            "plan": None,
            "volatile": [],
            "weights": {},
            "description": "Nix with git and a shell, for building in a container",
            "initializeNixDatabase": True,
            "keys": [
                "config",
                "copyToRoot",
                "initializeNixDatabase",
                "layers",
                "maxLayers",
                "meta",
                "name",
                "perms",
                "tag",
            ],
            "parameters": DOCKER_PARAMETERS,
        }
    )


@pytest.mark.nix
def test_what_the_rendered_file_writes_is_what_it_was_given(
    repository: Path, tmp_path: Path
) -> None:
    """The text of files passes through a shell: let a real one write them."""
    nasty = "'; touch $out/injected; echo '${x} \"y\" \\n `id` $(id)"
    docker = DockerSection(
        channel_name=nasty,
        channel_url="https://example.org/" + nasty,
        nix_conf={"extra": nasty, "list": (nasty, "b"), "cores": 2, "sandbox": True},
    )
    (tmp_path / "docker.nix").write_text(render(minimal(template="docker", docker=docker)))
    call = tmp_path / "call.nix"
    call.write_text(
        f"""
        let
          text = name: "/nix/store/" + name;
          package = name: {{
            outPath = text name; inherit name; system = "s"; out = package name;
          }};
          pkgs = {{
            path = "/nixpkgs";
            buildPackages = {{
              runCommand = name: _: script: (package name) // {{ inherit script; }};
              writeText = name: _: package name;
              buildEnv = {{ name, ... }}: package name;
            }};
            nix.version = "2";
            bashInteractive = package "bash";
            coreutils = package "coreutils";
            shadow = package "shadow";
          }};
          names = [ "coreutils-full" "curl" "libxml2" "sqlite" "gitMinimal" "gnutar" "gzip"
            "gnugrep" "which" "less" "wget" "man" "cacert" "findutils" "iana-etc" "openssh" ];
        in
        (import ./docker.nix {{
          pkgs = pkgs // builtins.listToAttrs (
            map (name: {{ inherit name; value = package name; }}) names
          );
          lib = import {json.dumps(str(repository))}/nix/debpkgs/lib;
          nix2container = {{ buildImage = image: (builtins.head image.copyToRoot).script; }};
        }})
        """.replace(json.dumps(str(repository)), str(repository))
    )
    script = nix_json(call)
    out = tmp_path / "out"
    subprocess.run(
        ["bash", "-ec", script], check=True, env={"out": str(out), "PATH": "/usr/bin:/bin"}
    )
    assert not list(out.rglob("injected"))
    assert (out / "root/.nix-channels").read_text() == f"https://example.org/{nasty} {nasty}\n"
    assert (out / "etc/nix/nix.conf").read_text() == (
        "build-users-group = nixbld\n"
        "cores = 2\n"
        f"extra = {nasty}\n"
        f"list = {nasty} b\n"
        "sandbox = true\n"
        "trusted-public-keys = "
        "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=\n"
    )
