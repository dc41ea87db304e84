"""Why a path is in an image: chains, layers, and what it drags in."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from nixbridge import cli
from nixbridge.errors import InputError
from nixbridge.layering import plan_layers
from nixbridge.report.why import Why, explain, find_paths, why_document, why_text
from report.sample_closure import SHOP, SampleClosure, base_image, layer, store_path

SAMPLE = SampleClosure(SHOP)
DESCRIPTION = SAMPLE.shop()
# The plan is not what is tested here.
PLAN = plan_layers(replace(DESCRIPTION, layers=(layer(*map(SAMPLE.path, SHOP)),)))
REASON = "explicit: glibc-2.40, zlib-1.3, openssl-3.0.14, 6 more and their closures"


def why(wanted: str) -> Why:
    return explain(DESCRIPTION, PLAN, None, wanted)


def test_the_text_has_chains_layer_roots_size_and_what_is_dragged_in() -> None:
    assert why_text(why("python3")) == (
        f"{store_path('python3-3.12.5')}\n"
        f'  shop-1.4 → python3-3.12.5   (layer 1: "{REASON}")\n'
        "  programs → shop-1.4 → python3-3.12.5\n"
        "  root      shop-1.4: the config names it (Entrypoint, Env)\n"
        "  root      programs: its files are copied to /\n"
        "  size      90 MB; 128 MB with all that it refers to (5 paths)\n"
        "  through   shop-1.4 alone: without it, this would go\n"
        "  drags in  2 paths; 92 MB would go with it: sqlite-3.46 (1.7 MB), zlib-1.3 (200 kB)"
    )


def test_a_root_is_its_own_chain_and_may_drag_in_nothing() -> None:
    assert why_text(why("glibc")).splitlines()[1:5] == [
        f'  glibc-2.40   (layer 1: "{REASON}")',
        "  shop-1.4 → python3-3.12.5 → glibc-2.40",
        "  programs → curl-8.9.1 → glibc-2.40",
        "  root      glibc-2.40: an explicit layer holds it",
    ]
    assert why_text(why("glibc")).endswith("  drags in  nothing that would not be there without it")


def test_layers_are_numbered_above_those_of_the_base_image() -> None:
    (match,) = explain(DESCRIPTION, PLAN, base_image(1, 1, 1), "python3").matches
    assert [layer.number for layer in match.layers] == [4]


def test_the_document_holds_the_same() -> None:
    document = why_document(why("openssl-3.0.14"))
    paths = {name: str(store_path(name)) for name in SHOP}
    assert document == {
        "version": 1,
        "matchCount": 1,
        "roots": {
            paths["programs"]: ["its files are copied to /"],
            paths["shop-1.4"]: ["the config names it (Entrypoint, Env)"],
        },
        "matches": [
            {
                "path": paths["openssl-3.0.14"],
                "narSizeBytes": 6_500_000,
                "closureSizeBytes": 36_500_000,
                "closurePathCount": 2,
                "chains": [
                    [paths["shop-1.4"], paths["python3-3.12.5"], paths["openssl-3.0.14"]],
                    [paths["programs"], paths["curl-8.9.1"], paths["openssl-3.0.14"]],
                ],
                "layers": [{"number": 1, "reason": REASON, "copyToRoot": False}],
                "onlyThrough": None,
                "draggedIn": [],
                "draggedInBytes": 6_500_000,
            }
        ],
    }


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("openssl", ["openssl-3.0.14", "openssl-3.0.14-man"]),
        ("openssl-3.0.14", ["openssl-3.0.14"]),
        (store_path("shop-1.4").base_name, ["shop-1.4"]),
        (f"{store_path('shop-1.4')}/", ["shop-1.4"]),
        (f"{store_path('openssl-3.0.14')}/lib/libssl.so.3", ["openssl-3.0.14"]),
    ],
)
def test_a_path_has_many_names(wanted: str, found: list[str]) -> None:
    assert [path.name for path in find_paths(SAMPLE.graph, wanted)] == found


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("opensl", "did you mean `openssl`?"),
        ("SQLite-3.0", "did you mean `sqlite`?"),
        ("lib", "did you mean `zlib` or `glibc`?"),
        (str(store_path("curl-8.9.1", "another build")), "did you mean `curl`?"),
        ("emacs", "`nixbridge closure SOURCE` lists all that is in it"),
        ("", "`nixbridge closure SOURCE` lists all that is in it"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is_like_it(wanted: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        find_paths(SAMPLE.graph, wanted)
    assert (caught.value.message, caught.value.hint) == (f"`{wanted}` is not in the image", hint)


def test_of_many_matches_some_are_told_and_the_rest_counted() -> None:
    many = SampleClosure({f"font-{number}": (number, []) for number in range(12)})
    description = many.describe([layer(*map(many.path, many.packages))])
    answer = explain(description, plan_layers(description), None, "font")
    assert answer.match_count == 12
    assert [match.info.nar_size_bytes for match in answer.matches] == list(range(11, 1, -1))
    text = why_text(answer)
    assert text.endswith("\n\n… 2 more of that name; name one by its whole path")
    assert "  root      font-11: it was asked for\n" in text


def test_of_many_roots_the_nearest_are_told() -> None:
    packages = {f"app-{number}": (1, ["lib-1"]) for number in range(7)}
    many = SampleClosure({**packages, "lib-1": (5, [])})
    description = many.describe([layer(*map(many.path, packages))])
    answer = explain(description, plan_layers(description), None, "lib")
    assert len(answer.matches[0].chains) == 7
    assert "\n  … from 2 more roots\n" in why_text(answer)
    assert len(why_document(answer)["matches"][0]["chains"]) == 7


def test_what_a_layer_ignores_is_in_no_layer() -> None:
    description = SAMPLE.describe(
        [layer(SAMPLE.path("zlib-1.3"), ignore=(SAMPLE.path("glibc-2.40"),))]
    )
    text = why_text(explain(description, plan_layers(description), None, "glibc"))
    assert "  zlib-1.3 → glibc-2.40   (in no layer)\n" in text


def test_no_chain_leads_to_what_nobody_asked_for() -> None:
    description = SAMPLE.describe([layer(SAMPLE.path("zlib-1.3"))])
    answer = explain(description, plan_layers(description), None, "curl")
    assert answer.matches[0].chains == ()
    assert why_document(answer)["matches"][0]["draggedInBytes"] == 700_000
    assert "→" not in why_text(answer)


@pytest.mark.nix
def test_the_command_answers_for_a_store_path(
    capsys: pytest.CaptureFixture[str], app_and_lib: str
) -> None:
    app = app_and_lib
    assert cli.main(["why", app, "lib"]) == 0
    assert '  app-2.0 → lib-1.0   (layer 1: "' in capsys.readouterr().out
    assert cli.main(["why", app, "lib", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [len(match["chains"][0]) for match in document["matches"]] == [2]
    assert cli.main(["why", app, "libs"]) == 2
    captured = capsys.readouterr()
    assert captured.err.endswith("error: `libs` is not in the image\n  hint: did you mean `lib`?\n")
    assert captured.out == ""
