"""What is learned from past closures."""

from __future__ import annotations

from collections.abc import Mapping

from layering_tasks import path_of
from nixbridge.closure import ClosureGraph, NarHash, PathInfo, StorePath
from nixbridge.layering import Release, learn_weights
from nixbridge.layering.weights import weigh_paths


def build(name: str, number: int) -> StorePath:
    """Return a store path of that name; another number is another hash."""
    return StorePath(f"/nix/store/{number:032}-{name}")


def closure(**packages: tuple[str, int, str]) -> ClosureGraph:
    """Make a closure of packages: the version, which build it is, and what it refers to."""
    paths = {
        package: build(f"{package}-{version}" if version else package, number)
        for package, (version, number, _) in packages.items()
    }
    return ClosureGraph.of(
        PathInfo(
            path=paths[package],
            nar_hash=NarHash("0" * 64),
            nar_size_bytes=1,
            references=tuple(sorted(paths[name] for name in references.split())),
        )
        for package, (_, _, references) in packages.items()
    )


FIRST = closure(libc=("1", 1, ""), lib=("1", 1, "libc"), app=("1", 1, "lib"), data=("1", 1, ""))
# The library is another version, and the application is only built again.
SECOND = closure(libc=("1", 1, ""), lib=("2", 2, "libc"), app=("1", 2, "lib"), data=("1", 1, ""))
# The application itself, in the same version.
THIRD = closure(libc=("1", 1, ""), lib=("2", 2, "libc"), app=("1", 3, "lib"), data=("1", 1, ""))
# Everything is built again for another libc, and the application has another version as well.
FOURTH = closure(libc=("1", 4, ""), lib=("2", 4, "libc"), app=("2", 4, "lib"), data=("1", 1, ""))


def learned(*releases: Release) -> Mapping[str, float]:
    return learn_weights(releases)


def test_package_that_is_only_built_again_has_not_changed_by_itself() -> None:
    assert learned(Release.of_infos(FIRST), Release.of_infos(SECOND)) == {
        # One change of four packages: the average is a quarter.
        "lib": (4 + 1) / 2,
        "app": 1 / 2,
        "data": 1 / 2,
        "libc": 1 / 2,
    }


def test_package_that_changes_more_often_weighs_more() -> None:
    releases = [Release.of_infos(graph) for graph in (FIRST, SECOND, THIRD, FOURTH)]
    weights = learn_weights(releases)
    # Of twelve chances four were taken: the application's two, the library's one and libc's one.
    assert weights == {
        "app": (2 * 3 + 1) / 4,
        "lib": (1 * 3 + 1) / 4,
        "libc": (1 * 3 + 1) / 4,
        "data": 1 / 4,
    }


def test_what_paths_refer_to_is_known_from_any_release() -> None:
    told = [Release.of_paths(graph.infos) for graph in (FIRST, SECOND)]
    assert learned(*told) == {
        "lib": (2 + 1) / 2,
        "app": (2 + 1) / 2,
        "data": 1 / 2,
        "libc": 1 / 2,
    }
    weights = learned(*told, Release.of_infos(SECOND))
    assert weights["app"] == weights["libc"] < weights["lib"]


def test_nothing_is_learned_where_nothing_changed() -> None:
    assert learned() == {}
    assert learned(Release.of_infos(FIRST)) == {}
    assert learned(Release.of_infos(FIRST), Release.of_infos(FIRST)) == {}
    other = closure(other=("1", 1, ""))
    assert learned(Release.of_infos(FIRST), Release.of_infos(other)) == {}


def test_what_was_said_comes_before_what_was_learned() -> None:
    paths = [path_of("app-1"), path_of("lib-1"), path_of("libc-1"), path_of("new-1")]
    said = [{"app*": 9.0}, {"*": 7.0, "libc*": 5.0}]
    assert list(weigh_paths(paths, said[:1], {"app": 2.0, "lib": 3.0}).values()) == [9, 3, 1, 1]
    assert list(weigh_paths(paths, said, {"app": 2.0, "lib": 3.0}).values()) == [9, 7, 5, 7]
