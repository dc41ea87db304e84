from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.nix_cli import VERSIONS, Call, calls
from nixbridge.closure import ClosureGraph, NarHash, PathInfo, StorePath
from nixbridge.errors import NixError
from nixbridge.evaluator.parse import parse_built_paths, parse_path_infos, parse_settings

NIX_2_34 = Call("2.34", "version").version
SUCCEEDED = [call for call in calls("path-info*") if call.status == 0 and call.bytes("json")]

CURL = "/nix/store/vli3mylph1l49zdr12w9hxfdah7lbrl3-libcurl3-gnutls-7.88.1"


def infos(call: Call) -> tuple[PathInfo, ...]:
    return parse_path_infos(call.bytes("json"), version=call.version)


def facts(call: Call) -> dict[str, Any]:
    return {
        str(info.path): (str(info.nar_hash), info.nar_size_bytes, info.references, info.deriver)
        for info in infos(call)
    }


@pytest.mark.parametrize("name", ["path-info", "path-info-r", "path-info-r-S", "path-info-fixed"])
def test_all_versions_say_the_same_of_the_same_store(name: str) -> None:
    by_version = [facts(Call(version, name)) for version in VERSIONS]
    assert by_version[0] == by_version[1] == by_version[2]
    assert by_version[0]


def test_the_formats_of_2_34_say_the_same() -> None:
    first, second = (facts(Call("2.34", f"path-info-json-format{number}")) for number in (1, 2))
    assert first == second
    assert list(first) == [CURL]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recursive_answer_is_a_closure(version: str) -> None:
    graph = ClosureGraph.of(infos(Call(version, "path-info-r")))
    assert len(graph) == 27
    assert graph.closure_of([StorePath(CURL)]) == graph


@pytest.mark.parametrize("version", VERSIONS)
def test_the_closure_size_is_what_nix_says_it_is(version: str) -> None:
    call = Call(version, "path-info-r-S")
    document = json.loads(call.bytes("json"))
    entries = (
        document if isinstance(document, list) else [{"path": p} | document[p] for p in document]
    )
    graph = ClosureGraph.of(infos(call))
    for entry in entries:
        part = graph.closure_of([StorePath(entry["path"])])
        assert part.closure_size_bytes == entry["closureSize"]


