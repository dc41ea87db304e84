"""The bytes of a layer, judged by nix2container's own digests."""

from __future__ import annotations

import hashlib
import io

from nixbridge.packing import LayerTree, write_tar


def test_nix2container_digest_of_an_empty_file() -> None:
    # nix/layers_test.go, TestNewLayers: `../data/layer1/file1`
    tree = LayerTree()
    tree.add_file_bytes("../data/layer1/file1", b"")
    check(tree, "cc45bd46eca903b0900ebb997dffd5778904dca9ec02e7375dd1e653dfb61e2e", 3072)


def test_nix2container_digest_of_a_file_with_perms() -> None:
    # nix/layers_test.go, TestPerms: the same file with mode 0641
    tree = LayerTree()
    tree.add_file_bytes("../data/layer1/file1", b"", mode=0o641)
    check(tree, "adf74a52f9e1bcd7dab77193455fa06743b979cf5955148010e5becedba4f72d", 3072)


def test_nix2container_digest_of_a_directory() -> None:
    # nix/tar_test.go, TestTar: `../data/tar-directory`
    tree = LayerTree()
    tree.add_directory("../data/tar-directory")
    tree.add_file_bytes("../data/tar-directory/file1", b"content file1")
    tree.add_symlink("../data/tar-directory/symlink", "file1")
    check(tree, "1ea63d00b937dc24c711265b80444cc9e7e63751fb7f349b160be61d31381983", 4096)


def check(tree: LayerTree, digest_hex: str, size_bytes: int) -> None:
    sink = io.BytesIO()
    diff_id = write_tar(tree, sink)
    assert hashlib.sha256(sink.getvalue()).hexdigest() == digest_hex
    assert diff_id.hex == digest_hex
    assert (len(sink.getvalue()), tree.tar_size_bytes) == (size_bytes, size_bytes)
