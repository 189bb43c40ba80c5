"""Process settings: read once, frozen. A flag wins over the environment, the environment over the file, the file over
the default. Every setting is a flag of `guardproxy serve`, an environment variable `GUARDPROXY_<NAME>` and a key of the
TOML file.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from guardproxy.errors import ConfigError
from guardproxy.wire.json import DEPTH_LIMIT


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a server needs to start. Sizes in bytes, times in seconds.

    `upstream`: base URLs; a bare URL serves every format, `anthropic=URL` one provider's. `pass_through`: routes such as
    `GET /v1/models` that go on unread. `key`: the secret behind placeholders and tenants' pseudonyms; made and kept in the
    audit folder when empty. `audit`: the folder of the log; `audit_sink`: names of sinks beside it. `upstream_key`:
    `backup=KEY` is sent to the upstream `backup`, which policies name as a fallback, in place of the client's own key.
    `quiet_s`: how long a stream says nothing while its answer is held back. `limit_texts`, `limit_values`,
    `limit_messages`, `limit_tools`, `limit_path_chars`, `limit_depth`: how much one request, or one event of an answer, may
    hold; see `guardproxy.wire.bounds.Bounds`. `reload_s`: how often the policies' folder is looked at; 0: only when told
    to. `receipts`: `on` or `off`, whether answers say what was looked at. `remote_check_host`: hosts that checks may send
    texts to, `remote_check_key`: `dlp.example=KEY`, what they want to be shown. `tenants`: `acme=sha256:HEX`, the name of
    the tenant whose credential has this digest (in TOML also a table of names and digests); `unknown_tenant`: `allow` or
    `refuse`, what becomes of credentials without a name. `trusted_hop`: networks such as `10.0.0.0/8` whose requests may
    name their conversation and their language in headers. `request_header`, `answer_header`: more names of headers that go
    on. `duty`: duties of other packages, in the order in which they run. `allow_code`: whether policies may name classes to
    import. `supervisor_*`: how models are run, see `guardproxy.inference.models.Settings`; `supervisor_shared`: several
    workers ask one process that runs the models, which they find at `supervisor_socket`. `timeout_scan_s` and, for each
    million characters, `timeout_scan_s_per_million`: how long the checks of a request or of a piece of an answer may take.
    `limit_scan_wait_s`: how long a request may have to wait for a scan thread or a model, as far as that can be told; if it
    is longer, the request is refused at once with 503.

    `limit_connections`: open client connections; 0 derives it from the limit of file descriptors. `limit_bodies_bytes`: memory
    for the request bodies of one process. `limit_body_ratio`: what one compressed byte may become. `limit_body_rate`: the
    least bytes per second of a body after `body_grace_s`; 0 for none. `timeout_head_s`: for the head of a request, from its
    first byte. `timeout_first_byte_s`: for the head of the upstream's answer. `breaker_failures`: failures in a row that open
    an upstream's circuit breaker, 0 for no breaker; `breaker_share` of the requests in `breaker_window_s` opens it too; it
    stays open for `breaker_open_s`, longer each time. `readyz_upstreams`: `/readyz` fails while every breaker is open.
    `livez_stall_s`: `/livez` fails when the event loop has not run for this time.
    """

    upstream: tuple[str, ...] = ()
    upstream_key: tuple[str, ...] = field(default=(), repr=False)
    policies: Path | None = None
    models: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    admin_host: str = "127.0.0.1"
    admin_port: int = 9090
    audit: Path = Path("audit")
    audit_sink: tuple[str, ...] = ()
    key: str = field(default="", repr=False)
    workers: int = 1
    pass_through: tuple[str, ...] = ("GET /v1/models",)
    limit_body_bytes: int = 32 * 1024 * 1024
    limit_answer_bytes: int = 64 * 1024 * 1024
    limit_held_chars: int = 2_000_000
    limit_exchanges: int = 2000
    limit_connections: int = 0
    limit_bodies_bytes: int = 512 * 1024 * 1024
    limit_body_ratio: int = 100
    limit_body_rate: int = 1024
    body_grace_s: float = 5.0
    timeout_head_s: float = 10.0
    limit_texts: int = 100_000
    limit_values: int = 1_000_000
    limit_messages: int = 20_000
    limit_tools: int = 4_000
    limit_path_chars: int = 4_000
    limit_depth: int = 100
    timeout_body_s: float = 30.0
    timeout_first_byte_s: float = 600.0
    breaker_failures: int = 5
    breaker_share: float = 0.5
    breaker_window_s: float = 30.0
    breaker_open_s: float = 5.0
    readyz_upstreams: bool = False
    livez_stall_s: float = 30.0
    timeout_connect_s: float = 10.0
    timeout_idle_s: float = 600.0
    timeout_total_s: float = 3600.0
    timeout_scan_s: float = 10.0
    timeout_scan_s_per_million: float = 60.0
    limit_scan_wait_s: float = 2.0
    timeout_write_s: float = 30.0
    quiet_s: float = 10.0
    drain_s: float = 30.0
    reload_s: float = 2.0
    remote_check_host: tuple[str, ...] = ()
    remote_check_key: tuple[str, ...] = field(default=(), repr=False)
    tenants: tuple[str, ...] = ()
    unknown_tenant: str = "allow"
    trusted_hop: tuple[str, ...] = ()
    request_header: tuple[str, ...] = ()
    duty: tuple[str, ...] = ()
    answer_header: tuple[str, ...] = ()
    allow_code: bool = False
    receipts: str = "on"
    scan_threads: int = 1
    supervisor_threads: int = 0
    supervisor_workers: int = 0
    supervisor_queue: int = 256
    supervisor_remembered: int = 50_000
    supervisor_url: str = ""
    supervisor_shared: bool = True
    supervisor_socket: Path | None = None
    log_level: str = "info"

    @property
    def named(self) -> dict[str, str]:
        """The upstreams that have a name."""
        return dict(one.split("=", 1) for one in self.upstream if "=" in one.split("://", 1)[0])

    @property
    def tenant_names(self) -> tuple[str, ...]:
        """The names that tenants have."""
        return tuple(dict.fromkeys(entry.partition("=")[0] for entry in self.tenants))

    def key_for(self, name: str) -> str:
        """The key for a named upstream; empty when it has none."""
        return dict(one.split("=", 1) for one in self.upstream_key).get(name, "")

    def upstream_for(self, provider: str) -> str:
        """The base URL of a provider, without a final slash or `/v1`."""
        named = self.named
        plain = [one for one in self.upstream if "=" not in one.split("://", 1)[0]]
        url = named.get(provider) or (plain[0] if plain else next(iter(named.values())))
        return url.rstrip("/").removesuffix("/v1")


