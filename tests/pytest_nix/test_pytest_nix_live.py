"""The plugin with real Nix; what its words are worth is seen in pytest runs of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from nixbridge.testing import BuiltImage, NixTester
from programs import write_program

pytestmark = pytest.mark.nix

DERIVATION = """
{{ name ? "{name}", bash }}:
derivation {{
  inherit name;
  system = builtins.currentSystem;
  builder = "${{builtins.storePath bash}}/bin/bash";
  args = [ "-c" "{script}" ];
}}
"""


@pytest.fixture(scope="module")
def bash(nix: NixTester, repository: Path) -> Path:
    """A shell that is in the machine's store: the sandbox of a private store has no other."""
    return nix.build(repository / "nix/debpkgs/default.nix", attribute="bash")


def derivation(folder: Path, *, name: str, script: str) -> Path:
    file = folder / f"{name}.nix"
    file.write_text(DERIVATION.format(name=name, script=script))
    return file


def test_eval(nix: NixTester, tmp_path: Path) -> None:
    file = tmp_path / "some.nix"
    file.write_text('{ a ? 1, b ? "x" }: { inherit a b; double = n: 2 * n; }')
    assert nix.eval(file, attribute="a") == 1
    assert nix.eval(file, attribute="a", arg={"a": "[ true null ]"}) == [True, None]
    assert nix.eval(file, attribute="b", argstr={"b": "true"}) == "true"
    assert nix.eval(file, attribute="double", apply="double: { x = double 21; }") == {"x": 42}


def test_build_and_closure(nix: NixTester, bash: Path, tmp_path: Path) -> None:
    file = derivation(tmp_path, name="uses-bash", script="echo $BASH_VERSION ${bash} > $out")
    built = nix.build(file, argstr={"bash": str(bash)})
    assert built.read_text().split()[1] == str(bash)
    names = {str(path) for path in nix.closure(file, argstr={"bash": str(bash)}).infos}
    judged = subprocess.run(
        ["nix-store", "--query", "--requisites", built], check=True, capture_output=True, text=True
    )
    assert names == set(judged.stdout.split()) >= {str(built), str(bash)}


def test_the_version_is_the_machines(nix: NixTester) -> None:
    program = shutil.which("nix")
    assert program is not None
    judged = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    assert str(nix.version) == judged.stdout.strip()


@pytest.mark.usefixtures("needs_namespaces")
def test_a_private_store_is_all_of_its_own(
    nix: NixTester, nix_store: NixTester, bash: Path, tmp_path: Path
) -> None:
    name = f"private-{os.getpid()}"
    file = derivation(tmp_path, name=name, script="echo made in $out > $out")
    built = nix_store.build(file, argstr={"bash": str(bash)})
    prefix, in_store = re.fullmatch(rf"(.+)(/nix/store/\w+-{name})", str(built)).groups()  # type: ignore[union-attr]
    assert built.read_text() == f"made in {in_store}\n"
    # The machine's store has lent what it has, and has got nothing.
    assert Path(f"{prefix}{bash}").is_dir()
    assert not Path(in_store).exists()
    assert not list(Path("/nix/store").glob(f"*-{name}*"))
    known = subprocess.run(
        ["nix-store", "--query", "--hash", in_store],
        check=False,
        capture_output=True,
        env=nix.environment,
    )
    assert known.returncode != 0
    # Other programs of nix use it in its environment.
    listed = subprocess.run(
        ["nix-store", "--query", "--hash", in_store],
        check=True,
        capture_output=True,
        env=nix_store.environment,
        text=True,
    )
    assert listed.stdout.startswith("sha256:")


@pytest.mark.usefixtures("needs_namespaces")
def test_a_private_store_leaves_nothing(
    pytester: pytest.Pytester, bash: Path, tmp_path: Path
) -> None:
    file = derivation(tmp_path, name=f"left-{os.getpid()}", script="echo > $out")
    pytester.makepyfile(
        f"""
        def test_it(nix_store):
            built = nix_store.build({str(file)!r}, argstr={{"bash": {str(bash)!r}}})
            assert built.is_file()
            print("built", built)
        """
    )
    home = Path.home()  # pytester's
    before = sorted(home.rglob("*"))
    result = pytester.runpytest("-s", "--basetemp", str(tmp_path / "base"))
    result.assert_outcomes(passed=1)
    (line,) = [line for line in result.outlines if "built" in line and "/nix/store" in line]
    built = Path(line.split("built ")[1].rstrip("."))
    assert built.is_relative_to(tmp_path / "base")
    assert not built.exists()
    assert [path for path in (tmp_path / "base").rglob("*") if path.is_file()] == []
    changed = {path for path in home.rglob("*") if path not in before}
    assert not [path for path in changed if "nix" in path.name and "pytest_nix" not in path.name]


