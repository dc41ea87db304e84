"""Read a spec: which keys a `nixbridge.toml` has, and how a file that is wrong is refused.

The values are `image_spec.py`, what each key means is `docs/spec.md`; a test holds the two lists of
keys together. Everything that is wrong with a file is reported at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nixbridge.errors import InputError
from nixbridge.spec import values as v
from nixbridge.spec.image_spec import (
    ConfigSection,
    Debpkgs,
    DockerSection,
    Healthcheck,
    ImageSection,
    ImageSpec,
    LayeringSection,
    LookupPath,
    NixSection,
)
from nixbridge.spec.section import Section


def read_spec(path: Path) -> ImageSpec:
    """Read the spec at `path`; paths in it are relative to its directory.

    Raises `InputError`: the file cannot be read, is not TOML, or has a wrong key, type or value.
    """
    document = _parse_toml(path)
    section = _document_section(path)
    try:
        spec: ImageSpec = section.read(document)
    except v.InvalidValueError as error:
        raise _refusal(path, error.problems) from error
    return replace(spec, given=frozenset(section.given_keys(document)))


def spec_keys() -> tuple[str, ...]:
    """Return every key of a spec, with its table's name."""
    return tuple(_document_section(Path()).all_keys())


def _document_section(path: Path) -> Section:
    """Return what the whole file at `path` must look like."""
    directory = path.parent
    return Section(
        make=partial(ImageSpec, path=path),
        keys={
            "template": v.template_from(directory),
            "nix": _nix_section(directory),
            "image": _image_section(),
            "layering": _layering_section(directory),
            "docker": _docker_section(directory),
        },
    )


def _nix_section(directory: Path) -> Section:
    def make(
        packages: LookupPath | Debpkgs | Path | None = None, suite: str | None = None
    ) -> NixSection:
        if packages is None and suite is None:
            return NixSection()
        if suite is None and packages is not None:
            return NixSection(packages=packages)
        if not isinstance(packages, Debpkgs):
            raise v.InvalidValueError(
                v.Problem(
                    place="nix.suite",
                    text="is given, but only the packages `debpkgs` have suites",
                    hint='say `packages = "debpkgs"` too, or leave `suite` out',
                )
            )
        return NixSection(packages=Debpkgs(suite=suite))

    return Section(make=make, keys={"packages": v.packages_from(directory), "suite": v.as_suite})


def _image_section() -> Section:
    return Section(
        make=ImageSection,
        keys={
            "name": v.as_image_name,
            "tag": v.as_tag,
            "packages": v.list_of(v.as_package),
            "ca_certificates": v.as_flag,
            "title": v.as_word,
            "description": v.as_word,
            "version": v.as_word,
            "revision": v.as_word,
            "source": v.as_word,
            "vendor": v.as_word,
            "annotations": v.table_of(v.as_text),
            "config": _config_section(),
        },
        required=("name",),
        is_required=True,
    )


def _config_section() -> Section:
    return Section(
        make=ConfigSection,
        keys={
            "entrypoint": v.as_command,
            "cmd": v.as_command,
            "env": v.table_of(v.as_text, key=v.as_variable),
            "user": v.as_user,
            "working_dir": v.as_absolute_path,
            "ports": v.list_of(v.as_port),
            "volumes": v.list_of(v.as_absolute_path),
            "labels": v.table_of(v.as_text),
            "stop_signal": v.as_word,
            "healthcheck": Section(
                make=Healthcheck,
                keys={
                    "command": v.as_command,
                    "interval_seconds": v.as_count,
                    "timeout_seconds": v.as_count,
                    "start_period_seconds": v.as_count,
                    "retries": v.as_count,
                },
                required=("command",),
            ),
        },
    )


def _layering_section(directory: Path) -> Section:
    return Section(
        make=LayeringSection,
        keys={
            "strategy": v.as_strategy,
            "max_layers": v.as_count,
            "layers": v.list_of(v.list_of(v.as_package)),
            "plan": v.path_from(directory),
            "volatile": v.list_of(v.as_word),
            "weights": v.table_of(v.as_weight),
        },
    )


def _docker_section(directory: Path) -> Section:
    return Section(
        make=DockerSection,
        keys={
            "bundle_nixpkgs": v.as_flag,
            "channel_name": v.as_line,
            "channel_url": v.as_line,
            "nix_conf": v.table_of(v.as_nix_setting, key=v.as_line),
            "flake_registry": v.path_from(directory),
        },
    )


def _parse_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode()
        return tomllib.loads(text)
    except OSError as error:
        hint = f"name the file in it: `{path / 'nixbridge.toml'}`" if path.is_dir() else None
        raise InputError(
            f"the spec `{path}` cannot be read: {(error.strerror or str(error)).lower()}", hint=hint
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise InputError(
            f"{path} is not UTF-8 text: line {line} holds the byte 0x{byte:02x}",
            hint="TOML files are UTF-8: save it in that encoding",
        ) from error
    except (ValueError, RecursionError) as error:  # ValueError also of a number too long for int()
        reason = "too many brackets" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"{path} is not TOML: {reason[:1].lower()}{reason[1:]}") from error


def _refusal(path: Path, problems: Sequence[v.Problem]) -> InputError:
    if len(problems) == 1:
        problem = problems[0]
        return InputError(f"in {path}, `{problem.place}` {problem.text}", hint=problem.hint)
    lines = [
        f"`{problem.place}` {problem.text}" + (f" ({problem.hint})" if problem.hint else "")
        for problem in problems
    ]
    return InputError(f"in {path}, {len(problems)} things are wrong", details="\n".join(lines))