_TENANT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})=sha256:([0-9A-Fa-f]{64})", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]+", re.ASCII)
_SWITCH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_NAMES = {one.name: one for one in fields(Config)}


def load(flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ, file: Path | None = None) -> Config:
    """The settings. `flags` that are `None` were not given. Raises `ConfigError`."""
    values: dict[str, Any] = {}
    if file:
        try:
            read = tomllib.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read {file}: {error}") from None
        for key, value in read.items():
            values[key] = _checked(key, value, str(file))
    for name in _NAMES:
        if (text := environ.get(f"GUARDPROXY_{name.upper()}")) is not None:
            values[name] = _checked(name, text, f"GUARDPROXY_{name.upper()}")
    values |= {key: value for key, value in flags.items() if value is not None}
    config = Config(**values)
    _check(config)
    return config


def _checked(name: str, value: Any, where: str) -> Any:
    if name not in _NAMES:
        raise ConfigError(f"{where}: unknown setting `{name}` (known: {', '.join(sorted(_NAMES))})")
    default = _NAMES[name].default
    try:
        if name == "tenants" and isinstance(value, dict):
            each = ((key, [digest] if isinstance(digest, str) else digest) for key, digest in value.items())
            return tuple(f"{key}={digest}" for key, digests in each for digest in digests)
        if isinstance(default, tuple):
            items = value.split(",") if isinstance(value, str) else value
            return tuple(str(item).strip() for item in items)
        if name in ("policies", "models", "audit", "supervisor_socket"):
            return Path(str(value))
        if isinstance(default, bool):
            return _SWITCH[str(value).lower()]
        if isinstance(default, (int, float)):
            return type(default)(value)
        return str(value)
    except (KeyError, TypeError, ValueError):
        raise ConfigError(f"{where}: `{name}` must be like {default!r}") from None


