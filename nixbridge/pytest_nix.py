"""The pytest plugin `nix`: fixtures that evaluate, build and look into images; see docs/testing.md.

pytest loads this in every run of an environment that has nixbridge. So nothing is done, and nothing
but pytest imported, until a test asks for a fixture. What the fixtures do is `testing/`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import pytest

if TYPE_CHECKING:
    from nixbridge.evaluator import NixVersion
    from nixbridge.testing import BuiltImage, NixTester

_MARKER: Final = (
    'nix(min_version="2.18"): the test needs the `nix` command, of that version or later; '
    "without it, it is skipped"
)
_REQUIRED_VARIABLE: Final = "NIXBRIDGE_REQUIRE_TOOLS"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("nix")
    group.addoption(
        "--nix-bin",
        metavar="PATH",
        help="the `nix` program that tests use, or the directory of it and its companions; "
        "otherwise the one on PATH",
    )
    group.addoption(
        "--nix-required",
        action="store_true",
        help="fail instead of skip where nix, or what a container needs, is missing "
        f"({_REQUIRED_VARIABLE}=1 in the environment does the same)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker; put the nix of `--nix-bin` first on PATH."""
    config.addinivalue_line("markers", _MARKER)
    given = config.getoption("nix_bin")
    if given is None:
        return
    program = Path(given).absolute()
    program = program / "nix" if program.is_dir() else program
    if not (program.is_file() and os.access(program, os.X_OK)):
        raise pytest.UsageError(f"--nix-bin {given}: there is no program `{program}`")
    config.option.nix_bin = str(program)
    # For tests that run `nix-build` and the like by themselves.
    patch = pytest.MonkeyPatch()
    patch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    config.add_cleanup(patch.undo)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a marked test without the nix that it needs."""
    for marker in item.iter_markers("nix"):
        wrong = [str(word) for word in marker.args] + [
            name for name in marker.kwargs if name != "min_version"
        ]
        if wrong:
            pytest.fail(
                f"the marker `nix` takes `min_version` and no `{wrong[0]}`: "
                '`@pytest.mark.nix(min_version="2.18")`',
                pytrace=False,
            )
        _require_program(item.config)
        if "min_version" in marker.kwargs:
            _require_version(item.config, marker.kwargs["min_version"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,  # noqa: ARG001 - pytest looks at the names
    call: pytest.CallInfo[None],
) -> Iterator[None]:
    """Let a failure show what nix said and what one can do, besides the error's message."""
    errors = sys.modules.get("nixbridge.errors")
    error = None if call.excinfo is None else call.excinfo.value
    if errors is not None and isinstance(error, errors.NixbridgeError):
        hint = None if error.hint is None else f"hint: {error.hint}"
        for note in (error.details, hint):
            if note is not None and note not in getattr(error, "__notes__", ()):
                error.add_note(note)
    return (yield)


@pytest.fixture(scope="session")
def nix(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NixTester]:
    """Nix on the machine's store: `eval`, `build`, `closure` and `image`."""
    with _open(pytestconfig, tmp_path_factory.mktemp("nix")) as tester:
        yield tester


@pytest.fixture(scope="session")
def nix_store(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NixTester]:
    """Nix on a store of its own, which is removed in the end; as `nix` otherwise."""
    from nixbridge.evaluator import SubprocessRunner  # noqa: PLC0415 - see the module's words
    from nixbridge.testing import missing_namespaces, private_environment  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("nix-store")
    with _open(pytestconfig, folder / "machine") as machine:
        reason = missing_namespaces(SubprocessRunner())
        if reason is not None:
            skip_or_fail(pytestconfig, f"nothing can be built in a private Nix store: {reason}")
        environment = private_environment(machine.nix, os.environ, folder / "store")
    with _open(pytestconfig, folder, environment=environment) as tester:
        yield tester


@pytest.fixture(scope="session")
def nix_image(nix: NixTester) -> Callable[..., BuiltImage]:
    """Build an image, and return what lets the test look inside and run it: `nix.image`."""
    return nix.image


@contextlib.contextmanager
def _open(
    config: pytest.Config, folder: Path, *, environment: Mapping[str, str] | None = None
) -> Iterator[NixTester]:
    from nixbridge.errors import NixError  # noqa: PLC0415
    from nixbridge.testing import NixTester  # noqa: PLC0415

    program = _require_program(config)
    try:
        tester = NixTester.open(
            program,
            folder,
            environment=environment,
            no_container=lambda reason: skip_or_fail(config, reason),
        )
    except NixError as error:
        skip_or_fail(config, error.message)
    try:
        yield tester
    finally:
        tester.close()


def _require_program(config: pytest.Config) -> str:
    """Return the path of the nix that tests use; skip without one."""
    given: str | None = config.getoption("nix_bin")
    program = given or shutil.which("nix")
    if program is None:
        skip_or_fail(config, "`nix` is not on PATH")
    return program


def _require_version(config: pytest.Config, minimum: object) -> None:
    """Skip where nix is older than `minimum`."""
    from nixbridge.errors import NixError  # noqa: PLC0415

    if not isinstance(minimum, str) or not re.fullmatch(r"\d+(\.\d+){0,2}", minimum):
        pytest.fail(
            f"`{minimum!r}` is no version for the marker `nix`: "
            '`@pytest.mark.nix(min_version="2.18")`',
            pytrace=False,
        )
    program = _require_program(config)
    try:
        version = _version(program)
    except NixError as error:
        skip_or_fail(config, error.message)
    if version.numbers < tuple(int(number) for number in minimum.split(".")):
        # Also where all tools are required: another Nix is another run.
        pytest.skip(f"needs Nix {minimum} or later, and this is `{version}`")


@functools.cache
def _version(program: str) -> NixVersion:
    from nixbridge.evaluator import SubprocessRunner, nix_version  # noqa: PLC0415

    return nix_version(SubprocessRunner(), program=program)


def skip_or_fail(config: pytest.Config, reason: str) -> NoReturn:
    """Skip the test for want of `reason`; fail it where the run promises that all is there."""
    if config.getoption("nix_required"):
        pytest.fail(f"{reason}, and --nix-required asks for it", pytrace=False)
    if os.environ.get(_REQUIRED_VARIABLE) == "1":
        pytest.fail(f"{reason}, and {_REQUIRED_VARIABLE}=1 asks for it", pytrace=False)
    pytest.skip(reason)