@pytest.mark.parametrize("has_unshare", [True, False])
def test_without_namespaces_the_private_store_is_skipped(
    pytester: pytest.Pytester,
    nix: NixTester,
    monkeypatch: pytest.MonkeyPatch,
    *,
    has_unshare: bool,
) -> None:
    monkeypatch.delenv("NIXBRIDGE_REQUIRE_TOOLS", raising=False)
    directory = alone(nix.nix.program, pytester.path)
    if has_unshare:
        write_program(directory / "unshare", "echo 'unshare: not permitted' >&2; exit 1")
        reason = "no user namespaces can be made here (`unshare: not permitted`)"
    else:
        reason = "there is no `unshare`, so this is no Linux that can make user namespaces"
    monkeypatch.setenv("PATH", str(directory))
    pytester.makepyfile("def test_it(nix_store): pass")
    result = pytester.runpytest("-rs")
    result.assert_outcomes(skipped=1)
    (line,) = [line for line in result.outlines if line.startswith("SKIPPED")]
    assert line.endswith(f": nothing can be built in a private Nix store: {reason}")


@pytest.mark.usefixtures("needs_namespaces")
def test_a_project_can_have_all_in_the_private_store(
    pytester: pytest.Pytester, bash: Path, tmp_path: Path
) -> None:
    file = derivation(tmp_path, name=f"all-{os.getpid()}", script="echo > $out")
    pytester.makeconftest(
        """
        import pytest
        @pytest.fixture(scope="session")
        def nix(nix_store):
            return nix_store
        """
    )
    pytester.makepyfile(
        f"""
        def test_it(nix_image):
            image = nix_image({str(file)!r}, argstr={{"bash": {str(bash)!r}}})
            (name,) = image.names_in("/nix/store")
            assert name.endswith("-all-{os.getpid()}")
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)
    assert not list(Path("/nix/store").glob(f"*-all-{os.getpid()}"))


def test_a_failure_is_nixs_own_message_at_the_tests_line(
    pytester: pytest.Pytester, bash: Path
) -> None:
    derivation(pytester.path, name="bad", script="echo what is wrong; exit 3")
    (pytester.path / "thrown.nix").write_text('throw "do not use this"')
    pytester.makepyfile(
        test_it=f"""
        def test_build(nix):
            nix.build("bad.nix", argstr={{"bash": {str(bash)!r}}})
        def test_eval(nix):
            nix.eval("thrown.nix")
        def test_image(nix_image):
            nix_image("nowhere.nix")
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=3)
    shown = [line.removeprefix("E").strip() for line in result.outlines if line.startswith("E ")]
    program = shutil.which("nix")
    repeat = f"`{program} --extra-experimental-features 'nix-command flakes'"
    search_path = r"-I nixbridge=\S+"
    build = rf"{repeat} build --no-link {search_path} --file \./bad\.nix --argstr bash {bash}`"
    patterns = [
        r"nixbridge\.errors\.NixError: building `bad\.nix` failed: builder for bad exited with 3",
        r"last lines of its log:",
        r"what is wrong",
        rf"hint: see it all with `nix log /nix/store/\w+-bad\.drv`; repeat it with {build}",
        r"nixbridge\.errors\.NixError: evaluating `thrown\.nix` failed: do not use this",
        rf"hint: repeat it with {repeat} eval --json {search_path} --file \./thrown\.nix`",
        r"nixbridge\.errors\.InputError: there is no file `nowhere\.nix`",
        r"hint: a source is a spec .+",
    ]
    # Newer Nix tells besides where it was (the trace), and that is shown as well.
    shown[5:-3] = []
    for pattern, line in zip(patterns, shown, strict=True):
        assert re.fullmatch(pattern, line), line
    places = [line for line in result.outlines if re.match(r"\S+\.py:\d+: \w+Error$", line)]
    assert places == [
        "test_it.py:2: NixError",
        "test_it.py:4: NixError",
        "test_it.py:6: InputError",
    ]


HELLO = """
{ user ? "65534" }:
let
  pkgs = import <nixbridge/debpkgs> { };
  inherit ((import <nixbridge> { inherit pkgs; }).nix2container) buildImage;
  root = pkgs.runCommand "root" { } ''
    mkdir -p $out/etc
    echo "nobody:x:65534:65534::/:/bin/false" > $out/etc/passwd
    ln -s passwd $out/etc/link
  '';
in
buildImage {
  name = "hello";
  copyToRoot = [ root ];
  config = {
    entrypoint = [ "${pkgs.hello}/bin/hello" ];
    env = [ "A=b=c" ];
    labels = { "org.example" = "x"; };
    exposedPorts = { "80/tcp" = { }; };
    inherit user;
  };
}
"""


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("hello") / "hello.nix"
    file.write_text(HELLO)
    return file


