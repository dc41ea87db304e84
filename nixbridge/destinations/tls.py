"""Whom we trust to be a registry, and who we say that we are: certificates.

A directory of them has `*.crt` (authorities to trust besides the system's), and `NAME.cert`
with `NAME.key` (what a registry asks of its clients).
https://docs.docker.com/engine/security/certificates/
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from nixbridge.destinations.destination import Access
from nixbridge.errors import InputError

_SYSTEM_DIRECTORIES: Final = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))
# Where most systems keep the authorities, for a Python (Nix's, for one) that looks elsewhere.
_SYSTEM_AUTHORITIES: Final = Path("/etc/ssl/certs/ca-certificates.crt")


def tls_context(host: str, access: Access) -> ssl.SSLContext:
    """Return how TLS is spoken with `host`, which may have a port.

    Raises `InputError`: a certificate cannot be used.
    """
    if access.must_verify_tls:
        context = ssl.create_default_context()
        _trust_the_systems(context, access.environment)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    directory = access.certificates or _directory_of(host, access.environment)
    if directory is not None:
        _take(context, directory)
    return context


def _trust_the_systems(context: ssl.SSLContext, environment: Mapping[str, str]) -> None:
    """Trust whom the system trusts; OpenSSL heeds `SSL_CERT_FILE` itself, and Nix has its own."""
    named = environment.get("NIX_SSL_CERT_FILE")
    paths = ssl.get_default_verify_paths()
    if named and Path(named).is_file():
        context.load_verify_locations(named)
    elif paths.cafile is None and paths.capath is None and _SYSTEM_AUTHORITIES.is_file():
        context.load_verify_locations(_SYSTEM_AUTHORITIES)


def _directory_of(host: str, environment: Mapping[str, str]) -> Path | None:
    """Return the first directory that there is for `host`, the user's own before the system's."""
    home = environment.get("HOME")
    parents = [] if not home else [Path(home, ".config/containers/certs.d")]
    candidates = [parent / host for parent in (*parents, *_SYSTEM_DIRECTORIES)]
    return next((path for path in candidates if path.is_dir()), None)


def _take(context: ssl.SSLContext, directory: Path) -> None:
    try:
        for path in sorted(directory.iterdir()):
            if path.suffix == ".crt":
                context.load_verify_locations(path)
            elif path.suffix == ".cert":
                key = path.with_suffix(".key")
                if not key.exists():
                    raise InputError(f"the certificate `{path}` has no key `{key.name}` beside it")
                context.load_cert_chain(path, key)
    except OSError as error:  # an `SSLError` is one
        reason = error.strerror or str(error)
        raise InputError(
            f"the certificates in `{directory}` cannot be used: {reason[:1].lower()}{reason[1:]}",
            hint="such a directory has `*.crt`, and for each `NAME.cert` a `NAME.key`, all PEM",
        ) from error