def test_one_path_in_full() -> None:
    (info,) = infos(Call("2.8", "path-info-built"))
    assert info == PathInfo(
        path=StorePath("/nix/store/y77c2fm240pbb9140d8jxjikfsrpggpc-ok"),
        nar_hash=NarHash.parse("sha256-T5fYZHIQeBc7x/RWa2hyUIVUYFjwo2hf5dU+BCXjKQA="),
        nar_size_bytes=328,
        references=(StorePath("/nix/store/nzskbxhxzm892d931a9drwra0absbvc6-dep"),),
        deriver=StorePath("/nix/store/6mh3qnqzj94bwmc18y969mph3rsjpbxp-ok.drv"),
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_never_built_has_no_deriver(version: str) -> None:
    (info,) = infos(Call(version, "path-info-drv"))
    assert info.deriver is None


@pytest.mark.parametrize("version", ["2.26", "2.34"])
def test_outputs_come_sorted_by_path(version: str) -> None:
    paths = [info.path for info in infos(Call(version, "path-info-multi"))]
    assert len(paths) == 2
    assert paths == sorted(paths)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_path_that_the_store_does_not_hold_is_named(version: str) -> None:
    with pytest.raises(NixError) as caught:
        infos(Call(version, "path-info-invalid"))
    assert caught.value.message == (
        "the Nix store does not hold `/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-nothing`"
    )
    assert caught.value.hint == "build it, or fetch it from a cache: `nix build PATH`"


def test_every_recorded_answer_was_read() -> None:
    assert len(SUCCEEDED) == 25


# Each is one step away from what 2.34 prints.
GOOD_PATH = "/nix/store/53ig02hv6412nx42f15vfw57i1l3d28i-fixed"
GOOD = {
    "narHash": "sha256-CkMIecJm+LV/QJKg+TXPP6zUi7zN5XYNR0jKQFFx6Wk=",
    "narSize": 120,
    "references": [],
}
BROKEN: dict[str, tuple[object, str]] = {
    "no JSON": (b"nothing", "a JSON document"),
    "empty": (b"", "a JSON document"),
    "a number": (12, "an array or an object of paths"),
    "an array of names": ([GOOD_PATH], "an object for each path"),
    "an entry without a path": ([GOOD], "`path` in each entry"),
    "a name that is no path": ({"fixed": GOOD}, "a store path where `fixed` stands"),
    "an entry that is no object": ({GOOD_PATH: 1}, "an object for each path"),
    "no hash": ({GOOD_PATH: GOOD | {"narHash": None}}, "`narHash` in each entry"),
    "a hash of another kind": (
        {GOOD_PATH: GOOD | {"narHash": "md5:abc"}},
        "a sha256 hash as `narHash`",
    ),
    "a hash as an object": ({GOOD_PATH: GOOD | {"narHash": {}}}, "`narHash` in each entry"),
    "a negative size": ({GOOD_PATH: GOOD | {"narSize": -1}}, "a size as `narSize`"),
    "a truth as size": ({GOOD_PATH: GOOD | {"narSize": True}}, "a size as `narSize`"),
    "references by name": (
        {GOOD_PATH: GOOD | {"references": ["fixed"]}},
        "a store path where `fixed` stands",
    ),
    "references as numbers": (
        {GOOD_PATH: GOOD | {"references": [1]}},
        "a store path as a string",
    ),
    "format 2 without a store directory": ({"info": {}}, "`storeDir` in each entry"),
    "format 3": ({"info": [], "storeDir": "/nix/store", "version": 3}, "an object of paths"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_unknown_shape_is_refused_with_the_version_and_what_was_expected(name: str) -> None:
    document, expected = BROKEN[name]
    output = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(NixError) as caught:
        parse_path_infos(output, version=NIX_2_34)
    assert caught.value.message == (
        "`nix path-info` of `nix (Nix) 2.34.8` printed JSON of a shape that we do not know: "
        f"expected {expected}"
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_no_json_at_all_makes_the_parsers_fail_otherwise(document: object) -> None:
    output = json.dumps(document).encode()
    for parse in (parse_path_infos, parse_built_paths, parse_settings):
        try:
            parse(output, version=NIX_2_34)
        except NixError as error:
            assert "expected" in error.message  # noqa: PT017 - either outcome is right


# What nix printed of one derivation, of several, of a store path, of a choice of outputs.
BUILT = {
    ("2.8", "build-json"): ["y77c2fm240pbb9140d8jxjikfsrpggpc-ok"],
    # 2.8 does not keep the order of the arguments; there `ok` came first.
    ("2.8", "build-json-multi"): [
        "ayinwbff0nws071fm5vq6nj662xn7cqz-multi",
        "y77c2fm240pbb9140d8jxjikfsrpggpc-ok",
    ],
    ("2.8", "build-json-path"): ["n2n4ryr954dvspbm0qdb7hzk940p7vvp-nix-2.8.0"],
    ("2.26", "build-json-path"): ["n2n4ryr954dvspbm0qdb7hzk940p7vvp-nix-2.8.0"],
    ("2.34", "build-json-path"): ["n2n4ryr954dvspbm0qdb7hzk940p7vvp-nix-2.8.0"],
    ("2.34", "build-json-multi"): [
        "hk3x4l4j6yhmkyrsmllxk2l8qf21yg3b-ok",
        "khjpbxnj4yyyq34fj65rsmq045rh25wg-multi",
    ],
    ("2.34", "build-json-multi-out"): ["4q0nvdgmhv0f1rm5ilsa8zbwydlyp4qf-multi-dev"],
    ("2.34", "build-json-multi-all"): [
        "khjpbxnj4yyyq34fj65rsmq045rh25wg-multi",
        "4q0nvdgmhv0f1rm5ilsa8zbwydlyp4qf-multi-dev",
    ],
    ("2.26", "ij-build-json"): ["x8l63da2xs1cpzz5h30ggplc01pwihgb-multi"],
}


@pytest.mark.parametrize(("version", "name"), BUILT)
def test_built_paths(version: str, name: str) -> None:
    call = Call(version, name)
    built = parse_built_paths(call.bytes("json"), version=call.version)
    assert [path.base_name for path in built] == BUILT[version, name]


@pytest.mark.parametrize(
    "output",
    [b"{}", b"[1]", b'[{"drvPath": "x"}]', b'[{"outputs": {"out": null}}]', b'["x"]', b"["],
)
def test_built_paths_of_unknown_shape_are_refused(output: bytes) -> None:
    with pytest.raises(NixError, match=r"`nix build` of `nix \(Nix\) 2\.34\.8` printed JSON of a"):
        parse_built_paths(output, version=NIX_2_34)


def test_settings() -> None:
    output = b'{"store": {"value": "auto", "aliases": []}, "cores": {"value": 0}}'
    assert parse_settings(output, version=NIX_2_34) == {"store": "auto", "cores": 0}
    with pytest.raises(NixError, match="expected `value` in each entry"):
        parse_settings(b'{"store": {}}', version=NIX_2_34)
