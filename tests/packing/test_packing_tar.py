"""The bytes of a layer: nix2container's own digests, any size in little memory, nothing half."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nixbridge.closure import NarHash, PathInfo, StorePath, StoreRoot
from nixbridge.errors import PackError
from nixbridge.layering import PlannedPath
from nixbridge.packing import LayerTree, packed_layer, write_blob, write_tar

PATH = StorePath(f"/nix/store/{'0' * 32}-a")
MIB = 1 << 20


def digest_of(tree: LayerTree) -> str:
    sink = io.BytesIO()
    diff_id = write_tar(tree, sink)
    assert hashlib.sha256(sink.getvalue()).hexdigest() == diff_id.hex
    assert len(sink.getvalue()) == tree.tar_size_bytes
    return diff_id.hex


def tree_of(root: Path) -> LayerTree:
    info = PathInfo(path=PATH, nar_hash=NarHash("0" * 64), nar_size_bytes=1, references=())
    tree = LayerTree()
    tree.add_store_path(PlannedPath(info=info), StoreRoot(root))
    return tree


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the files of `PATH` are."""
    place = StoreRoot(tmp_path).locate(PATH)
    place.mkdir(parents=True)
    return place


def test_nix2container_digest_of_an_empty_file() -> None:
    # nix/layers_test.go, TestNewLayers: `../data/layer1/file1`
    tree = LayerTree()
    tree.add_file_bytes("../data/layer1/file1", b"")
    assert tree.tar_size_bytes == 3072
    assert digest_of(tree) == "cc45bd46eca903b0900ebb997dffd5778904dca9ec02e7375dd1e653dfb61e2e"


def test_nix2container_digest_of_a_file_with_perms() -> None:
    # nix/layers_test.go, TestPerms: the same file with mode 0641
    tree = LayerTree()
    tree.add_file_bytes("../data/layer1/file1", b"", mode=0o641)
    assert tree.tar_size_bytes == 3072
    assert digest_of(tree) == "adf74a52f9e1bcd7dab77193455fa06743b979cf5955148010e5becedba4f72d"


def test_nix2container_digest_of_a_directory() -> None:
    # nix/tar_test.go, TestTar: `../data/tar-directory`
    tree = LayerTree()
    tree.add_directory("../data/tar-directory")
    tree.add_file_bytes("../data/tar-directory/file1", b"content file1")
    tree.add_symlink("../data/tar-directory/symlink", "file1")
    assert tree.tar_size_bytes == 4096
    assert digest_of(tree) == "1ea63d00b937dc24c711265b80444cc9e7e63751fb7f349b160be61d31381983"


