"""Imports point one way, and each room does what only it may do (ARCHITECTURE.md, "Rooms")."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "nixbridge"

# From left to right: a room imports only from rooms to its left.
ROOMS = (
    "errors",
    "plugins",
    "oci",
    "share",
    "spec",
    "render",
    "closure",
    "evaluator",
    "description",
    "layering",
    "packing",
    "image",
    "destinations",
    "delivery",
    "containers",
    "report",
    "previous",
    "history",
    "source",
    "doctor",
    "progress",
    "texts",
    "cache",
    "pipeline",
    "console",
    "cli",
    "testing",
    "pytest_nix",
    "__main__",
)

# Module → the rooms that alone may import it.
RESERVED = {
    "http": {"destinations"},
    "httpx": {"destinations"},
    "jinja2": {"render"},
    "multiprocessing": {"packing"},
    "pty": set[str](),
    "pytest": {"pytest_nix"},
    "requests": {"destinations"},
    "socket": {"destinations"},
    "subprocess": {"evaluator"},
    "tarfile": {"packing"},
    "typer": {"cli"},
    "urllib": {"destinations"},
    "urllib3": {"destinations"},
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield f"{node.module}"


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_point_left(path: Path) -> None:
    here = ROOMS.index(room_of(path))
    for name in imports(path):
        if name.startswith("nixbridge."):
            room = name.split(".")[1]
            assert ROOMS.index(room) <= here, f"{room_of(path)} imports {name}, to its right"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_reserved_modules_stay_in_their_rooms(path: Path) -> None:
    for name in imports(path):
        allowed = RESERVED.get(name.split(".")[0])
        assert allowed is None or room_of(path) in allowed, f"{name} is not for {room_of(path)}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_only_the_console_prints_and_only_the_cli_exits(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if room_of(path) != "console":
                assert called != "print", name_of(path)
            assert called not in {"os.system", "os.popen", "os.spawnv"}, name_of(path)
            if room_of(path) != "cli":
                assert called not in {"exit", "sys.exit", "os._exit"}, name_of(path)


def test_no_folder_below_a_room() -> None:
    deep = [p for p in PACKAGE.rglob("*.py") if len(p.relative_to(PACKAGE).parts) > 2]
    assert not deep


def test_the_rooms_are_the_ones_the_document_names() -> None:
    document = (PACKAGE.parent / "ARCHITECTURE.md").read_text()
    table = re.findall(r"^\| `(\w+?)(?:/|\.py)` \|", document, re.MULTILINE)
    assert table == list(ROOMS[:-1])
    assert {room_of(path) for path in modules()} <= set(ROOMS)


def test_importing_the_package_does_nothing() -> None:
    """No call at the top level of a module but those that make constants."""
    harmless = re.compile(
        r"^(re\.compile|frozenset|MappingProxyType|NewType|ParamSpec|TypeVar|struct\.Struct|Template|"
        r"logging\.getLogger|dataclass|field|Column|Fit|Owner|bytes|len|range|tuple|dict|typer\.\w+|app\.\w+|"
        r"Path|cast|str\.maketrans|ord|set|int|bytearray|memoryview)$"
    )
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr) and node.value is not None:
                for inner in ast.walk(node.value):
                    if isinstance(inner, ast.Call):
                        called = ast.unparse(inner.func)
                        method = re.search(
                            r"\.(encode|index|join|format|split|strip|pack|union|ljust)$", called
                        )
                        assert harmless.match(called) or method, f"{name_of(path)} calls {called}"
