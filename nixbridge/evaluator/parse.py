"""Reading nix's JSON: one parser for the shapes of every Nix version.

Nothing else reads nix's stdout. A shape that no known version prints is refused and never
guessed at. The shapes of Nix 2.8 (and Lix), 2.26 and 2.34 are in `tests/fixtures/nix-cli`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from nixbridge.closure import NarHash, PathInfo, StorePath
from nixbridge.errors import InputError, NixError
from nixbridge.evaluator.version import NixVersion

Json = Any
"""A JSON value as Python's `json` reads it."""


class _UnknownShapeError(Exception):
    """The JSON is of no shape that we know; the message says what was expected."""


def parse_json(output: bytes, *, command: str, version: NixVersion) -> Json:
    """Read what `command` printed.

    Raises `NixError`: it is not JSON.
    """
    try:
        return json.loads(output)
    except ValueError as error:
        raise _unknown_shape(command, version, "a JSON document") from error


def parse_path_infos(output: bytes, *, version: NixVersion) -> tuple[PathInfo, ...]:
    """Read what `nix path-info --json` printed, sorted by path.

    Raises `NixError`: an unknown shape, or paths that the store does not hold.
    """
    command = "nix path-info"
    document = parse_json(output, command=command, version=version)
    try:
        entries = list(_path_info_entries(document))
        missing = sorted(path for path, entry in entries if entry is None)
        if missing:
            names = ", ".join(f"`{path}`" for path in missing)
            raise NixError(
                f"the Nix store does not hold {names}",
                hint="build it, or fetch it from a cache: `nix build PATH`",
            )
        infos = [_path_info(path, entry) for path, entry in entries if entry is not None]
    except _UnknownShapeError as error:
        raise _unknown_shape(command, version, str(error)) from error
    return tuple(sorted(infos, key=lambda info: info.path))


def parse_path_info_file(document: Json, *, source: str) -> tuple[PathInfo, ...]:
    """Read what some version of `nix path-info --json` once printed to the file `source`.

    Paths that the store did not hold are passed over.

    Raises `InputError`: an unknown shape.
    """
    try:
        entries = list(_path_info_entries(document))
        return tuple(_path_info(path, entry) for path, entry in entries if entry is not None)
    except _UnknownShapeError as error:
        raise InputError(
            f"`{source}` is not what `nix path-info --json` prints: expected {error}"
        ) from error


def parse_built_paths(output: bytes, *, version: NixVersion) -> tuple[StorePath, ...]:
    """Read what `nix build --json` printed: the outputs, `out` first in each derivation.

    Raises `NixError`: an unknown shape.
    """
    command = "nix build"
    document = parse_json(output, command=command, version=version)
    try:
        results = _list(document, "an array of build results")
        paths = [path for result in results for path in _built_paths(result)]
    except _UnknownShapeError as error:
        raise _unknown_shape(command, version, str(error)) from error
    # Two attributes may be one derivation.
    return tuple(dict.fromkeys(paths))


def parse_settings(output: bytes, *, version: NixVersion) -> Mapping[str, Json]:
    """Read what `nix config show --json` printed: the value of each setting.

    Raises `NixError`: an unknown shape.
    """
    command = "nix config show"
    document = parse_json(output, command=command, version=version)
    try:
        settings = _object(document, "an object of settings")
        return {
            name: _field(_object(setting, f"an object for `{name}`"), "value", object)
            for name, setting in settings.items()
        }
    except _UnknownShapeError as error:
        raise _unknown_shape(command, version, str(error)) from error


def _built_paths(result: Json) -> Iterable[StorePath]:
    if isinstance(result, str):  # a store path that was asked for by name; 2.26 and later
        return (_store_path(result, None),)
    result = _object(result, "an object or a path for each build result")
    if "path" in result:  # the same in 2.8
        return (_store_path(_field(result, "path", str), None),)
    outputs = _object(_field(result, "outputs", dict), "an object of outputs")
    names = sorted(outputs, key=lambda name: (name != "out", name))
    return tuple(_store_path(_field(outputs, name, str), None) for name in names)


def _path_info_entries(document: Json) -> Iterable[tuple[StorePath, Mapping[str, Json] | None]]:
    """Yield each path with its entry, or with None where the path is not valid."""
    if isinstance(document, list):  # 2.8, Lix
        for item in document:
            entry = _object(item, "an object for each path")
            path = _store_path(_field(entry, "path", str), None)
            yield path, entry if entry.get("valid", True) else None
        return
    document = _object(document, "an array or an object of paths")
    store_dir: str | None = None
    if "info" in document:  # 2.34 with --json-format 2: base names below a store directory
        store_dir = _field(document, "storeDir", str)
        document = _object(document["info"], "an object of paths")
    for name, entry in document.items():
        path = _store_path(name, store_dir)
        yield path, None if entry is None else _object(entry, "an object for each path")


def _path_info(path: StorePath, entry: Mapping[str, Json]) -> PathInfo:
    # With --json-format 2 all paths in an entry are base names; in every other format none is.
    store_dir = path.store_dir if entry.get("version") == 2 else None  # noqa: PLR2004
    references = _list(_field(entry, "references", list), "an array of references")
    deriver = entry.get("deriver")
    size = _field(entry, "narSize", int)
    if size < 0 or isinstance(size, bool):
        raise _UnknownShapeError("a size as `narSize`")
    try:
        nar_hash = NarHash.parse(_field(entry, "narHash", str))
    except InputError as error:
        raise _UnknownShapeError("a sha256 hash as `narHash`") from error
    return PathInfo(
        path=path,
        nar_hash=nar_hash,
        nar_size_bytes=size,
        references=tuple(sorted(_store_path(reference, store_dir) for reference in references)),
        deriver=None if deriver is None else _store_path(deriver, store_dir),
    )


def _store_path(text: Json, store_dir: str | None) -> StorePath:
    if not isinstance(text, str):
        raise _UnknownShapeError("a store path as a string")
    try:
        return StorePath.parse(text if store_dir is None else f"{store_dir}/{text}")
    except InputError as error:
        raise _UnknownShapeError(f"a store path where `{text}` stands") from error


def _field(entry: Mapping[str, Json], key: str, kind: type) -> Json:
    if not isinstance(entry.get(key), kind) or key not in entry:
        raise _UnknownShapeError(f"`{key}` in each entry")
    return entry[key]


def _object(value: Json, expected: str) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise _UnknownShapeError(expected)
    return value


def _list(value: Json, expected: str) -> list[Json]:
    if not isinstance(value, list):
        raise _UnknownShapeError(expected)
    return value


def _unknown_shape(command: str, version: NixVersion, expected: str) -> NixError:
    return NixError(
        f"`{command}` of `{version}` printed JSON of a shape that we do not know: "
        f"expected {expected}",
        hint="report it with the version of Nix; another version of Nix may help meanwhile",
    )
