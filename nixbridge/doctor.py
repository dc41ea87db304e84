"""What nixbridge finds on this machine, and what to do about what is missing: `diagnose`.

It looks and changes nothing. How findings are shown is `console.py`. A problem is what keeps
nixbridge from building images; a warning is what keeps a part of it from working.
"""

from __future__ import annotations

import grp
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Final, Literal

from nixbridge.closure import DEFAULT_STORE_DIR, StoreRoot
from nixbridge.errors import NixbridgeError, NixError
from nixbridge.evaluator import CommandRunner, Nix, find_nix
from nixbridge.plugins import PluginGroup, plugins

FINDINGS_DOCUMENT_VERSION: Final = 1

_ENGINES: Final = ("podman", "docker", "bwrap")
_FEATURES: Final = ("nix-command", "flakes")
_NIX_CONF: Final = "`/etc/nix/nix.conf` or `~/.config/nix/nix.conf`"
_STORE_HINT: Final = (
    "be root, or have a daemon (start `nix-daemon`; on Debian `apt-get install "
    "nix-setup-systemd`), or use a store of your own with `NIX_REMOTE=DIRECTORY`"
)

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at. `hint` is there unless all is well."""

    name: str
    status: Status
    message: str
    hint: str | None = None


def diagnose(
    runner: CommandRunner, environment: Mapping[str, str], *, program: str = "nix"
) -> tuple[Finding, ...]:
    """Look at Nix, its store and settings, our plugins, and the container engines."""
    return (
        *_nix(runner, environment, program),
        *(_plugins(group) for group in PluginGroup),
        _engines(environment),
    )


def _nix(runner: CommandRunner, environment: Mapping[str, str], program: str) -> Iterator[Finding]:
    try:
        nix = find_nix(runner, program=program)
    except NixError as error:
        yield _problem("nix", error)
        return
    place = shutil.which(program, path=environment.get("PATH")) or program
    yield Finding(name="nix", status="ok", message=f"`{nix.version}` at `{place}`")
    try:
        yield _features(nix)
        yield from _settings(nix)
    except NixbridgeError as error:
        yield _problem("settings", error)


def _features(nix: Nix) -> Finding:
    enabled = nix.enabled_features()
    missing = [feature for feature in _FEATURES if feature not in enabled]
    names = " and ".join(f"`{feature}`" for feature in missing or _FEATURES)
    if not missing:
        return Finding(name="features", status="ok", message=f"{names} are on")
    verb = "is" if len(missing) == 1 else "are"
    return Finding(
        name="features",
        status="warning",
        message=f"{names} {verb} off; nixbridge turns them on for its own calls, "
        "but `nix run .#…` needs them",
        hint=f"put `extra-experimental-features = {' '.join(_FEATURES)}` into {_NIX_CONF}",
    )


def _settings(nix: Nix) -> Iterator[Finding]:
    settings = nix.settings()
    root, store = _store(nix)
    yield store
    if root is not None and _is_written_by_us(root):
        yield _build_users(str(settings.get("build-users-group") or ""), settings)
        yield _sandbox(settings)
    yield _substituters(settings)


def _store(nix: Nix) -> tuple[StoreRoot | None, Finding]:
    try:
        root = nix.store_root()
    except NixbridgeError as error:
        return None, _problem("store", error)
    try:
        nix.ping_store()
    except NixError as error:
        return None, Finding(
            name="store", status="problem", message=error.message, hint=_STORE_HINT
        )
    how = "written by nix itself" if _is_written_by_us(root) else "written by the daemon"
    return root, Finding(
        name="store",
        status="ok",
        message=f"`{root.directory / DEFAULT_STORE_DIR.lstrip('/')}`, {how}",
    )


def _is_written_by_us(root: StoreRoot) -> bool:
    """Whether nix, run by us, builds by itself: it does where it may write, root for one."""
    return os.access(root.directory / "nix/var/nix", os.R_OK | os.W_OK)


def _build_users(group: str, settings: Mapping[str, Any]) -> Finding:
    if os.getuid() != 0 or not group or settings.get("auto-allocate-uids"):
        who = "root" if os.getuid() == 0 else "you"
        return Finding(name="build users", status="ok", message=f"builders run as {who}")
    remedy = (
        f"create it with members: `groupadd -r {group} && useradd -r -g {group} -G {group} "
        f"{group}1`, or put `build-users-group =` into {_NIX_CONF} to build as root"
    )
    try:
        members = grp.getgrnam(group).gr_mem
    except KeyError:
        message = f"the group `{group}`, whose members run the builders, does not exist"
        return Finding(name="build users", status="problem", message=message, hint=remedy)
    if not members:
        message = f"the group `{group}`, whose members run the builders, has none"
        return Finding(name="build users", status="problem", message=message, hint=remedy)
    return Finding(
        name="build users",
        status="ok",
        message=f"builders run as the {len(members)} members of the group `{group}`",
    )


def _sandbox(settings: Mapping[str, Any]) -> Finding:
    if settings.get("sandbox") in {False, "false", None}:
        return Finding(
            name="sandbox",
            status="warning",
            message="builders run without a sandbox and may see files of this machine",
            hint=f"put `sandbox = true` into {_NIX_CONF}, if the kernel allows it",
        )
    missing = [
        path
        for entry in settings.get("sandbox-paths") or ()
        # `INSIDE=OUTSIDE`, and a `?` at the end where it may be missing.
        if not (path := str(entry).rpartition("=")[2]).endswith("?") and not Path(path).exists()
    ]
    if not missing:
        return Finding(name="sandbox", status="ok", message="builders run in a sandbox")
    names = ", ".join(f"`{path}`" for path in missing)
    return Finding(
        name="sandbox",
        status="problem",
        message=f"the setting `sandbox-paths` names what does not exist: {names}",
        hint=f"install it (on Debian `apt-get install {Path(missing[0]).name}`), or put "
        f"`sandbox-paths =` into {_NIX_CONF}",
    )


def _substituters(settings: Mapping[str, Any]) -> Finding:
    urls = settings.get("substituters") or ()
    if settings.get("substitute") is False or not urls:
        return Finding(
            name="substituters",
            status="ok",
            message="none: what the store does not hold is built on this machine",
        )
    names = ", ".join(f"`{url}`" for url in urls)
    return Finding(name="substituters", status="ok", message=names)


def _plugins(group: PluginGroup) -> Finding:
    name = group.name.lower()
    broken: list[str] = []
    found: list[str] = []
    for plugin in plugins(group).values():
        described = f"`{plugin.name}` ({_origin(plugin)})"
        try:
            plugin.load()
        except Exception as error:  # noqa: BLE001 - importing what others wrote can raise anything
            broken.append(f"{described}: {error}")
        else:
            found.append(described)
    if broken:
        return Finding(
            name=name,
            status="problem",
            message=f"cannot be loaded: {'; '.join(broken)}",
            hint="update or remove the package that it comes from",
        )
    if not found:
        return Finding(
            name=name,
            status="problem",
            message="there are none, not even nixbridge's own",
            hint="install nixbridge as a package (`pip install .`): its entry points are missing",
        )
    return Finding(name=name, status="ok", message=", ".join(found))


def _origin(plugin: EntryPoint) -> str:
    return f"{plugin.dist.name} {plugin.dist.version}" if plugin.dist is not None else "unknown"


def _engines(environment: Mapping[str, str]) -> Finding:
    found = [name for name in _ENGINES if shutil.which(name, path=environment.get("PATH"))]
    if found:
        names = ", ".join(f"`{name}`" for name in found)
        return Finding(name="container engines", status="ok", message=names)
    return Finding(
        name="container engines",
        status="warning",
        message="none: images can be made, and not run on this machine",
        hint="install `podman`, for example",
    )


def _problem(name: str, error: NixbridgeError) -> Finding:
    return Finding(name=name, status="problem", message=error.message, hint=error.hint)


def findings_text(findings: Sequence[Finding]) -> str:
    """Write one line a finding, with what to do below it."""
    width = max(len(finding.name) for finding in findings)
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.status:<7}  {finding.name.ljust(width)}  {finding.message}")
        if finding.hint is not None:
            lines.append(f"{'':7}  {'':{width}}  hint: {finding.hint}")
    return "\n".join(lines)


def findings_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return what `doctor --json` prints."""
    return {
        "version": FINDINGS_DOCUMENT_VERSION,
        "findings": [
            {
                "name": finding.name,
                "status": finding.status,
                "message": finding.message,
                "hint": finding.hint,
            }
            for finding in findings
        ],
    }
