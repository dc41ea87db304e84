"""The closure of an image as a table and as a document."""

from __future__ import annotations

from typing import Any, Final

from nixbridge.closure import ClosureGraph
from nixbridge.report.table import format_count, format_size, format_table

CLOSURE_DOCUMENT_VERSION: Final = 1


def closure_table(graph: ClosureGraph) -> str:
    """List the paths, largest last, and their sum."""
    infos = sorted(graph, key=lambda info: (info.nar_size_bytes, info.path))
    rows = [
        (format_size(info.nar_size_bytes), str(len(info.references)), str(info.path))
        for info in infos
    ]
    table = format_table(("SIZE", "REFERENCES", "PATH"), rows, right=frozenset({0, 1}))
    return f"{table}\n{format_count(len(graph), 'path')}, {format_size(graph.closure_size_bytes)}"


def closure_document(graph: ClosureGraph) -> dict[str, Any]:
    """Return the closure for `--json`; sizes are those of the NARs, in bytes."""
    return {
        "version": CLOSURE_DOCUMENT_VERSION,
        "closureSizeBytes": graph.closure_size_bytes,
        "paths": [
            {
                "path": str(info.path),
                "narHash": str(info.nar_hash),
                "narSizeBytes": info.nar_size_bytes,
                "references": [str(reference) for reference in info.references],
            }
            for info in graph
        ],
    }
