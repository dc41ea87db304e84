"""The Nix database: judged by SQLite, and by real Nix in a root file system of its own."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from nixbridge.closure import NarHash, PathInfo, StorePath
from nixbridge.description import NixDatabaseRequest
from nixbridge.errors import PlanError
from nixbridge.image import nix_database_tree
from nixbridge.image.nix_database import nix_database_bytes
from nixbridge.packing import LayerTree, write_tar

DIGITS = "0123456789abcdfghijklmnpqrsvwxyz"


def info(number: int, *references: int) -> PathInfo:
    def path(of: int) -> StorePath:
        part = "".join(DIGITS[(of >> 5 * place) & 31] for place in range(32))
        return StorePath.parse(f"/nix/store/{part}-package-{of}")

    return PathInfo(
        path=path(number),
        nar_hash=NarHash(hashlib.sha256(str(number).encode()).hexdigest()),
        nar_size_bytes=number * 1000,
        references=tuple(sorted(path(of) for of in references)),
        deriver=StorePath.parse(f"{path(number)}.drv") if number % 2 else None,
    )


INFOS = [info(1), info(2, 1, 2), info(3, 1, 2), info(4)]


def many_infos(count: int) -> list[PathInfo]:
    chance = random.Random(1)
    return [
        info(number, *{chance.randrange(number + 1) for _ in range(8)}) for number in range(count)
    ]


def in_order(infos: list[PathInfo]) -> list[PathInfo]:
    return sorted(infos, key=lambda info: info.path)


def tar_bytes(tree: LayerTree) -> bytes:
    buffer = io.BytesIO()
    write_tar(tree, buffer)
    return buffer.getvalue()


def open_tar(tree: LayerTree) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(tar_bytes(tree)), mode="r:")


def unpack(tar: tarfile.TarFile, root: Path) -> None:
    for member in tar:
        path = root / member.name.lstrip("/")
        if member.isdir():
            path.mkdir(exist_ok=True)
        elif member.issym():
            path.symlink_to(member.linkname)
        else:
            file = tar.extractfile(member)
            assert file is not None
            path.write_bytes(file.read())


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "db.sqlite"
    path.write_bytes(nix_database_bytes(in_order(INFOS)))
    return path


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_layer() -> None:
    with open_tar(nix_database_tree(INFOS, NixDatabaseRequest(uid=1000, gid=30000))) as tar:
        members = {member.name: member for member in tar}
    owned = {name: member for name, member in members.items() if name not in {"", "/"}}
    assert {(member.uid, member.gid) for member in owned.values()} == {(1000, 30000)}
    # It would be the name of another number.
    assert {(member.uname, member.gname) for member in owned.values()} == {("", "")}
    links = {name: member.linkname for name, member in members.items() if member.issym()}
    assert links == {
        f"/nix/var/nix/gcroots/docker/{info.path.base_name}": str(info.path) for info in INFOS
    }
    directories = {name: member.mode for name, member in owned.items() if member.isdir()}
    assert directories == dict.fromkeys(
        (
            "/nix",
            "/nix/store",
            "/nix/store/.links",
            "/nix/var",
            "/nix/var/nix",
            "/nix/var/nix/db",
            "/nix/var/nix/gcroots",
            "/nix/var/nix/gcroots/docker",
        ),
        0o755,
    )
    files = {name: member.mode for name, member in members.items() if member.isfile()}
    assert files == {"/nix/var/nix/db/db.sqlite": 0o644}


def test_modes_of_nix2container() -> None:
    request = NixDatabaseRequest(uid=1000, gid=30000, is_n2c_exact=True)
    with open_tar(nix_database_tree(INFOS, request)) as tar:
        facts = {one.name: (one.mode, one.uid, one.gid, one.uname, one.gname) for one in tar}
    del facts[""]  # the root is nobody's
    assert "/nix/var/nix/db/db.sqlite" in facts
    assert set(facts.values()) == {(0o755, 1000, 30000, "root", "root")}


def test_root_is_called_root() -> None:
    with open_tar(nix_database_tree([], NixDatabaseRequest())) as tar:
        owners = {(member.uid, member.gid, member.uname, member.gname) for member in tar}
    assert owners == {(0, 0, "root", "root")}


def test_the_order_of_paths_does_not_matter() -> None:
    request = NixDatabaseRequest()
    assert tar_bytes(nix_database_tree(INFOS, request)) == tar_bytes(
        nix_database_tree([*reversed(INFOS), INFOS[0]], request)
    )


def test_rows(database: Path) -> None:
    assert rows(
        database, "select path, hash, registrationTime, deriver, narSize from ValidPaths"
    ) == [
        (
            str(info.path),
            f"sha256:{info.nar_hash.hex}",
            0,
            None if info.deriver is None else str(info.deriver),
            info.nar_size_bytes,
        )
        for info in in_order(INFOS)
    ]
    assert rows(
        database,
        "select a.path, b.path from Refs "
        "join ValidPaths a on a.id = referrer join ValidPaths b on b.id = reference "
        "order by a.path, b.path",
    ) == [
        (str(info.path), str(reference))
        for info in in_order(INFOS)
        for reference in info.references
    ]


def test_an_open_set_is_refused() -> None:
    with pytest.raises(PlanError) as caught:
        nix_database_tree(INFOS[1:], NixDatabaseRequest())
    assert f"refers to `{INFOS[0].path}`, which is not in the image's store" in caught.value.message
    assert caught.value.hint == f"put `{INFOS[0].path.base_name}` into a layer, too (`deps`)"


# Also what SQLite 3.46 makes (the package's check); 300 paths fill many pages.
@pytest.mark.parametrize(
    ("infos", "digest"),
    [
        (INFOS, "4e2abf03cf7b877fe53b4741ee599f48b412eea51bbbac1b0ce4a663f8db8e5f"),
        (many_infos(300), "e5ddc529523b3fc74f62839b1d035c89628b68c3df6f33aa9725ded7f25f60f0"),
    ],
    ids=["few", "many"],
)
def test_bytes_are_the_same_everywhere(infos: list[PathInfo], digest: str) -> None:
    data = nix_database_bytes(in_order(infos))
    assert hashlib.sha256(data).hexdigest() == digest


@pytest.mark.parametrize("count", [0, 1, 500])
def test_sqlite_finds_it_whole(tmp_path: Path, count: int) -> None:
    path = tmp_path / "db.sqlite"
    path.write_bytes(nix_database_bytes(in_order(many_infos(count))))
    assert rows(path, "pragma integrity_check") == [("ok",)]
    assert rows(path, "pragma foreign_key_check") == []
    assert rows(path, "select count(*) from ValidPaths") == [(count,)]
    # What is written next to it on a read-only file system could not be removed.
    assert rows(path, "pragma journal_mode") == [("delete",)]


@pytest.mark.tools
def test_the_sqlite_program_finds_it_whole(
    database: Path, require_tool: Callable[[str], str]
) -> None:
    checked = subprocess.run(
        [require_tool("sqlite3"), database, "pragma integrity_check; pragma foreign_key_check;"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert (checked.stdout, checked.stderr) == ("ok\n", "")


@dataclass(frozen=True)
class NixRoot:
    """A root file system with a store of its own, and the machine's Nix to look after it."""

    directory: Path
    environment: dict[str, str]

    def run(
        self, *arguments: str | Path, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments,
            check=True,
            capture_output=True,
            text=True,
            input=stdin,
            env=self.environment | {"NIX_REMOTE": str(self.directory)},
            timeout=120,
        )

    def database(self, query: str) -> list[tuple[object, ...]]:
        return rows(self.directory / "nix/var/nix/db/db.sqlite", query)


