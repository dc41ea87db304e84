"""What changed between two images, planned or delivered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from destinations.sample_image import OTHER, SAMPLE
from fake_store import FakeStore, Listener, planned
from nixbridge import cli
from nixbridge.delivery import PackOptions, deliver_image
from nixbridge.destinations import Access, parse_destination
from nixbridge.destinations.reference import parse_inspectable
from nixbridge.layering import LayerPlan, plan_layers
from nixbridge.packing import Compression
from nixbridge.report.contents import (
    Contents,
    compressions_of,
    contents_of_plan,
    contents_of_stored,
)
from nixbridge.report.diff import PackageChangeKind, compare, compare_configs
from nixbridge.report.diff_table import diff_document, diff_text
from registry_server import RegistryServer
from report.sample_closure import SHOP, SampleClosure

NEW_SHOP = {
    **{name: entry for name, entry in SHOP.items() if name not in {"shop-1.4", "sqlite-3.46"}},
    "glibc-2.40": (30_100_000, ["glibc-2.40"]),
    "python3-3.12.5": (90_000_100, ["glibc-2.40", "openssl-3.0.14", "zlib-1.3"]),
    "jq-1.7": (400_000, []),
    "shop-1.5": (450_000, ["python3-3.12.5", "jq-1.7"]),
    "programs": (10_000, ["curl-8.9.1", "shop-1.5"]),
}
OLD = SampleClosure(SHOP)
NEW = SampleClosure(
    NEW_SHOP,
    # As Nix has it: what refers to something that changed has changed.
    rebuilt=frozenset(NEW_SHOP) - {"openssl-3.0.14-man", "jq-1.7"},
)


def contents(sample: SampleClosure, title: str, **options: Any) -> Contents:
    description = sample.shop(**options)
    return contents_of_plan(description, plan_layers(description), None, title=title)


def test_the_text_tells_of_packages_config_layers_and_totals() -> None:
    old = contents(OLD, "old", config={"Env": ("TZ=UTC", "A=1"), "User": "nobody"})
    new = contents(NEW, "new", config={"Env": ("TZ=Europe/Berlin", "A=1"), "Cmd": ("sh",)})
    above, sent, below = diff_text(compare(old, new)).partition("  SENT  PATHS  HOLDS")
    assert above == (
        "old → new\n\n"
        "CHANGE   PACKAGE  VERSION    SIZE             DIFFERENCE\n"
        "added    jq       1.7        400 kB              +400 kB\n"
        "removed  sqlite   3.46       1.7 MB              -1.7 MB\n"
        "version  shop     1.4 → 1.5  400 kB → 450 kB      +50 kB\n"
        "rebuilt  glibc    2.40       30 MB               +100 kB\n"
        "5 packages rebuilt: the same version, and about the same size\n\n"
        "CONFIG  BEFORE    AFTER\n"
        'Cmd     -         ["sh"]\n'
        'Env.TZ  "UTC"     "Europe/Berlin"\n'
        'User    "nobody"  -\n\n'
    )
    # The widths of columns are `format_table`'s, tested elsewhere.
    assert [" ".join(line.split()) for line in (sent + below).splitlines()] == [
        "SENT PATHS HOLDS REASON",
        "30 MB 1 glibc-2.40 explicit: glibc-2.40 and its closure",
        "6.5 MB 1 openssl-3.0.14 popular: 2 paths refer to it",
        "200 kB 1 zlib-1.3 popular: 1 path refers to it",
        "400 kB 1 jq-1.7 popular: 1 path refers to it",
        (
            "92 MB 5 python3-3.12.5, openssl-3.0.14-man, curl-8.9.1, … 2 more "
            "the 5 least popular paths; files at / from programs"
        ),
        "0 layers kept, 5 layers (129 MB) sent, 5 layers (130 MB) dropped",
        "9 paths, 130 MB → 129 MB (-1.1 MB)",
    ]


def test_no_line_of_the_text_is_wider_than_the_terminal() -> None:
    long = {"Labels": {"org.example.words": "one two three four " * 9}}
    old, new = contents(OLD, "old", config={"Env": ("TZ=UTC",)}), contents(NEW, "new", config=long)
    text = diff_text(compare(old, new), 60)
    assert max(map(len, text.splitlines())) <= 60
    # Of values nothing is left out, and sizes stay whole.
    assert text.count("four") == 9
    assert "1.4 → 1.5" in text
    assert "+400 kB" in text


def test_the_same_image_has_no_differences() -> None:
    difference = compare(contents(OLD, "a"), contents(OLD, "b"))
    assert diff_text(difference) == (
        "a → b\n\n5 layers (130 MB) kept, 0 layers sent, 0 layers dropped\n9 paths, 130 MB (0 B)"
    )


def test_packages_are_told_by_kind_and_then_by_how_much_they_changed() -> None:
    changes = compare(contents(OLD, "old"), contents(NEW, "new")).packages
    assert changes is not None
    assert [(str(each.kind), each.package, each.difference_bytes) for each in changes] == [
        ("added", "jq", 400_000),
        ("removed", "sqlite", -1_700_000),
        ("version", "shop", 50_000),
        ("rebuilt", "glibc", 100_000),
        ("rebuilt", "python3", 100),
        ("rebuilt", "curl", 0),
        ("rebuilt", "openssl", 0),
        ("rebuilt", "programs", 0),
        ("rebuilt", "zlib", 0),
    ]


def test_of_several_versions_those_are_told_that_differ() -> None:
    old = SampleClosure(
        {"lib-1": (1, []), "lib-2": (2, []), "lib-2-dev": (4, []), "shop-1": (8, [])}
    )
    new = SampleClosure({"lib-2": (2, []), "lib-3": (16, []), "lib-4": (32, []), "shop-1": (8, [])})

    def of(sample: SampleClosure) -> Contents:
        return contents_of_plan(
            sample.describe([]), LayerPlan(layers=(planned(*sample.graph),)), None, title=""
        )

    first, second = compare(of(old), of(new)).packages or ()
    assert (first.kind, first.package) == (PackageChangeKind.REMOVED, "lib (dev)")
    assert (second.kind, second.package) == (PackageChangeKind.VERSION, "lib")
    assert (second.old_versions, second.new_versions) == (("1",), ("3", "4"))
    assert (second.old_size_bytes, second.new_size_bytes) == (1, 48)


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ({"Cmd": None}, {}, []),
        ({"Cmd": ("a",)}, {"Cmd": ["a"]}, []),
        ({"Env": ["A=1", "B=2"]}, {"Env": ["B=2", "A=1=1"]}, [("Env.A", "1", "1=1")]),
        ({"Labels": {"a": "1"}}, {"Labels": {}}, [("Labels.a", "1", None)]),
        ({"Labels": {}}, {"Labels": {"b": ""}}, [("Labels.b", None, "")]),
        ({"Volumes": {"/a": {}}}, {"Volumes": None}, [("Volumes./a", {}, None)]),
        (
            {"Healthcheck": {"Test": ["a"], "Retries": 1}},
            {"Healthcheck": {"Test": ["b"], "Retries": 1}},
            [("Healthcheck.Test", ["a"], ["b"])],
        ),
        ({"Env": "what is this"}, {"Env": []}, [("Env", "what is this", None)]),
    ],
)
def test_configs_are_compared_entry_by_entry(
    old: Mapping[str, Any], new: Mapping[str, Any], changes: list[tuple[str, Any, Any]]
) -> None:
    found = compare_configs(old, new)
    assert [(change.key, change.old, change.new) for change in found] == changes


def test_the_document_is_whole() -> None:
    difference = compare(contents(OLD, "old"), contents(NEW, "new"))
    document = diff_document(difference)
    assert document["old"] == {
        "image": "old",
        "layerCount": 5,
        "layersWithoutPaths": 0,
        "pathCount": 9,
        "narSizeBytes": 130_410_000,
    }
    assert document["packages"][2] == {
        "change": "version",
        "package": "shop",
        "oldVersions": ["1.4"],
        "newVersions": ["1.5"],
        "oldSizeBytes": 400_000,
        "newSizeBytes": 450_000,
        "oldPaths": [str(OLD.path("shop-1.4"))],
        "newPaths": [str(NEW.path("shop-1.5"))],
    }
    assert {state: len(layers) for state, layers in document["layers"].items()} == {
        "kept": 0,
        "sent": len(difference.new.layers),
        "dropped": len(difference.old.layers),
    }
    assert json.loads(json.dumps(document)) == document


# Delivered images.


@pytest.fixture
def deliver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Deliver an image with a layer for each name; of `libc` there is one, the same for all."""
    monkeypatch.chdir(tmp_path)
    store = FakeStore(tmp_path / "store")
    libc = store.add("libc-2.40", (b"libc" * 5000, False))

    def deliver(place: str, *names: str, compression: str = "none", **options: Any) -> str:
        infos = [libc, *(store.add(name, (name.encode() * 1000, False)) for name in names)]
        described = store.describe(infos)
        described = replace(described, description=replace(described.description, **options))
        plan = LayerPlan(layers=tuple(planned(info, reason=info.path.name) for info in infos))
        pack_options = PackOptions(compression=Compression.parse(compression))
        destinations = [parse_destination(place)]
        access = Access(verifies_tls=False)
        deliver_image(described, plan, destinations, pack_options, Listener(), access)
        return place

    return deliver


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    status = cli.main(argv)
    captured = capsys.readouterr()
    assert (status, captured.err) == (0, "")
    return captured.out


