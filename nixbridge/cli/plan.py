"""`plan`: which store path goes into which layer, of one image or of several that share layers."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import typer

from nixbridge import pipeline
from nixbridge.cli.layers import LayerWishes
from nixbridge.cli.options import HTML, JSON, N2C_EXACT, SOURCE, Evaluation, Loudness, Reading
from nixbridge.console import Console
from nixbridge.delivery import Described
from nixbridge.errors import InputError, PlanError
from nixbridge.layering import LayerPlan, PlanOptions, plan_file_text
from nixbridge.previous import Keeping
from nixbridge.report.family import family_document, family_table
from nixbridge.report.plan import plan_document, plan_table
from nixbridge.report.table import fold, format_size, parse_size
from nixbridge.report.update import Update, update_document, update_text
from nixbridge.texts import write_text


def plan(
    context: typer.Context,
    sources: Optional[list[str]] = typer.Argument(
        None,
        metavar="SOURCE...",
        help=f"{SOURCE.help} Several with --shared; without any, the working directory.",
    ),
    *,
    evaluation: Evaluation,
    wishes: LayerWishes,
    against: Optional[str] = typer.Option(
        None,
        "--against",
        metavar="REF|FILE",
        help="Keep the layers of an image that is out (docker://…, oci:…, oci-archive:…) or of a "
        "saved plan, and say what a push would send and who has that image would pull.",
    ),
    max_push: Optional[str] = typer.Option(
        None,
        "--max-push",
        metavar="SIZE",
        help="With --against: fail (exit status 4) if a push would send more than, say, 50MB.",
    ),
    shared: bool = typer.Option(
        False, "--shared", help="Plan several images together, so that they share layers."
    ),
    save: Optional[Path] = typer.Option(
        None, "--save", metavar="FILE", help="Write the plan to FILE, to be followed by --plan."
    ),
    reading: Reading,
    n2c_exact: bool = N2C_EXACT,
    html: Optional[Path] = HTML,
    is_json: bool = JSON,
    loudness: Loudness,
) -> None:
    """Show which store path goes into which layer, and why."""
    console = context.obj.configure(loudness)
    named = sources or ["."]
    most_bytes = None if max_push is None else parse_size(max_push)
    if max_push is not None and against is None:
        raise InputError(
            "`--max-push` needs an image to compare with", hint="name it: `--against REF`"
        )
    if shared:
        _refuse_with_shared(against=against, plan_file=wishes.plan_file, html=html)
    elif len(named) > 1:
        raise InputError(
            f"{len(named)} images are to be planned",
            hint="add `--shared` to plan them together, or name one",
        )
    compared = [] if against is None else [against]
    access = reading.access(context.obj, [*wishes.history, *compared])
    keeping = wishes.keeping(compared, access)
    with contextlib.ExitStack() as stack:
        images = [
            stack.enter_context(context.obj.described(source, evaluation, is_n2c_exact=n2c_exact))
            for source in named
        ]
        if shared:
            planned = _plan_family(images, wishes.options(images, access), console)
        else:
            previous = keeping.plan_for(images[0].description, console.warn)
            options = wishes.options(images, access, previous)
            planned = _plan_image(images[0], options, keeping, console, most_bytes)
            if html is not None:
                (layer_plan,) = planned.plans.values()
                console.progress("  page      what updates cost with other plans")
                page = pipeline.plan_page(images[0], layer_plan, options, planned.update)
                write_text(html, page)
                console.say(f"wrote {html}")
    if save is not None:
        write_text(save, plan_file_text(planned.plans))
        console.say(f"wrote {save}")
    if is_json:
        console.document(planned.document)
    else:
        console.data(planned.text)


def _refuse_with_shared(*, against: str | None, plan_file: Path | None, html: Path | None) -> None:
    """Refuse what cannot be said of several images.

    Raises `InputError`.
    """
    if against is not None:
        raise InputError(
            "`--against` keeps the layers of one image; those that images share belong to all",
            hint="save the plan of all, and compare each: "
            f"`nixbridge plan SOURCE --plan FILE --against {shlex.quote(against)}`",
        )
    if plan_file is not None:
        raise InputError(
            "`--shared` makes a plan, and `--plan` follows one",
            hint="follow it with each image: "
            f"`nixbridge plan SOURCE --plan {shlex.quote(str(plan_file))}`",
        )
    if html is not None:
        raise InputError(
            "`--html` shows the plan of one image",
            hint="save the plan of all, and show each: "
            f"`nixbridge plan SOURCE --plan FILE --html {shlex.quote(str(html))}`",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Planned:
    """Plans by the names of their images, and how they are shown."""

    plans: Mapping[str, LayerPlan]
    text: str
    document: dict[str, Any]
    update: Update | None = None


def _plan_image(
    described: Described,
    options: PlanOptions,
    keeping: Keeping,
    console: Console,
    most_bytes: int | None,
) -> _Planned:
    description = described.description
    layer_plan = pipeline.plan(described, options)
    costs = pipeline.plan_costs(described, layer_plan, options)
    text = plan_table(layer_plan, costs, described.base, console.width)
    document = plan_document(layer_plan, costs, described.base)
    update = None
    if keeping.previous:
        update = keeping.update(description, described.base, layer_plan, console.warn)
        _check_push(update, most_bytes)
        text = f"{text}\n{fold(update_text(update), console.width)}"
        document["update"] = update_document(update)
    return _Planned(
        plans={description.name: layer_plan}, text=text, document=document, update=update
    )


def _check_push(update: Update, most_bytes: int | None) -> None:
    """Refuse a push that sends too much.

    Raises `PlanError`.
    """
    if most_bytes is not None and update.push.size_bytes > most_bytes:
        about = "" if update.push.stored_size_bytes is None else "about "
        raise PlanError(
            f"a push would send {about}{format_size(update.push.size_bytes)}, and "
            f"{format_size(most_bytes)} is the most that it may",
            details=update_text(update),
            hint="see which layers, and why: the same command without `--max-push`",
        )


def _plan_family(images: Sequence[Described], options: PlanOptions, console: Console) -> _Planned:
    named: dict[str, Described] = {}
    for image in images:
        name = image.description.name
        if name in named:
            raise InputError(
                f"two images are called `{name}`",
                hint="plans are told apart by the images' names: give each one of its own",
            )
        named[name] = image
    plans = pipeline.plan_together(named, options)
    alone = {name: pipeline.plan(image, options) for name, image in named.items()}
    return _Planned(
        plans=plans,
        text=family_table(plans, alone, console.width),
        document=family_document(plans, alone),
    )