@pytest.fixture(params=["one processor", "all processors"])
def _processors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run on one processor, where hashing has no thread of its own, and on all that there are."""
    all_of_them = os.sched_getaffinity(0)
    if request.param == "one processor":
        os.sched_setaffinity(0, {min(all_of_them)})
    yield
    os.sched_setaffinity(0, all_of_them)


@pytest.mark.usefixtures("_processors")
def test_file_read_from_a_store_is_as_one_given_as_bytes(tmp_path: Path, place: Path) -> None:
    expected = LayerTree()
    place.chmod(0o755)
    expected.add_directory(str(PATH))
    sizes = [0, 1, 511, 512, 513, 65535, 65536, 65537, MIB - 512, MIB - 1, MIB, MIB + 1, 5 * MIB]
    for number, size_bytes in enumerate(sizes):
        data = hashlib.shake_128(b"%d" % number).digest(size_bytes)
        (place / f"{number:02}").write_bytes(data)
        (place / f"{number:02}").chmod(0o444)
        expected.add_file_bytes(f"{PATH}/{number:02}", data, mode=0o444)
    assert digest_of(tree_of(tmp_path)) == digest_of(expected)


def test_what_is_said_of_a_tree_is_in_the_packed_layer() -> None:
    tree = LayerTree()
    tree.add_file_bytes("/file", b"x")
    sink = io.BytesIO()
    known = write_blob(tree, sink)
    info = PathInfo(path=PATH, nar_hash=NarHash("0" * 64), nar_size_bytes=7, references=())
    packed = packed_layer(known, infos=(info,), reason="why", history={"comment": "c"})
    assert (packed.paths, packed.reason, packed.history) == ((PATH,), "why", {"comment": "c"})
    assert packed.tar_size_bytes == packed.descriptor.size_bytes == len(sink.getvalue()) == 2560
    assert packed.descriptor.digest.hex == packed.diff_id.hex


def shrink(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def grow(file: Path) -> None:
    os.truncate(file, file.stat().st_size + 1)


@pytest.mark.parametrize("size_bytes", [10, 3 * MIB])
@pytest.mark.parametrize("change", [shrink, grow])
def test_file_that_changes_while_it_is_packed_is_named(
    tmp_path: Path, place: Path, size_bytes: int, change: Callable[[Path], None]
) -> None:
    file = place / "file"
    file.write_bytes(bytes(size_bytes))
    tree = tree_of(tmp_path)
    change(file)
    with pytest.raises(PackError) as caught:
        write_tar(tree, io.BytesIO())
    assert caught.value.message == (
        f"`{PATH}/file` changed while it was packed: it should have {size_bytes} bytes"
    )
    assert caught.value.hint == "a store path never changes; check it with `nix store verify`"


@pytest.mark.parametrize("size_bytes", [10, 3 * MIB])
def test_file_that_vanishes_while_it_is_packed_is_named(
    tmp_path: Path, place: Path, size_bytes: int
) -> None:
    (place / "file").write_bytes(bytes(size_bytes))
    tree = tree_of(tmp_path)
    (place / "file").unlink()
    with pytest.raises(PackError) as caught:
        write_tar(tree, io.BytesIO())
    assert caught.value.message == f"`{PATH}/file` is not there"


@pytest.mark.parametrize("size_bytes", [10, 3 * MIB])
def test_file_that_cannot_be_read_is_named(tmp_path: Path, place: Path, size_bytes: int) -> None:
    (place / "file").write_bytes(bytes(size_bytes))
    tree = tree_of(tmp_path)
    (place / "file").unlink()
    (place / "file").mkdir()  # which even root cannot read as a file
    with pytest.raises(PackError) as caught:
        write_tar(tree, io.BytesIO())
    assert caught.value.message == f"reading `{PATH}/file` failed: is a directory"


@pytest.mark.parametrize("size_bytes", [10, 3 * MIB, None], ids=["small", "large", "directory"])
def test_what_a_plain_user_may_not_read_is_named(size_bytes: int | None) -> None:
    """Root may read everything, so root becomes somebody else for this."""

    def pack() -> str:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        try:
            write_tar(tree_of(root), io.BytesIO())
        except PackError as error:
            return error.message
        return "it was read"

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        place = StoreRoot(root).locate(PATH) / "secret"
        place.parent.mkdir(parents=True)
        if size_bytes is None:
            place.mkdir()
        else:
            place.write_bytes(bytes(size_bytes))
        place.chmod(0)
        assert in_a_fork(pack) == f"reading `{PATH}/secret` failed: permission denied"
        place.chmod(0o700)


def in_a_fork(action: Callable[[], str]) -> str:
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(theirs, action().encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours) as pipe:  # noqa: PTH123 - it has no name
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def test_error_of_the_sink_is_its_own() -> None:
    class FullDisk:
        def write(self, data: bytes | memoryview, /) -> None:
            raise OSError(28, f"no room for {len(data)} bytes")

    tree = LayerTree()
    tree.add_file_bytes("/file", bytes(3 * MIB))
    with pytest.raises(OSError, match="no room for 1048576 bytes"):
        write_tar(tree, FullDisk())


PACK = """
import io, os, sys
sys.path[:0] = [sys.argv[2]]
os.umask(int(sys.argv[3], 8))
from pathlib import Path
from test_packing_tar import digest_of, tree_of
print(digest_of(tree_of(Path(sys.argv[1]))))
"""


def test_neither_locale_nor_umask_nor_order_nor_hash_seed_nor_folder_has_a_say(
    tmp_path: Path,
) -> None:
    names = [b"b", b"a", "ü".encode(), b"\xff\xfe", b"z" * 150, b"A", "日本".encode() * 20, b"a-b"]
    digests = set()
    for number, order in enumerate((names, names[::-1], sorted(names))):
        root = tmp_path / f"root ü {number}"
        place = StoreRoot(root).locate(PATH)
        place.mkdir(parents=True)
        for name in map(os.fsdecode, order):
            (place / name).mkdir()
            (place / name).chmod(0o755)
            (place / name / "link").symlink_to(name)
        place.chmod(0o755)
        for locale, umask in (("C", "077"), ("C.UTF-8", "022"), ("POSIX", "000")):
            done = subprocess.run(
                [sys.executable, "-c", PACK, root, Path(__file__).parent, umask],
                check=True,
                capture_output=True,
                text=True,
                env={
                    **os.environ,
                    "LC_ALL": locale,
                    "PYTHONCOERCECLOCALE": "0",
                    "PYTHONUTF8": "0",
                    "PYTHONHASHSEED": str(number),
                    "TZ": f"UTC{number}",
                },
            )
            digests.add(done.stdout)
        shutil.rmtree(root)
    assert len(digests) == 1


MEASURE = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[2]]
from test_packing_tar import tree_of
from nixbridge.packing import write_tar

class Nowhere:
    def write(self, data):
        pass

def peak_kib():
    # Not getrusage, which counts what the process was before it became Python: the test's.
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1])

tree = tree_of(Path(sys.argv[1]))
before = peak_kib()
write_tar(tree, Nowhere())
print(peak_kib() - before)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path, place: Path) -> None:
    with (place / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, tmp_path, Path(__file__).parent],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) < 16 << 10
