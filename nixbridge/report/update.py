"""What an update costs: what a push sends, and what who has the old image pulls.

Pure. A layer is *there* if the old image has it: it is neither pushed nor pulled. But an engine
that unpacks each layer upon those below it, as Docker does, reuses a layer only upon the same ones
in the same order; it pulls everything from the first on that does not lie where it lay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nixbridge.description import PreviousLayer
from nixbridge.layering import Repacking
from nixbridge.report.contents import Contents, LayerContents
from nixbridge.report.table import format_count, format_size


@dataclass(frozen=True, kw_only=True, slots=True)
class LayersToSend:
    """Layers by their numbers, counted from 1 at the bottom, and their size.

    `nar_size_bytes` is before compression, `stored_size_bytes` as a registry stores them: an
    estimate, by how the old image's layers are compressed; None where nobody knows that. Neither
    counts a Nix database that no earlier image tells the size of.
    """

    numbers: tuple[int, ...]
    nar_size_bytes: int
    stored_size_bytes: int | None

    @property
    def size_bytes(self) -> int:
        """The better of the two."""
        return self.nar_size_bytes if self.stored_size_bytes is None else self.stored_size_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """From an image that is out, `against`, to a plan of `layer_count` layers.

    `push` is also what is pulled by an engine that reuses each layer for itself; `pull_from_bottom`
    is for one that reuses a chain of layers.
    """

    against: str
    layer_count: int
    push: LayersToSend
    pull_from_bottom: LayersToSend
    repackings: tuple[Repacking, ...]
    repack_within_updates: int


def contents_of_layers(layers: Iterable[PreviousLayer], *, title: str) -> Contents:
    """Return what a saved plan tells of an image: the store paths of its layers."""
    return Contents(
        title=title,
        config={},
        layers=tuple(
            LayerContents(
                names=frozenset(),
                size_bytes=0,
                reason=layer.reason,
                paths=tuple(sorted(layer.paths)),
            )
            for layer in layers
        ),
        nar_sizes_bytes={},
    )


def estimate_update(
    old: Contents, new: Contents, repackings: Sequence[Repacking], *, repack_within_updates: int
) -> Update:
    """Tell what it takes to get from `old`, which is out, to `new`, which is planned."""
    is_there = _is_there(old, new)
    first_other = _count_in_place(old, new, is_there)
    sizes = _Sizes(old, new)
    return Update(
        against=old.title,
        layer_count=len(new.layers),
        push=sizes.of(number for number, there in enumerate(is_there) if not there),
        pull_from_bottom=sizes.of(range(first_other, len(is_there))),
        repackings=tuple(repackings),
        repack_within_updates=repack_within_updates,
    )


def _is_there(old: Contents, new: Contents) -> list[bool]:
    names = {name for layer in old.layers for name in layer.names}
    if names:
        return [bool(layer.names & names) for layer in new.layers]
    # A saved plan has no digests and no keys: the paths must do, and a Nix database, which has
    # none, is the same where all that it registers is.
    groups = {layer.paths for layer in old.layers}
    is_there = [layer.paths in groups for layer in new.layers if layer.paths != ()]
    return is_there + [all(is_there)] * (len(new.layers) - len(is_there))


def _count_in_place(old: Contents, new: Contents, is_there: Sequence[bool]) -> int:
    """Return how many layers, from the bottom on, lie where they lay in `old`."""
    for number, layer in enumerate(new.layers):
        if number < len(old.layers):
            before = old.layers[number]
            is_same = bool(layer.names & before.names) or (
                not before.names and layer.paths == before.paths
            )
        else:
            # A saved plan has no Nix database, which lies on top of all others.
            is_same = layer.paths == () and not any(each.names for each in old.layers)
        if not (is_there[number] and is_same):
            return number
    return len(new.layers)


class _Sizes:
    """The sizes of the layers of `new`, as far as `old` helps to know them."""

    def __init__(self, old: Contents, new: Contents) -> None:
        self._new = new
        told = [layer for layer in old.layers if layer.paths and layer.size_bytes]
        nar_bytes = sum(old.nar_sizes_bytes[path] for layer in told for path in layer.paths or ())
        stored_bytes = sum(layer.size_bytes for layer in told)
        self._ratio = stored_bytes / nar_bytes if nar_bytes else None
        # A Nix database has a key and no paths, and hardly changes its size.
        databases = [layer.size_bytes for layer in old.layers if layer.paths == () and layer.names]
        self._database_bytes = databases[-1] if databases else 0

    def of(self, numbers: Iterable[int]) -> LayersToSend:
        """Return the sizes of these layers, counted from 0."""
        chosen = tuple(numbers)
        layers = [self._new.layers[number] for number in chosen]
        ratio = self._ratio
        return LayersToSend(
            numbers=tuple(number + 1 for number in chosen),
            nar_size_bytes=sum(layer.size_bytes for layer in layers),
            stored_size_bytes=None
            if ratio is None
            else sum(self._stored_bytes(layer, ratio) for layer in layers),
        )

    def _stored_bytes(self, layer: LayerContents, ratio: float) -> int:
        if layer.paths is None:  # of the base image: it is taken as it is
            return layer.size_bytes
        return round(layer.size_bytes * ratio) if layer.paths else self._database_bytes


def update_text(update: Update) -> str:
    """Say what is kept, pushed, pulled by who has the old image, and decided, a line for each."""
    lines = (f"  {name}  {text}" for name, text in update_facts(update))
    return "\n".join((f"against {update.against}", *lines))


def update_facts(update: Update) -> tuple[tuple[str, str], ...]:
    """Return the same as pairs: `kept`, `push`, `pull`, or `plan`, and what is said of it."""
    push, chain = update.push, update.pull_from_bottom
    kept_count = update.layer_count - len(push.numbers)
    pull = _layers_text(push)
    if chain.numbers != push.numbers:
        pull = f"the same; from the bottom on, as Docker does, {_layers_text(chain)}"
    return (
        ("kept", f"{kept_count} of {format_count(update.layer_count, 'layer')}"),
        ("push", _layers_text(push)),
        ("pull", pull),
        *(("plan", repacking_text(one, update.repack_within_updates)) for one in update.repackings),
    )


def _layers_text(layers: LayersToSend) -> str:
    if not layers.numbers:
        return "nothing"
    text = (
        f"{format_count(len(layers.numbers), 'layer')} ({_ranges(layers.numbers)}), "
        f"{format_size(layers.nar_size_bytes)}"
    )
    if layers.stored_size_bytes is None:
        return f"{text} before compression"
    return f"{text}, about {format_size(layers.stored_size_bytes)} as stored"


def _ranges(numbers: Sequence[int]) -> str:
    """Write `1-3, 7`."""
    starts = [number for number in numbers if number - 1 not in numbers]
    ends = [number for number in numbers if number + 1 not in numbers]
    return ", ".join(
        str(start) if start == end else f"{start}-{end}"
        for start, end in zip(starts, ends, strict=True)
    )


def repacking_text(repacking: Repacking, within_updates: int) -> str:
    """Say what packing anew costs and saves, and whether it is done."""
    cost, saving = format_size(repacking.cost_bytes), format_size(repacking.saving_bytes)
    within = format_count(within_updates, "update")
    if repacking.is_done:
        return (
            f"packed anew: that sends {cost} more now, saves {saving} with each update on average, "
            f"and so pays within {within}"
        )
    return (
        f"kept as it is: packed anew it would send {cost} more now and save {saving} with each "
        f"update on average, which does not pay within {within}"
    )


def update_document(update: Update) -> dict[str, Any]:
    """Return the update for `--json`; sizes are in bytes."""

    def layers(chosen: LayersToSend) -> dict[str, Any]:
        return {
            "layers": list(chosen.numbers),
            "narSizeBytes": chosen.nar_size_bytes,
            "estimatedStoredSizeBytes": chosen.stored_size_bytes,
        }

    return {
        "against": update.against,
        "push": layers(update.push),
        "pullFromBottom": layers(update.pull_from_bottom),
        "repackWithinUpdates": update.repack_within_updates,
        "repackings": [
            {
                "costBytes": one.cost_bytes,
                "savingBytes": one.saving_bytes,
                "isDone": one.is_done,
            }
            for one in update.repackings
        ],
    }
