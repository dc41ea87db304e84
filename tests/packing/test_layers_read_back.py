"""Any tree comes back from its layer as it was: 200 random trees judged by Python's tarfile, 60 by
GNU tar, 60 by bsdtar, and 15 by umoci, which unpacks them as an image.
"""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from destinations.sample_image import Sample
from fake_store import Node, make
from nixbridge.closure import NarHash, PathInfo, StorePath, StoreRoot
from nixbridge.layering import PlannedLayer, PlannedPath
from nixbridge.packing import layer_tree, write_tar

# What a tar has of a file: its kind and mode, and its contents or target.
Facts = tuple[str, int, bytes]

NAMES = st.one_of(
    st.sampled_from(
        ["bin", "lib", "a", "a-b", "a.b", "A", "with space", "new\nline", "back\\slash"]
    ),
    st.sampled_from(["ü", "日本語", "-rf", "*", "n" * 99, "n" * 101, "n" * 200, "ü" * 100]),
    st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12
    ).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 256),
)
# Names need not be UTF-8, or any text; libarchive complains of those.
ANY_NAMES = NAMES | st.binary(min_size=1, max_size=200).filter(
    lambda name: not {0, ord("/")} & {*name} and name not in {b".", b".."}
).map(os.fsdecode)
FILES = st.tuples(st.binary(max_size=1500), st.booleans())
TARGETS = st.sampled_from(["../x", "/nix/store", "t" * 100, "t" * 101, "ü/" * 80])


def trees(names: st.SearchStrategy[str]) -> st.SearchStrategy[list[Node]]:
    nodes: st.SearchStrategy[Node] = st.recursive(
        st.one_of(FILES, names, TARGETS),
        lambda inner: st.dictionaries(names, inner, max_size=5),
        max_leaves=12,
    )
    directories = st.dictionaries(names, nodes, max_size=5)
    return st.lists(st.one_of(nodes, directories), min_size=1, max_size=3)


def facts_of_folder(folder: Path) -> dict[str, Facts]:
    found: dict[str, Facts] = {}
    for place in [folder, *folder.rglob("*")]:
        status = place.lstat()
        name = "/" + str(place.relative_to(folder)).removeprefix(".")
        if stat.S_ISLNK(status.st_mode):
            found[name] = ("link", 0o777, os.readlink(os.fsencode(place)))  # noqa: PTH115 - as it is
        elif stat.S_ISDIR(status.st_mode):
            found[name] = ("directory", status.st_mode & 0o7777, b"")
        else:
            found[name] = ("file", status.st_mode & 0o7777, place.read_bytes())
    return found


def facts_of_tarfile(archive: bytes) -> dict[str, Facts]:
    found: dict[str, Facts] = {}
    with tarfile.open(fileobj=io.BytesIO(archive), encoding="utf-8") as tar:
        for member in tar:
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "root", "root")
            assert member.mtime == 1
            kind, contents = "directory", b""
            if member.issym():
                kind, contents = "link", os.fsencode(member.linkname)
            elif member.isreg():
                file = tar.extractfile(member)
                assert file is not None
                kind, contents = "file", file.read()
            name = member.name or "/"
            assert name not in found
            found[name] = (kind, member.mode, contents)
    return found


@contextmanager
def extracted(tool: str, archive: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        # Both take the leading slash away; bsdtar needs a locale to know what its names are.
        subprocess.run(
            [tool, "-x", "-p", "-f", "-", "-C", folder],
            input=archive,
            check=True,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
        yield Path(folder)


def pack(nodes: list[Node]) -> tuple[bytes, dict[str, Facts]]:
    """Return the layer that has a store path for each node, and what should be in it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "nix/store").mkdir(parents=True)
        for directory in (root, root / "nix", root / "nix/store"):
            directory.chmod(0o755)
        paths = []
        for number, node in enumerate(nodes):
            path = StorePath(f"/nix/store/{number:032}-{'x' * (1 + 80 * number)}")
            make(StoreRoot(root).locate(path), node)
            info = PathInfo(path=path, nar_hash=NarHash("0" * 64), nar_size_bytes=1, references=())
            paths.append(PlannedPath(info=info))
        layer = PlannedLayer(paths=tuple(paths), reason="test", history={})
        tree = layer_tree(layer, StoreRoot(root))
        sink = io.BytesIO()
        write_tar(tree, sink)
        assert len(sink.getvalue()) == tree.tar_size_bytes
        return sink.getvalue(), facts_of_folder(root)


@settings(deadline=None, max_examples=200)
@given(trees(ANY_NAMES))
def test_tarfile_reads_back_what_was_packed(nodes: list[Node]) -> None:
    archive, packed = pack(nodes)
    read = facts_of_tarfile(archive)
    assert read == packed
    assert list(read) == sorted(read, key=lambda name: os.fsencode(name.rstrip("/")).split(b"/"))


@pytest.mark.tools
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(nodes=trees(ANY_NAMES))
def test_gnu_tar_reads_back_what_was_packed(
    require_tool: Callable[[str], str], nodes: list[Node]
) -> None:
    archive, packed = pack(nodes)
    with extracted(require_tool("tar"), archive) as folder:
        folder.chmod(0o755)
        assert facts_of_folder(folder) == packed


@pytest.mark.tools
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(nodes=trees(NAMES))
def test_bsdtar_reads_back_what_was_packed(
    require_tool: Callable[[str], str], nodes: list[Node]
) -> None:
    archive, packed = pack(nodes)
    # Go leaves the plain field empty for a target without any ASCII, though the PAX record has it;
    # libarchive takes that for a file. Our bytes must be Go's.
    assume(all(kind != "link" or min(text) <= 0x7F for kind, _, text in packed.values()))
    with extracted(require_tool("bsdtar"), archive) as folder:
        folder.chmod(0o755)
        assert facts_of_folder(folder) == packed


@pytest.mark.tools
@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(nodes=trees(ANY_NAMES))
def test_umoci_unpacks_what_was_packed(
    require_tool: Callable[[str], str], nodes: list[Node]
) -> None:
    archive, packed = pack(nodes)
    with tempfile.TemporaryDirectory() as folder:
        Sample((archive,)).deliver(f"oci:{folder}/image:test")
        argv = ("raw", "unpack", "--rootless", "--image", f"{folder}/image:test")
        root = Path(folder) / "root"
        subprocess.run([require_tool("umoci"), *argv, str(root)], check=True, capture_output=True)
        assert facts_of_folder(root) == packed


@pytest.mark.tools
@pytest.mark.parametrize("tool", ["tar", "bsdtar"])
def test_other_tools_know_the_owners(tool: str, require_tool: Callable[[str], str]) -> None:
    archive, packed = pack([{"file": (b"x", True)}])
    listing = subprocess.run(
        [require_tool(tool), "-t", "-v", "-f", "-"],
        input=archive,
        check=True,
        capture_output=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
    ).stdout.decode()
    lines = listing.splitlines()
    assert len(lines) == len(packed)
    assert all("1970" in line for line in lines)
    assert all("root/root" in line or line.split()[2:4] == ["root", "root"] for line in lines)
    assert lines[-1].startswith("-r-xr-xr-x")
