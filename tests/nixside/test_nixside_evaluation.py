"""`buildImage` and `buildLayer` as far as evaluation goes: what they describe and refuse."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from nixbridge.description.config_keys import CONFIG_KEYS
from nixbridge.errors import InputError
from nixbridge.oci import ImageReference
from nixside.nix_functions import (
    NIX,
    PRELUDE,
    TINY,
    NixProgram,
    evaluate,
    evaluate_all,
    evaluation_error,
)

pytestmark = pytest.mark.nix


def test_the_smallest_image() -> None:
    assert evaluate('describe { name = "a"; }') == {
        "version": 3,
        "name": "a",
        "tag": None,
        "architecture": "amd64",
        "os": "linux",
        "created": "0001-01-01T00:00:00Z",
        "config": {},
        "annotations": {},
        "fromImage": None,
        "layers": [
            {
                "roots": [],
                "copyToRoot": [],
                "ignore": [],
                "perms": [],
                "maxLayers": 40,
                "strategy": "update-cost",
                "reproducible": True,
                "metadata": {"created_by": "nixbridge"},
            }
        ],
        "nixDatabase": None,
        "weights": {},
        "plan": None,
    }
    layer = "(buildLayer { deps = [ ]; }).layer"
    assert evaluate(f"[ {layer}.maxLayers {layer}.strategy ]") == [1, "update-cost"]


def test_functions_of_nix2container_split_an_image_as_it_does() -> None:
    for function in ("buildImage", "buildLayer"):
        assert (
            evaluate(
                f"""
            let function = nix2container.{function}; in
            if "{function}" == "buildLayer" then (function {{ }}).layer
            else builtins.head (function {{ name = "a"; }}).drvAttrs.description.layers
            """
            ).items()
            >= {"maxLayers": 1, "strategy": "popularity"}.items()
        )


def test_weights_are_those_of_patterns() -> None:
    assert evaluate(
        """
        (describe {
          name = "a";
          volatile = [ "app*" "web*" ];
          weights = { "web*" = 20; "libc" = 0.5; };
        }).weights
        """
    ) == {"app*": 100, "web*": 20, "libc": 0.5}


def test_an_image_with_everything() -> None:
    description = evaluate(
        """
        describe {
          name = "ghcr.io/Me/App";
          tag = "1.0";
          arch = "arm64";
          created = "2020-02-02T02:02:02Z";
          annotations.a = "b";
          copyToRoot = package "one";
          perms = [
            { path = package "one"; regex = "/tmp"; mode = "1777"; uid = 1; gid = 2; uname = "u";
              gname = "g"; }
            { path = package "two"; }
          ];
          maxLayers = 7;
          strategy = "single";
          initializeNixDatabase = true;
          nixUid = 1000;
          nixGid = 100;
          layers = [ (buildLayer {
            deps = [ (package "three") "${package "four"}/bin/x" ];
            copyToRoot = [ (package "five") (package "six") ];
            ignore = package "seven";
            reproducible = false;
            metadata = { author = "me"; comment = "c"; };
          }) ];
        }
        """
    )
    paths = {name: evaluate(f'"${{package "{name}"}}"') for name in ("one", "two", "three", "four")}
    below, own = description["layers"]
    assert description["name"] == "ghcr.io/me/app"
    assert description["tag"] == "1.0"
    assert description["architecture"] == "arm64"
    assert description["created"] == "2020-02-02T02:02:02Z"
    assert description["annotations"] == {"a": "b"}
    assert description["nixDatabase"] == {"uid": 1000, "gid": 100}
    assert own["copyToRoot"] == [paths["one"]]
    assert own["maxLayers"] == 7
    assert own["strategy"] == "single"
    assert own["perms"] == [
        {
            "path": paths["one"],
            "regex": "/tmp",
            "mode": "1777",
            "uid": 1,
            "gid": 2,
            "uname": "u",
            "gname": "g",
        },
        {
            "path": paths["two"],
            "regex": ".*",
            "mode": None,
            "uid": 0,
            "gid": 0,
            "uname": "",
            "gname": "",
        },
    ]
    assert below["roots"] == [paths["three"], paths["four"]]
    assert [path[44:] for path in below["copyToRoot"]] == ["five", "six"]
    assert [path[44:] for path in below["ignore"]] == ["seven"]
    assert below["reproducible"] is False
    assert below["metadata"] == {"author": "me", "comment": "c"}


def test_the_parameters_are_those_of_nix2container() -> None:
    known = evaluate(
        "builtins.mapAttrs (_: f: builtins.attrNames (builtins.functionArgs f)) nix2container"
    )
    common = {"layers", "copyToRoot", "contents", "perms", "maxLayers"}
    ours = {"strategy"}
    assert set(known["buildLayer"]) == common | ours | {
        "deps",
        "ignore",
        "reproducible",
        "metadata",
    }
    assert set(known["pullImage"]) == {
        "imageName",
        "imageDigest",
        "sha256",
        "os",
        "arch",
        "tlsVerify",
        "name",
    }
    assert set(known["pullImageFromManifest"]) == {
        "imageName",
        "imageManifest",
        "imageTag",
        "os",
        "arch",
        "tlsVerify",
        "registryUrl",
    }
    ours |= {"annotations", "plan", "volatile", "weights"}
    assert set(known["buildImage"]) == common | ours | {
        "name",
        "tag",
        "config",
        "fromImage",
        "arch",
        "initializeNixDatabase",
        "nixUid",
        "nixGid",
        "created",
        "meta",
    }


def test_the_derivation_is_named_for_the_image() -> None:
    images = {
        "app": "image-app.json",
        "localhost:5000/me/app": "image-app.json",
        "me/a-b__c.d": "image-a-b__c.d.json",
    }
    names = evaluate_all([f"(buildImage {{ name = {json.dumps(n)}; }}).name" for n in images])
    assert names == list(images.values())


def test_name_and_tag_can_be_read_without_building() -> None:
    tagged = evaluate(
        'let i = buildImage { name = "A/B"; tag = "t"; }; '
        "in [ i.imageName i.imageTag i.imageRefUnsafe ]"
    )
    assert tagged == ["a/b", "t", "a/b:t"]
    untagged = evaluate('let i = buildImage { name = "a"; }; in [ i.imageTag i.outPath ]')
    assert untagged[1].startswith(f"/nix/store/{untagged[0]}-image-a.json")
    assert re.fullmatch(r"[0-9a-z]{32}", untagged[0])


@pytest.mark.parametrize(
    ("system", "architecture"),
    [
        ("x86_64-linux", "amd64"),
        ("aarch64-linux", "arm64"),
        ("i686-linux", "386"),
        ("armv7l-linux", "arm"),
        ("riscv64-linux", "riscv64"),
        ("powerpc64le-linux", "ppc64le"),
    ],
)
def test_the_architecture_is_that_of_the_packages(system: str, architecture: str) -> None:
    platform = f'{{ system = "{system}"; }}'
    assert evaluate(f"import {NIX}/architecture.nix {platform}") == architecture


# The config


def test_config_keys_are_taken_in_any_case() -> None:
    config = evaluate(
        """
        (describe {
          name = "a";
          config = {
            entrypoint = [ "${package "x"}/bin/x" ];
            CMD = [ "a" TINY ];
            Workingdir = "/w";
            Env = [ "A=b" ];
            user = null;
            exposedPorts."80/tcp" = { };
            Labels.l = "m";
            healthcheck = { test = [ "CMD" "x" ]; interval = 5; };
            argsEscaped = true;
            StopTimeout = 3;
          };
        }).config
        """.replace("TINY", str(TINY))
    )
    entrypoint, command = config.pop("Entrypoint"), config.pop("Cmd")
    assert config == {
        "WorkingDir": "/w",
        "Env": ["A=b"],
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"l": "m"},
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 5},
        "ArgsEscaped": True,
        "StopTimeout": 3,
    }
    assert re.fullmatch(r"/nix/store/[0-9a-z]{32}-x/bin/x", entrypoint[0])
    # A path is what it is in the store, so that it is there when the image runs.
    assert command[0] == "a"
    assert re.fullmatch(r"/nix/store/[0-9a-z]{32}-tiny.nix", command[1])


def test_the_keys_are_those_that_the_reader_knows() -> None:
    error = evaluation_error('describe { name = "a"; config.unknown = 1; }')
    known = error.partition("known are ")[2].splitlines()[0]
    assert known.split(", ") == sorted(CONFIG_KEYS)


# Layers

Layers = list[tuple[int, list[int]]]


@st.composite
def layer_graphs(draw: st.DrawFn) -> tuple[Layers, list[int]]:
    """Layers that name others before them, some with equal contents; and what the image names."""
    count = draw(st.integers(1, 7))
    layers = [
        (draw(st.integers(0, 5)), draw(st.lists(st.integers(0, at - 1), max_size=4)) if at else [])
        for at in range(count)
    ]
    return layers, draw(st.lists(st.integers(0, count - 1), max_size=4))


def nix2containers_order(layers: Layers, top: list[int]) -> list[int]:
    """Return the contents of the image's layers as nix2container orders them, each once."""

    def nested(at: int) -> list[int]:
        _, below = layers[at]
        return [x for layer in below for x in nested(layer)] + below

    everything = [x for layer in top for x in nested(layer)] + top
    return list(dict.fromkeys(layers[at][0] for at in everything))


