"""packages.toml, apt's sources and index, and .debs, read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from debpkgs.elf_files import make_elf
from nix.debpkgs.fetcher import apt, deb
from nix.debpkgs.fetcher.deb import Entry
from nix.debpkgs.fetcher.errors import DebpkgsError
from nix.debpkgs.fetcher.graph import upstream_version
from nix.debpkgs.fetcher.spec import Spec

MINIMAL = '[bootstrap]\npatchelf = "1"\n'


class TestSpec:
    def test_a_unit_is_asked_for_by_its_main_package(self) -> None:
        spec = Spec.parse(MINIMAL + '[units.nix]\ndebs = ["nix-bin"]\nmain = "nix-bin"\n')
        assert spec.packages_asked_for("nix") == ("nix-bin",)
        assert spec.packages_asked_for("hello") == ("hello",)
        assert spec.unit_of("nix-bin") == "nix"
        assert spec.unit_of("nix-bin-extra") == "nix-bin-extra"

    def test_alternatives_keep_their_order(self) -> None:
        spec = Spec.parse(MINIMAL + '[packages]\nreadline = { unit = ["b", "a"] }\n')
        assert spec.roots == (("b", "a"),)

    def test_a_unit_that_a_suite_lacks_is_not_wanted_there(self) -> None:
        text = MINIMAL + '[support]\nunits = ["a", "b"]\n[suites.old]\nlacks = ["a"]\n'
        assert Spec.parse(text).roots_in("old") == (("b",),)
        assert Spec.parse(text).roots_in("new") == (("a",), ("b",))

    def test_an_unknown_key_is_named(self) -> None:
        with pytest.raises(DebpkgsError, match=r"\[units\.x\] has unknown keys: lnks"):
            Spec.parse(MINIMAL + '[units.x]\nlnks = ["a"]\n')

    def test_the_digest_follows_what_a_lock_depends_on_and_nothing_else(self) -> None:
        base = MINIMAL + "[packages]\nhello = {}\n"
        spec = Spec.parse(base)
        assert Spec.parse("# words\n" + base).digest == spec.digest
        program = base.replace("{}", '{ program = "hello" }')
        assert Spec.parse(program).digest == spec.digest
        assert Spec.parse(base + "jq = {}\n").digest != spec.digest

    def test_the_real_file_is_read(self, repository: Path) -> None:
        spec = Spec.read(repository / "nix/debpkgs/packages.toml")
        assert ("glibc",) in spec.roots
        assert not spec.rule("gitMinimal").provides


class TestFindArchive:
    def test_deb822_sources(self, tmp_path: Path) -> None:
        sources = tmp_path / "sources.list.d"
        sources.mkdir()
        (sources / "debian.sources").write_text(
            "# comment\nTypes: deb\nURIs: http://archive.test/debian\n"
            "Suites: bookworm bookworm-updates\nComponents: main\n\n"
            "Types: deb\nURIs: http://archive.test/debian-security\n"
            "Suites: bookworm-security\nComponents: main\n"
        )
        assert apt.find_archive(tmp_path) == "http://archive.test/debian"

    def test_one_line_sources_among_other_vendors(self, tmp_path: Path) -> None:
        (tmp_path / "sources.list").write_text(
            "# deb http://comment.test/debian bookworm main\n"
            "deb https://vendor.test/tool stable main\n"
            "deb-src http://source.test/debian bookworm main\n"
            "deb [arch=amd64 signed-by=/k] http://mirror.test/debian bookworm main # here\n"
        )
        assert apt.find_archive(tmp_path) == "http://mirror.test/debian"

    def test_the_archive_keyring_decides(self, tmp_path: Path) -> None:
        (tmp_path / "sources.list").write_text(
            "deb http://vendor.test/debian bookworm main\n"
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
            " http://mirror.test/d trixie main\n"
        )
        assert apt.find_archive(tmp_path) == "http://mirror.test/d"

    def test_a_machine_without_one_is_told_of_the_option(self, tmp_path: Path) -> None:
        with pytest.raises(DebpkgsError, match="no Debian archive") as caught:
            apt.find_archive(tmp_path)
        assert "--archive" in str(caught.value.hint)


def test_control_paragraphs_keep_continuation_lines() -> None:
    text = "Package: a\nDescription: one\n two\n\nPackage: b\n"
    assert apt.parse_control(text) == [
        {"Package": "a", "Description": "one\ntwo"},
        {"Package": "b"},
    ]


def test_relations_come_down_to_names() -> None:
    text = "libc6 (>= 2.38), python3:any, mawk | awk (= 1) [amd64]"
    assert apt.parse_relation(text) == (("libc6",), ("python3",), ("mawk", "awk"))
    assert apt.parse_relation("") == ()


@pytest.mark.parametrize(
    ("path", "flat"),
    [
        ("./usr/bin/x", "bin/x"),
        ("./sbin/x", "bin/x"),
        ("./usr/games/x", "bin/x"),
        ("./usr/lib/x86_64-linux-gnu/libx.so", "lib/x86_64-linux-gnu/libx.so"),
        ("./usr", None),
        (".", None),
        ("../outside", None),
        ("./etc/x", "etc/x"),
        ("./usr/sbin", "bin"),
    ],
)
def test_flatten(path: str, flat: str | None) -> None:
    assert deb.flatten(path) == flat


@pytest.mark.parametrize(
    ("line", "program"),
    [
        (b"#!/bin/sh -e", "sh"),
        (b"#! /usr/bin/perl", "perl"),
        (b"#!/usr/bin/env -S A=b python3 -I", "python3"),
        (b"#!", None),
        (b"#!/usr/bin/env", None),
    ],
)
def test_script_interpreter(line: bytes, program: str | None) -> None:
    assert deb.script_interpreter(line) == program


@pytest.mark.parametrize(
    ("debian", "upstream"),
    [
        ("1:2.47.3-0+deb13u1", "2.47.3"),
        ("2.26.3+dfsg-1", "2.26.3"),
        ("6.13+ds-1", "6.13"),
        ("2.12.7+dfsg+really2.9.14-2.1+deb13u3", "2.9.14"),
        ("8.2.0+0.really.8.1.8-1", "8.1.8"),
        ("2026f-0+deb13u1", "2026f"),
        ("1.2~rc1-1", "1.2_rc1"),
        ("6.5", "6.5"),
    ],
)
def test_upstream_version(debian: str, upstream: str) -> None:
    assert upstream_version(debian) == upstream


class TestElf:
    def test_libraries_and_programs(self) -> None:
        library = make_elf(needed=("libc.so.6", "libm.so.6"))
        program = make_elf(needed=("libc.so.6",), interpreter="/lib64/ld-linux-x86-64.so.2")
        assert deb.elf_entry(library) == Entry(needed=("libc.so.6", "libm.so.6"))
        assert deb.elf_entry(program) == Entry(needed=("libc.so.6",), is_program=True)

    def test_other_bytes_and_other_machines_are_not_ours(self) -> None:
        assert deb.elf_entry(b"#!/bin/sh\n") is None
        image = bytearray(make_elf())
        image[18] = 183  # AArch64
        assert deb.elf_entry(bytes(image)) is None


class TestReadPackage:
    def test_files_scripts_and_links(self, make_deb: Callable[..., Path]) -> None:
        package = make_deb(
            "sample",
            files={
                "usr/bin/tool": "#!/usr/bin/env perl\n",
                "usr/lib/libx.so.1": make_elf(needed=("liby.so.2",)),
                "etc/sample.conf": "text",
            },
            links={"usr/lib/libx.so": "libx.so.1", "bin/other": "/usr/bin/tool"},
        )
        assert deb.read_package(package) == {
            "bin/tool": Entry(interpreter="perl"),
            "lib/libx.so.1": Entry(needed=("liby.so.2",)),
            "etc/sample.conf": Entry(),
            "lib/libx.so": Entry(link="lib/libx.so.1"),
            "bin/other": Entry(link="bin/tool"),
        }

    def test_a_file_stands_before_a_link_of_the_same_place(
        self, make_deb: Callable[..., Path]
    ) -> None:
        package = make_deb(
            "ip", files={"usr/bin/ip": "text"}, links={"sbin/ip": "/usr/bin/ip", "bin/ip": "x"}
        )
        assert deb.read_package(package) == {"bin/ip": Entry()}

    def test_what_is_no_package_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "x.deb").write_text("not one")
        with pytest.raises(DebpkgsError, match=r"x\.deb"):
            deb.read_package(tmp_path / "x.deb")
