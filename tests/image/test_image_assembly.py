"""The bytes of config and manifest, key for key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from nixbridge.closure import ClosureGraph
from nixbridge.description import ImageDescription
from nixbridge.image import assemble
from nixbridge.oci import MEDIA_TYPE_LAYER_TAR, BlobDigest, Descriptor, DiffId, Platform
from nixbridge.packing import PackedLayer

CONFIG: dict[str, Any] = {
    "Labels": {"b": "2", "a": "<&>"},
    "Cmd": ("bash",),
    "Healthcheck": {"Retries": 3, "Test": ("CMD", "true"), "Interval": 1_000_000_000},
    "Env": ("USER=root", "PATH=/bin"),
    "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
    "User": "0:0",
    "StopTimeout": 10,
}


def layer(digit: str, **history: str) -> PackedLayer:
    return PackedLayer(
        descriptor=Descriptor(
            media_type=MEDIA_TYPE_LAYER_TAR,
            digest=BlobDigest.from_hex(digit * 64),
            size_bytes=int(digit) * 512,
        ),
        diff_id=DiffId.from_hex(digit * 64),
        tar_size_bytes=int(digit) * 512,
        paths=(),
        reason="a test",
        history=history,
    )


def description(
    config: dict[str, Any], annotations: dict[str, str] | None = None
) -> ImageDescription:
    return ImageDescription(
        name="shop",
        tag="1",
        platform=Platform(architecture="arm64"),
        created="1970-01-01T00:00:01Z",
        config=config,
        annotations=annotations or {},
        layers=(),
        nix_database=None,
        closure=ClosureGraph.of([]),
    )


LAYERS = [layer("1", comment="why", created_by="nixbridge", author="me"), layer("2")]


def test_config() -> None:
    image = assemble(description(CONFIG), LAYERS)
    # As text, because the order of the keys counts.
    assert json.dumps(json.loads(image.config_bytes), indent=1).splitlines() == [
        "{",
        ' "created": "1970-01-01T00:00:01Z",',
        ' "architecture": "arm64",',
        ' "os": "linux",',
        ' "config": {',
        '  "User": "0:0",',
        '  "ExposedPorts": {',
        '   "443/tcp": {},',
        '   "80/tcp": {}',
        "  },",
        '  "Env": [',
        '   "USER=root",',
        '   "PATH=/bin"',
        "  ],",
        '  "Cmd": [',
        '   "bash"',
        "  ],",
        '  "Labels": {',
        '   "a": "<&>",',
        '   "b": "2"',
        "  },",
        '  "Healthcheck": {',
        '   "Test": [',
        '    "CMD",',
        '    "true"',
        "   ],",
        '   "Interval": 1000000000,',
        '   "Retries": 3',
        "  },",
        '  "StopTimeout": 10',
        " },",
        ' "rootfs": {',
        '  "type": "layers",',
        '  "diff_ids": [',
        f'   "sha256:{"1" * 64}",',
        f'   "sha256:{"2" * 64}"',
        "  ]",
        " },",
        ' "history": [',
        "  {",
        '   "created": "1970-01-01T00:00:01Z",',
        '   "created_by": "nixbridge",',
        '   "author": "me",',
        '   "comment": "why"',
        "  },",
        "  {",
        '   "created": "1970-01-01T00:00:01Z"',
        "  }",
        " ]",
        "}",
    ]
    assert b" " not in image.config_bytes
    assert b"\n" not in image.config_bytes


def test_manifest() -> None:
    image = assemble(description(CONFIG, {"b": "2", "a": "ü"}), LAYERS)
    manifest = json.loads(image.manifest_bytes)
    assert manifest == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": f"sha256:{hashlib.sha256(image.config_bytes).hexdigest()}",
            "size": len(image.config_bytes),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": f"sha256:{digit * 64}",
                "size": int(digit) * 512,
            }
            for digit in ("1", "2")
        ],
        "annotations": {"a": "ü", "b": "2"},
    }
    assert list(manifest) == ["schemaVersion", "mediaType", "config", "layers", "annotations"]
    assert list(manifest["annotations"]) == ["a", "b"]
    assert str(image.digest) == f"sha256:{hashlib.sha256(image.manifest_bytes).hexdigest()}"
    assert image.layers == tuple(LAYERS)


def test_what_nix2container_makes_of_it() -> None:
    # Which keys are left is what `nix2container image` at 20d3395 leaves of the same config.
    config = {
        "Env": ("A=1",),
        "Cmd": ("sh",),
        "Healthcheck": {"Test": ("NONE",)},
        "Labels": {"b": "1", "a": "2"},
        "Volumes": {"/x": {}},
        "StopSignal": "SIGTERM",
        "Shell": ("x",),
        "ExposedPorts": {},
        "User": "",
        "Hostname": "h",
    }
    ours = replace(description(config, {"a": "1"}), is_n2c_exact=True)
    annotated = replace(
        LAYERS[1], descriptor=replace(LAYERS[1].descriptor, annotations={"key": "value"})
    )
    image = assemble(ours, [layer("1", created_by="nixbridge"), annotated, layer("3", author="me")])
    assert image.config_bytes.decode() == (
        '{"created":"1970-01-01T00:00:01Z","architecture":"arm64","os":"linux","config":{"Env":'
        '["A=1"],"Cmd":["sh"],"Volumes":{"/x":{}},"Labels":{"a":"2","b":"1"},"StopSignal":'
        '"SIGTERM"},"rootfs":{"type":"layers","diff_ids":['
        f'"sha256:{"1" * 64}","sha256:{"2" * 64}","sha256:{"3" * 64}"]}},"history":['
        '{"created_by":"nix2container"},{"created_by":"nix2container"},'
        '{"created_by":"nix2container","author":"me"}]}'
    )
    assert b"annotations" not in image.manifest_bytes


def test_an_image_of_nothing() -> None:
    image = assemble(description({}), [])
    assert json.loads(image.config_bytes) == {
        "created": "1970-01-01T00:00:01Z",
        "architecture": "arm64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [],
    }
    assert "annotations" not in json.loads(image.manifest_bytes)


@pytest.mark.parametrize("backwards", [CONFIG, CONFIG["Labels"], CONFIG["Healthcheck"]])
def test_equal_descriptions_make_equal_bytes(backwards: dict[str, Any]) -> None:
    def turned(values: dict[str, Any]) -> dict[str, Any]:
        items = reversed(values.items()) if values is backwards else values.items()
        return {key: turned(value) if isinstance(value, dict) else value for key, value in items}

    assert turned(CONFIG) == CONFIG
    one = assemble(description(CONFIG, {"a": "1", "b": "2"}), LAYERS)
    other = assemble(description(turned(CONFIG), {"b": "2", "a": "1"}), LAYERS)
    assert one == other