@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(st.lists(layer_graphs(), min_size=20, max_size=40))
def test_layers_have_nix2containers_order(graphs: list[tuple[Layers, list[int]]]) -> None:
    expressions = []
    for layers, top in graphs:
        lets = "".join(
            f'l{at} = buildLayer {{ deps = [ (package "p{content}") ]; '
            f"layers = [ {' '.join(f'l{b}' for b in below)} ]; }};\n"
            for at, (content, below) in enumerate(layers)
        )
        names = " ".join(f"l{at}" for at in top)
        expressions.append(
            f"let {lets} in map (layer: map (p: builtins.substring 44 (-1) p) layer.roots)"
            f' (describe {{ name = "a"; layers = [ {names} ]; }}).layers'
        )
    # The image's own layer, without roots here, is the last.
    expected = [[*([f"p{c}"] for c in nix2containers_order(*graph)), []] for graph in graphs]
    assert evaluate_all(expressions) == expected


def test_a_chain_where_each_layer_names_all_before_it_stays_small() -> None:
    """With nix2container, thirty links are 2^29 arguments."""
    started = time.monotonic()
    layers: list[Any] = evaluate(
        """
        let
          layerOf = layers: name: buildLayer { inherit layers; deps = [ (package name) ]; };
          link = layers: name: layers ++ [ (layerOf layers name) ];
          chain = builtins.foldl' link [ ] (builtins.genList (n: "p${toString n}") 60);
        in
        (describe { name = "a"; layers = chain; }).layers
        """
    )
    assert [layer["roots"][0][44:] for layer in layers[:-1]] == [f"p{n}" for n in range(60)]
    assert time.monotonic() - started < 10


