"""Reads the settings of a process from flags, the environment and a TOML file. Every fault is found at once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from guardproxy.config.declaration import Declaration
from guardproxy.config.settings import DEFAULT, PROXY, SETTINGS, Config, has_name
from guardproxy.config.spelling import is_injected, nearest, unknown_key, unknown_variables
from guardproxy.config.tls_settings import CLIENTS, EXT_PROC, NAMED_FILE, TLS_PORT, files_by_name
from guardproxy.errors import ConfigError


def load(
    flags: Mapping[str, Any],
    environ: Mapping[str, str] = os.environ,
    file: Path | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> Config:
    """Reads the settings. A flag overrides the environment, the environment the file, the file the default. `flags`:
    values by name; `None` means that the flag is absent. Paths in the file count from its folder. `warn`: is called for what
    the user should know. Raises `ConfigError` with a line for each fault: the source of a wrong value and the allowed values,
    or a name that is not a setting."""
    known = [name for setting in SETTINGS.values() for name in (setting.variable, setting.file_variable) if name]
    faults, warnings = unknown_variables(environ, known)
    values: dict[str, Any] = {}

    def take(setting: Declaration, value: Any, where: str) -> None:
        try:
            values[setting.name] = setting.read(value, where)
        except ConfigError as error:
            faults.append(str(error))

    for name, value in (_read(file) if file else {}).items():
        if name not in SETTINGS:
            faults.append(f"{file}: {unknown_key(name, isinstance(value, dict), SETTINGS)}")
            continue
        take(SETTINGS[name], value, str(file))
        if file and name in values:
            values[name] = _from_file(SETTINGS[name], values[name], file, warnings)
    for name, setting in SETTINGS.items():
        text = environ.get(setting.variable)
        if text is not None and not is_injected(setting.variable, text, is_setting=True):
            take(setting, text, setting.variable)
        if place := environ.get(setting.file_variable):
            if text is not None:
                faults.append(f"{setting.variable} and {setting.file_variable} give the same setting: give one of them")
            try:
                take(setting, _secret(setting, Path(place)), setting.file_variable)
            except ConfigError as error:
                faults.append(str(error))
        if flags.get(name) is not None:
            take(setting, flags[name], setting.flag)
    config = Config.of(**values)
    if faults := faults or list(_contradictions(config)):
        raise ConfigError("\n".join(faults))
    for warning in warnings:
        warn(warning)
    return config


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from None


def _secret(setting: Declaration, file: Path) -> str:
    """Returns the value of a secret that a file holds, without the white space around it. The lines of a list are its items.
    Messages do not quote it."""
    try:
        text = file.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "not a text"
        raise ConfigError(f"{setting.file_variable}: cannot read {file}: {why.lower()}") from None
    if not text:
        raise ConfigError(f"{setting.file_variable}: {file} is empty")
    return ",".join(text.splitlines()) if setting.kind is tuple else text


def _from_file(setting: Declaration, value: Any, file: Path, warnings: list[str]) -> Any:
    """Returns a value of the file with its paths counted from the folder of the file. The name of a shipped policy stays."""
    if setting.name == "policies" and _is_shipped(value) and not os.path.exists(file.parent / value):
        return value
    moved = setting.below(file.parent, value)
    if setting.kind is Path and moved != value and os.path.exists(value) and not os.path.exists(moved):
        # Before release 0.2, such a path counted from the working directory.
        warnings.append(
            f"{file}: `{setting.name}` counts from the folder of the file: it is {moved}, not {value.absolute()}"
        )
    return moved


def _is_shipped(policies: Path) -> bool:
    """Whether a path is the name of a shipped policy, or a misspelled one, of which the loader says the right one."""
    if len(policies.parts) != 1:
        return False
    shipped = ["default", *(path.name for path in package_folder("policies").iterdir() if path.is_dir())]
    return policies.name in shipped or (not os.path.exists(policies) and bool(nearest(policies.name, shipped)))


def _contradictions(config: Config) -> Iterator[str]:
    """Yields where settings contradict each other."""
    upstreams, audit = config.upstreams, config.audit
    if not upstreams.entries and not config.mcp.entries and not config.network.ext_proc:
        yield "no upstream: give --upstream https://api.openai.com, or GUARDPROXY_UPSTREAM; or --mcp NAME=URL"
    if config.limits.bodies_bytes < 2 * config.limits.body_bytes:
        least = f"{2 * config.limits.body_bytes}, which is twice `limit_body_bytes`"
        yield f"{_places('limit_bodies_bytes')} must be at least {least}"
    for entry in config.policies.remote_check_key:
        if entry.partition("=")[0] not in config.policies.remote_check_host:
            yield f"{_places('remote_check_key')} must be like dlp.example=KEY, for a host given as --remote-check-host"
    for entry in upstreams.keys:
        name = entry.partition("=")[0]
        has_plain = not upstreams.entries or not all(map(has_name, upstreams.entries))
        if name not in upstreams.named and not (name == DEFAULT and config.clients.has_credentials and has_plain):
            yield f"{_places('upstream_key')} must be like backup=KEY, for an upstream given as backup=URL"
    for entry in audit.copy_header:
        if (host := entry.partition("=")[0].lower()) not in audit.copy_hosts:
            yield f"{_places('audit_copy_header')} names {host}, but no URL of `audit_copy` has this host"
    if audit.retain_s and not (audit.sign_key or audit.sign_command):
        yield (
            f"{_places('audit_retain_s')} needs {_places('audit_key')}: only a signed checkpoint can tell a log that the "
            "proxy removed from a log that somebody else removed"
        )
    yield from _about_tls(config)
    yield from _about_tenants(config)
    yield from _about_clients(config)
    yield from _about_mcp(config)
    yield from _about_console(config)


def _about_console(config: Config) -> Iterator[str]:
    console = config.console
    if console.is_on and console.logins is None and not console.oidc_issuer:
        yield (
            f"{_places('console')} needs {_places('console_logins')}, also on this machine: who reaches the port could read "
            "the log. `guardproxy console login add NAME --role auditor --file logins.json` makes one"
        )
    needed = ("console_url", "console_oidc_client", "console_oidc_role")
    missing = [name for name in needed if console.oidc_issuer and not SETTINGS[name].value_in(config)]
    if missing:
        yield f"{_places('console_oidc_issuer')} needs {' and '.join(map(_places, missing))}"
    if console.oidc_issuer and "openid" not in console.oidc_scope:
        yield f"{_places('console_oidc_scope')} must have `openid`"


def _places(name: str) -> str:
    """Returns the names of a setting, for a message."""
    return SETTINGS[name].names


def _about_tls(config: Config) -> Iterator[str]:
    yield from _about_ports(config)
    upstreams = config.upstreams
    known = {*upstreams.named, *config.mcp.upstreams, *([] if all(map(has_name, upstreams.entries)) else [DEFAULT])}
    if PROXY in upstreams.named:
        yield f"{_places('upstream')} cannot be called `{PROXY}`: that is the proxy on the way to upstreams"
    if upstreams.proxy:
        known.add(PROXY)
    for setting in ("upstream_ca", "upstream_cert", "upstream_cert_key"):
        for entry in SETTINGS[setting].value_in(config):
            match = NAMED_FILE.fullmatch(entry)
            if match and match["name"] is not None and match["name"] not in known:
                yield f"{_places(setting)} must name an upstream or an MCP server ({', '.join(sorted(known))}): {entry}"
    of_whom = [name for name in known if upstreams.file_for(upstreams.cert_key, name)[1]]
    if (upstreams.cert_key and not upstreams.cert) or any(
        upstreams.file_for(upstreams.cert, name)[0] is None for name in of_whom
    ):
        yield f"{_places('upstream_cert_key')} needs {_places('upstream_cert')}"


def _about_ports(config: Config) -> Iterator[str]:
    tls = config.tls
    certs, keys = files_by_name(tls.certs), files_by_name(tls.keys)
    if len(certs) < len(tls.certs) or len(keys) < len(tls.keys):
        yield f"{_places('tls_cert')}, {_places('tls_key')}: two entries have the same name, or none: write NAME=FILE"
    named = [match["port"] for match in map(TLS_PORT.fullmatch, tls.entries) if match]
    if len(set(named)) < len(named):
        yield f"{_places('tls_port')} names a port twice"
    for name in keys:
        if name not in certs:
            yield f"{_places('tls_key')} needs {_places('tls_cert')} of the same name{name and f': {name}'}"
    for port, name in tls.ports.items():
        if name not in certs:
            known = ", ".join(sorted(filter(None, certs))) or "there is none with a name"
            wanted = f"{port} must name a certificate ({known})" if name else f"{port} needs one without a name"
            yield f"{_places('tls_port')}: {wanted} of {_places('tls_cert')}"
    for name in certs:
        if name not in tls.ports.values():
            yield f"{_places('tls_cert')}: no port shows `{name or certs[name]}`: give {_places('tls_port')} like admin={name}"
    if config.clients.tls_client_ca and not tls.speaks(CLIENTS):
        yield f"{_places('tls_client_ca')} needs {_places('tls_cert')}: a client shows its certificate only over TLS"
    if tls.speaks(EXT_PROC) and config.network.ext_proc.startswith("unix:"):
        yield f"{_places('tls_port')}: {_places('ext_proc')} is a socket of this machine, where nothing is encrypted"


def _about_tenants(config: Config) -> Iterator[str]:
    if config.tenants.unknown == "refuse" and not (config.tenants.entries or config.clients.has_credentials):
        yield "`unknown_tenant: refuse` without a tenant refuses everything: give --tenant NAME=sha256:HEX"
    owners: dict[str, str] = {}
    by_lower_case: dict[str, str] = {}
    for entry in config.tenants.entries:
        name, _, digest = entry.partition("=")
        if owners.setdefault(digest.lower(), name) != name:
            yield f"the tenants `{owners[digest.lower()]}` and `{name}` have the same credential"
        if by_lower_case.setdefault(name.lower(), name) != name:
            yield f"the tenants `{by_lower_case[name.lower()]}` and `{name}` differ only in case, which policies ignore"


def _about_clients(config: Config) -> Iterator[str]:
    clients = config.clients
    if clients.has_credentials and config.tenants.entries:
        yield (
            "`tenants` names the keys of upstreams, which clients with `client_keys`, `jwt_keys` or `tls_client_ca` do not "
            "send: give each client its tenant with `guardproxy keys create --tenant NAME`"
        )
    if clients.has_credentials and DEFAULT in config.upstreams.named:
        yield f"{_places('upstream')} cannot be called `{DEFAULT}`: that is the upstream without a name"
    parts = (clients.jwt_keys, clients.jwt_issuer, clients.jwt_audience)
    if any(parts) and not all(parts):
        yield (
            f"{_places('jwt_keys')}, {_places('jwt_issuer')} and {_places('jwt_audience')} belong together: "
            "a token for another service must not be accepted"
        )


def _about_mcp(config: Config) -> Iterator[str]:
    names = [entry.partition("=")[0] for entry in config.mcp.entries]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"{_places('mcp')} gives two servers the name `{name}`"
    for name in config.mcp.token_sources:
        if name not in config.mcp.servers:
            yield f"{_places('mcp_token')} must be like files=TOKEN, for a server given as --mcp files=URL"
    if config.mcp.tokens and not config.clients.has_credentials:
        yield (
            f"{_places('mcp_token')} needs {_places('client_keys')}, {_places('jwt_keys')} or {_places('tls_client_ca')}: "
            "otherwise everyone could use the token of the proxy"
        )


def package_folder(name: str) -> Path:
    """Returns a folder that ships with the package: `policies`, `models`."""
    package = Path(__file__).parents[1]
    inside = package / "_data" / name
    return inside if inside.exists() else package.parent / name
