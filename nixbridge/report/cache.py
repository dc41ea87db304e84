"""How much the layer cache holds, as text and as a document."""

from __future__ import annotations

from typing import Any, Final

from nixbridge.packing import LayerCacheInfo
from nixbridge.report.table import format_size

CACHE_DOCUMENT_VERSION: Final = 1


def cache_text(info: LayerCacheInfo) -> str:
    """Show where the cache is and how much is in it, in three lines."""
    return (
        f"path    {info.path}\n"
        f"layers  {info.layer_count}\n"
        f"size    {format_size(info.size_bytes)} of about {format_size(info.limit_bytes)}"
    )


def cache_document(info: LayerCacheInfo) -> dict[str, Any]:
    """Return what `cache info --json` prints."""
    return {
        "version": CACHE_DOCUMENT_VERSION,
        "path": str(info.path),
        "layers": info.layer_count,
        "sizeBytes": info.size_bytes,
        "limitBytes": info.limit_bytes,
    }