# What is refused


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ('buildImage { name = "a"; maxLayer = 1; }', "unexpected argument 'maxLayer'"),
        ("buildLayer { dep = [ ]; }", "unexpected argument 'dep'"),
        ('buildImage { name = "a"; maxLayer = 1; }', "Did you mean maxLayers?"),
        (
            'describe { name = "a"; fromImage = { }; }',
            "buildImage: `fromImage` holds set, not a derivation or a store path",
        ),
        (
            'describe { name = "a"; fromImage = "alpine:latest"; }',
            "buildImage: `fromImage` names `alpine:latest`, which is not in /nix/store",
        ),
        (
            'describe { name = "a b"; }',
            "buildImage: `name` is `a b`, which no registry accepts; a name looks like `app` or ",
        ),
        ('describe { name = ""; }', "buildImage: `name` is ``, which no registry accepts"),
        (
            'describe { name = "app:1.0"; }',
            "buildImage: `name` is `app:1.0`, which is more than a name; say the tag with `tag`",
        ),
        (
            'describe { name = "a"; tag = "1.0+git"; }',
            "buildImage: `tag` is `1.0+git`, which no registry accepts; a tag is up to 128 ",
        ),
        ('describe { name = "a"; tag = ""; }', "buildImage: `tag` is ``, which no registry"),
        (
            'nix2container.pullImageFromManifest { imageName = "library/alpine"; }',
            "pullImageFromManifest: `imageManifest` is missing for `library/alpine`; run its ",
        ),
        (
            'describe { name = "a"; layers = [ (buildLayer { metadata.creator = "x"; }) ]; }',
            "buildLayer: `metadata.creator` is not a key; did you mean `created`?",
        ),
        ("describe { name = 1; }", "buildImage: `name` is int, not string"),
        ('describe { name = "a"; tag = 1; }', "buildImage: `tag` is int, not string"),
        (
            'describe { name = "a"; config = [ ]; }',
            "buildImage: `config` is list, not an attribute set",
        ),
        (
            'describe { name = "a"; config.Entrypiont = [ ]; }',
            "buildImage: `config.Entrypiont` is not a key; did you mean `Entrypoint`?",
        ),
        ('describe { name = "a"; config.X = null; }', "buildImage: `config.X` is not a key"),
        (
            'describe { name = "a"; config = { Cmd = [ ]; cmd = [ ]; }; }',
            "buildImage: `config` has a key in two spellings; given are Cmd, cmd",
        ),
        (
            'describe { name = "a"; config.entrypoint = "/bin/sh"; }',
            "buildImage: `config.entrypoint` is not a list of strings",
        ),
        (
            'describe { name = "a"; config.Env = [ 1 ]; }',
            "buildImage: `config.Env` is not a list of strings",
        ),
        (
            'describe { name = "a"; config.ExposedPorts = [ "80" ]; }',
            "buildImage: `config.ExposedPorts` is not an attribute set of empty attribute sets",
        ),
        (
            'describe { name = "a"; config.Labels.a = 1; }',
            "buildImage: `config.Labels` is not an attribute set of strings",
        ),
        (
            'describe { name = "a"; config.Healthcheck.Tset = [ ]; }',
            "buildImage: `config.Healthcheck.Tset` is not a key; known are Interval, Retries, ",
        ),
        (
            'describe { name = "a"; config.Healthcheck.retry = 1; }',
            "buildImage: `config.Healthcheck.retry` is not a key; did you mean `Retries`?",
        ),
        (
            'describe { name = "a"; config.Environment = [ ]; }',
            "buildImage: `config.Environment` is not a key; did you mean `Env`?",
        ),
        (
            'describe { name = "a"; layers = [ pkgs ]; }',
            "buildImage: `layers` holds a set that `buildLayer` did not make",
        ),
        (
            'describe { name = "a"; layers = buildLayer { }; }',
            "buildImage: `layers` is set, not a list",
        ),
        ('describe { name = "a"; maxLayers = "1"; }', "buildImage: `maxLayers` is string, not int"),
        ('describe { name = "a"; volatile = "x"; }', "buildImage: `volatile` is string, not list"),
        (
            'describe { name = "a"; weights.x = "1"; }',
            "buildImage: `weights.x` is string, not int or float",
        ),
        (
            'describe { name = "a"; weights.x = 0; }',
            "buildImage: `weights.x` is 0, not from 0.001 to 1000000",
        ),
        (
            'describe { name = "a"; annotations.a = 1; }',
            "buildImage: `annotations.a` is int, not string",
        ),
        (
            'describe { name = "a"; perms = [ { } ]; }',
            "buildImage: an element of `perms` has no `path`",
        ),
        (
            'describe { name = "a"; perms = [ { path = package "x"; mod = "1"; } ]; }',
            "buildImage: `perms.mod` is not a key; did you mean `mode`?",
        ),
        (
            'describe { name = "a"; perms = [ { path = package "x"; owner = "1"; } ]; }',
            "buildImage: `perms.owner` is not a key; known are path, regex, mode, uid, gid, ",
        ),
        (
            'describe { name = "a"; perms = [ { path = package "x"; mode = "rwx"; } ]; }',
            "buildImage: `perms.mode` is `rwx`, not an octal number like `0644`",
        ),
        (
            "(buildLayer { deps = [ 1 ]; }).key",
            "buildLayer: `deps` holds int, not a derivation or a store path",
        ),
        (
            '(buildLayer { deps = [ "/etc/passwd" ]; }).key',
            "buildLayer: `deps` names `/etc/passwd`, which is not in /nix/store",
        ),
        ("(buildLayer { deps = pkgs; }).key", "buildLayer: `deps` is set, not list"),
        (
            '(buildLayer { copyToRoot = "${package "x"}/bin"; }).key',
            "/bin`, which is below a store path; name a store path itself",
        ),
        (
            '(buildLayer { copyToRoot = package "x"; contents = package "x"; }).key',
            "buildLayer: `contents` is the old name of `copyToRoot`; both are given",
        ),
        (
            '(buildLayer { metadata.createdBy = "x"; }).key',
            "buildLayer: `metadata.createdBy` is not a key; did you mean `created_by`?",
        ),
        (
            f'import {NIX}/architecture.nix {{ system = "vax-linux"; }}',
            "buildImage: no OCI architecture is known for `vax-linux`; give `arch`",
        ),
    ],
)
def test_what_is_wrong_is_named(expression: str, message: str) -> None:
    assert message in evaluation_error(expression)