def test_two_delivered_images_are_compared_without_their_closures(
    capsys: pytest.CaptureFixture[str], deliver: Callable[..., str]
) -> None:
    old = deliver("oci:old", "shop-1.4", config={"Env": ("A=1",)})
    new = deliver("oci-archive:new.tar", "shop-1.5", config={"Env": ("A=2",)})
    assert run(capsys, "diff", old, new) == (
        "oci:old → oci-archive:new.tar\n\n"
        "CHANGE   PACKAGE  VERSION    SIZE    DIFFERENCE\n"
        "version  shop     1.4 → 1.5  8.1 kB         0 B\n\n"
        "CONFIG  BEFORE  AFTER\n"
        'Env.A   "1"     "2"\n\n'
        " SENT  PATHS  HOLDS     REASON\n"
        "11 kB      1  shop-1.5  shop-1.5\n"
        "1 layer (24 kB) kept, 1 layer (11 kB) sent, 1 layer (11 kB) dropped\n"
        "2 paths, 28 kB (0 B)\n"
    )


def test_an_image_that_nixbridge_did_not_make_is_compared_by_layers_and_config(
    capsys: pytest.CaptureFixture[str], deliver: Callable[..., str]
) -> None:
    ours = deliver("oci:ours", "shop-1.4")
    SAMPLE.deliver("oci:theirs")
    out = run(capsys, "diff", "oci:theirs", ours)
    assert "note: `oci:theirs` does not say which store paths it holds, so that only config " in out
    assert "PACKAGE" not in out
    assert 'Cmd       ["/bin/shop"]  -\n' in out
    assert "0 layers kept, 2 layers (" in out
    document = json.loads(run(capsys, "diff", "oci:theirs", ours, "--json"))
    assert document["packages"] is None
    assert document["notes"] == [
        (
            "`oci:theirs` does not say which store paths it holds, so that only config and layers "
            "are compared"
        )
    ]


