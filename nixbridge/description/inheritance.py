"""What an image takes over from the image that it builds upon.

The policy is that of `docker build`, field by field, so that an image made upon another one starts
as people expect of it. nix2container takes over the layers and nothing else, so that its images
upon `python:3` know no `PATH`; to get that, say the fields anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from nixbridge.closure import ClosureGraph
from nixbridge.description.description import ImageDescription
from nixbridge.errors import InputError
from nixbridge.oci import Platform

# Objects of names: the image has those of both, and where both have one, its own.
_MERGED: Final = ("ExposedPorts", "Labels", "Volumes")


def inherit_config(base: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config of an image that says `own` upon an image that has `base`.

    - `Env` is merged by variable, `Labels`, `ExposedPorts` and `Volumes` by name; ours win.
    - `Cmd` is the base image's only where the image gives no `Entrypoint`: it was meant for the
      other one.
    - Everything else is the base image's unless the image says it.

    Raises `InputError`: the base image has `OnBuild` triggers and the image does not say what
    becomes of them; only `docker build` can run them.
    """
    if base.get("OnBuild") and "OnBuild" not in own:
        raise InputError(
            "the base image has `OnBuild` triggers, which only `docker build` can run",
            hint="leave them out of the new image: `config.OnBuild = [ ];`",
        )
    merged = {**base, **own}
    if "Env" in base and "Env" in own:
        merged["Env"] = _merge_variables(base["Env"], own["Env"])
    for key in _MERGED:
        if key in base and key in own:
            merged[key] = MappingProxyType({**base[key], **own[key]})
    if "Entrypoint" in own and "Cmd" not in own:
        merged.pop("Cmd", None)
    return MappingProxyType(merged)


def _merge_variables(base: Iterable[str], own: Iterable[str]) -> tuple[str, ...]:
    """Return all variables, those of `base` at their places."""
    by_name = {entry.partition("=")[0]: entry for entry in (*base, *own)}
    return tuple(by_name.values())


def check_platform(base: Platform, own: Platform, *, place: str) -> None:
    """Refuse a base image, which `place` names, that runs elsewhere than the image.

    Raises `InputError`.
    """
    if base != own:
        raise InputError(
            f"the base image `{place}` is for {base}, and the image is for {own}",
            hint=f"pull the base image for {own}, or set the image's `arch`",
        )


def upon(base: ImageDescription, own: ImageDescription, *, place: str) -> ImageDescription:
    """Return `own` with the layers and the config of `base` below its own.

    A Nix database that either asks for is that of both, and so are weights. The base's plan is
    followed where there is no other. Annotations are of one manifest and stay there.

    Raises `InputError`, and `PlanError` when the two closures contradict each other.
    """
    check_platform(base.platform, own.platform, place=place)
    return replace(
        own,
        config=inherit_config(base.config, own.config),
        layers=(*base.layers, *own.layers),
        nix_database=own.nix_database or base.nix_database,
        closure=ClosureGraph.of((*base.closure, *own.closure)),
        from_image=base.from_image,
        plan=own.plan or base.plan,
        weights=MappingProxyType({**base.weights, **own.weights}),
    )