def test_the_old_name_of_copy_to_root_still_works() -> None:
    expression = '(describe { name = "a"; contents = [ (package "x") ]; }).layers'
    layers = evaluate(expression)
    assert layers[0]["copyToRoot"][0].endswith("-x")
    argv = ["--eval", "--strict", "--readonly-mode", "--expr", PRELUDE + expression]
    words = NixProgram().run("nix-instantiate", *argv).stderr
    assert "buildImage: `contents` is deprecated, say `copyToRoot`" in words


def test_names_are_those_that_a_reference_may_have() -> None:
    words = ("a", "b-c", "-", "a--b", "a_b", "a___b", "a.b", "a..b", "localhost", "x.y", "[::1]")
    names = [*words, *("x:1", "a@b", "", "a b", "a/", "/a", "a" * 256, "a" * 255)]
    names += [f"{left}/{right}" for left in (*words, "x.y:80", "x:", "é") for right in words]
    check = f"(import {NIX}/image-name.nix).checkName"
    accepted = evaluate_all(
        [f"(builtins.tryEval ({check} {in_nix(name)})).success" for name in names]
    )
    assert dict(zip(names, accepted, strict=True)) == {name: is_name(name) for name in names}


def in_nix(text: str) -> str:
    # JSON's escapes of other characters are not Nix's.
    return json.dumps(text, ensure_ascii=False)


def is_name(text: str) -> bool:
    try:
        reference = ImageReference.parse(text)
    except InputError:
        return False
    return reference.name == text
