"""What `--against` and `--plan` name: an image that is out already, or a saved plan.

What an image says of its layers (`packing/annotations.py`) is a claim of whoever delivered it. Here
it only tells which store paths are to be a layer together; no byte is taken from it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nixbridge.description import (
    FollowedPlan,
    ImageDescription,
    PlanFile,
    PreviousLayer,
    parse_plan_file,
)
from nixbridge.destinations import Access
from nixbridge.destinations.reference import is_destination, parse_inspectable
from nixbridge.destinations.stored_image import AbsentImageError, StoredImage
from nixbridge.errors import InputError
from nixbridge.image import BaseImage
from nixbridge.layering import (
    REPACK_WITHIN_UPDATES,
    LayerPlan,
    PreviousPlan,
)
from nixbridge.packing import Compression, LayerAnnotations, Warn
from nixbridge.report.contents import (
    Contents,
    compressions_of,
    contents_of_plan,
    contents_of_stored,
)
from nixbridge.report.update import Update, contents_of_layers, estimate_update


@dataclass(frozen=True, kw_only=True, slots=True)
class Previous:
    """What was found under the name that the user gave; None is nothing."""

    name: str
    found: StoredImage | PlanFile | None

    def layers_for(self, description: ImageDescription) -> tuple[PreviousLayer, ...]:
        """Return its layers, as far as it tells their store paths.

        Raises `InputError`: it is a saved plan for other images.
        """
        match self.found:
            case PlanFile() as file:
                return file.layers_for(description.name, description.closure)
            case StoredImage() as image:
                return layers_of_image(image)
            case None:
                return ()

    def contents_for(self, description: ImageDescription) -> Contents:
        """Return what there is to compare a plan with.

        Raises `InputError`: an annotation of the image is malformed.
        """
        if isinstance(self.found, StoredImage):
            return contents_of_stored(self.found, title=self.name)
        return contents_of_layers(self.layers_for(description), title=self.name)

    @property
    def compressions(self) -> frozenset[str | None]:
        """How its layers are compressed, by identity; None is not at all."""
        return compressions_of(self.found) if isinstance(self.found, StoredImage) else frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeping:
    """What the user wants the layers of an image to keep to.

    `followed` is a rule, and so is the plan that the image's description holds, unless a saved plan
    is one of `previous`; else the layers are kept stable against the first of `previous` that tells
    which store paths its layers hold.
    """

    previous: Sequence[Previous] = ()
    followed: PlanFile | None = None
    repack_within_updates: int = REPACK_WITHIN_UPDATES

    @property
    def images(self) -> tuple[StoredImage, ...]:
        """Those of `previous` that are images, and there."""
        return tuple(one.found for one in self.previous if isinstance(one.found, StoredImage))

    def plan_for(self, description: ImageDescription, warn: Warn) -> PreviousPlan | None:
        """Return what the image shall be planned against; None is nothing.

        Raises `InputError`: it is a saved plan for other images.
        """
        rule = self.followed
        if rule is None and not any(isinstance(one.found, PlanFile) for one in self.previous):
            rule = description.plan
        if rule is not None:
            followed = rule.follow(description.name, description.closure)
            _warn_of_another(followed, rule.source, warn)
            return PreviousPlan(layers=followed.layers, is_followed=True)
        for one in self.previous:
            layers = one.layers_for(description)
            if layers:
                return PreviousPlan(layers=layers, repack_within_updates=self.repack_within_updates)
            if one.found is not None:
                warn(
                    f"`{one.name}` does not tell which store paths its layers hold, so the layers "
                    "are planned without it"
                )
        return None

    def update(
        self,
        description: ImageDescription,
        base: BaseImage | None,
        layer_plan: LayerPlan,
        warn: Warn,
    ) -> Update:
        """Tell what a push of a plan sends where the first of `previous` is there already.

        Layers are taken to be compressed as those of that image.

        Raises `InputError`: an annotation of the image is malformed.
        """
        previous = self.previous[0]
        for identity in sorted(one for one in previous.compressions if one is not None):
            try:
                Compression.of_identity(identity)
            except InputError:
                warn(
                    f"layers of `{previous.name}` are compressed by {identity}, which is not "
                    "installed here: they are counted as sent again"
                )
        new = contents_of_plan(
            description,
            layer_plan,
            base,
            title=description.name,
            compressions=previous.compressions,
        )
        return estimate_update(
            previous.contents_for(description),
            new,
            layer_plan.repackings,
            repack_within_updates=self.repack_within_updates,
        )


def _warn_of_another(followed: FollowedPlan, source: str, warn: Warn) -> None:
    """Say so where a plan does not seem to be the image's: most is not in it, or another's name."""
    count = followed.as_saved_count + followed.rebuilt_count
    if followed.new_count > count:
        warn(
            f"`{source}` has no layer for {followed.new_count} of the "
            f"{followed.new_count + count} store paths of the image",
            "save it anew: `nixbridge plan SOURCE --against FILE --save FILE`",
        )
    elif followed.other_name is not None:
        warn(f"`{source}` was saved for the image `{followed.other_name}`")


def read_previous(name: str, access: Access) -> Previous:
    """Read what lies at `name`; of an image that is not there, only a warning is given.

    Raises `InputError`, `DestinationError`, `IntegrityError`.
    """
    if not is_destination(name):
        hint = "an image is named with its kind of place: `docker://…`, `oci:…`"
        return Previous(name=name, found=read_plan_file(Path(name), hint=hint))
    destination = parse_inspectable(name)
    try:
        return Previous(name=name, found=destination.inspect(access))
    except AbsentImageError as error:
        access.warn(f"going on without `{name}`: {error.message}", error.hint)
        return Previous(name=name, found=None)


def read_plan_file(path: Path, *, hint: str | None = None) -> PlanFile:
    """Read a saved plan; `hint` is what to do where there is none.

    Raises `InputError`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the plan `{path}`: {error.strerror}", hint=hint) from error
    return parse_plan_file(data, source=str(path))


def layers_of_image(image: StoredImage) -> tuple[PreviousLayer, ...]:
    """Return the layers of an image that tell their store paths: none, if it is not ours."""
    layers = []
    for layer in image.layers:
        # What is malformed tells nothing.
        with contextlib.suppress(InputError):
            paths = LayerAnnotations.parse(layer.annotations).nar_sizes_bytes
            if paths:
                layers.append(PreviousLayer(paths=frozenset(paths), reason=layer.comment))
    return tuple(layers)