def test_inside_an_image(nix_image: Callable[..., BuiltImage], hello: Path) -> None:
    image = nix_image(hello)
    config = image.config
    assert (config.user, config.cmd, config.env) == ("65534", (), {"A": "b=c"})
    assert re.fullmatch(r"/nix/store/\w+-hello-[\d.]+/bin/hello", config.entrypoint[0])
    assert (config.labels, config.exposed_ports) == ({"org.example": "x"}, ("80/tcp",))
    assert (config.working_dir, config.volumes, config.healthcheck) == ("", (), {})
    assert config.document["os"] == "linux"
    passwd = image.file("/etc/passwd")
    assert (passwd.mode, passwd.uid, passwd.text[:7]) == (0o444, 0, "nobody:")
    assert image.file("/etc/link").target == "passwd"
    assert image.file("/etc/link", follow_links=True) == passwd
    assert "/etc/shadow" not in image.files
    paths = [path for layer in image.layers for path in layer.store_paths]
    assert sorted(path.rpartition("/")[2] for path in paths) == list(image.names_in("/nix/store"))
    assert sum(layer.size_bytes for layer in image.layers) > 1_000_000
    assert all(layer.reason for layer in image.layers)


@pytest.mark.tools
def test_skopeo_reads_its_reference(
    nix_image: Callable[..., BuiltImage], hello: Path, require_tool: Callable[[str], str]
) -> None:
    image = nix_image(hello)
    argv = [require_tool("skopeo"), "inspect", "--format", "{{.Digest}}", image.reference]
    judged = subprocess.run(argv, check=True, capture_output=True, text=True)
    assert str(image.digest) == judged.stdout.strip()


def test_an_image_is_packed_once_and_never_out_of_date(
    nix_image: Callable[..., BuiltImage], hello: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.nix"
    shutil.copy(hello, copy)
    image = nix_image(hello)
    assert nix_image(copy) is image
    assert nix_image(copy, argstr={"user": "1"}).config.user == "1"
    copy.write_text(HELLO.replace("65534", "4711", 1))
    assert nix_image(copy).config.user == "4711"


@pytest.mark.tools
def test_running_an_image(nix_image: Callable[..., BuiltImage], hello: Path) -> None:
    image = nix_image(hello)
    ran = image.run()
    assert (ran.status, ran.stdout, ran.stderr) == (0, "Hello, world!\n", "")
    assert ran.engine in {"podman", "bubblewrap"}
    assert image.run([*image.config.entrypoint, "--greeting=hi"]).stdout == "hi\n"


def test_a_command_that_fails_shows_the_engine_and_what_was_said(
    pytester: pytest.Pytester, hello: Path, require_tool: Callable[[str], str]
) -> None:
    require_tool("bwrap")
    pytester.makepyfile(
        f"""
        def test_it(nix_image):
            assert nix_image({str(hello)!r}).run(["/none"]).status == 0
        """
    )
    result = pytester.runpytest("-vv")
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert re.search(r"Ran\(\s*engine='(podman|bubblewrap)',\s*argv=\('/none',\),\s*status=", text)


def test_without_an_engine_a_run_is_skipped(
    pytester: pytest.Pytester, hello: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NIXBRIDGE_REQUIRE_TOOLS", raising=False)
    nix = shutil.which("nix")
    monkeypatch.setenv("PATH", "/nowhere")
    pytester.makepyfile(
        f"""
        def test_it(nix_image):
            nix_image({str(hello)!r}).run()
        """
    )
    reason = "no container can be started here: `podman` is not on PATH; `bwrap` is not on PATH"
    result = pytester.runpytest("-rs", f"--nix-bin={alone(nix, pytester.path)}")
    result.assert_outcomes(skipped=1)
    assert any(line.endswith(f": {reason}") for line in result.outlines)
    result = pytester.runpytest("--nix-required", f"--nix-bin={alone(nix, pytester.path)}")
    result.assert_outcomes(failed=1)
    assert f"{reason}, and --nix-required asks for it" in result.outlines


def alone(program: str | None, folder: Path) -> Path:
    """A directory in which there is that program and no other."""
    directory = folder / "only-nix"
    directory.mkdir(exist_ok=True)
    link = directory / "nix"
    if not link.exists():
        link.symlink_to(str(program))
    return directory


def blocks(document: Path) -> Mapping[str, list[str]]:
    """The code in a Markdown file by its language."""
    found: dict[str, list[str]] = {}
    block = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for language, text in block.findall(document.read_text()):
        found.setdefault(language, []).append(text)
    return found


@pytest.mark.tools
def test_the_documentations_example(pytester: pytest.Pytester, repository: Path) -> None:
    """The spec and the test of docs/testing.md, as they stand there; the packages are ours."""
    code = blocks(repository / "docs/testing.md")
    spec, test = code["toml"][0], code["python"][0]
    assert len(test.strip().splitlines()) <= 10
    (pytester.path / "nixbridge.toml").write_text(f'[nix]\npackages = "debpkgs"\n\n{spec}')
    pytester.makepyfile(test_image=test)
    # A process of its own, as a user's: here, other tests have imported what they like.
    result = pytester.runpytest_subprocess()
    assert result.parseoutcomes()["passed"] == test.count("def test_")
    assert set(result.parseoutcomes()) == {"passed"}
