"""What a layer holds: the rules for names, parents, modes, owners, perms and clashes."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from nixbridge.closure import NarHash, PathInfo, StorePath, StoreRoot
from nixbridge.description import Perm
from nixbridge.errors import InputError, NixbridgeError, PackError
from nixbridge.layering import PlannedLayer, PlannedPath
from nixbridge.packing import LayerTree, Owner, layer_tree, write_blob, write_tar

HASH = "0" * 32
CLASH_HINT = "put them into two layers, the lower one first, or leave one of them out"


class Store:
    """A store in a folder, whose paths a test makes by name."""

    def __init__(self, root: Path) -> None:
        self.root = StoreRoot(root)

    def place(self, name: str) -> Path:
        place = self.root.locate(path_of(name))
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def tree(self, *paths: PlannedPath) -> LayerTree:
        return layer_tree(PlannedLayer(paths=paths, reason="test", history={}), self.root)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def path_of(name: str) -> StorePath:
    return StorePath(f"/nix/store/{HASH}-{name}")


def planned(name: str, *, copy_to_root: bool = False, perms: tuple[Perm, ...] = ()) -> PlannedPath:
    info = PathInfo(path=path_of(name), nar_hash=NarHash("0" * 64), nar_size_bytes=1, references=())
    return PlannedPath(info=info, copy_to_root=copy_to_root, perms=perms)


def perm(name: str, regex: str, **facts: object) -> Perm:
    return Perm(path=path_of(name), regex=regex, **facts)  # type: ignore[arg-type]


def members(tree: LayerTree) -> list[tarfile.TarInfo]:
    sink = io.BytesIO()
    write_tar(tree, sink)
    sink.seek(0)
    with tarfile.open(fileobj=sink) as tar:
        made = tar.getmembers()
    for one in made:
        one.name = one.name or "/"  # which tarfile takes for a superfluous slash
    return made


def names(tree: LayerTree) -> list[str]:
    return [entry.name.decode() for entry in tree.entries()]


def refusal(store: Store, *paths: PlannedPath) -> NixbridgeError:
    with pytest.raises((PackError, InputError)) as caught:
        store.tree(*paths)
    return caught.value


def test_parents_that_nobody_brings_are_made(store: Store) -> None:
    store.place("a").write_text("x")
    made = members(store.tree(planned("a")))
    assert [(one.name, one.mode, one.isdir(), one.uname, one.uid) for one in made] == [
        ("/", 0o755, True, "root", 0),
        ("/nix", 0o755, True, "root", 0),
        ("/nix/store", 0o755, True, "root", 0),
        (f"/nix/store/{HASH}-a", store.place("a").stat().st_mode & 0o777, False, "root", 0),
    ]
    assert {one.mtime for one in made} == {1}


def test_siblings_are_sorted_as_bytes_and_parents_come_first(store: Store) -> None:
    place = store.place("a")
    for name in ("a/x", "a-b/x", "a.b/x", "A/x", "é/x", "z/x"):
        (place / name).mkdir(parents=True)
    prefix = f"/nix/store/{HASH}-a/"
    inside = [name.removeprefix(prefix) for name in names(store.tree(planned("a")))[4:]]
    assert inside == [
        *("A", "A/x", "a", "a/x", "a-b", "a-b/x", "a.b", "a.b/x", "z", "z/x", "é", "é/x"),
    ]


@pytest.mark.usefixtures("every_mode")
def test_bits_of_the_mode_are_kept_and_links_have_0777(store: Store) -> None:
    place = store.place("a")
    place.mkdir()
    (place / "setuid").write_text("x")
    (place / "setuid").chmod(0o4555)
    (place / "sticky").mkdir()
    (place / "sticky").chmod(0o1777)
    (place / "link").symlink_to("nowhere")
    modes = {one.name.rpartition("/")[2]: one.mode for one in members(store.tree(planned("a")))}
    assert (modes["setuid"], modes["sticky"], modes["link"]) == (0o4555, 0o1777, 0o777)


def test_file_with_two_names_is_two_files(store: Store) -> None:
    place = store.place("a")
    place.mkdir()
    (place / "one").write_text("same")
    (place / "two").hardlink_to(place / "one")
    made = members(store.tree(planned("a")))
    assert [(one.isreg(), one.size) for one in made[4:]] == [(True, 4), (True, 4)]


def test_names_come_from_the_store_and_files_from_its_root(store: Store) -> None:
    (store.place("a")).mkdir()
    (store.place("a") / "file").write_text("content")
    sink = io.BytesIO()
    layer = PlannedLayer(paths=(planned("a"),), reason="why", history={})
    known = write_blob(layer_tree(layer, store.root), sink)
    sink.seek(0)
    with tarfile.open(fileobj=sink) as tar:
        file = tar.extractfile(f"/nix/store/{HASH}-a/file")
        assert file is not None
        assert file.read() == b"content"
    assert known.blob_digest.hex == known.diff_id.hex
    assert known.blob_size_bytes == known.tar_size_bytes == len(sink.getvalue())


def test_files_of_a_path_copied_to_the_root_lose_its_name(store: Store) -> None:
    place = store.place("root")
    (place / "etc").mkdir(parents=True)
    (place / "etc/passwd").write_text("root")
    place.chmod(0o500)  # the root of the image is not the path's own directory
    made = members(store.tree(planned("root", copy_to_root=True)))
    assert [one.name for one in made] == ["/", "/etc", "/etc/passwd"]
    assert made[0].mode == 0o755


def test_name_of_a_path_is_no_regular_expression(store: Store) -> None:
    # nix2container makes a regex of it, in which `+` and `?` are no literals.
    place = store.place("gtk+3?-3.24")
    (place / "lib").mkdir(parents=True)
    assert names(store.tree(planned("gtk+3?-3.24", copy_to_root=True))) == ["/", "/lib"]


def test_empty_directory_copied_to_the_root_makes_an_empty_layer(store: Store) -> None:
    store.place("empty").mkdir()
    tree = store.tree(planned("empty", copy_to_root=True))
    assert names(tree) == []
    assert tree.tar_size_bytes == 1024


def test_directory_that_is_brought_replaces_one_that_was_made(store: Store) -> None:
    store.place("a").mkdir()
    (store.place("root") / "nix").mkdir(parents=True)
    (store.place("root") / "nix").chmod(0o555)
    for order in (("a", "root"), ("root", "a")):
        tree = store.tree(*(planned(name, copy_to_root=name == "root") for name in order))
        modes = {one.name: one.mode for one in members(tree)}
        assert (modes["/nix"], modes["/nix/store"]) == (0o555, 0o755)


def test_perms_apply_where_their_regex_is_found_in_the_store_name(store: Store) -> None:
    place = store.place("root")
    for name in ("tmp", "var/tmp", "home/me"):
        (place / name).mkdir(parents=True)
    (place / "tmpfile").write_text("")
    (place / "tmpfile").chmod(0o444)
    (place / "home/link").symlink_to("me")
    tree = store.tree(
        planned(
            "root",
            copy_to_root=True,
            perms=(
                perm("root", "(/var)?/tmp$", mode=0o1777),
                perm("root", f"^/nix/store/{HASH}-root/home/", uid=1000, gid=100, uname="me"),
                perm("root", "/home/me", gid=7, gname="seven", mode=0o700),
                perm("root", "/link$", uid=1000, gid=100, mode=0o640),
            ),
        )
    )
    facts = {one.name: (one.mode, one.uid, one.gid, one.uname, one.gname) for one in members(tree)}
    home_mode = (place / "home").stat().st_mode & 0o777
    assert facts["/tmp"] == (0o1777, 0, 0, "root", "root")
    assert facts["/var/tmp"] == (0o1777, 0, 0, "root", "root")
    assert facts["/tmpfile"] == (0o444, 0, 0, "root", "root")
    assert facts["/home"] == (home_mode, 0, 0, "root", "root")
    # uid and gid are set by every perm that matches, names only by those that have one.
    assert facts["/home/me"] == (0o700, 0, 7, "me", "seven")
    assert facts["/home/link"] == (0o640, 1000, 100, "me", "root")


def test_regex_never_sees_the_place_that_is_read(store: Store) -> None:
    store.place("a").mkdir()
    tree = store.tree(planned("a", perms=(perm("a", str(store.root.directory), mode=0),)))
    assert members(tree)[-1].mode != 0


def test_made_entries() -> None:
    tree = LayerTree()
    tree.add_symlink("/nix/var/link", "/target", owner=Owner(uid=7))
    tree.add_file_bytes("/nix/var/file", b"data", mode=0o600, owner=Owner(1, 2, "me", "us"))
    tree.add_directory("/nix/store/.links", mode=0o700)
    facts = {one.name: (one.type, one.mode, one.uid, one.uname) for one in members(tree)}
    assert facts["/nix/var/link"] == (tarfile.SYMTYPE, 0o777, 7, "root")
    assert facts["/nix/var/file"] == (tarfile.REGTYPE, 0o600, 1, "me")
    assert facts["/nix/store/.links"] == (tarfile.DIRTYPE, 0o700, 0, "root")
    assert facts["/nix/store"] == (tarfile.DIRTYPE, 0o755, 0, "root")


def test_two_sources_may_bring_the_same_thing(store: Store) -> None:
    for name in ("one", "two"):
        place = store.place(name)
        (place / "etc").mkdir(parents=True)
        (place / "etc/file").write_bytes(b"same" * (1 << 19))
        (place / "etc/link").symlink_to("file")
    tree = store.tree(planned("one", copy_to_root=True), planned("two", copy_to_root=True))
    assert names(tree) == ["/", "/etc", "/etc/file", "/etc/link"]


def make_clash(store: Store, kind: str) -> None:
    for name in ("one", "two"):
        (store.place(name) / "etc").mkdir(parents=True)
    one, two = store.place("one") / "etc/x", store.place("two") / "etc/x"
    match kind:
        case "link":
            one.symlink_to("a")
            two.symlink_to("b")
        case "kind":
            one.symlink_to("a")
            two.mkdir()
        case "mode" | "size" | "contents":
            one.write_text("abc")
            two.write_text({"mode": "abc", "size": "abcd", "contents": "abd"}[kind])
            one.chmod(0o444)
            two.chmod(0o555 if kind == "mode" else 0o444)
        case _:
            raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("link", "`/etc/x` would be two things: a link to `a` from {1} and a link to `b` from {2}"),
        ("kind", "`/etc/x` would be two things: a symlink from {1} and a directory from {2}"),
        ("mode", "`/etc/x` would be two things: mode 0444 from {1} and mode 0555 from {2}"),
        ("size", "`/etc/x` would be two things: 3 bytes from {1} and 4 bytes from {2}"),
        ("contents", "`/etc/x` would be two things: {1} and {2} differ in their contents"),
    ],
)
def test_two_things_on_one_name_are_refused(store: Store, kind: str, message: str) -> None:
    make_clash(store, kind)
    error = refusal(store, planned("one", copy_to_root=True), planned("two", copy_to_root=True))
    one, two = (f"`/nix/store/{HASH}-{name}/etc/x`" for name in ("one", "two"))
    assert error.message == message.replace("{1}", one).replace("{2}", two)
    assert error.hint == CLASH_HINT
    assert error.exit_status == 5


def test_two_owners_on_one_name_are_refused(store: Store) -> None:
    for name in ("one", "two"):
        (store.place(name) / "home").mkdir(parents=True)
    error = refusal(
        store,
        planned("one", copy_to_root=True),
        planned("two", copy_to_root=True, perms=(perm("two", "home", uid=7, uname="me"),)),
    )
    assert error.message == (
        "`/home` would be two things: owner 0:0 (root:root) from "
        f"`/nix/store/{HASH}-one/home` and owner 7:0 (me:root) from `/nix/store/{HASH}-two/home`"
    )


def test_file_below_something_else_than_a_directory_is_refused(store: Store) -> None:
    (store.place("root")).mkdir()
    (store.place("root") / "nix").symlink_to("usr")
    store.place("a").write_text("x")
    error = refusal(store, planned("root", copy_to_root=True), planned("a"))
    assert error.message == (
        f"`/nix` would be a symlink from `/nix/store/{HASH}-root/nix` "
        f"and the directory of `/nix/store/{HASH}-a`"
    )
    error = refusal(store, planned("a"), planned("root", copy_to_root=True))
    assert error.message == (
        f"`/nix` would be two things: a directory from `/nix/store/{HASH}-a` "
        f"and a symlink from `/nix/store/{HASH}-root/nix`"
    )


def test_path_that_vanished_is_named(store: Store) -> None:
    error = refusal(store, planned("gone"))
    assert error.message == f"`/nix/store/{HASH}-gone` is not there"
    assert error.hint == "was it collected as garbage? build it again, and keep it while packing"


def test_only_a_directory_can_be_copied_to_the_root(store: Store) -> None:
    store.place("file").write_text("x")
    error = refusal(store, planned("file", copy_to_root=True))
    assert error.message == (
        f"`/nix/store/{HASH}-file` cannot be copied to the root, as it is not a directory"
    )
    assert error.hint == "put it in a directory, for example with `buildEnv`"


def test_what_no_store_path_may_hold_is_refused(store: Store) -> None:
    store.place("a").mkdir()
    os.mkfifo(store.place("a") / "pipe")
    error = refusal(store, planned("a"))
    assert error.message == (
        f"`/nix/store/{HASH}-a/pipe` is neither a file, a directory nor a symlink"
    )


def test_directory_that_cannot_be_read_is_named(store: Store) -> None:
    # Deeper than any path may be long; root may read everything else.
    place = store.place("a")
    place.mkdir()
    here = os.open(place, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        deeper = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    error = refusal(store, planned("a"))
    assert error.message.startswith(f"reading `/nix/store/{HASH}-a/{'d' * 250}/")
    assert error.message.endswith("` failed: file name too long")


def test_wrong_perms_are_refused(store: Store) -> None:
    store.place("a").mkdir()
    error = refusal(store, planned("a", perms=(perm("a", "(?=x)"),)))
    assert error.message.startswith(
        f"in the perms for `/nix/store/{HASH}-a`, `(?=x)` is not a regular expression: "
    )
    error = refusal(store, planned("a", perms=(perm("a", "", mode=0o10000000),)))
    assert error.message == f"the mode `10000000` for `/nix/store/{HASH}-a` is out of range"
