"""The set itself: its names, its functions, and how it is evaluated and built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from debpkgs.real_nix import SET, Nix

pytestmark = pytest.mark.nix

LIB_TESTS = Path(__file__).with_name("lib-tests.nix")
SUITES = ("trixie", "bookworm")

# What Lix's docker.nix and nix2container's examples name, and what nixbridge asks for.
NAMES = [
    "bash",
    "bashInteractive",
    "bubblewrap",
    "busybox",
    "bzip2",
    "cacert",
    "cacert.out",
    "coreutils",
    "coreutils-full",
    "curl",
    "dash",
    "diffutils",
    "file",
    "findutils",
    "gawk",
    "git",
    "gitMinimal",
    "glibc",
    "glibc.bin",
    "gnugrep",
    "gnumake",
    "gnupatch",
    "gnused",
    "gnutar",
    "gzip",
    "hello",
    "hostname",
    "iana-etc",
    "jq",
    "less",
    "libxml2",
    "man",
    "mypy",
    "ncurses",
    "nginx",
    "nix",
    "openssh",
    "openssl",
    "patch",
    "patchelf",
    "perl",
    "procps",
    "python3",
    "readline",
    "shadow",
    "skopeo",
    "sqlite",
    "strace",
    "tini",
    "tzdata",
    "util-linux",
    "wget",
    "which",
    "xz",
    "zlib",
    "zstd",
    "dockerTools.fakeNss",
    "dockerTools.binSh",
    "dockerTools.usrBinEnv",
    "dockerTools.caCertificates",
    "emptyFile",
    "emptyDirectory",
    "buildPackages.bash",
    "python3Packages.jinja2",
    "python3Packages.markupsafe",
    "python3Packages.typer",
    "python3Packages.click",
    "python3Packages.rich",
    "python3Packages.hatchling",
    "python3Packages.pluggy",
    "python3Packages.pathspec",
    "python3Packages.packaging",
    "python3Packages.pytest",
    "python3Packages.trove-classifiers",
    "python3Packages.hypothesis",
    "python3Packages.attrs",
    "python3Packages.zstandard",
    "python3Packages.httpx",
    "python3.pkgs.requests",
]


@pytest.mark.parametrize("suite", SUITES)
def test_every_name_is_a_package(nix: Nix, suite: str) -> None:
    packages = nix.evaluate(f"[ {' '.join(f'{suite}.{name}.outPath' for name in NAMES)} ]")
    assert len(packages) == len(NAMES)


@pytest.mark.parametrize("suite", SUITES)
def test_packages_have_what_consumers_read(nix: Nix, suite: str) -> None:
    facts = nix.evaluate(
        f"with {suite}; {{ inherit (nix) pname version system type outputs outputName; "
        "exe = lib.getExe git; bin = lib.getBin curl == curl; license = nix.meta ? description; "
        "arch = [ go.GOARCH stdenv.hostPlatform.go.GOARCH pkgs.stdenv.isDarwin ]; "
        "same = nix.out.outPath == nix.outPath; shell = runtimeShell; }"
    )
    assert facts["pname"] == "nix"
    assert facts["version"].startswith({"trixie": "2.26", "bookworm": "2.8"}[suite])
    assert facts["system"] == "x86_64-linux"
    assert (facts["type"], facts["outputs"], facts["outputName"]) == ("derivation", ["out"], "out")
    assert facts["exe"].endswith("/bin/git")
    assert facts["bin"]
    assert facts["arch"] == ["amd64", "amd64", False]
    assert facts["same"]
    assert facts["shell"].endswith("/bin/bash")


def test_lib_means_what_nixpkgs_means(nix: Nix) -> None:
    different = nix.evaluate(
        f"let tests = import {LIB_TESTS} {{ inherit (trixie) lib; }}; in trixie.lib.attrNames "
        "(trixie.lib.filterAttrs (_: test: test.expr != test.expected) tests)"
    )
    assert different == []


def test_all_of_lib_can_be_evaluated(nix: Nix) -> None:
    kinds = nix.evaluate("builtins.mapAttrs (_: builtins.typeOf) trixie.lib")
    assert kinds["lists"] == "set"
    assert kinds["flatten"] == "lambda"


def test_call_package_names_the_argument_it_lacks(nix: Nix) -> None:
    assert 'required argument "nothing"' in nix.fails("trixie.callPackage ({ nothing }: 1) { }")


def test_overlays_are_layers_of_one_fixed_point(nix: Nix) -> None:
    overlay = "(final: prev: { hello = prev.jq; greeting = final.hello; })"
    names = nix.evaluate(
        f"map (set: set.greeting.pname) [ (import {SET} {{ overlays = [ {overlay} ]; }}) "
        f"(trixie.extend {overlay}) (trixie.appendOverlays [ {overlay} ]) ]"
    )
    assert names == ["jq", "jq", "jq"]


def test_configuration_is_accepted(nix: Nix) -> None:
    expression = f'(import {SET} {{ system = "x86_64-linux"; config = {{ }}; }}).hello.pname'
    assert nix.evaluate(expression) == "hello"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('{ system = "aarch64-linux"; }', "nothing is locked for `aarch64-linux`"),
        ('{ suite = "woody"; }', "there is no suite `woody`; there are: bookworm, trixie"),
    ],
)
def test_what_is_not_there_is_said(nix: Nix, arguments: str, words: str) -> None:
    assert words in nix.fails(f"(import {SET} {arguments}).hello.name")


def test_a_name_that_a_suite_lacks_is_said_when_it_is_used(nix: Nix) -> None:
    assert nix.evaluate("trixie.python3Packages ? isal")
    assert not nix.evaluate("bookworm.python3Packages ? isal")


def test_the_flake_is_evaluated_purely(nix: Nix) -> None:
    hello = nix.run("nix", "eval", "--raw", f"path:{SET}#hello.outPath")
    assert hello.stdout == nix.evaluate("trixie.hello.outPath"), hello.stderr
    old = nix.run("nix", "eval", "--raw", f"path:{SET}#bookworm.hello.outPath")
    assert old.stdout == nix.evaluate("bookworm.hello.outPath"), old.stderr
    version = nix.run("nix", "eval", "--json", f"path:{SET}#lib.version")
    assert json.loads(version.stdout)


def test_the_flake_is_an_input_like_nixpkgs(nix: Nix, tmp_path: Path) -> None:
    flake = """{
      inputs.nixpkgs.url = "path:SET";
      outputs = { nixpkgs, ... }: {
        imported = (import nixpkgs { system = "x86_64-linux"; }).hello.outPath;
        legacy = nixpkgs.legacyPackages.x86_64-linux.hello.outPath;
        joined = nixpkgs.lib.concatStringsSep "-" [ "a" "b" ];
      };
    }"""
    (tmp_path / "flake.nix").write_text(flake.replace("SET", str(SET)))
    hello = nix.evaluate("trixie.hello.outPath")
    for attribute, expected in {"imported": hello, "legacy": hello, "joined": "a-b"}.items():
        result = nix.run("nix", "eval", "--raw", f"path:{tmp_path}#{attribute}")
        assert result.stdout == expected, result.stderr


def test_another_nix_evaluates_the_same(nix: Nix) -> None:
    (other,) = nix.build("trixie.nix")
    expression = f"map (unit: unit.drvPath) (builtins.attrValues (import {SET} {{ }}).units)"
    argv = ["nix-instantiate", "--eval", "--strict", "--json", "-E", expression]
    ours, theirs = (nix.run(f"{bin_}{argv[0]}", *argv[1:]) for bin_ in ("", f"{other}/bin/"))
    assert json.loads(ours.stdout) == json.loads(theirs.stdout)


def test_the_set_as_a_channel(nix: Nix) -> None:
    """`pkgs.path` is a copy of the set that evaluates to the same packages."""
    assert nix.evaluate("(import trixie.path { }).hello.outPath == trixie.hello.outPath")


@pytest.mark.parametrize("suite", ["trixie", "bookworm"])
def test_git_without_perl(nix: Nix, suite: str) -> None:
    (git,) = nix.build(f"{suite}.gitMinimal")
    closure = nix.run("nix-store", "--query", "--requisites", git).stdout.split()
    assert len(closure) > 10
    assert [path for path in closure if "perl" in path or "python" in path] == []


@pytest.mark.usefixtures("needs_namespaces")
def test_a_missing_package_says_what_to_run(nix: Nix, tmp_path: Path) -> None:
    empty = replace(nix, remote=str(tmp_path / "store"))
    assert "debpkgs.py fetch trixie" in empty.build_fails("trixie.hello")


@pytest.mark.usefixtures("needs_namespaces")
def test_a_second_store_is_filled_and_builds_in_the_sandbox(nix: Nix, tmp_path: Path) -> None:
    remote = tmp_path / "store"
    boxed = replace(nix, remote=str(remote), configuration="sandbox = true\n")
    fetched = boxed.run(sys.executable, str(SET / "debpkgs.py"), "fetch", "trixie")
    assert fetched.returncode == 0, fetched.stderr
    (hello,) = boxed.build('trixie.runCommand "said" { } "${trixie.hello}/bin/hello > $out"')
    assert (remote / hello[1:]).read_text() == "Hello, world!\n"


def test_builds_are_reproducible(nix: Nix) -> None:
    names = ["glibc", "bash", "git", "python3", "nix", "cacert", "python3Packages.jinja2"]
    packages = " ".join(f"trixie.{name}" for name in names)
    nix.build(f"[ {packages} ]")
    checked = nix.run(
        "nix-build",
        "--check",
        "--no-out-link",
        "-E",
        f"with import {SET} {{ }}; [ {packages.replace('trixie.', '')} ]",
    )
    assert checked.returncode == 0, checked.stderr


class TestBuildSupport:
    def test_texts_and_scripts(self, nix: Nix) -> None:
        text, tree, script, application = nix.build(
            'with trixie; [ (writeText "t" "a\'b\\n") (writeTextDir "etc/x" "x") '
            '(writeShellScriptBin "say" "echo said \\"$@\\"") '
            '(writeShellApplication { name = "app"; runtimeInputs = [ hello ]; text = "hello"; }) ]'
        )
        assert Path(text).read_text() == "a'b\n"
        assert (Path(tree) / "etc/x").read_text() == "x"
        assert _output(f"{script}/bin/say", "it") == "said it\n"
        assert _output(f"{application}/bin/app") == "Hello, world!\n"

    def test_a_shell_application_with_a_fault_is_not_built(self, nix: Nix) -> None:
        fault = 'trixie.writeShellApplication { name = "app"; text = "if"; }'
        assert "syntax error" in nix.build_fails(fault)

    def test_run_command_with_attributes_as_files_and_outputs(self, nix: Nix) -> None:
        build = (
            'trixie.runCommand "x" { outputs = [ "out" "doc" ]; big = "words"; '
            'passAsFile = [ "big" ]; } "cp $bigPath $out; mkdir $doc"'
        )
        out, doc = nix.build(f"let x = {build}; in [ x x.doc ]")
        assert Path(out).read_text() == "words"
        assert Path(doc).is_dir()

    def test_structured_attributes(self, nix: Nix) -> None:
        (out,) = nix.build(
            'trixie.runCommand "x" { __structuredAttrs = true; nativeBuildInputs = [ trixie.jq ]; '
            'list = [ "a b" "c" ]; exportReferencesGraph.graph = [ trixie.hello ]; } '
            "''printf '%s\\n' \"''${list[@]}\" > $out; jq '.graph | length' .attrs.json >> $out''"
        )
        first, second, paths = Path(out).read_text().splitlines()
        assert (first, second) == ("a b", "c")
        assert int(paths) > 1

    def test_mk_derivation_runs_its_phases(self, nix: Nix, tmp_path: Path) -> None:
        (tmp_path / "Makefile").write_text(
            "all:\n\techo built > x\ncheck:\n\tgrep built x\n"
            "install:\n\tmkdir -p $(PREFIX)/bin\n\tcp x tool $(PREFIX)/bin\n"
        )
        (tmp_path / "tool").write_text("#!/usr/bin/env bash\necho old\n")
        (tmp_path / "tool").chmod(0o755)
        package = (
            'trixie.stdenv.mkDerivation (self: { pname = "p"; version = "1"; '
            f"src = {tmp_path}; doCheck = true; passthru.more = self.version; "
            "postPatch = ''substituteInPlace tool --replace-fail old new''; })"
        )
        (out,) = nix.build(package)
        assert _output(f"{out}/bin/tool") == "new\n"
        changed = f'({package}).overrideAttrs (old: {{ version = old.version + ".1"; }})'
        assert nix.evaluate(f"with {changed}; [ name more pname ]") == ["p-1.1", "1.1", "p"]

    def test_a_failing_phase_fails_the_build(self, nix: Nix) -> None:
        build = 'trixie.stdenv.mkDerivation { name = "x"; installPhase = "false; touch $out"; }'
        assert "failed" in nix.build_fails(build)

    def test_a_shell_has_the_packages_and_runs_its_hook(self, nix: Nix, tmp_path: Path) -> None:
        (tmp_path / "shell.nix").write_text(
            f"with import {SET} {{ }}; mkShell {{ packages = [ hello ]; inputsFrom = [ (mkShell "
            '{ buildInputs = [ jq ]; shellHook = "echo inner"; }) ]; shellHook = "echo outer"; }'
        )
        shell = nix.run(
            "nix-shell", "--pure", str(tmp_path / "shell.nix"), "--run", "hello; jq -n 1+1"
        )
        assert shell.stdout == "inner\nouter\nHello, world!\n2\n", shell.stderr
        assert nix.build(f"import {tmp_path}/shell.nix")
        developed = nix.run("nix", "develop", "-f", str(tmp_path / "shell.nix"), "-c", "hello")
        assert "Hello, world!" in developed.stdout, developed.stderr

    def test_wrap_program(self, nix: Nix) -> None:
        (out,) = nix.build(
            'trixie.runCommand "x" { nativeBuildInputs = [ trixie.makeWrapper ]; } '
            "''mkdir -p $out/bin; "
            'printf \'#!%s\\necho "$A" "\'\'${P%%:*}" "$@"\' $shell > $out/bin/x; '
            "chmod +x $out/bin/x; wrapProgram $out/bin/x --set A 'a b' --prefix P : /p "
            "--add-flags -f''"
        )
        assert _output(f"{out}/bin/x", "arg", P="/q") == "a b /p -f arg\n"

    def test_build_env_links_what_one_package_has_and_merges_the_rest(self, nix: Nix) -> None:
        (env,) = nix.build(
            'trixie.buildEnv { name = "env"; paths = [ trixie.hello trixie.jq ]; '
            'pathsToLink = [ "/bin" "/share" ]; postBuild = "touch $out/done"; }'
        )
        top = Path(env)
        assert sorted(path.name for path in top.iterdir()) == ["bin", "done", "share"]
        assert not (top / "bin").is_symlink()
        assert (top / "bin/hello").is_symlink()
        assert (top / "share/man/man1/jq.1.gz").exists()

    def test_build_env_refuses_two_files_of_one_name(self, nix: Nix) -> None:
        paths = '[ (trixie.writeTextDir "x" "1") (trixie.writeTextDir "x" "2") ]'
        env = f'trixie.buildEnv {{ name = "env"; paths = {paths}; }}'
        assert "collision between" in nix.build_fails(env)
        preferred = paths.replace(
            '(trixie.writeTextDir "x" "2")', '(trixie.lib.hiPrio (trixie.writeTextDir "x" "2"))'
        )
        (out,) = nix.build(f'trixie.buildEnv {{ name = "env"; paths = {preferred}; }}')
        assert (Path(out) / "x").read_text() == "2"
        (joined,) = nix.build(f'trixie.symlinkJoin {{ name = "joined"; paths = {paths}; }}')
        assert (Path(joined) / "x").read_text() == "1"

    def test_link_farm(self, nix: Nix) -> None:
        (farm,) = nix.build('trixie.linkFarm "farm" { "a/b c" = trixie.hello; }')
        assert (Path(farm) / "a/b c/bin/hello").exists()

    def test_closure_info_is_what_nix_loads(self, nix: Nix, tmp_path: Path) -> None:
        hello, info = nix.build(
            "[ trixie.hello (trixie.closureInfo { rootPaths = [ trixie.hello ]; }) ]"
        )
        paths = (Path(info) / "store-paths").read_text().split()
        listed = nix.run("nix-store", "--query", "--requisites", hello).stdout.split()
        assert sorted(paths) == sorted(listed)
        other = replace(nix, remote=f"local?root={tmp_path}")
        registration = (Path(info) / "registration").read_text()
        loaded = subprocess.run(
            ["nix-store", "--load-db"],
            input=registration,
            text=True,
            env=other.environment(),
            check=False,
        )
        assert loaded.returncode == 0
        again = other.run("nix-store", "--query", "--requisites", hello).stdout.split()
        assert sorted(again) == sorted(listed)


class TestPython:
    PACKAGE = """
      trixie.python3Packages.buildPythonApplication {
        pname = "sample";
        version = "1.5";
        pyproject = true;
        src = SOURCE;
        build-system = [ trixie.python3Packages.hatchling ];
        dependencies = [ trixie.python3Packages.jinja2 ];
        nativeCheckInputs = [ trixie.python3Packages.pytestCheckHook ];
        preCheck = "export PYTHONPATH=$PWD";
        pythonImportsCheck = [ "sample" ];
        makeWrapperArgs = [ "--prefix" "PATH" ":" "${trixie.hello}/bin" ];
      }
    """

    @pytest.fixture
    def package(self, tmp_path: Path) -> str:
        source = tmp_path / "source"
        (source / "sample").mkdir(parents=True)
        (source / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            '[project]\nname = "sample"\nversion = "1.5"\ndependencies = ["jinja2"]\n'
            '[project.scripts]\nsample = "sample:main"\n'
        )
        (source / "sample/__init__.py").write_text(
            "import subprocess\nimport importlib.metadata\nimport jinja2\n\n\ndef main():\n"
            "    version = importlib.metadata.version('sample')\n"
            "    print(jinja2.Template('v{{ v }}').render(v=version))\n"
            "    print(subprocess.check_output(['hello'], text=True), end='')\n"
        )
        (source / "test_sample.py").write_text("import sample\n\n\ndef test_it():\n    pass\n")
        return self.PACKAGE.replace("SOURCE", str(source))

    def test_an_application_finds_its_dependencies(self, nix: Nix, package: str) -> None:
        (application,) = nix.build(package)
        assert _output(f"{application}/bin/sample") == "v1.5\nHello, world!\n"

    def test_it_goes_into_an_environment(self, nix: Nix, package: str) -> None:
        (env,) = nix.build(f"trixie.python3.withPackages (_: [ ({package}) ])")
        code = "import sample, sys; print(sys.prefix, sample.jinja2.__name__)"
        assert _output(f"{env}/bin/python3", "-c", code) == f"{env} jinja2\n"

    def test_failing_tests_fail_the_build(self, nix: Nix, package: str, tmp_path: Path) -> None:
        (tmp_path / "source/test_sample.py").write_text("def test_it():\n    assert False\n")
        assert "1 failed" in nix.build_fails(package)


def _output(*argv: str, **variables: str) -> str:
    environment = {"PATH": "/nonexistent", **variables}
    return subprocess.run(argv, capture_output=True, text=True, check=True, env=environment).stdout


def test_an_idempotent_fetch_is_quick(nix: Nix) -> None:
    before = os.times()
    fetched = nix.run(sys.executable, str(SET / "debpkgs.py"), "fetch", "trixie")
    after = os.times()
    assert (fetched.returncode, fetched.stdout, fetched.stderr) == (0, "", "")
    spent = after.children_user + after.children_system - before.children_user
    assert spent - before.children_system < 2
