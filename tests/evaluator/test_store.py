from __future__ import annotations

import os
from pathlib import Path

import pytest

from nixbridge.closure import StorePath, StoreRoot
from nixbridge.errors import InputError
from nixbridge.evaluator import store
from nixbridge.evaluator.store import store_root_of

HERE = Path.cwd()

ROOTS: dict[str, str | Path] = {
    "": "/",
    "auto": "/",
    "daemon": "/",
    "local": "/",
    "unix:///run/nix.sock": "/",
    "/mnt": "/mnt",
    "/mnt/with space": "/mnt/with space",
    "./store": HERE / "store",
    "stores/one": HERE / "stores/one",
    "local?root=/mnt": "/mnt",
    "local?root=/mnt/with%20space%c3%a9": "/mnt/with spaceé",
    "local?root=/mnt&read-only=true": "/mnt",
    "local?root=relative": HERE / "relative",
    "local://?root=/mnt": "/mnt",
    "local:///mnt": "/mnt",
    "local?real=/mnt/nix/store": "/mnt",
    "local?real=/nix/store": "/",
    "local?state=/elsewhere": "/",
    "unix:///run/nix.sock?root=/mnt": "/mnt",
    "auto?root=/mnt": "/mnt",
}


@pytest.mark.parametrize("url", ROOTS)
def test_where_the_files_of_a_store_lie(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(store, "_STATE_DIRECTORY", tmp_path)
    assert store_root_of(url, {}) == StoreRoot(Path(ROOTS[url]))


def test_a_path_is_located_below_the_root_and_keeps_its_name() -> None:
    path = StorePath("/nix/store/c659sx8sxrpzb18npqz9bgp56gw7l85d-glibc-2.36")
    root = store_root_of("local?root=/mnt", {})
    assert root.locate(path) == Path(f"/mnt{path}")


@pytest.mark.parametrize(
    "url", ["ssh://host", "ssh-ng://host", "https://cache", "s3://bucket", "dummy://", "file:///x"]
)
def test_a_store_on_another_machine_is_refused(url: str) -> None:
    with pytest.raises(InputError) as caught:
        store_root_of(url, {})
    assert caught.value.message == f"the files of the Nix store `{url}` are not on this machine"
    assert caught.value.hint is not None
    assert "`nix copy --from`" in caught.value.hint


def test_files_that_lie_elsewhere_than_their_names_say_are_refused() -> None:
    with pytest.raises(InputError, match="are not below a `/nix/store`"):
        store_root_of("local?real=/elsewhere", {})


@pytest.mark.parametrize(
    ("uid", "is_there", "environment", "expected"),
    [
        (1000, False, {"HOME": "/home/me"}, "/home/me/.local/share/nix/root"),
        (1000, False, {"HOME": "/home/me", "XDG_DATA_HOME": "/data"}, "/data/nix/root"),
        (1000, True, {"HOME": "/home/me"}, "/"),
        (0, False, {"HOME": "/root"}, "/"),
        (1000, False, {"HOME": "/home/me", "NIX_STATE_DIR": "/state"}, "/"),
        (1000, False, {"HOME": "/home/me", "NIX_STORE_DIR": "/store"}, "/"),
    ],
)
def test_a_user_without_a_system_store_has_one_at_home(
    uid: int,
    is_there: bool,  # noqa: FBT001
    environment: dict[str, str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(store, "_STATE_DIRECTORY", tmp_path if is_there else tmp_path / "none")
    assert store_root_of("auto", environment) == StoreRoot(Path(expected))
