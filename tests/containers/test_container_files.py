from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from containers.handmade import Files, layer_bytes, write_layout
from nixbridge.containers import LayerFiles, merge, read_layers
from nixbridge.destinations.oci_layout import OciLayout
from nixbridge.errors import DestinationError, InputError

FILES: Files = {
    "/": None,
    "/bin": "-> /nix/store/x-programs/bin",
    "/etc": None,
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\n",
    "/etc/up": "-> ../nix/../etc/passwd",
    "/etc/self": "-> self",
    "/etc/gone": "-> /not/here",
    "/nix": None,
    "/nix/store": None,
    "/nix/store/x-programs": None,
    "/nix/store/x-programs/bin": None,
    "/nix/store/x-programs/bin/sh": "-> ./bash",
    "/nix/store/x-programs/bin/bash": "#!",
}


def files_of(folder: Path, *layers: Files, compressed: tuple[int, ...] = ()) -> LayerFiles:
    layout = write_layout(
        folder / "image", [layer_bytes(layer) for layer in layers], compressed=compressed
    )
    return merge(read_layers(OciLayout(directory=layout, name="test")))


@pytest.fixture
def files(tmp_path: Path) -> LayerFiles:
    return files_of(tmp_path, FILES)


def test_a_file(files: LayerFiles) -> None:
    file = files.find("/etc/passwd")
    assert (file.kind, file.mode, file.uid, file.gid, file.layer) == ("file", 0o644, 0, 0, 0)
    assert file.text == "root:x:0:0::/root:/bin/sh\n"
    assert file.size_bytes == len(file.data)


def test_a_link_is_itself_at_the_end_and_followed_on_the_way(files: LayerFiles) -> None:
    link = files.find("/bin/sh")
    assert (link.path, link.kind, link.target) == (
        "/nix/store/x-programs/bin/sh",
        "link",
        "./bash",
    )
    assert files.find("/bin/sh", follow_links=True).text == "#!"
    assert files.find("/etc/up", follow_links=True).path == "/etc/passwd"
    assert files.find("/../etc//./passwd").path == "/etc/passwd"


def test_names_in_a_directory(files: LayerFiles) -> None:
    assert files.names_in("/") == ("bin", "etc", "nix")
    assert files.names_in("/bin") == ("bash", "sh")


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("etc/passwd", "`etc/passwd` is no path in an image", "begin at the root: `/etc/passwd`"),
        ("/etc/pass", "the image has no `/etc/pass`", "`/etc` holds `passwd` and 3 more"),
        (
            "/usr/bin/env",
            "the image has no `/usr/bin/env`: there is no `/usr`",
            "`/` holds `bin`, `etc`, `nix`",
        ),
        (
            "/etc/passwd/x",
            "the image has no `/etc/passwd/x`",
            "`/etc/passwd` holds nothing",
        ),
        (
            "/etc/gone",
            "the image has no `/etc/gone`: there is no `/not`",
            "`/` holds `bin`, `etc`, `nix`",
        ),
        ("/etc/self", "too many links on the way to `/etc/self`", None),
    ],
)
def test_what_is_not_there(files: LayerFiles, path: str, message: str, hint: str | None) -> None:
    with pytest.raises(InputError) as caught:
        files.find(path, follow_links=True)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_what_is_no_file_has_no_text(files: LayerFiles) -> None:
    with pytest.raises(InputError) as caught:
        _ = files.find("/bin").text
    assert caught.value.message == "`/bin` is a link to `/nix/store/x-programs/bin`"
    assert caught.value.hint == "ask for `follow_links=True` to read what it leads to"
    with pytest.raises(InputError) as caught:
        _ = files.find("/etc").text
    assert caught.value.message == "`/etc` is a directory and no file"
    with pytest.raises(InputError) as caught:
        _ = files.find("/etc/passwd").target
    assert caught.value.message == "`/etc/passwd` is a file and no link"


def test_a_layer_that_is_no_tar(tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "image", [b"this is no tar" * 100])
    with pytest.raises(DestinationError) as caught:
        read_layers(OciLayout(directory=layout, name="test"))
    (blob,) = [path for path in layout.glob("blobs/*/*") if path.stat().st_size == 1400]
    assert caught.value.message == f"the layer `{blob}` is no tar archive"
    blob.unlink()
    with pytest.raises(DestinationError) as caught:
        read_layers(OciLayout(directory=layout, name="test"))
    assert caught.value.message == f"cannot read the layer `{blob}`: No such file or directory"


# Layers over each other, as other tools write them: names without a slash, whiteouts, gzip.
LAYERS: tuple[Files, ...] = (
    {
        "./a": None,
        "./a/one": "1",
        "./a/two": "2",
        "./b": None,
        "./b/deep": None,
        "./b/deep/file": "x",
        "c": None,
        "c/old": "old",
        "d": "a file",
        "a.txt": "stays",
    },
    {
        "a/.wh.one": "",
        ".wh.b": "",
        "c/.wh..wh..opq": "",
        "c/new": "new",
        ".wh.d": "",
        "d": None,
        "d/now": "a directory",
    },
    {"a/one": "again"},
)


@pytest.mark.tools
def test_layers_over_each_other(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """As umoci unpacks them."""
    umoci = require_tool("umoci")
    files = files_of(tmp_path, *LAYERS, compressed=(0, 2))
    root = tmp_path / "root"
    argv = [
        umoci,
        "raw",
        "unpack",
        "--rootless",
        "--image",
        f"{tmp_path / 'image'}:test",
        str(root),
    ]
    subprocess.run(argv, check=True, capture_output=True)
    unpacked = {
        "/" + os.path.relpath(Path(directory) / name, root)
        for directory, directories, names in os.walk(root)
        for name in (*directories, *names)
    }
    assert set(files) == unpacked
    assert {"/a/one", "/a/two", "/c/new", "/d/now", "/a.txt"} <= unpacked
    assert files.find("/a/one").text == (root / "a/one").read_text() == "again"
    assert (files.find("/a/one").layer, files.find("/a/two").layer) == (2, 0)
