"""The way of the data, each step one function: read this file first.

    spec ──render_spec──▶ Nix expression ──describe──▶ image description ──plan──▶ layer plan
         ──deliver (pack, assemble, write)──▶ an image at its destinations

What happens in a step is in the room that it calls; what is shown of it is `console.py`'s.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nixbridge.closure import ClosureGraph, PathInfo, StorePath, StoreRoot
from nixbridge.delivery import (
    Delivery,
    Described,
    PackOptions,
    deliver_image,
)
from nixbridge.description import (
    ImageDescription,
    check_platform,
    describe_closure,
    inherit_config,
    is_description,
    read_description,
    upon,
)
from nixbridge.destinations import Access, Destination
from nixbridge.errors import InputError
from nixbridge.evaluator import (
    FileInstallable,
    FlakeInstallable,
    Installable,
    Nix,
    StorePathInstallable,
    SubprocessRunner,
    find_nix,
)
from nixbridge.image import BaseImage, read_base_image
from nixbridge.layering import (
    LayerPlan,
    PlanCosts,
    PlanOptions,
    compare_strategies,
    plan_family,
    plan_layers,
)
from nixbridge.oci import Platform
from nixbridge.plugins import PluginGroup, plugins
from nixbridge.previous import read_plan_file
from nixbridge.progress import Progress
from nixbridge.report.delivery import delivery_summary
from nixbridge.report.update import Update
from nixbridge.share import nix_directory
from nixbridge.source import (
    DescriptionSource,
    FlakeSource,
    NixArguments,
    NixFileSource,
    Source,
    SpecSource,
    StorePathSource,
)


def open_nix(nix_arguments: Sequence[str], progress: Progress) -> Nix:
    """Return the machine's nix, which finds our functions as `<nixbridge>`.

    Raises `NixError`: there is none, or it is too old.
    """
    return find_nix(
        SubprocessRunner(),
        extra_arguments=tuple(nix_arguments),
        search_path={"nixbridge": nix_directory()},
        listener=progress,
    )


def render_spec(path: Path) -> str:
    """Return the Nix expression that the spec at `path` stands for.

    Raises `InputError`.
    """
    # Jinja2 takes longer to import than a push of what is there already.
    from nixbridge.render import render  # noqa: PLC0415
    from nixbridge.spec import read_spec  # noqa: PLC0415

    return render(read_spec(path))


@contextlib.contextmanager
def describe(
    source: Source,
    nix: Nix,
    arguments: NixArguments,
    progress: Progress,
    *,
    is_n2c_exact: bool = False,
) -> Iterator[Described]:
    """Evaluate and build `source`; while the context lasts, nothing of it is garbage collected.

    With `is_n2c_exact` it is described to become what nix2container makes of it.

    Raises `InputError`, `NixError`, `PlanError`, `IntegrityError`.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nixbridge-") as name:
        folder = Path(name)
        built = nix.build(to_installable(source, arguments, folder), out_link=folder / "result")
        store = nix.store_root()
        file = source.path if isinstance(source, DescriptionSource) else store.locate(built[0])
        if file.is_file() and is_description(file):
            description = read_description(file)
            if isinstance(source, StorePathSource):
                # Nix need not know what it refers to: anybody can add a file to the store.
                nix.build(_contents(description), out_link=folder / "contents")
        else:
            description = _describe_paths(nix, built)
        progress.step("build", _title(source), time.monotonic() - started)
        description = replace(description, is_n2c_exact=is_n2c_exact)
        description, base = _with_base(description, store)
        yield Described(description=description, store=store, base=base)


def describe_without_nix(
    source: Source, progress: Progress, *, is_n2c_exact: bool = False
) -> Described:
    """Read an image description whose store paths are all there; nix is not asked, nor needed.

    So it is inside a Nix build, where there is no nix to ask, and the description is all there is.

    Raises `InputError`, `PlanError`, `IntegrityError`.
    """
    started = time.monotonic()
    store = StoreRoot()
    file: Path | None = None
    if isinstance(source, DescriptionSource):
        file = source.path
    elif isinstance(source, StorePathSource):
        file = store.locate(source.path)
    if file is None or not is_description(file):
        raise InputError(
            f"without nix, `{_title(source)}` cannot become an image",
            hint="leave out `--no-nix`, or name an image description that Nix has built",
        )
    description = read_description(file)
    for path in _contents(description).paths:
        if not os.path.lexists(store.locate(path)):
            raise InputError(
                f"`{path}`, which `{file}` names, is not there",
                hint="without `--no-nix`, nix is asked for it",
            )
    progress.step("read", str(file), time.monotonic() - started)
    description = replace(description, is_n2c_exact=is_n2c_exact)
    description, base = _with_base(description, store)
    return Described(description=description, store=store, base=base)


