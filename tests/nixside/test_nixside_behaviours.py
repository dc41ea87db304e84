"""What `buildImage` and `buildLayer` mean, seen in the finished image and in a container of it.

Each behaviour is one that nix2container's own examples show; `tests/test_n2c_examples.py` runs
those where they are at hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from image_files import ImageFiles, Layout
from nixbridge import cli
from nixbridge.containers import Bubblewrap, Podman, Ran
from nixbridge.destinations.oci_layout import OciLayout
from nixbridge.errors import DestinationError
from nixside.nix_functions import NixProgram

pytestmark = [pytest.mark.nix, pytest.mark.tools]

FILE = Path(__file__).parent / "behaviours.nix"

Copy = Callable[[str], ImageFiles]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    def run(attribute: str) -> ImageFiles:
        argv = ["copy", str(FILE), f"oci:{tmp_path / 'image'}:test", "-A", attribute, "-q"]
        assert cli.main(argv) == 0
        return ImageFiles(Layout(tmp_path / "image", "test"))

    return run


@pytest.fixture
def run(require_tool: Callable[[str], str]) -> Callable[..., Ran]:
    """Run a command in a container of an image, its own entrypoint if none is given."""
    require_tool("bwrap")

    def start(image: ImageFiles, *argv: str) -> Ran:
        layout = OciLayout(directory=image.layout.directory, name="test")
        with Bubblewrap.open(layout) as container:
            return container.run(argv)

    return start


Run = Callable[..., Ran]


def names(image: ImageFiles) -> list[set[str]]:
    """Return the names of the store paths in each layer, without hash and version."""
    found = []
    for layer in image.layers:
        matches = (
            re.fullmatch(r"/nix/store/[0-9a-z]{32}-(.*?)(-[0-9].*)?", path) for path in layer
        )
        found.append({match[1] for match in matches if match and "/" not in match[0][44:]})
    return found


def test_the_closure_of_what_the_config_names_is_there(copy: Copy, run: Run) -> None:
    image = copy("closure")
    assert names(image) == [{"glibc"}, {"hello"}]
    # Every parent is an entry of its own, that engines need not guess its mode.
    for directory in ("/nix", "/nix/store"):
        assert image[directory].mode == 0o755
    assert run(image).stdout == "Hello, world!\n"


def test_a_script(copy: Copy, run: Run) -> None:
    image = copy("script")
    assert names(image)[1] == {"talk"}
    assert run(image).stdout == "before\nafter\n"


def test_programs_at_the_root(copy: Copy, run: Run) -> None:
    image = copy("programsAtRoot")
    assert run(image, "bash", "--version").stdout.startswith("GNU bash, version")
    assert run(image, "ls", "/").stdout.split() == ["bin", "dev", "nix", "proc"]


def test_files_of_several_packages_at_the_root(copy: Copy, run: Run) -> None:
    assert run(copy("severalAtRoot")).stdout == "Hello, world!\n"


def test_the_most_layers(copy: Copy, run: Run) -> None:
    image = copy("layered")
    assert names(image) == [{"glibc"}, {"hello"}]
    assert run(image).stdout == "Hello, world!\n"


def test_nested_layers(copy: Copy, run: Run) -> None:
    image = copy("nested")
    readline, zlib, bash, top = names(image)
    assert "libreadline8t64" in readline
    assert zlib == {"zlib1g"}
    assert "bash" in bash
    assert "/bin" in image.layers[2]
    # Nothing of the layers below comes again.
    assert top == {"hello"}
    assert run(image).stdout == "Hello, world!\n"


def test_the_same_layer_twice_is_one(copy: Copy) -> None:
    image = copy("duplicated")
    assert len(image.layers) == 2
    assert len(image.layout.config["rootfs"]["diff_ids"]) == 2


def test_metadata(copy: Copy) -> None:
    document = copy("metadata").layout.config
    assert document["created"] == "2024-05-13T09:31:10Z"
    first, second, own = document["history"]
    assert first == {
        "created": "2020-01-01T00:00:00Z",
        "created_by": "a test",
        "author": "an author",
        "comment": "a comment",
    }
    assert "created_by" not in second
    assert own["created_by"] == "nixbridge"


def test_what_is_not_reproducible(copy: Copy, run: Run) -> None:
    image = copy("irreproducible")
    assert names(image)[0] == {"random"}
    assert re.fullmatch(r"[0-9a-f-]{36}\n", run(image).stdout)


def test_what_is_ignored_is_not_there(copy: Copy) -> None:
    assert names(copy("ignored")) == [{"hello"}]


def test_the_mode_of_all_files(copy: Copy) -> None:
    image = copy("everybodys")
    # The root, which tarfile calls "", is no file of theirs.
    assert {name: member.mode for name, member in image.files.items() if name} == {
        "/tmp": 0o777,
        "/tmp/below": 0o777,
    }


def test_the_mode_of_one_file(copy: Copy) -> None:
    image = copy("oneFilesMode")
    assert image["/data/one"].mode == 0o640
    assert image["/data/two"].mode == 0o444
    assert image["/data"].mode == 0o555


def test_the_owner_of_one_file(copy: Copy) -> None:
    image = copy("oneFilesOwner")
    info = image["/data/one"].info
    assert (info.uid, info.gid, info.uname, info.gname) == (1001, 1002, "me", "us")
    assert info.mode == 0o444
    info = image["/data/two"].info
    assert (info.uid, info.gid, info.uname, info.gname) == (0, 0, "root", "root")


def test_nix_knows_the_paths_of_all_layers(copy: Copy, run: Run) -> None:
    image = copy("withNix")
    built = NixProgram().output("nix-build", "--no-out-link", FILE, "-A", "withNix")
    paths = NixProgram().output("nix-store", "-qR", built).split()
    for package in ("hello", "nix"):
        [path] = [path for path in paths if re.fullmatch(rf".{{44}}{package}-[0-9.]+", path)]
        closure = NixProgram().output("nix-store", "-qR", path).split()
        assert sorted(run(image, "nix-store", "-qR", path).stdout.split()) == sorted(closure)
    verified = run(image, "nix-store", "--verify", "--check-contents")
    assert verified.status == 0, verified.stderr
    assert "disappeared" not in verified.stderr


def test_nix_for_a_user(copy: Copy, require_tool: Callable[[str], str]) -> None:
    image = copy("withNixForAUser")
    for path in ("/nix", "/nix/store", "/nix/var/nix", "/nix/var/nix/db/db.sqlite", "/home/me"):
        info = image[path].info
        assert (info.uid, info.gid) == (1000, 1000), path
    assert image["/tmp"].mode == 0o1777
    require_tool("podman")
    layout = OciLayout(directory=image.layout.directory, name="test")
    try:
        container = Podman.open(layout)
    except DestinationError as refusal:
        pytest.skip(refusal.message)
    expression = (
        'derivation { name = "x"; system = builtins.currentSystem; builder = "/bin/bash"; '
        'args = [ "-c" "echo built by $UID > $out" ]; }'
    )
    with container:
        ran = container.run(
            ["bash", "-ec", f"pwd; cat $(nix-build --no-out-link -E '{expression}')"],
            environment={"NIX_CONFIG": "sandbox = false"},
        )
    assert ran.status == 0, ran.stderr
    assert ran.stdout == "/home/me\nbuilt by 1000\n"


# What cannot be


def test_two_files_on_one_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["copy", str(FILE), f"oci:{tmp_path / 'x'}", "-A", "twoFilesOnOneName", "-q"]
    assert cli.main(argv) == 5
    assert "/etc/name" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("wrongArgument", "called with unexpected argument 'maxLayer'"),
        ("wrongArgument", "Did you mean maxLayers?"),
        ("wrongArgumentOfALayer", "called with unexpected argument 'dep'"),
        ("outsideTheStore", "buildImage: `copyToRoot` names `/etc`, which is not in /nix/store"),
        ("wrongName", "buildImage: `name` is `an app`, which no registry accepts"),
        ("wrongKey", "buildImage: `config.Entrypiont` is not a key; did you mean `Entrypoint`?"),
    ],
)
def test_what_is_wrong_is_an_evaluation_error(
    attribute: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["copy", str(FILE), f"oci:{tmp_path / 'x'}", "-A", attribute, "-q"]
    assert cli.main(argv) == 3
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_perms_for_what_no_layer_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["copy", str(FILE), f"oci:{tmp_path / 'x'}", "-A", "permsForNothing", "-q"]
    assert cli.main(argv) == 3
    assert re.search(
        r"`perms` names `/nix/store/\w{32}-hello-[0-9.]+`, which no layer of the image holds",
        capsys.readouterr().err,
    )