@pytest.fixture
def nix_root(tmp_path: Path) -> Iterator[Callable[[str], NixRoot]]:
    environment = {
        "HOME": str(tmp_path / "home"),
        "NIX_CONFIG": "build-users-group =\nsubstitute = false\nsandbox = false",
        "PATH": os.environ["PATH"],
    }

    def make(name: str) -> NixRoot:
        (tmp_path / name).mkdir()
        return NixRoot(tmp_path / name, environment)

    yield make
    # Store paths are read-only, which pytest would stumble over as a user that is not root.
    for path in tmp_path.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


# Files that refer to each other need no builder, and so no shell.
EXPRESSION = """
let
  a = builtins.toFile "a" "alone";
  b = builtins.toFile "b" "needs ${a}";
in
builtins.toFile "c" "needs ${a} and ${b}"
"""


def ask_nix(root: NixRoot, top: str) -> list[PathInfo]:
    """Return the closure of `top`, asked for by the oldest of Nix's commands."""

    def query(question: str, path: str) -> list[str]:
        return root.run("nix-store", "--query", question, path).stdout.split()

    return [
        PathInfo(
            path=StorePath.parse(path),
            nar_hash=NarHash.parse(query("--hash", path)[0]),
            nar_size_bytes=int(query("--size", path)[0]),
            references=tuple(sorted(map(StorePath.parse, query("--references", path)))),
        )
        for path in query("--requisites", top)
    ]


