"""What `--history` names, as it is read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from layering.test_layering_history import FIRST, SECOND, THIRD
from nixbridge.closure import ClosureGraph
from nixbridge.description import ImageDescription, describe_closure, description_document
from nixbridge.destinations import Access
from nixbridge.errors import InputError
from nixbridge.history import read_history
from nixbridge.layering import learn_weights
from nixbridge.layering.history import Release
from nixbridge.oci import Platform
from nixbridge.report.closure import closure_document


def access() -> Access:
    return Access(environment={}, warn=lambda _message, hint=None: pytest.fail(str(hint)))


def described(graph: ClosureGraph) -> ImageDescription:
    roots = [info.path for info in graph]
    platform = Platform(architecture="amd64")
    return describe_closure(graph, roots, name="shop", tag="1", platform=platform)


def path_info(graph: ClosureGraph, shape: str) -> object:
    """Return a closure as Nix prints it: of 2.8, of 2.26, or of 2.34 in its second format."""
    entries = {
        str(info.path): {
            "narHash": str(info.nar_hash),
            "narSize": info.nar_size_bytes,
            "references": [str(path) for path in info.references],
        }
        for info in graph
    }
    if shape == "2.26":
        return entries
    if shape == "2.8":
        return [{"path": path, **entry} for path, entry in entries.items()]

    def name(path: str) -> str:
        return path.rpartition("/")[2]

    return {
        "storeDir": "/nix/store",
        "version": 2,
        "info": {
            name(path): {
                **entry,
                "version": 2,
                "references": [name(str(each)) for each in graph_references(entry)],
            }
            for path, entry in entries.items()
        },
    }


def graph_references(entry: dict[str, object]) -> list[object]:
    references = entry["references"]
    assert isinstance(references, list)
    return references


@pytest.mark.parametrize("shape", ["2.8", "2.26", "2.34", "closure", "description"])
def test_closures_in_files_are_read(shape: str, tmp_path: Path) -> None:
    names = []
    for number, graph in enumerate((FIRST, SECOND)):
        document = {
            "closure": closure_document,
            "description": lambda graph: description_document(described(graph)),
        }.get(shape, lambda graph: path_info(graph, shape))(graph)
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(document))
        names.append(str(file))
    found = read_history(names, described(THIRD).closure, access())
    assert found == learn_weights([Release.of_infos(each) for each in (FIRST, SECOND, THIRD)])
    assert found["app"] == found["lib"] > found["libc"] == found["data"]


def test_nothing_is_learned_from_no_history() -> None:
    assert read_history([], described(FIRST).closure, access()) == {}


def write_layout(folder: Path, annotations: dict[str, str]) -> None:
    """Write an OCI layout of one layer, as far as `inspect` looks at it."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(document: object) -> dict[str, object]:
        data = json.dumps(document).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": "x/y", "digest": f"sha256:{digest}", "size": len(data)}

    diff_id = "sha256:" + "1" * 64
    config = blob({"rootfs": {"type": "layers", "diff_ids": [diff_id]}, "history": [{}]})
    layer = {
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "digest": diff_id,
        "size": 1,
        "annotations": annotations,
    }
    manifest = blob({"schemaVersion": 2, "config": config, "layers": [layer]})
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def test_images_that_are_out_are_read(tmp_path: Path) -> None:
    lines = "\n".join(f"{info.path} 1" for info in FIRST)
    write_layout(tmp_path / "out", {"org.nixbridge.store-paths": lines})
    found = read_history([f"oci:{tmp_path}/out"], described(SECOND).closure, access())
    # What refers to what is known from the image that is planned.
    assert found == learn_weights([Release.of_infos(FIRST), Release.of_infos(SECOND)])


def test_image_that_tells_nothing_is_refused(tmp_path: Path) -> None:
    write_layout(tmp_path / "out", {})
    with pytest.raises(InputError) as caught:
        read_history([f"oci:{tmp_path}/out"], described(SECOND).closure, access())
    assert caught.value.message == (
        f"`oci:{tmp_path}/out` does not tell which store paths it holds"
    )
    assert caught.value.hint == (
        "only images that nixbridge has made do: name a file with the closure"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read the closure `{}`: No such file or directory"),
        ("{", "`{}` is not JSON"),
        (
            '[{"path": 1}]',
            "`{}` is not what `nix path-info --json` prints: expected `path` in each entry",
        ),
        (
            '{"paths": [1]}',
            "`{}` is not what `nix path-info --json` prints: expected an object for each path",
        ),
    ],
)
def test_what_is_no_closure_is_refused(text: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "past.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError) as caught:
        read_history([str(file)], described(SECOND).closure, access())
    assert caught.value.message == message.format(file)
