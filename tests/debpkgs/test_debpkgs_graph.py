"""Units and edges from what packages contain."""

from __future__ import annotations

import pytest

from nix.debpkgs.fetcher.apt import Package
from nix.debpkgs.fetcher.deb import Entry
from nix.debpkgs.fetcher.errors import DebpkgsError
from nix.debpkgs.fetcher.graph import Unit, find_units
from nix.debpkgs.fetcher.spec import Spec

LIBC = {"lib/libc.so.6": Entry(), "lib/ld-linux-x86-64.so.2": Entry()}
SHELL = {"bin/sh": Entry(needed=("libc.so.6",), is_program=True)}


def package(name: str, *, depends: str = "", provides: str = "") -> Package:
    return Package(
        name=name,
        version="1.0-1",
        filename=f"pool/{name}_1.0-1_amd64.deb",
        size_bytes=1,
        sha256=name,
        depends=tuple(tuple(clause.split("|")) for clause in depends.split(",") if clause),
        provides=tuple(provides.split(",")) if provides else (),
    )


def units(
    contents: dict[str, dict[str, Entry]],
    *,
    rules: str = "",
    roots: tuple[str, ...] | None = None,
    packages: dict[str, Package] | None = None,
) -> dict[str, Unit]:
    spec = Spec.parse(
        '[bootstrap]\npatchelf = "1"\n[defaults]\nremove = ["share/doc"]\n'
        f'interpreters = ["sh"]\n{rules}'
    )
    known = {name: package(name) for name in contents} | (packages or {})
    return find_units(spec, known, contents, roots or tuple(contents))


def test_a_library_an_interpreter_and_a_link_are_edges() -> None:
    found = units(
        {
            "libc6": LIBC,
            "dash": SHELL,
            "script": {"bin/x": Entry(interpreter="sh")},
            "alias": {"bin/y": Entry(link="bin/x")},
        }
    )
    assert found["dash"].needs == ("libc6",)
    assert found["script"].needs == ("dash",)
    assert found["alias"].needs == ("script",)
    assert found["libc6"].needs == ()


def test_declared_dependencies_alone_are_no_edges() -> None:
    found = units(
        {"a": {"share/a": Entry()}, "b": {"share/b": Entry()}},
        packages={"a": package("a", depends="b"), "b": package("b", depends="a")},
    )
    assert found["a"].needs == found["b"].needs == ()


def test_declared_dependencies_decide_between_two_providers() -> None:
    contents = {
        "lib-one": {"lib/libz.so.1": Entry()},
        "lib-two": {"lib/libz.so.1": Entry()},
        "app": {"bin/app": Entry(needed=("libz.so.1",))},
    }
    declared = {"app": package("app", depends="nothing|lib-two")}
    assert units(contents)["app"].needs == ("lib-one",)
    assert units(contents, packages=declared)["app"].needs == ("lib-two",)


def test_packages_of_one_group_are_one_unit() -> None:
    found = units(
        {
            "libc6": LIBC,
            "libgcc-s1": {"lib/libgcc_s.so.1": Entry(needed=("libc.so.6",))},
            "app": {"bin/app": Entry(needed=("libgcc_s.so.1",), is_program=True)},
        },
        rules='[units.glibc]\ndebs = ["libc6", "libgcc-s\\\\d"]\nmain = "libc6"\n',
        roots=("app",),
    )
    assert found["glibc"].debs == ("libc6", "libgcc-s1")
    assert found["app"].needs == ("glibc",)


def test_two_units_of_the_same_packages_under_other_rules() -> None:
    found = units(
        {
            "perl": {"bin/perl": Entry()},
            "git": {"bin/git": Entry(), "bin/git-svn": Entry(interpreter="perl")},
        },
        rules='[units.git]\ninterpreters = ["perl"]\n[units.gitMinimal]\nsame-as = "git"\n',
        roots=("git", "gitMinimal"),
    )
    assert found["git"].needs == ("perl",)
    assert found["git"].drop == ()
    assert found["gitMinimal"].needs == ()
    assert found["gitMinimal"].drop == ("bin/git-svn",)
    assert found["gitMinimal"].debs == ("git",)


def test_what_a_unit_removes_needs_nothing() -> None:
    found = units({"a": {"share/doc/a/x": Entry(needed=("libnone.so.1",)), "bin/a": Entry()}})
    assert found["a"].needs == ()


def test_a_unit_that_provides_nothing_is_nobody_s_shell() -> None:
    found = units(
        {
            "aaa": {"bin/sh": Entry()},
            "dash": SHELL,
            "libc6": LIBC,
            "x": {"b": Entry(interpreter="sh")},
        },
        rules="[units.aaa]\nprovides = false\n",
    )
    assert found["x"].needs == ("dash",)


def test_links_that_debian_makes_on_installing_are_provided() -> None:
    found = units(
        {"gawk": {"bin/gawk": Entry()}, "x": {"bin/x": Entry(interpreter="awk")}},
        rules='[units.gawk]\nlinks = { "bin/awk" = "gawk" }\n[units.x]\ninterpreters = ["awk"]\n',
    )
    assert found["x"].needs == ("gawk",)


def test_only_what_the_roots_reach_is_kept() -> None:
    contents = {"libc6": LIBC, "dash": SHELL, "postinst-helper": {"bin/helper": Entry()}}
    assert set(units(contents, roots=("dash",))) == {"dash", "libc6"}


def test_python_packages_keep_what_debian_says_they_import() -> None:
    module = "lib/python3/dist-packages"
    found = units(
        {
            "python3": {"bin/python3": Entry()},
            "python3-a": {f"{module}/a.py": Entry(), "bin/a": Entry(interpreter="python3")},
            "python3-b": {f"{module}/b.py": Entry()},
            "ca": {"etc/ca": Entry()},
        },
        packages={
            "python3-a": package("python3-a", depends="python3,python3-virtual,ca"),
            "python3-b": package("python3-b", depends="python3-a", provides="python3-virtual"),
        },
        roots=("python3-a",),
    )
    assert found["python3-a"].requires == ("python3-b",)
    # Python packages may import each other: that is no cycle of store paths.
    assert found["python3-b"].requires == ("python3-a",)
    assert found["python3-a"].needs == ("python3",)
    assert found["python3-a"].drop == ()
    assert "ca" not in found


def test_a_cycle_is_shown() -> None:
    with pytest.raises(DebpkgsError, match="a -> b -> a") as caught:
        units(
            {
                "a": {"lib/liba.so": Entry(needed=("libb.so",))},
                "b": {"lib/libb.so": Entry(needed=("liba.so",))},
            }
        )
    assert "one unit" in str(caught.value.hint)


def test_a_library_that_nobody_has_is_named() -> None:
    with pytest.raises(DebpkgsError, match=r"app: bin/app needs libatm\.so\.1"):
        units({"app": {"bin/app": Entry(needed=("libatm.so.1",))}})


def test_a_private_library_is_found_after_all_others() -> None:
    found = units(
        {
            "systemd": {"lib/systemd-private/libshared.so": Entry()},
            "app": {"bin/app": Entry(needed=("libshared.so",))},
        }
    )
    assert found["app"].needs == ("systemd",)