@pytest.mark.nix
def test_nix_takes_it_for_its_own(nix_root: Callable[[str], NixRoot]) -> None:
    real = nix_root("real")
    top = (
        real.run("nix-instantiate", "--eval", "--read-write-mode", "--expr", EXPRESSION)
        .stdout.strip()
        .strip('"')
    )
    infos = ask_nix(real, top)
    assert [info.path.name for info in infos].count("c") == 1
    assert len(infos) == 3

    image = nix_root("image")
    with open_tar(nix_database_tree(infos, NixDatabaseRequest())) as tar:
        unpack(tar, image.directory)
    for info in infos:
        name = str(info.path).lstrip("/")
        shutil.copy2(real.directory / name, image.directory / name)

    verified = image.run("nix-store", "--verify", "--check-contents")
    assert "disappeared" not in verified.stderr
    assert "modified" not in verified.stderr
    assert "not valid" not in verified.stderr
    assert ask_nix(image, top) == infos
    assert image.run("nix-store", "--dump-db").stdout == real.run("nix-store", "--dump-db").stdout
    # All of it is kept, because all of it is a root; and then Nix can add what is new.
    assert image.run("nix-store", "--gc", "--print-dead").stdout == ""
    added = image.run("nix-store", "--add", Path(__file__)).stdout.strip()
    assert (image.directory / added.lstrip("/")).is_file()


@pytest.mark.nix
def test_nix_makes_the_same_database(nix_root: Callable[[str], NixRoot]) -> None:
    """Given the same facts, real Nix has the same tables and the same rows in them."""
    ours, theirs = nix_root("ours"), nix_root("theirs")
    path = ours.directory / "nix/var/nix/db/db.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(nix_database_bytes(in_order(many_infos(40))))
    schema_before = [facts_of(ours, table) for table in TABLES]
    facts = ours.run("nix-store", "--dump-db").stdout
    theirs.run("nix-store", "--load-db", stdin=facts)
    assert theirs.run("nix-store", "--dump-db").stdout == facts
    assert schema_before == [facts_of(theirs, table) for table in TABLES]
    assert ours.database(PATHS) == theirs.database(PATHS)
    assert ours.database(REFERENCES) == theirs.database(REFERENCES)
    triggers = "select name, tbl_name from sqlite_master where type = 'trigger'"
    assert ours.database(triggers) == theirs.database(triggers)


TABLES = ("ValidPaths", "Refs", "DerivationOutputs")
# Numbers are given in the order of registration, and the time is the time.
PATHS = "select path, hash, deriver, narSize, ultimate, sigs, ca from ValidPaths order by path"
REFERENCES = (
    "select a.path, b.path from Refs join ValidPaths a on a.id = referrer "
    "join ValidPaths b on b.id = reference order by a.path, b.path"
)


def facts_of(root: NixRoot, table: str) -> list[list[tuple[object, ...]]]:
    indexes = root.database(f"pragma index_list({table})")
    return [
        root.database(f"pragma table_info({table})"),
        root.database(f"pragma foreign_key_list({table})"),
        indexes,
        *(root.database(f"pragma index_xinfo({index[1]})") for index in indexes),
    ]
