"""The files of an image in an OCI layout: its layers, and what they are over each other.

Reading the tar is `packing/archive.py`. Paths begin with `/` and are as in the container, where
links that lead through the root of the container lead nowhere on this machine.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nixbridge.destinations import Access
from nixbridge.destinations.oci_layout import OciLayout
from nixbridge.errors import DestinationError, InputError
from nixbridge.packing.archive import MemberKind, TarMember, list_members, open_archive

# As Linux: https://man7.org/linux/man-pages/man7/path_resolution.7.html
_MAX_LINKS: Final = 40
_MAX_LISTED_NAMES: Final = 20

_WHITEOUT_PREFIX: Final = ".wh."
_WHITEOUT_ALL: Final = ".wh..wh..opq"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFile:
    """A file, directory or link; `layer` is the number of the layer that has it, from 0."""

    path: str
    kind: MemberKind
    mode: int
    uid: int
    gid: int
    size_bytes: int
    layer: int
    link_target: str
    blob: Path = field(repr=False)
    name_in_blob: str = field(repr=False)

    @property
    def target(self) -> str:
        """Where a link leads, as it is written.

        Raises `InputError`: it is no link.
        """
        if self.kind != "link":
            raise InputError(f"`{self.path}` is a {self.kind} and no link")
        return self.link_target

    @property
    def data(self) -> bytes:
        """The contents of a file.

        Raises `InputError`: it is no file.
        """
        if self.kind == "link":
            raise InputError(
                f"`{self.path}` is a link to `{self.target}`",
                hint="ask for `follow_links=True` to read what it leads to",
            )
        if self.kind != "file":
            raise InputError(f"`{self.path}` is a {self.kind} and no file")
        return open_archive(self.blob).read(self.name_in_blob)

    @property
    def text(self) -> str:
        """The contents of a file, as UTF-8.

        Raises `InputError`: it is no file.
        """
        return self.data.decode()


@dataclass(frozen=True, slots=True)
class LayerFiles(Mapping[str, ImageFile]):
    """Files by their path: those of one layer, or of all over each other."""

    files: Mapping[str, ImageFile]

    def __getitem__(self, path: str) -> ImageFile:
        return self.files[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def find(self, path: str, *, follow_links: bool = False) -> ImageFile:
        """Return what is at `path`, a link itself unless `follow_links`.

        Links to the directories on the way are always followed.

        Raises `InputError`: nothing is there.
        """
        if not path.startswith("/"):
            raise InputError(
                f"`{path}` is no path in an image", hint=f"begin at the root: `/{path}`"
            )
        links_left = _MAX_LINKS
        waiting = _names(path)
        at: list[str] = []
        while waiting:
            name = waiting.pop(0)
            if name == "..":
                del at[-1:]
                continue
            here = "/" + "/".join([*at, name])
            file = self.files.get(here)
            if file is None:
                raise self._missing(path, here)
            if file.kind == "link" and (waiting or follow_links):
                links_left -= 1
                if links_left < 0:
                    raise InputError(f"too many links on the way to `{path}`")
                if file.target.startswith("/"):
                    at = []
                waiting = _names(file.target) + waiting
            else:
                at.append(name)
        return self.files["/" + "/".join(at)]

    def names_in(self, path: str) -> tuple[str, ...]:
        """Return the names directly in the directory at `path`, sorted.

        Raises `InputError`: nothing is there.
        """
        if not _names(path):
            return tuple(self._below(""))
        return tuple(self._below(self.find(path, follow_links=True).path))

    def _missing(self, path: str, here: str) -> InputError:
        where = "" if here == path else f": there is no `{here}`"
        directory, _, name = here.rpartition("/")
        names = self._below(directory)
        near = difflib.get_close_matches(name, names, n=_MAX_LISTED_NAMES)
        shown = near or names[:_MAX_LISTED_NAMES]
        listed = ", ".join(f"`{name}`" for name in shown) or "nothing"
        more = len(names) - len(shown)
        return InputError(
            f"the image has no `{path}`{where}",
            hint=f"`{directory or '/'}` holds {listed}" + (f" and {more} more" if more else ""),
        )

    def _below(self, directory: str) -> list[str]:
        prefix = f"{directory}/"
        below = (path.removeprefix(prefix) for path in self.files if path.startswith(prefix))
        return sorted(name for name in below if name and "/" not in name)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in {"", "."}]


def layer_blobs(layout: OciLayout) -> tuple[Path, ...]:
    """Return the files of the layers of the image in `layout`, from bottom to top.

    Raises `DestinationError`, `IntegrityError`, `InputError`.
    """
    layers = layout.inspect(Access()).layers
    return tuple(layout.blob(layer.digest) for layer in layers if layer.digest is not None)


def read_layers(layout: OciLayout) -> tuple[LayerFiles, ...]:
    """Return the files of each layer of the image in `layout`, from bottom to top.

    Raises `DestinationError`, `IntegrityError`, `InputError`.
    """
    return tuple(_read_layer(number, blob) for number, blob in enumerate(layer_blobs(layout)))


def _read_layer(number: int, blob: Path) -> LayerFiles:
    try:
        members = list_members(blob)
    except ValueError as error:
        raise DestinationError(f"the layer `{blob}` is no tar archive") from error
    except OSError as error:
        raise DestinationError(f"cannot read the layer `{blob}`: {error.strerror}") from error
    return LayerFiles({file.path: file for file in (_file(m, number, blob) for m in members)})


def _file(member: TarMember, number: int, blob: Path) -> ImageFile:
    return ImageFile(
        path="/" + "/".join(_names(member.name)),
        kind=member.kind,
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        size_bytes=member.size_bytes,
        layer=number,
        link_target=member.target,
        blob=blob,
        name_in_blob=member.name,
    )


def merge(layers: Sequence[LayerFiles]) -> LayerFiles:
    """Return what a container sees: of each path, what the topmost layer has that has it.

    A layer of another tool's may hide what is below it:
    https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts
    """
    merged: dict[str, ImageFile] = {}
    for layer in layers:
        whiteouts = [path for path in layer if _base_name(path).startswith(_WHITEOUT_PREFIX)]
        for path in whiteouts:
            directory, name = path.rpartition("/")[0], _base_name(path)
            if name == _WHITEOUT_ALL:
                _hide_below(directory, merged)
            else:
                hidden = f"{directory}/{name.removeprefix(_WHITEOUT_PREFIX)}"
                merged.pop(hidden, None)
                _hide_below(hidden, merged)
        merged |= {path: layer[path] for path in layer if path not in whiteouts}
    return LayerFiles({path: merged[path] for path in sorted(merged)})


def _base_name(path: str) -> str:
    return path.rpartition("/")[2]


def _hide_below(directory: str, files: dict[str, ImageFile]) -> None:
    for path in [path for path in files if path.startswith(f"{directory}/")]:
        del files[path]