def _check(config: Config) -> None:
    if not config.upstream:
        raise ConfigError("no upstream: give --upstream https://api.openai.com, or GUARDPROXY_UPSTREAM")
    for one in config.upstream:
        parts = urlsplit(one.split("=", 1)[1] if "=" in one.split("://", 1)[0] else one)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ConfigError("an upstream must be like https://api.openai.com or anthropic=https://api.anthropic.com")
    least: float
    for name, least in (("threads", 0), ("workers", 0), ("queue", 1), ("remembered", 0)):
        if getattr(config, f"supervisor_{name}") < least:
            raise ConfigError(f"`supervisor_{name}` must be at least {least}")
    if config.supervisor_url and urlsplit(config.supervisor_url).scheme not in ("http", "https"):
        raise ConfigError("`supervisor_url` must be like http://triton:8000, a server that speaks KServe v2")
    if config.limit_scan_wait_s <= 0 or config.timeout_scan_s <= 0 or config.timeout_scan_s_per_million < 0:
        raise ConfigError(
            "`limit_scan_wait_s` and `timeout_scan_s` must be above 0, `timeout_scan_s_per_million` at least 0"
        )
    for name, least in (
        *(("limit_connections", 0), ("limit_bodies_bytes", 2 * config.limit_body_bytes), ("limit_body_ratio", 1)),
        *(("limit_body_rate", 0), ("body_grace_s", 0), ("breaker_failures", 0), ("limit_exchanges", 1)),
        *(
            ("timeout_head_s", 0.01),
            ("timeout_first_byte_s", 0.01),
            ("breaker_window_s", 0.1),
            ("breaker_open_s", 0.01),
        ),
        ("livez_stall_s", 1),
    ):
        if not getattr(config, name) >= least:
            raise ConfigError(f"`{name}` must be at least {least}")
    if not 0 < config.breaker_share <= 1:
        raise ConfigError("`breaker_share` must be above 0 and at most 1")
    for name in ("texts", "values", "messages", "tools", "path_chars", "depth"):
        if getattr(config, f"limit_{name}") < 1:
            raise ConfigError(f"`limit_{name}` must be at least 1")
    if config.limit_depth > DEPTH_LIMIT:
        raise ConfigError(f"`limit_depth` must be at most {DEPTH_LIMIT}, which is what the parser takes")
    if config.quiet_s < 0.1:
        raise ConfigError("`quiet_s` must be at least 0.1")
    for one in config.remote_check_key:
        host, _, key = one.partition("=")
        if host not in config.remote_check_host or not key:
            raise ConfigError(
                "a remote check's key must be like dlp.example=KEY, for a host given as --remote-check-host"
            )
    _check_tenants(config)
    for hop in config.trusted_hop:
        try:
            ip_network(hop)
        except ValueError:
            raise ConfigError(f"a trusted hop is an address or a network, like 10.0.0.0/8, not `{hop}`") from None
    for setting in ("request_header", "answer_header"):
        for name in getattr(config, setting):
            if not _HEADER.fullmatch(name):
                raise ConfigError(f"`{setting}` must name headers, like x-team, not `{name}`")
    if config.receipts not in ("on", "off"):
        raise ConfigError("`receipts` must be on or off")
    if config.reload_s and config.reload_s < 0.1:
        raise ConfigError("`reload_s` must be at least 0.1, or 0 to reload only when told to")
    for one in config.upstream_key:
        name, _, key = one.partition("=")
        if name not in config.named or not key:
            raise ConfigError("an upstream key must be like backup=KEY, for an upstream given as backup=URL")
    for route in config.pass_through:
        method, _, path = route.partition(" ")
        if not method.isupper() or not path.startswith("/"):
            raise ConfigError(f"a pass-through route is a method and a path, like `GET /v1/models`, not `{route}`")
    if config.key and len(config.key) < 16:
        raise ConfigError("the key must have at least 16 characters")


def _check_tenants(config: Config) -> None:
    if config.unknown_tenant not in ("allow", "refuse"):
        raise ConfigError("`unknown_tenant` must be allow or refuse")
    if config.unknown_tenant == "refuse" and not config.tenants:
        raise ConfigError("`unknown_tenant` refuses every request: give --tenant NAME=sha256:HEX")
    owners: dict[str, str] = {}
    spelled: dict[str, str] = {}
    for entry in config.tenants:
        found = _TENANT.fullmatch(entry)
        if not found:
            raise ConfigError(
                "a tenant must be like acme=sha256:HEX; `guardproxy tenant digest` prints the digest of a credential. A name "
                "has 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`, and begins with a letter or a digit"
            )
        name, digest = found[1], found[2].lower()
        if owners.setdefault(digest, name) != name:
            raise ConfigError(f"the tenants `{owners[digest]}` and `{name}` have the same credential")
        if spelled.setdefault(name.lower(), name) != name:
            raise ConfigError(
                f"the tenants `{spelled[name.lower()]}` and `{name}` differ only in case: policies ignore it"
            )


def shipped(name: str) -> Path:
    """A folder that ships with the package: `policies`, `models`."""
    package = Path(__file__).parent
    inside = package / "_data" / name
    return inside if inside.exists() else package.parent / name
