"""The keys of an image's `config`, in the order in which they are written, and their types.

What is here is the part of an image description that OCI and Docker define, and we pass on. The
order is the one of the Go structs, so that a config of ours compares with one of another tool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from nixbridge.description.fields import Fields

Reader = Callable[[Fields, str], Any]


def _health_check(fields: Fields, key: str) -> Mapping[str, Any]:
    check = fields.child(key)
    check.allow_only(HEALTH_CHECK_KEYS)
    return MappingProxyType(
        {name: read(check, name) for name, read in HEALTH_CHECK_KEYS.items() if name in check}
    )


# https://pkg.go.dev/github.com/moby/docker-image-spec/specs-go/v1#HealthcheckConfig
HEALTH_CHECK_KEYS: Final[Mapping[str, Reader]] = MappingProxyType(
    {
        "Test": Fields.texts,
        "Interval": Fields.number,
        "Timeout": Fields.number,
        "StartPeriod": Fields.number,
        "StartInterval": Fields.number,
        "Retries": Fields.number,
    }
)

CONFIG_KEYS: Final[Mapping[str, Reader]] = MappingProxyType(
    {
        # https://github.com/opencontainers/image-spec/blob/v1.1.0/specs-go/v1/config.go
        "User": Fields.text,
        "ExposedPorts": Fields.empty_object_map,
        "Env": Fields.texts,
        "Entrypoint": Fields.texts,
        "Cmd": Fields.texts,
        "Volumes": Fields.empty_object_map,
        "WorkingDir": Fields.text,
        "Labels": Fields.text_map,
        "StopSignal": Fields.text,
        "ArgsEscaped": Fields.flag,
        # https://pkg.go.dev/github.com/moby/docker-image-spec/specs-go/v1#DockerOCIImageConfigExt
        "Healthcheck": _health_check,
        "OnBuild": Fields.texts,
        "Shell": Fields.texts,
        # https://pkg.go.dev/github.com/docker/docker/api/types/container#Config: what is left of it
        "Hostname": Fields.text,
        "Domainname": Fields.text,
        "AttachStdin": Fields.flag,
        "AttachStdout": Fields.flag,
        "AttachStderr": Fields.flag,
        "Tty": Fields.flag,
        "OpenStdin": Fields.flag,
        "StdinOnce": Fields.flag,
        "Image": Fields.text,
        "NetworkDisabled": Fields.flag,
        "MacAddress": Fields.text,
        "StopTimeout": Fields.number,
        # https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md#properties: reserved
        "Memory": Fields.number,
        "MemorySwap": Fields.number,
        "CpuShares": Fields.number,
    }
)

# The keys of the OCI specification, which are all that nix2container knows.
OCI_CONFIG_KEYS: Final = tuple(CONFIG_KEYS)[: tuple(CONFIG_KEYS).index("ArgsEscaped") + 1]


def read_config(fields: Fields) -> Mapping[str, Any]:
    """Return the config in the order of `CONFIG_KEYS`.

    Raises `InputError`.
    """
    fields.allow_only(CONFIG_KEYS)
    return MappingProxyType(
        {key: read(fields, key) for key, read in CONFIG_KEYS.items() if key in fields}
    )
