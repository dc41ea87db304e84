"""What README.md and docs/ say, compared with the code: commands, options, names, files, links.

The keys of a spec are compared in `tests/spec`, verbs and exit statuses in `test_cli.py`, Nix code
in `tests/nixside`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from nixbridge.cli.main import _VERBS, make_app
from nixbridge.destinations.reference import parse_destination
from nixbridge.errors import InputError
from nixbridge.packing import Compression
from nixbridge.plugins import PluginGroup, plugins
from nixbridge.spec import read_spec, spec_keys
from nixbridge.testing import BuiltImage, NixTester

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path.relative_to(REPOSITORY)
    for path in (
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob("docs/*.md"),
        *REPOSITORY.glob("nix/*/*.md"),
    )
)
CODE = re.compile(
    r"^```\w*\n(.*?)^```$|^(?: {4}[^\n]*\n)+|(?<!`)`([^`\n]+)`", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")

# Options that documents name alone, of other programs and of our scripts.
OTHERS_OPTIONS = {
    "--override-input",  # nix
    *("--no-times", "--layers"),  # benchmarks/
    *("--archive", "--locked"),  # debpkgs.py
    *("--nix-bin", "--nix-required"),  # the pytest plugin
}
OTHERS_MODULES = {"conftest.py", "stream_layered_image.py"}  # a user's, and nixpkgs'
# What looks like a file of ours and is none: made by a command, or by a user.
ELSEWHERE = ("benchmarks/results/", "nixbridge/layers.sqlite", "nixbridge/nix")


def text_of(document: Path) -> str:
    return (REPOSITORY / document).read_text()


def codes(document: Path) -> Iterator[str]:
    """Yield what is code in a document: blocks, and what stands between backticks."""
    for found in CODE.finditer(text_of(document)):
        yield found[1] or found[2] or found[0]


def verbs() -> dict[str, Any]:
    app: Any = typer.main.get_command(make_app(_VERBS))
    commands = dict(app.commands)
    for name, group in app.commands.items():
        for inner, command in getattr(group, "commands", {}).items():
            commands[f"{name} {inner}"] = command
    return commands


VERBS = verbs()


def options_of(verb: str) -> set[str]:
    parameters = VERBS[verb].params
    return {
        "--help",
        *(option for each in parameters for option in (*each.opts, *each.secondary_opts)),
    }


def commands() -> Iterator[tuple[str, str, list[str]]]:
    """Yield each command of ours in a block: the document, the verb, and its words up to `--`."""
    for document in DOCUMENTS:
        for line in re.findall(r"^ {4}(?:\$ )?nixbridge (.+)$", text_of(document), re.MULTILINE):
            command = re.split(r"\s+# |\s[|&>]+(?:\s|$)", line)[0].replace(" # ", "")
            words = shlex.split(command)
            if "--" in words:
                words = words[: words.index("--")]
            yield str(document), words[0], words[1:]


COMMANDS = list(commands())


def test_there_are_commands_of_most_verbs() -> None:
    assert {verb for _, verb, _ in COMMANDS} >= {
        "copy",
        "diff",
        "init",
        "inspect",
        "plan",
        "serve",
        "why",
    }
    assert len(COMMANDS) > 25


@pytest.mark.parametrize(("document", "verb", "words"), COMMANDS)
def test_the_commands_of_the_documents_are_taken(
    document: str, verb: str, words: list[str]
) -> None:
    """By the parser of the command line, with all that they need; nothing is run."""
    context = VERBS[verb].make_context(f"nixbridge {verb}", words)
    for text in context.params.get("destinations", ()):
        if "…" not in text:
            parse_destination(text)
    assert document


def lines_about_us(document: Path) -> Iterator[str]:
    """Yield the lines of code that begin with an option, a verb of ours, or our name."""
    for code in codes(document):
        for line in code.splitlines():
            words = line.strip().removeprefix("$ ").removeprefix("nixbridge ")
            if words.startswith("--") or words.partition(" ")[0] in VERBS:
                yield re.split(r" -- | [|&#]", words)[0]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_option_that_a_document_names_is_there(document: Path) -> None:
    everywhere = {option for verb in VERBS for option in options_of(verb)} | {"--version"}
    for words in lines_about_us(document):
        verb = words.partition(" ")[0]
        known = options_of(verb) if verb in VERBS else everywhere | OTHERS_OPTIONS
        unknown = set(OPTION.findall(words)) - known
        assert not unknown, f"`{words}`: if it is another program's, name it above"


def test_every_option_of_ours_is_documented() -> None:
    """Somewhere, by its name: not each of those that a verb shares with another at each verb."""
    ours = {option for verb in VERBS for option in options_of(verb) if option.startswith("--")}
    named = {
        option for each in DOCUMENTS for code in codes(each) for option in OPTION.findall(code)
    }
    assert ours - named == {"--attribute", "--output", "--check", "--verbose", "--quiet"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(text_of(document)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = REPOSITORY / document.parent / path if path else REPOSITORY / document
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            names = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in names, link


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_no_title_comes_twice(document: Path) -> None:
    titles = re.findall(
        r"^(#+ .+)$",
        re.sub(r"^```.*?^```$", "", text_of(document), flags=re.MULTILINE | re.DOTALL),
        re.MULTILINE,
    )
    assert titles
    assert sorted(titles) == sorted(set(titles))


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_files_of_the_repository_that_a_document_names_are_there(document: Path) -> None:
    folders = "benchmarks|nixbridge|scripts|templates|tests"
    for code in codes(document):
        for name in re.findall(rf"(?<![\w./-])(?:{folders})/[\w./*-]+", code):
            if not name.startswith(ELSEWHERE):
                assert any(REPOSITORY.glob(name.rstrip("/."))), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_modules_that_a_document_names_are_there(document: Path) -> None:
    """By their last part; those of others are `OTHERS_MODULES`."""
    folders = ("benchmarks", "nix", "nixbridge", "scripts", "tests")
    ours = {path.name for folder in folders for path in (REPOSITORY / folder).rglob("*.py")}
    named = {name for code in codes(document) for name in re.findall(r"([\w-]+\.py)\b", code)}
    assert named <= ours | OTHERS_MODULES


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_what_make_is_asked_for_is_there(document: Path) -> None:
    targets = re.findall(r"^([a-z][\w-]*):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    for code in codes(document):
        for target in re.findall(r"^\s*make ([a-z][\w-]*)", code, re.MULTILINE):
            assert target in targets


def first_column(document: str, title: str) -> list[str]:
    """Return the code in the first cells of the table under a title or with it in its head."""
    [table] = re.findall(
        rf"^\| {re.escape(title)} \|.*\n\|[ -|]+\n((?:\|.+\n)+)",
        text_of(Path(document)),
        re.MULTILINE,
    )
    return [
        name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    ]


def test_the_strategies_of_the_documents_are_those_there_are() -> None:
    assert sorted(first_column("docs/layering.md", "strategy")) == [
        *plugins(PluginGroup.STRATEGIES)
    ]


def test_the_compressions_of_the_documents_are_those_there_are() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|[^|]*\| (?:(\d+) to (\d+), (\d+))?[^|]*\|[^|]+\|$",
        text_of(Path("docs/cache.md")),
        re.MULTILINE,
    )
    assert [kind for kind, *_ in rows] == ["none", "gzip", "zlib", "zstd"]
    for kind, least, most, default in rows:
        usual = Compression.parse(kind)
        assert (usual is None) == (not default), kind
        if usual is not None:
            assert usual.level == int(default), kind
            for level in (least, most):
                Compression.parse(f"{kind}:{level}")
            for level in (int(least) - 1, int(most) + 1):
                with pytest.raises(InputError, match=f"`{kind}` has no level"):
                    Compression.parse(f"{kind}:{level}")


def test_the_readme_and_the_help_have_every_destination() -> None:
    told = {word for code in codes(Path("README.md")) for word in re.findall(r"^([\w-]+):", code)}
    [argument] = [each for each in VERBS["copy"].params if each.name == "destinations"]
    for name in plugins(PluginGroup.DESTINATIONS):
        assert name in told
        assert f"{name}:" in argument.help


@pytest.mark.parametrize(
    ("file", "title"), [("build-image", "## buildImage"), ("build-layer", "## buildLayer")]
)
def test_the_arguments_of_the_nix_functions_are_all_documented(file: str, title: str) -> None:
    """Names, and the defaults that the documents have in code."""
    source = (REPOSITORY / f"nix/{file}.nix").read_text()
    last_set = source.split("\n}:\n")[-2].rpartition("\n{\n")[2]
    arguments = dict(re.findall(r"^  (\w+)(?: \? (.+?))?,?$", last_set, re.MULTILINE))
    section = text_of(Path("docs/functions.md")).partition(f"{title}\n")[2].partition("\n## ")[0]
    documented: dict[str, str] = {}
    for row in re.findall(r"^\|( `.+)\|$", section, re.MULTILINE):
        names, default, _ = row.split("|", 2)
        documented |= {name: default.strip() for name in re.findall(r"`(\w+)`", names)}
    if file == "build-layer":
        shared = re.findall(r"`([a-z]\w+)`", section.partition("as above")[0])
        documented |= dict.fromkeys(shared, "")
    assert sorted(documented) == sorted(arguments)
    compared = []
    for name, default in documented.items():
        if default.startswith("`") and not arguments[name].startswith(("defaults.", "{")):
            assert default.strip("`").strip('"') == arguments[name].strip('"'), name
            compared.append(name)
    assert len(compared) >= 2
    if file == "build-image":
        set_by = (REPOSITORY / "nix/default.nix").read_text()
        for name in ("maxLayers", "strategy"):
            values = re.findall(rf"^    {name} = (.+);$", set_by, re.MULTILINE)
            assert documented[name] == ", or ".join(f"`{value}`" for value in values)


def test_what_the_pytest_plugin_is_said_to_have_is_there() -> None:
    """Its options and fixtures, and what an image and `nix` are asked for."""
    document = Path("docs/testing.md")
    plugin = (REPOSITORY / "nixbridge/pytest_nix.py").read_text()
    options = re.findall(r'addoption\(\s*"(--[\w-]+)"', plugin)
    assert sorted(options) == sorted(
        name.partition(" ")[0] for name in first_column("docs/testing.md", "option")
    )
    for name in first_column("docs/testing.md", "fixture"):
        assert f"def {name}(" in plugin
    asked = {BuiltImage: r"\bimage\.(?!imageTag\b)(\w+)", NixTester: r"\bnix\.(?!conf\b)(\w+)"}
    for kind, pattern in asked.items():
        names = {name for code in codes(document) for name in re.findall(pattern, code)}
        assert len(names) > 3
        assert [name for name in sorted(names) if not hasattr(kind, name)] == []


SPECS = [
    (str(document), code)
    for document in DOCUMENTS
    for code in re.findall(r"^```toml\n(.*?)^```$", text_of(document), re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize(("document", "code"), SPECS, ids=[document for document, _ in SPECS])
def test_the_specs_of_the_documents_are_read(
    document: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of one are of an image with a name."""
    monkeypatch.chdir(tmp_path)
    file = Path("nixbridge.toml")
    file.write_text(code if "[image]" in code else f"[image]\nname = 'shop'\n{code}")
    assert read_spec(file).image.name, document


def test_keys_of_a_spec_that_documents_name_are_there() -> None:
    """Those that are named with a section that nothing else is called like."""
    named = {
        name
        for document in DOCUMENTS
        if document.name != "testing.md"  # there, `image.config` is a built image's
        for code in codes(document)
        for name in re.findall(r"^(?:layering|image\.config)\.[a-z_]+", code)
    } - {"layering.md"}
    assert len(named) > 10
    assert [
        name
        for name in sorted(named)
        if not any(f"{k}.".startswith(f"{name}.") for k in spec_keys())
    ] == []
