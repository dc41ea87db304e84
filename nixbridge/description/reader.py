"""Read an image description, or name the field that is wrong by its place.

The format is `image-description.schema.json`; a test holds that file and this one together. The
values are `description.py`. Nothing unknown is passed over: a field, a version or a config key that
we do not know is refused, because what it asked for would silently be left out of the image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from nixbridge.closure import DEFAULT_STORE_DIR, ClosureGraph, NarHash, PathInfo, StorePath
from nixbridge.description.config_keys import read_config
from nixbridge.description.description import (
    DESCRIPTION_VERSION,
    LEAST_WEIGHT,
    MOST_WEIGHT,
    ImageDescription,
    LayerDescription,
    NixDatabaseRequest,
    Perm,
)
from nixbridge.description.fields import Fields
from nixbridge.description.saved_plan import PlanFile, read_plan
from nixbridge.errors import InputError, near_miss_hint
from nixbridge.oci import GO_ARCHITECTURES, ImageReference, Platform

# https://go.dev/doc/install/source#environment, those that run Linux.
_ARCHITECTURES: Final = (
    "386",
    "amd64",
    "arm",
    "arm64",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mipsle",
    "ppc64",
    "ppc64le",
    "riscv64",
    "s390x",
)
_OPERATING_SYSTEMS: Final = ("linux",)

# https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")
# https://www.rfc-editor.org/rfc/rfc3339#section-5.6, as Go reads it: upper case, no leap second.
_RFC_3339: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.\d+)?(?:Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_OCTAL_MODE: Final = re.compile(r"0?[0-7]{1,4}", re.ASCII)
# https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md#properties: `history`
_HISTORY_KEYS: Final = ("created", "created_by", "author", "comment")
_MAX_ID: Final = 2**32 - 2  # the last number is no user: it says "leave as it is" to chown


def is_description(path: Path) -> bool:
    """Tell whether the file at `path` is meant to be an image description.

    Raises `InputError`: it cannot be read.
    """
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            # Whatever else Nix builds seldom begins so; only then is it read whole.
            if file.read(1) != b"{":
                return False
            document = json.loads(b"{" + file.read())
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and {"version", "layers"} <= document.keys()


def read_description(path: Path) -> ImageDescription:
    """Read the image description at `path`, which is a store path or a link to one.

    An image without a tag gets the hash part of that store path, as in nix2container.

    Raises `InputError`, `PlanError`.
    """
    try:
        real = path.resolve(strict=True)
        data = real.read_bytes()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symlinks
        raise _unreadable(path, error) from error
    try:
        fallback_tag = StorePath.parse(f"{DEFAULT_STORE_DIR}/{real.name}").hash_part
    except InputError:
        fallback_tag = None
    return parse_description(data, source=str(path), fallback_tag=fallback_tag)


def parse_description(data: bytes, *, source: str, fallback_tag: str | None) -> ImageDescription:
    """Return the image description that `data` is; `source` names it in errors.

    `fallback_tag` is the tag of an image that has none of its own.

    Raises `InputError`, and `PlanError` when the closure is open or has a cycle.
    """
    fields = Fields(_parse_json(data, source), source=source)
    _check_version(fields)
    fields.allow_only(
        (
            "version",
            "name",
            "tag",
            "architecture",
            "os",
            "created",
            "config",
            "annotations",
            "fromImage",
            "layers",
            "nixDatabase",
            "weights",
            "plan",
            "closure",
        )
    )
    closure = ClosureGraph.of(_path_info(info) for info in fields.children("closure"))
    return ImageDescription(
        name=_name(fields),
        tag=_tag(fields, fallback_tag),
        platform=Platform(
            architecture=_architecture(fields), os=_choice(fields, "os", _OPERATING_SYSTEMS)
        ),
        created=_created(fields),
        config=read_config(fields.child("config")),
        annotations=fields.text_map("annotations"),
        layers=tuple(_layer(layer, closure) for layer in fields.children("layers")),
        nix_database=_nix_database(fields),
        closure=closure,
        from_image=_from_image(fields),
        weights=_weights(fields),
        plan=_plan(fields, source),
    )


def _parse_json(data: bytes, source: str) -> object:
    try:
        document = json.loads(
            data.decode(), object_pairs_hook=_object_without_duplicates, parse_constant=_no_constant
        )
        # JSON may spell halves of characters (`\ud800`), which no file of the image can hold.
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        reason = str(error)
        raise InputError(
            f"`{source}` is not an image description: {reason[:1].lower()}{reason[1:]}"
        ) from error
    return document


def _object_without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        twice = next(key for at, (key, _) in enumerate(pairs) if key in dict(pairs[:at]))
        raise ValueError(f"the key `{twice}` stands twice in one object")
    return values


def _no_constant(name: str) -> float:
    raise ValueError(f"`{name}` is not JSON")


def _check_version(fields: Fields) -> None:
    if "image-config" in fields:
        raise fields.error(
            "image-config",
            "is nix2container's",
            hint="build the image with nixbridge's `buildImage`, which takes the same arguments",
        )
    version = fields.number("version", at_least=1)
    if version > DESCRIPTION_VERSION:
        raise fields.error(
            "version",
            f"is {version}, made by a newer nixbridge; this one knows {DESCRIPTION_VERSION}",
            hint="use the same nixbridge for the Nix functions and for the command",
        )


def _name(fields: Fields) -> str:
    reference = fields.parsed("name", ImageReference.parse)
    if reference.tag is not None or reference.digest is not None:
        raise fields.error("name", f"holds more than a name: `{reference}`", hint="use `tag`")
    return reference.name


def _tag(fields: Fields, fallback_tag: str | None) -> str:
    tag = fields.text_or_none("tag")
    tag = fallback_tag if tag is None else tag
    if tag is None:
        raise fields.error(
            "tag",
            "is null, so it is the hash of the description's store path, but this is no store path",
            hint="read the description from the Nix store, or give the image a tag",
        )
    if not _TAG.fullmatch(tag):
        raise fields.error(
            "tag",
            f"is no tag: `{tag}`",
            hint="a tag is up to 128 letters, digits, `_`, `.` and `-`, not `.` or `-` at first",
        )
    return tag


def _architecture(fields: Fields) -> str:
    architecture = fields.text("architecture")
    if architecture in GO_ARCHITECTURES:
        raise fields.error(
            "architecture",
            f"is Nix's word `{architecture}`; images use Go's",
            hint=f"did you mean `{GO_ARCHITECTURES[architecture]}`?",
        )
    return _choice(fields, "architecture", _ARCHITECTURES)


def _choice(fields: Fields, key: str, choices: Sequence[str]) -> str:
    chosen = fields.text(key)
    if chosen not in choices:
        raise fields.error(key, f"is unknown: `{chosen}`", hint=near_miss_hint(chosen, choices))
    return chosen


def _from_image(fields: Fields) -> StorePath | None:
    return None if fields.is_null("fromImage") else fields.parsed("fromImage", StorePath.parse)


def _created(fields: Fields) -> str:
    text = fields.text("created")
    match = _RFC_3339.fullmatch(text)
    try:
        if match is not None:
            datetime.fromisoformat(match[1])
            return text
    except ValueError:
        pass  # the 30th of February
    raise fields.error(
        "created",
        f"is no time: `{text}`",
        hint="write RFC 3339, such as `1970-01-01T00:00:01Z`",
    )


def _path_info(fields: Fields) -> PathInfo:
    fields.allow_only(("path", "narHash", "narSize", "references"))
    return PathInfo(
        path=fields.parsed("path", StorePath.parse),
        nar_hash=fields.parsed("narHash", NarHash.parse),
        nar_size_bytes=fields.number("narSize", at_least=0),
        references=tuple(sorted(set(fields.all_parsed("references", StorePath.parse)))),
    )


def _layer(fields: Fields, closure: ClosureGraph) -> LayerDescription:
    fields.allow_only(
        (
            "roots",
            "copyToRoot",
            "ignore",
            "perms",
            "maxLayers",
            "strategy",
            "reproducible",
            "metadata",
        )
    )
    return LayerDescription(
        roots=_paths_in(closure, fields, "roots"),
        copy_to_root=_paths_in(closure, fields, "copyToRoot"),
        ignore=fields.all_parsed("ignore", StorePath.parse),
        perms=tuple(_perm(perm) for perm in fields.children("perms")),
        max_layers=fields.number("maxLayers"),
        strategy=fields.text("strategy"),
        reproducible=fields.flag("reproducible"),
        history=_history(fields.child("metadata")),
    )


def _paths_in(closure: ClosureGraph, fields: Fields, key: str) -> tuple[StorePath, ...]:
    paths = fields.all_parsed(key, StorePath.parse)
    for at, path in enumerate(paths):
        if path not in closure:
            raise fields.error(f"{key}[{at}]", f"is not in the closure: `{path}`")
    return paths


def _perm(fields: Fields) -> Perm:
    fields.allow_only(("path", "regex", "mode", "uid", "gid", "uname", "gname"))
    return Perm(
        path=fields.parsed("path", StorePath.parse),
        regex=fields.text("regex"),
        mode=_mode(fields),
        uid=_user_or_group_id(fields, "uid"),
        gid=_user_or_group_id(fields, "gid"),
        uname=fields.text("uname"),
        gname=fields.text("gname"),
    )


def _mode(fields: Fields) -> int | None:
    mode = fields.text_or_none("mode")
    if mode is None:
        return None
    if not _OCTAL_MODE.fullmatch(mode):
        raise fields.error("mode", f"is no octal mode: `{mode}`", hint="such as `0755` or `1777`")
    return int(mode, 8)


def _user_or_group_id(fields: Fields, key: str) -> int:
    number = fields.number(key, at_least=0)
    if number > _MAX_ID:
        raise fields.error(key, f"is {number}, above {_MAX_ID}")
    return number


def _history(fields: Fields) -> Mapping[str, str]:
    fields.allow_only(_HISTORY_KEYS)
    if "created" in fields:
        _created(fields)
    return MappingProxyType({key: fields.text(key) for key in _HISTORY_KEYS if key in fields})


def _nix_database(fields: Fields) -> NixDatabaseRequest | None:
    if fields.is_null("nixDatabase"):
        return None
    request = fields.child("nixDatabase")
    request.allow_only(("uid", "gid"))
    return NixDatabaseRequest(
        uid=_user_or_group_id(request, "uid"), gid=_user_or_group_id(request, "gid")
    )


def _weights(fields: Fields) -> Mapping[str, float]:
    if "weights" not in fields:  # version 1 has none
        return MappingProxyType({})
    weights = fields.child("weights")
    return MappingProxyType(
        {
            pattern: weights.decimal(pattern, at_least=LEAST_WEIGHT, at_most=MOST_WEIGHT)
            for pattern in weights
        }
    )


def _plan(fields: Fields, source: str) -> PlanFile | None:
    if "plan" not in fields or fields.is_null("plan"):  # versions 1 and 2 have none
        return None
    return read_plan(fields.child("plan"), source=f"{source}: plan")


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return InputError(f"the image description `{path}` cannot be read: {reason}")
