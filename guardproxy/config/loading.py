"""Reads the settings of a process from flags, the environment and a TOML file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from guardproxy.config.settings import DEFAULT, SETTINGS, Config, has_name
from guardproxy.errors import ConfigError


def load(flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ, file: Path | None = None) -> Config:
    """Reads the settings. A flag overrides the environment, the environment the file, the file the default. `flags`:
    values by name; `None` means that the flag is absent. Raises `ConfigError` with the source of a wrong value and the
    allowed values."""
    values: dict[str, Any] = {}
    for name, value in (_read(file) if file else {}).items():
        if name not in SETTINGS:
            raise ConfigError(f"{file}: unknown setting `{name}` (known: {', '.join(sorted(SETTINGS))})")
        values[name] = SETTINGS[name].read(value, str(file))
    for name, setting in SETTINGS.items():
        if (text := environ.get(setting.variable)) is not None:
            values[name] = setting.read(text, setting.variable)
        if flags.get(name) is not None:
            values[name] = setting.read(flags[name], setting.flag)
    config = Config(**values)
    _check(config)
    return config


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from None


def _check(config: Config) -> None:
    """Raises `ConfigError` if settings contradict each other."""
    if not config.upstream:
        raise ConfigError("no upstream: give --upstream https://api.openai.com, or GUARDPROXY_UPSTREAM")
    if config.limit_bodies_bytes < 2 * config.limit_body_bytes:
        least = f"{2 * config.limit_body_bytes}, which is twice `limit_body_bytes`"
        raise ConfigError(f"{_places('limit_bodies_bytes')} must be at least {least}")
    for entry in config.remote_check_key:
        if entry.partition("=")[0] not in config.remote_check_host:
            raise ConfigError(
                f"{_places('remote_check_key')} must be like dlp.example=KEY, for a host given as --remote-check-host"
            )
    for entry in config.upstream_key:
        name = entry.partition("=")[0]
        is_plain = name == DEFAULT and config.has_clients and not all(map(has_name, config.upstream))
        if name not in config.named_upstreams and not is_plain:
            raise ConfigError(f"{_places('upstream_key')} must be like backup=KEY, for an upstream given as backup=URL")
    for entry in config.audit_copy_header:
        if (host := entry.partition("=")[0].lower()) not in config.copy_hosts:
            raise ConfigError(f"{_places('audit_copy_header')}: no `audit_copy` goes to {host} over HTTP")
    if config.audit_retain_s and not (config.audit_key or config.audit_sign_command):
        raise ConfigError(
            f"{_places('audit_retain_s')} needs {_places('audit_key')}: only a signed checkpoint can tell a log that the "
            "proxy removed from a log that somebody else removed"
        )
    _check_tenants(config)
    _check_clients(config)


def _places(name: str) -> str:
    """Returns the names of a setting, for a message."""
    return f"`{name}` ({SETTINGS[name].flag}, {SETTINGS[name].variable})"


def _check_tenants(config: Config) -> None:
    if config.unknown_tenant == "refuse" and not (config.tenants or config.has_clients):
        raise ConfigError("`unknown_tenant: refuse` without a tenant refuses everything: give --tenant NAME=sha256:HEX")
    owners: dict[str, str] = {}
    by_lower_case: dict[str, str] = {}
    for entry in config.tenants:
        name, _, digest = entry.partition("=")
        if owners.setdefault(digest.lower(), name) != name:
            raise ConfigError(f"the tenants `{owners[digest.lower()]}` and `{name}` have the same credential")
        if by_lower_case.setdefault(name.lower(), name) != name:
            raise ConfigError(
                f"the tenants `{by_lower_case[name.lower()]}` and `{name}` differ only in case, which policies ignore"
            )


def _check_clients(config: Config) -> None:
    if config.has_clients and config.tenants:
        raise ConfigError(
            "`tenants` names the keys of upstreams, which clients with `client_keys` or `jwt_keys` do not send: give each "
            "client its tenant with `guardproxy keys create --tenant NAME`"
        )
    if config.has_clients and DEFAULT in config.named_upstreams:
        raise ConfigError(f"{_places('upstream')} cannot be called `{DEFAULT}`: that is the upstream without a name")
    parts = (config.jwt_keys, config.jwt_issuer, config.jwt_audience)
    if any(parts) and not all(parts):
        raise ConfigError(
            f"{_places('jwt_keys')}, {_places('jwt_issuer')} and {_places('jwt_audience')} belong together: "
            "a token for another service must not be accepted"
        )


def package_folder(name: str) -> Path:
    """Returns a folder that ships with the package: `policies`, `models`."""
    package = Path(__file__).parents[1]
    inside = package / "_data" / name
    return inside if inside.exists() else package.parent / name
