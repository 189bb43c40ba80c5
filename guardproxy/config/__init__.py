"""Settings of a process: declared once, read once, frozen.

| module | content |
|---|---|
| `settings` | `Config`, which has a part for each group; each field of a part is one setting |
| `adapter_settings`, `audit_settings`, `client_settings`, `console_settings` | its larger parts |
| `mcp_settings`, `observability_settings`, `tls_settings` | further parts |
| `exemptions` | hosts that are asked without an HTTP proxy |
| `declaration` | the declaration of a setting, which defines its flag, variable and key |
| `loading` | reads flags, the environment and the TOML file |
| `spelling` | names that are no settings: misspelled ones, and those that Kubernetes makes |
"""

from guardproxy.config.adapter_settings import AdapterSettings
from guardproxy.config.audit_settings import AuditSettings
from guardproxy.config.client_settings import ClientSettings
from guardproxy.config.console_settings import ConsoleSettings
from guardproxy.config.declaration import Declaration
from guardproxy.config.exemptions import Exemption, address_of
from guardproxy.config.loading import load, package_folder
from guardproxy.config.observability_settings import ObservabilitySettings
from guardproxy.config.settings import (
    DEFAULT,
    ENVIRONMENT,
    PROXY,
    SETTINGS,
    Config,
    LimitSettings,
    NetworkSettings,
    UpstreamSettings,
    needs_no_port,
)
from guardproxy.config.tls_settings import ADAPTERS, ADAPTERS_GRPC, ADMIN, CLIENTS, EXT_PROC, PORTS, TlsSettings

__all__ = [
    "ADAPTERS",
    "ADAPTERS_GRPC",
    "ADMIN",
    "CLIENTS",
    "DEFAULT",
    "ENVIRONMENT",
    "EXT_PROC",
    "PORTS",
    "PROXY",
    "SETTINGS",
    "AdapterSettings",
    "AuditSettings",
    "ClientSettings",
    "Config",
    "ConsoleSettings",
    "Declaration",
    "Exemption",
    "LimitSettings",
    "NetworkSettings",
    "ObservabilitySettings",
    "TlsSettings",
    "UpstreamSettings",
    "address_of",
    "load",
    "needs_no_port",
    "package_folder",
]
