"""What changed from one image to another, as tables and as a document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from nixbridge.report.contents import Contents, LayerContents
from nixbridge.report.diff import ConfigChange, ImageDiff, PackageChange, PackageChangeKind
from nixbridge.report.plan import name_paths
from nixbridge.report.table import (
    LINES,
    NAME,
    NAMES,
    WORDS,
    fold,
    format_count,
    format_difference,
    format_size,
    format_table,
)

DIFF_DOCUMENT_VERSION: Final = 1

# A package that was built again hardly ever has the very same size; `nix store diff-closures` has
# the same bound.
_NOTEWORTHY_BYTES: Final = 8 * 1024


def diff_text(diff: ImageDiff, width: int | None = None) -> str:
    """Show packages, config and layers that differ, each as a table, and the totals.

    No line is wider than `width`, as far as that can be.
    """
    parts = [f"{diff.old.title} → {diff.new.title}"]
    parts += [fold(f"note: {note}", width) for note in diff.notes]
    if diff.packages:
        parts.append(_packages_text(diff.packages, width))
    if diff.config:
        parts.append(_config_text(diff.config, width))
    parts.append(_layers_text(diff, width))
    return "\n\n".join(parts)


def format_change(old: str, new: str) -> str:
    """Write `3.0.13 → 3.0.14`, or only the one that there is, or that both are."""
    return old or new if not (old and new) or old == new else f"{old} → {new}"


def versions_text(change: PackageChange) -> str:
    """Write the versions that a package had and has."""
    return format_change(", ".join(change.old_versions), ", ".join(change.new_versions))


def config_value_text(value: Any) -> str:
    """Write a value of the config as JSON; what is not there is a dash."""
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def totals_text(diff: ImageDiff) -> str:
    """Say in a line how the store paths changed in number and size."""
    before, after = diff.old, diff.new
    count = format_change(str(len(before.nar_sizes_bytes)), str(len(after.nar_sizes_bytes)))
    size = format_change(format_size(before.nar_size_bytes), format_size(after.nar_size_bytes))
    difference = format_difference(after.nar_size_bytes - before.nar_size_bytes)
    return f"{count} paths, {size} ({difference})"


def layers_summary(diff: ImageDiff) -> str:
    """Say in a line how many layers, of which size, are kept and sent."""
    return (
        f"{_count_and_size(diff.kept)} kept, {_count_and_size(diff.sent)} sent, "
        f"{_count_and_size(diff.dropped)} dropped"
    )


def _count_and_size(layers: Sequence[LayerContents]) -> str:
    size_bytes = sum(layer.size_bytes for layer in layers)
    count = format_count(len(layers), "layer")
    return f"{count} ({format_size(size_bytes)})" if layers else count


def _packages_text(packages: Iterable[PackageChange], width: int | None) -> str:
    told = [change for change in packages if _is_noteworthy(change)]
    rest = [change for change in packages if not _is_noteworthy(change)]
    rows = [
        (
            str(change.kind),
            change.package,
            versions_text(change),
            format_change(
                format_size(change.old_size_bytes) if change.old_paths else "",
                format_size(change.new_size_bytes) if change.new_paths else "",
            ),
            format_difference(change.difference_bytes),
        )
        for change in told
    ]
    lines = []
    if rows:
        header = ("CHANGE", "PACKAGE", "VERSION", "SIZE", "DIFFERENCE")
        fits = {1: NAME, 2: LINES, 3: LINES}
        lines.append(format_table(header, rows, right=frozenset({4}), width=width, fits=fits))
    if rest:
        counted = format_count(len(rest), "package")
        words = f"{counted} rebuilt: the same version, and about the same size"
        lines.append(fold(words, width))
    return "\n".join(lines)


def _is_noteworthy(change: PackageChange) -> bool:
    return (
        change.kind is not PackageChangeKind.REBUILT
        or abs(change.difference_bytes) >= _NOTEWORTHY_BYTES
    )


def _config_text(changes: Iterable[ConfigChange], width: int | None) -> str:
    rows = [
        (change.key, config_value_text(change.old), config_value_text(change.new))
        for change in changes
    ]
    fits = dict.fromkeys(range(3), LINES)
    return format_table(("CONFIG", "BEFORE", "AFTER"), rows, width=width, fits=fits)


def _layers_text(diff: ImageDiff, width: int | None) -> str:
    sizes = diff.new.nar_sizes_bytes
    rows = [
        (
            # The Nix database's size is known when it is made.
            format_size(layer.size_bytes) if layer.size_bytes else "",
            "?" if layer.paths is None else str(len(layer.paths)),
            name_paths(sorted(layer.paths or (), key=lambda path: (-sizes[path], path))),
            layer.reason,
        )
        for layer in diff.sent
    ]
    lines = []
    if rows:
        header = ("SENT", "PATHS", "HOLDS", "REASON")
        fits = {2: NAMES, 3: WORDS}
        lines.append(format_table(header, rows, right=frozenset({0, 1}), width=width, fits=fits))
    lines.append(fold(layers_summary(diff), width))
    if diff.packages is not None:
        lines.append(fold(totals_text(diff), width))
    return "\n".join(lines)


def diff_document(diff: ImageDiff) -> dict[str, Any]:
    """Return what `diff --json` prints; `packages` is null where they cannot be compared."""
    packages = diff.packages
    return {
        "version": DIFF_DOCUMENT_VERSION,
        "old": _side_document(diff.old),
        "new": _side_document(diff.new),
        "notes": list(diff.notes),
        "packages": None if packages is None else [_package_document(each) for each in packages],
        "config": [
            {"key": change.key, "old": change.old, "new": change.new} for change in diff.config
        ],
        "layers": {
            state: [_layer_document(layer) for layer in layers]
            for state, layers in (
                ("kept", diff.kept),
                ("sent", diff.sent),
                ("dropped", diff.dropped),
            )
        },
    }


def _side_document(contents: Contents) -> dict[str, Any]:
    return {
        "image": contents.title,
        "layerCount": len(contents.layers),
        "layersWithoutPaths": contents.untold_layer_count,
        "pathCount": len(contents.nar_sizes_bytes),
        "narSizeBytes": contents.nar_size_bytes,
    }


def _package_document(change: PackageChange) -> dict[str, Any]:
    return {
        "change": str(change.kind),
        "package": change.package,
        "oldVersions": list(change.old_versions),
        "newVersions": list(change.new_versions),
        "oldSizeBytes": change.old_size_bytes,
        "newSizeBytes": change.new_size_bytes,
        "oldPaths": [str(path) for path in change.old_paths],
        "newPaths": [str(path) for path in change.new_paths],
    }


def _layer_document(layer: LayerContents) -> dict[str, Any]:
    return {
        "names": sorted(layer.names),
        "sizeBytes": layer.size_bytes,
        "reason": layer.reason,
        "paths": None if layer.paths is None else [str(path) for path in layer.paths],
    }
