"""Why a store path is in an image: what leads to it, where it lies, and what it brings in.

Pure. A *root* is a path that somebody asked for; everything else is there because one of the roots
leads to it. What else would not be there without a path is what it *drags in*.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nixbridge.closure import (
    ClosureGraph,
    DominatorTree,
    PackageName,
    PathInfo,
    StorePath,
    reference_chains,
)
from nixbridge.description import ImageDescription
from nixbridge.description.document import plain_value
from nixbridge.errors import InputError
from nixbridge.image import BaseImage
from nixbridge.layering import LayerPlan
from nixbridge.report.plan import first_layer_number
from nixbridge.report.table import format_count, format_size

WHY_DOCUMENT_VERSION: Final = 1

# What is told at once; how many there are besides is told, too.
_MOST_MATCHES: Final = 10
_MOST_CHAINS: Final = 5
_MOST_DRAGGED: Final = 5
_MOST_GUESSES: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class PathLayer:
    """A layer that a path lies in: its number, as `plan` has it, from 1 at the bottom."""

    number: int
    reason: str
    copy_to_root: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PathReasons:
    """Why one path is in the image.

    `chains` has a shortest chain from each root that leads to it; `layers` is empty for a path that
    a layer's `ignore` leaves out. `only_through` is the nearest path that all chains lead
    through. `dragged_in` would not be there without the path, the largest first.
    """

    info: PathInfo
    closure: ClosureGraph
    chains: tuple[tuple[StorePath, ...], ...]
    layers: tuple[PathLayer, ...]
    only_through: StorePath | None
    dragged_in: tuple[PathInfo, ...]

    @property
    def dragged_in_bytes(self) -> int:
        """The NAR size of the path and of all that it drags in."""
        return self.info.nar_size_bytes + sum(info.nar_size_bytes for info in self.dragged_in)


@dataclass(frozen=True, kw_only=True, slots=True)
class Why:
    """The answer for all paths that were asked for, the largest first, and not too many of them.

    `roots` has what is said of each root that leads to one of them.
    """

    matches: tuple[PathReasons, ...]
    match_count: int
    roots: Mapping[StorePath, tuple[str, ...]]


def explain(
    description: ImageDescription, plan: LayerPlan, base: BaseImage | None, wanted: str
) -> Why:
    """Tell why the paths called `wanted` are in the image.

    `wanted` is a store path or a file in one, its last part, its name, or the name of a package.
    The layers of the image that it builds upon, `base`, are below its own.

    Raises `InputError`: there is none in the image.
    """
    graph = description.closure
    found = find_paths(graph, wanted)
    roots = image_roots(description)
    tree = DominatorTree.of(graph, roots)
    layers = _layers_by_path(plan, base)
    matches = tuple(
        _reasons(graph[path], graph, roots, tree, layers) for path in found[:_MOST_MATCHES]
    )
    firsts = sorted({chain[0] for match in matches for chain in match.chains})
    return Why(
        matches=matches,
        match_count=len(found),
        roots={path: roots[path] for path in firsts},
    )


def find_paths(graph: ClosureGraph, wanted: str) -> tuple[StorePath, ...]:
    """Return the paths that `wanted` names, the largest first.

    Raises `InputError`: there is none; the hint has those whose names are like it.
    """
    ways: tuple[Callable[[StorePath], str], ...] = (
        lambda path: path.base_name,
        lambda path: path.name,
        lambda path: PackageName.parse(path.name).name,
    )
    for info in graph:
        if f"{wanted}/".startswith(f"{info.path}/"):
            return (info.path,)
    for way in ways:
        found = [info for info in graph if way(info.path) == wanted.rstrip("/")]
        if found:
            found.sort(key=lambda info: (-info.nar_size_bytes, info.path))
            return tuple(info.path for info in found)
    raise InputError(f"`{wanted}` is not in the image", hint=_guess(graph, wanted))


def _guess(graph: ClosureGraph, wanted: str) -> str:
    # Somebody who gives a whole path of another build means the same package.
    word = wanted.rstrip("/").rpartition("/")[2]
    if len(word) > 33 and word[32] == "-":  # noqa: PLR2004 - `HASH-`
        word = word[33:]
    word = PackageName.parse(word).name.lower()
    packages = sorted({PackageName.parse(info.path.name).name for info in graph})
    lower = {name.lower(): name for name in packages}
    near = [lower[name] for name in difflib.get_close_matches(word, lower, n=_MOST_GUESSES)]
    inside = [name for name in packages if word and word in name.lower() and name not in near]
    guesses = (near + inside)[:_MOST_GUESSES]
    if not guesses:
        return "`nixbridge closure SOURCE` lists all that is in it"
    return f"did you mean {' or '.join(f'`{name}`' for name in guesses)}?"


def image_roots(description: ImageDescription) -> dict[StorePath, tuple[str, ...]]:
    """Return all paths that were asked for, sorted, and in which ways, in words."""
    told: dict[StorePath, list[str]] = {}
    last = len(description.layers) - 1
    for at, layer in enumerate(description.layers):
        for path in layer.copy_to_root:
            told.setdefault(path, []).append("its files are copied to /")
        for path in layer.roots:
            told.setdefault(path, []).append(
                _named_by(description, path) if at == last else "an explicit layer holds it"
            )
    return {path: tuple(dict.fromkeys(told[path])) for path in sorted(told)}


def _named_by(description: ImageDescription, path: StorePath) -> str:
    keys = [
        key
        for key, value in description.config.items()
        if path.base_name in json.dumps(plain_value(value))
    ]
    return f"the config names it ({', '.join(keys)})" if keys else "it was asked for"


def _layers_by_path(
    plan: LayerPlan, base: BaseImage | None
) -> dict[StorePath, tuple[PathLayer, ...]]:
    layers: dict[StorePath, tuple[PathLayer, ...]] = {}
    for number, layer in enumerate(plan.layers, first_layer_number(base)):
        for planned in layer.paths:
            place = PathLayer(number=number, reason=layer.reason, copy_to_root=planned.copy_to_root)
            layers[planned.info.path] = (*layers.get(planned.info.path, ()), place)
    return layers


def _reasons(
    info: PathInfo,
    graph: ClosureGraph,
    roots: Iterable[StorePath],
    tree: DominatorTree,
    layers: Mapping[StorePath, tuple[PathLayer, ...]],
) -> PathReasons:
    # An open end: what a layer's `ignore` left out may be reached from no root.
    is_reached = info.path in tree.parents
    dragged_in = [
        graph[path] for path in tree.dominated_by(info.path) if is_reached and path != info.path
    ]
    dragged_in.sort(key=lambda each: (-each.nar_size_bytes, each.path))
    return PathReasons(
        info=info,
        closure=graph.closure_of([info.path]),
        chains=reference_chains(graph, roots, info.path),
        layers=layers.get(info.path, ()),
        only_through=tree.parents.get(info.path),
        dragged_in=tuple(dragged_in),
    )


def why_text(why: Why) -> str:
    """Show each path with the chains that lead to it, its layer, its size and what it drags in."""
    parts = [_match_text(match, why.roots) for match in why.matches]
    more = why.match_count - len(why.matches)
    if more:
        parts.append(f"… {more} more of that name; name one by its whole path")
    return "\n\n".join(parts)


def _match_text(match: PathReasons, roots: Mapping[StorePath, tuple[str, ...]]) -> str:
    shown = match.chains[:_MOST_CHAINS]
    lines = [str(match.info.path)]
    lines += [f"  {' → '.join(path.name for path in chain)}" for chain in shown]
    where = ", ".join(_layer_text(layer) for layer in match.layers)
    # The first chain is the answer: the layer stands beside it.
    lines[1:2] = [f"{line}   ({where or 'in no layer'})" for line in lines[1:2]]
    if len(match.chains) > len(shown):
        lines.append(f"  … from {format_count(len(match.chains) - len(shown), 'more root')}")
    for reasons, names in _roots_by_reasons(shown, roots).items():
        lines.append(f"  root      {', '.join(names)}: {', '.join(reasons)}")
    size = format_size(match.info.nar_size_bytes)
    closure_size = format_size(match.closure.closure_size_bytes)
    paths = format_count(len(match.closure), "path")
    lines.append(f"  size      {size}; {closure_size} with all that it refers to ({paths})")
    if match.only_through is not None:
        lines.append(f"  through   {match.only_through.name} alone: without it, this would go")
    lines.append(f"  drags in  {_dragged_text(match)}")
    return "\n".join(lines)


def _roots_by_reasons(
    chains: Iterable[tuple[StorePath, ...]], roots: Mapping[StorePath, tuple[str, ...]]
) -> dict[tuple[str, ...], list[str]]:
    names: dict[tuple[str, ...], list[str]] = {}
    for chain in chains:
        names.setdefault(roots[chain[0]], []).append(chain[0].name)
    return names


def _layer_text(layer: PathLayer) -> str:
    return f'layer {layer.number}: "{layer.reason}"'


def _dragged_text(match: PathReasons) -> str:
    if not match.dragged_in:
        return "nothing that would not be there without it"
    named = ", ".join(
        f"{info.path.name} ({format_size(info.nar_size_bytes)})"
        for info in match.dragged_in[:_MOST_DRAGGED]
    )
    more = len(match.dragged_in) - _MOST_DRAGGED
    named += f", … {more} more" if more > 0 else ""
    paths = format_count(len(match.dragged_in), "path")
    return f"{paths}; {format_size(match.dragged_in_bytes)} would go with it: {named}"


def why_document(why: Why) -> dict[str, Any]:
    """Return what `why --json` prints; sizes are those of the NARs, in bytes."""
    return {
        "version": WHY_DOCUMENT_VERSION,
        "matchCount": why.match_count,
        "roots": {str(path): list(reasons) for path, reasons in why.roots.items()},
        "matches": [_match_document(match) for match in why.matches],
    }


def _match_document(match: PathReasons) -> dict[str, Any]:
    through = match.only_through
    return {
        "path": str(match.info.path),
        "narSizeBytes": match.info.nar_size_bytes,
        "closureSizeBytes": match.closure.closure_size_bytes,
        "closurePathCount": len(match.closure),
        "chains": [[str(path) for path in chain] for chain in match.chains],
        "layers": [
            {"number": layer.number, "reason": layer.reason, "copyToRoot": layer.copy_to_root}
            for layer in match.layers
        ],
        "onlyThrough": None if through is None else str(through),
        "draggedIn": [str(info.path) for info in match.dragged_in],
        "draggedInBytes": match.dragged_in_bytes,
    }
