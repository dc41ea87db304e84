"""Whether what is known of a layer is right: pack it, to nowhere, and compare."""

from __future__ import annotations

from nixbridge.closure import StoreRoot
from nixbridge.errors import InputError, IntegrityError, PackError
from nixbridge.image import nix_database_tree
from nixbridge.packing import (
    Compression,
    ContentsCheck,
    LayerBytes,
    LayerRecipe,
    is_made_by_recipe,
    layer_tree,
    write_blob,
)


def is_right(recipe: LayerRecipe, known: LayerBytes, store: StoreRoot) -> bool | None:
    """Pack a layer by its recipe, to nowhere, and return whether what is known of it is right.

    None: it cannot be packed, as its store paths are gone or are not what they were (a path that
    was built again may have another NAR hash), as its compressor is of another version now, or as
    it was a base image's.
    """
    try:
        compression = Compression.of_identity(recipe.compression_identity)
        layer, database = recipe.layer(), recipe.nix_database()
        if database is not None:
            tree = nix_database_tree(*database)
            return write_blob(tree, _Nowhere(), compression=compression) == known
        if layer is None:
            return None
        tree, check = layer_tree(layer, store), ContentsCheck(layer, store)
        found = write_blob(tree, _Nowhere(), compression=compression, observer=check)
    except (InputError, IntegrityError, PackError):
        return None
    return found == known if is_made_by_recipe(tree) else None


class _Nowhere:
    def write(self, data: bytes | memoryview, /) -> None:
        pass