def to_installable(source: Source, arguments: NixArguments, folder: Path) -> Installable:
    """Return what nix is asked for; what is rendered for it is written to `folder`.

    Raises `InputError`.
    """
    match source:
        case SpecSource(path=path):
            _check_plan(path)
            expression = folder / "image.nix"
            expression.write_text(render_spec(path), encoding="utf-8")
            return FileInstallable(
                path=expression,
                expressions=arguments.expressions,
                strings=arguments.strings,
                rendered_from=path,
            )
        case NixFileSource(path=path, attribute=attribute):
            return FileInstallable(
                path=path,
                attribute=attribute,
                expressions=arguments.expressions,
                strings=arguments.strings,
            )
        case FlakeSource(reference=reference):
            return FlakeInstallable(reference)
        case StorePathSource(path=store_path):
            return StorePathInstallable((store_path,))
        case DescriptionSource(path=path):
            return _contents(read_description(path))


def _check_plan(spec: Path) -> None:
    """Refuse a saved plan that a spec names and that cannot be followed; nix would say less.

    Raises `InputError`.
    """
    from nixbridge.spec import read_spec  # noqa: PLC0415 - as above

    plan = read_spec(spec).layering.plan
    if plan is not None:
        command = ("nixbridge", "plan", str(spec), "--save", str(plan))
        read_plan_file(
            plan, hint=f"without `layering.plan` in the spec, write it: `{shlex.join(command)}`"
        )


def _contents(description: ImageDescription) -> StorePathInstallable:
    """Return what a description needs to be in the store."""
    paths = [path for layer in description.layers for path in (*layer.roots, *layer.copy_to_root)]
    if description.from_image is not None:
        paths.append(description.from_image)
    return StorePathInstallable(tuple(dict.fromkeys(paths)))


def _title(source: Source) -> str:
    match source:
        case FlakeSource(reference=reference):
            return reference
        case SpecSource(path=path) | NixFileSource(path=path) | DescriptionSource(path=path):
            return str(path)
        case StorePathSource(path=store_path):
            return store_path.name


def _describe_paths(nix: Nix, roots: Sequence[StorePath]) -> ImageDescription:
    infos: tuple[PathInfo, ...] = nix.path_infos(roots)
    return describe_closure(
        ClosureGraph.of(infos),
        roots,
        name=roots[0].name.lower(),
        tag=roots[0].hash_part,
        platform=Platform.of_machine(os.uname().machine),
    )


def _with_base(
    description: ImageDescription, store: StoreRoot
) -> tuple[ImageDescription, BaseImage | None]:
    """Put below an image what it builds upon: described by us, or an image of another tool."""
    while description.from_image is not None:
        place = store.locate(description.from_image)
        if not is_description(place):
            base = read_base_image(place, platform=description.platform, store=store)
            check_platform(base.platform, description.platform, place=base.place)
            if description.is_n2c_exact:
                return description, base
            config = inherit_config(base.config, description.config)
            return replace(description, config=config), base
        description = upon(read_description(place), description, place=str(place))
    return description, None


def plan(described: Described, options: PlanOptions | None = None) -> LayerPlan:
    """Decide which store path goes into which layer.

    Without `options`, all is as the description says.

    Raises `PlanError`, `InputError`.
    """
    return plan_layers(described.description, options, base_layer_count=_base_count(described))


def plan_together(
    images: Mapping[str, Described], options: PlanOptions | None = None
) -> dict[str, LayerPlan]:
    """Plan images, by their names, so that they share layers.

    Raises `PlanError`, `InputError`.
    """
    return plan_family(
        {name: image.description for name, image in images.items()},
        options,
        base_layer_counts={name: _base_count(image) for name, image in images.items()},
    )


def plan_costs(described: Described, layer_plan: LayerPlan, options: PlanOptions) -> PlanCosts:
    """Tell what an update costs with a plan that was made with `options`, and with others.

    Raises `PlanError`, `InputError`.
    """
    return compare_strategies(
        described.description,
        layer_plan,
        options,
        plugins(PluginGroup.STRATEGIES),
        base_layer_count=_base_count(described),
    )


def _base_count(described: Described) -> int:
    return 0 if described.base is None else len(described.base.layers)


def plan_page(
    described: Described, layer_plan: LayerPlan, options: PlanOptions, update: Update | None
) -> str:
    """Return the HTML page of a plan that was made with `options`, and of what it would send.

    Raises `PlanError`, `InputError`.
    """
    from nixbridge.report.cost_curves import cost_curves  # noqa: PLC0415 - as above
    from nixbridge.report.plan_page import plan_page_html  # noqa: PLC0415

    strategies = plugins(PluginGroup.STRATEGIES)
    curves = cost_curves(
        described.description,
        layer_plan,
        options,
        strategies,
        base_layer_count=_base_count(described),
    )
    return plan_page_html(described.description, layer_plan, described.base, curves, update)


def deliver(
    described: Described,
    layer_plan: LayerPlan,
    destinations: Sequence[Destination],
    progress: Progress,
    options: PackOptions | None = None,
    access: Access | None = None,
) -> Delivery:
    """Pack each layer once, into all destinations at the same time, and make the image visible.

    Without `options`, nothing is compressed, remembered or checked. Files need no `access`.

    Raises `PackError`, `DestinationError`, `InputError`, `IntegrityError`.
    """
    delivery = deliver_image(
        described, layer_plan, destinations, options or PackOptions(), progress, access or Access()
    )
    progress.step("pack", delivery_summary(delivery), delivery.seconds)
    return delivery
