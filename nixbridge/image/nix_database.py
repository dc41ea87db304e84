"""The Nix database of an image: what makes `nix` inside it know the store paths that it holds.

It is a layer of its own, on top of all others. Only paths that are in the image's `/nix/store` are
in the database, because `nix-store --verify` removes those that are not; nix2container also lists
the ones that it copied to the root. The bytes are a function of the paths' facts: no clock, rows in
the order of the paths, and what SQLite writes about itself is made the same everywhere.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Final

from nixbridge.closure import PathInfo
from nixbridge.description import NixDatabaseRequest
from nixbridge.errors import PlanError
from nixbridge.packing import LayerTree, Owner

_DATABASE: Final = "/nix/var/nix/db/db.sqlite"
_GC_ROOTS: Final = "/nix/var/nix/gcroots/docker"
_DIRECTORIES: Final = (
    "/nix",
    "/nix/store",
    # Nix makes it when it first optimises the store; there it must be writable for its owner.
    "/nix/store/.links",
    "/nix/var",
    "/nix/var/nix",
    "/nix/var/nix/db",
    "/nix/var/nix/gcroots",
    _GC_ROOTS,
)

# Every choice that SQLite may be built to make in another way is made here; `secure_delete` has
# what is deleted filled with zeros.
#
# Schema 10, what every Nix since 2.0 makes: names and types are Nix's, compared with it in a test.
# https://github.com/NixOS/nix/blob/2.26.0/src/libstore/schema.sql
_SCHEMA: Final = """
pragma page_size = 4096;
pragma auto_vacuum = none;
pragma encoding = 'UTF-8';
pragma secure_delete = on;
create table ValidPaths (
    id integer primary key autoincrement not null,
    path text unique not null,
    hash text not null,
    registrationTime integer not null,
    deriver text,
    narSize integer,
    ultimate integer,
    sigs text,
    ca text
);
create table Refs (
    referrer integer not null,
    reference integer not null,
    primary key (referrer, reference),
    foreign key (referrer) references ValidPaths(id) on delete cascade,
    foreign key (reference) references ValidPaths(id) on delete restrict
);
create index IndexReferrer on Refs(referrer);
create index IndexReference on Refs(reference);
create trigger DeleteSelfRefs before delete on ValidPaths
  begin
    delete from Refs where referrer = old.id and reference = old.id;
  end;
create table DerivationOutputs (
    drv integer not null,
    id text not null,
    path text not null,
    primary key (drv, id),
    foreign key (drv) references ValidPaths(id) on delete cascade
);
create index IndexDerivationOutputs on DerivationOutputs(path);
"""
# As nix2container has it: nobody registered these paths at any time.
_REGISTRATION_TIME: Final = 0

# https://www.sqlite.org/fileformat2.html#the_database_header
_CHANGE_COUNTER_AT: Final = 24
_VERSION_VALID_FOR_AT: Final = 92
_SQLITE_VERSION_AT: Final = 96
_NUMBER: Final = ">I"
_PAGE_BYTES: Final = 4096
_DATABASE_HEADER_BYTES: Final = 100
# https://www.sqlite.org/fileformat2.html#b_tree_pages
_PAGE_HEADER: Final = struct.Struct(">BHHHB")
_INTERIOR_PAGES: Final = (2, 5)
_LEAF_PAGES: Final = (10, 13)
# The oldest SQLite that a machine with this file may have used; SQLite itself never looks at it.
_SQLITE_VERSION: Final = 3_040_001


def nix_database_tree(infos: Iterable[PathInfo], request: NixDatabaseRequest) -> LayerTree:
    """Return the layer that registers `infos`, which are all that is in the image's store.

    Raises `PlanError`: one refers to a path that is not among them.
    """
    in_order = sorted({info.path: info for info in infos}.values(), key=lambda info: info.path)
    owner = Owner(
        uid=request.uid,
        gid=request.gid,
        # Whoever that is in the image, it is not who has the number here (nix2container: root).
        uname="root" if request.is_n2c_exact or not request.uid else "",
        gname="root" if request.is_n2c_exact or not request.gid else "",
    )
    tree = LayerTree()
    for directory in _DIRECTORIES:
        tree.add_directory(directory, mode=0o755, owner=owner)
    # nix2container sets the mode of all that comes from the derivation that makes the database.
    file_mode, link_mode = (0o755, 0o755) if request.is_n2c_exact else (0o644, 0o777)
    tree.add_file_bytes(_DATABASE, nix_database_bytes(in_order), mode=file_mode, owner=owner)
    for info in in_order:
        place = f"{_GC_ROOTS}/{info.path.base_name}"
        tree.add_symlink(place, str(info.path), mode=link_mode, owner=owner)
    return tree


def nix_database_bytes(infos: Sequence[PathInfo]) -> bytes:
    """Return the SQLite file that has `infos` in it, which are sorted by path.

    Raises `PlanError`: one refers to a path that is not among them.
    """
    ids = {info.path: number for number, info in enumerate(infos, start=1)}
    for info in infos:
        for reference in info.references:
            if reference not in ids:
                raise PlanError(
                    f"`{info.path}` refers to `{reference}`, which is not in the image's store, "
                    "so no Nix database can hold it",
                    hint=f"put `{reference.base_name}` into a layer, too (`deps`)",
                )
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(_SCHEMA)
        connection.execute("begin")
        connection.executemany(
            "insert into ValidPaths (id, path, hash, registrationTime, deriver, narSize) "
            "values (?, ?, ?, ?, ?, ?)",
            (
                (
                    ids[info.path],
                    str(info.path),
                    str(info.nar_hash),
                    _REGISTRATION_TIME,
                    None if info.deriver is None else str(info.deriver),
                    info.nar_size_bytes or None,  # to Nix, 0 is unknown
                )
                for info in infos
            ),
        )
        connection.executemany(
            "insert into Refs (referrer, reference) values (?, ?)",
            (
                (ids[info.path], ids[reference])
                for info in infos
                for reference in sorted(info.references)
            ),
        )
        connection.execute("commit")
        # Writes every page anew, so that none has remains of how it was filled.
        connection.execute("vacuum")
        data = bytearray(connection.serialize())
    for at, number in (
        (_CHANGE_COUNTER_AT, 1),
        (_VERSION_VALID_FOR_AT, 1),
        (_SQLITE_VERSION_AT, _SQLITE_VERSION),
    ):
        struct.pack_into(_NUMBER, data, at, number)
    clear_unallocated(data)
    return bytes(data)


def clear_unallocated(database: bytearray) -> None:
    """Fill with zeros what lies between the cell pointers and the cells of each page.

    What SQLite leaves there is no data, and not the same in all its versions (3.40 and 3.46).
    After a vacuum there are no other unused parts, and of rows as short as ours no overflow pages.
    """
    for page in range(0, len(database), _PAGE_BYTES):
        header = page + (_DATABASE_HEADER_BYTES if page == 0 else 0)
        kind, _, cells, content, _ = _PAGE_HEADER.unpack_from(database, header)
        if kind in _INTERIOR_PAGES:
            start = header + 12 + 2 * cells
        elif kind in _LEAF_PAGES:
            start = header + 8 + 2 * cells
        else:
            continue
        end = page + content
        database[start:end] = bytes(end - start)
