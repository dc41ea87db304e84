"""A saved plan: the layers of images as a person committed them, to be followed.

`layering/plan_file.py` writes the file, whose format is `plan-file.schema.json` there; a test holds
that file and this module together. What is unknown in it is refused, as in an image description,
which may hold such a plan itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from nixbridge.closure import ClosureGraph, PackageName, StorePath
from nixbridge.description.fields import Fields
from nixbridge.errors import InputError

PLAN_FILE_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviousLayer:
    """A layer of the previous image or of a saved plan: its store paths, and why it is one."""

    paths: frozenset[StorePath]
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FollowedPlan:
    """The layers of a saved plan, from bottom to top, with the paths that an image has now.

    So many paths are `as_saved`; so many more are `rebuilt`: they have the place of one that is
    gone; and so many are `new`, which no layer holds. `other_name` is the name of the image that
    the plan was saved for, where that is another one.
    """

    layers: tuple[PreviousLayer, ...]
    as_saved_count: int
    rebuilt_count: int
    new_count: int
    other_name: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanFile:
    """The layers of one image or several, by the images' names; `source` names it in errors."""

    layers: Mapping[str, tuple[PreviousLayer, ...]]
    source: str

    def layers_for(self, name: str, closure: ClosureGraph) -> tuple[PreviousLayer, ...]:
        """Return the layers of the image `name`, whose paths are those of `closure`.

        A plan of one image fits an image of another name as well.

        Raises `InputError`: it is a plan for other images.
        """
        self.follow(name, closure)
        return self.layers[self._name_for(name)]

    def follow(self, name: str, closure: ClosureGraph) -> FollowedPlan:
        """Return the layers of the image `name` with the paths of `closure`.

        A path that the plan does not have, built anew or in another version, gets the place of one
        that is gone: of its name, else of its package. Of several places it is the lowest.

        Raises `InputError`: it is a plan for other images.
        """
        saved_for = self._name_for(name)
        layers = self.layers[saved_for]
        known = {path for layer in layers for path in layer.paths}
        places: dict[tuple[str, str], int] = {}
        for number, layer in enumerate(layers):
            for path in layer.paths:
                if path not in closure:
                    for one in _names(path):
                        places.setdefault(one, number)
        paths = [{path for path in layer.paths if path in closure} for layer in layers]
        as_saved_count = sum(map(len, paths))
        new_count = 0
        for info in closure:
            if info.path not in known:
                found = [places[one] for one in _names(info.path) if one in places]
                if found:
                    paths[found[0]].add(info.path)
                else:
                    new_count += 1
        if new_count == len(closure):
            raise InputError(
                f"`{self.source}` is the plan of another image: it has no package of this one",
                hint="save the plan of this one: `nixbridge plan SOURCE --save FILE`",
            )
        return FollowedPlan(
            layers=tuple(
                replace(layer, paths=frozenset(now))
                for layer, now in zip(layers, paths, strict=True)
                if now
            ),
            as_saved_count=as_saved_count,
            rebuilt_count=len(closure) - new_count - as_saved_count,
            new_count=new_count,
            other_name=None if saved_for == name else saved_for,
        )

    def _name_for(self, name: str) -> str:
        if name in self.layers:
            return name
        if len(self.layers) == 1:
            return next(iter(self.layers))
        known = ", ".join(f"`{other}`" for other in self.layers) or "none"
        raise InputError(
            f"`{self.source}` holds no plan for the image `{name}`", hint=f"it holds: {known}"
        )


def _names(path: StorePath) -> tuple[tuple[str, str], ...]:
    """Return what a path is known by when its hash is another one, the most exact first."""
    return ("name", path.name), ("package", PackageName.parse(path.name).package)


def parse_plan_file(data: bytes, *, source: str) -> PlanFile:
    """Read a plan file; `source` names it in errors.

    Raises `InputError`.
    """
    try:
        document: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"`{source}` is not JSON: {error}") from error
    return read_plan(Fields(document, source=source), source=source)


def read_plan(fields: Fields, *, source: str) -> PlanFile:
    """Read the object of a plan.

    Raises `InputError`.
    """
    version = fields.number("version")
    if version != PLAN_FILE_VERSION:
        raise fields.error(
            "version",
            f"is {version}, and this nixbridge knows {PLAN_FILE_VERSION}",
            hint="save it again: `nixbridge plan SOURCE --save FILE`",
        )
    fields.allow_only(("version", "images"))
    layers: dict[str, tuple[PreviousLayer, ...]] = {}
    for image in fields.children("images"):
        image.allow_only(("name", "layers"))
        name = image.text("name")
        if name in layers:
            raise image.error("name", f"is `{name}` a second time")
        layers[name] = tuple(_layer(layer) for layer in image.children("layers"))
    return PlanFile(layers=layers, source=source)


def _layer(fields: Fields) -> PreviousLayer:
    fields.allow_only(("reason", "paths"))
    paths = fields.all_parsed("paths", StorePath.parse)
    if not paths:
        raise fields.error("paths", "is empty")
    return PreviousLayer(paths=frozenset(paths), reason=fields.text("reason"))


def plan_document(plans: Mapping[str, Iterable[PreviousLayer]]) -> dict[str, Any]:
    """Return the document of the layers of images, by the images' names; `read_plan` reads it."""
    return {
        "version": PLAN_FILE_VERSION,
        "images": [
            {
                "name": name,
                "layers": [
                    {"reason": layer.reason, "paths": sorted(map(str, layer.paths))}
                    for layer in plans[name]
                ],
            }
            for name in sorted(plans)
        ],
    }