def test_layers_are_the_same_by_their_tars_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    SAMPLE.deliver("docker-archive:sample.tar:shop:1")
    SAMPLE.deliver("oci:sample")
    OTHER.deliver("oci:other")
    out = run(capsys, "diff", "docker-archive:sample.tar", "oci:sample")
    assert "\n4 layers (" in out
    assert " kept, 0 layers sent, 0 layers dropped" in out
    assert "0 layers kept, 1 layer (" in run(capsys, "diff", "oci:sample", "oci:other")


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd:3"])
def test_a_planned_image_is_compared_with_a_delivered_one_by_its_layers_keys(
    deliver: Callable[..., str], compression: str, tmp_path: Path
) -> None:
    place = deliver("oci:old", "shop-1.4", compression=compression)
    stored = parse_inspectable(place).inspect(Access())
    infos = [FakeStore(tmp_path / "store2").add("libc-2.40", (b"libc" * 5000, False))]
    described = FakeStore(tmp_path / "store2").describe(infos)
    plan = LayerPlan(layers=(planned(*infos, reason="other words"),))
    new = contents_of_plan(
        described.description, plan, None, title="new", compressions=compressions_of(stored)
    )
    difference = compare(contents_of_stored(stored, title="old"), new)
    assert [layer.reason for layer in difference.kept] == ["other words"]
    assert [layer.reason for layer in difference.dropped] == ["shop-1.4"]


def test_what_cannot_be_compared_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["diff", "oci:a", "oci:b", "-A", "x"]) == 2
    assert capsys.readouterr().err == (
        "error: `-A x` picks an attribute of a Nix file, and there is none\n"
        "  hint: a flake's attribute stands behind the `#`: `.#dockerImage`\n"
    )
    assert cli.main(["diff", "oci:a", "oci:b"]) == 7
    assert capsys.readouterr().err == "error: `a` holds no `index.json`\n"
    assert cli.main(["diff", "oci:a"]) == 2


@pytest.mark.tools
def test_two_published_images_are_compared_by_their_manifests_alone(
    capsys: pytest.CaptureFixture[str],
    deliver: Callable[..., str],
    docker_registry: RegistryServer,
) -> None:
    old, new = docker_registry.reference("team/shop:1"), docker_registry.reference("team/shop:2")
    deliver(old, "shop-1.4", compression="gzip")
    deliver(new, "shop-1.5", compression="gzip")
    before = len(docker_registry.requests())
    document = json.loads(run(capsys, "diff", old, new, "--tls-verify=false", "--json"))
    (package,) = document["packages"]
    assert (package["oldVersions"], package["newVersions"]) == (["1.4"], ["1.5"])
    assert {state: len(layers) for state, layers in document["layers"].items()} == {
        "kept": 1,
        "sent": 1,
        "dropped": 1,
    }
    layers = {
        name
        for layers in document["layers"].values()
        for layer in layers
        for name in layer["names"]
    }
    asked = docker_registry.requests()[before:]
    assert asked
    assert not [each for each in asked if each.path.rpartition("/")[2] in layers]
