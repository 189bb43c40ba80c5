"""All settings of a server: `Config` has a part for each group, and each field of a part is a setting."""

# ruff: noqa: RUF009 - `setting` returns a dataclass field

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from guardproxy.config.adapter_settings import AdapterSettings
from guardproxy.config.audit_settings import AuditSettings
from guardproxy.config.client_settings import ClientSettings
from guardproxy.config.console_settings import ConsoleSettings
from guardproxy.config.declaration import POSITIVE, AllowedValues, Declaration, part, setting, split_address
from guardproxy.config.exemptions import Exemption
from guardproxy.config.mcp_settings import McpSettings
from guardproxy.config.observability_settings import ObservabilitySettings
from guardproxy.config.tls_settings import NAMED_FILE, TlsSettings

DEFAULT = "default"  # the name, in `upstream_key`, of the upstream without a name
DEPTH_MOST = 100  # the limit of the JSON parser
RELOAD_LEAST_S = 0.1
TENANT_FORM = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})=sha256:([0-9A-Fa-f]{64})", re.ASCII)
HEADER_FORM = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]+", re.ASCII)
ENVIRONMENT = "environment"  # the proxy that HTTPS_PROXY names
PROXY = "upstream_proxy"  # the name, in `upstream_ca` and `upstream_cert`, of the proxy on the way to upstreams
PARAMETER_FORM = re.compile(r"[A-Za-z0-9._~\[\]-]+", re.ASCII)
ALLOWED_HOST_FORM = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\*", re.ASCII)
ROUTE_FORM = re.compile(r"[A-Z]+ /.*", re.ASCII)


def is_upstream(entry: str) -> bool:
    parts = split_address(entry.split("=", 1)[1] if has_name(entry) else entry)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and "@" not in parts.netloc


def is_network(entry: str) -> bool:
    try:
        ip_network(entry)
    except ValueError:
        return False
    return True


def is_address(entry: str) -> bool:
    host, _, port = entry.rpartition(":")
    return not entry or (host == "unix" and port[:1] == "/") or bool(host and port.isdecimal() and int(port) <= 65535)


def is_url(entry: str) -> bool:
    return not entry or split_address(entry).scheme in ("http", "https")


def is_reload(seconds: float) -> bool:
    return seconds == 0 or seconds >= RELOAD_LEAST_S


def is_pair(entry: str) -> bool:
    name, _, value = entry.partition("=")
    return bool(name and value)


def has_name(upstream: str) -> bool:
    return "=" in upstream.split("://", 1)[0]


def is_proxy(entry: str) -> bool:
    """Whether an entry is the address of an HTTP proxy, or says where it stands."""
    if entry in ("", ENVIRONMENT):
        return True
    parts = split_address(entry)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.path in ("", "/") and not parts.query


PORT = AllowedValues(least=0, most=65535)
ROUTE = AllowedValues(
    form="a method and a path, like `GET /v1/models`", is_right=lambda entry: ROUTE_FORM.fullmatch(entry) is not None
)
ADDRESS = AllowedValues(form="like unix:/run/guardproxy.sock or 127.0.0.1:9002", is_right=is_address)
NETWORK = AllowedValues(form="an address or a network, like 10.0.0.0/8", is_right=is_network)
HEADER = AllowedValues(
    form="the name of a header, like x-team", is_right=lambda entry: HEADER_FORM.fullmatch(entry) is not None
)
PARAMETER = AllowedValues(
    form="the name of a parameter, like limit", is_right=lambda entry: PARAMETER_FORM.fullmatch(entry) is not None
)
ALLOWED_HOST = AllowedValues(
    form="a name like guardproxy.monitoring.svc, *.svc.cluster.local or *, without a port",
    is_right=lambda entry: ALLOWED_HOST_FORM.fullmatch(entry) is not None,
)
UPSTREAM = AllowedValues(
    form="like https://api.openai.com or anthropic=https://api.anthropic.com", is_right=is_upstream
)
FILES_OF_UPSTREAMS = AllowedValues(
    form="like /etc/tls/ca.pem, or NAME=/etc/tls/ca.pem for the upstream of this name",
    is_right=lambda entry: NAMED_FILE.fullmatch(entry) is not None,
)
PROXY_ADDRESS = AllowedValues(form="like http://proxy:3128, https://proxy:3129 or `environment`", is_right=is_proxy)
EXEMPTION = AllowedValues(
    form="a host, like llm.internal or .svc.cluster.local, an address, a network, like 10.0.0.0/8, or `*`; all but networks "
    "may end with a port",
    is_right=lambda entry: Exemption.read(entry) is not None,
)
TENANT = AllowedValues(
    form="like acme=sha256:HEX; `guardproxy tenant digest` prints the digest of a credential. A name has 1 to 64 of "
    "A-Z, a-z, 0-9, `.`, `_` and `-`, and begins with a letter or a digit",
    is_right=lambda entry: TENANT_FORM.fullmatch(entry) is not None,
)


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """The settings of the ports, and of what passes them."""

    host: str = setting("host", "127.0.0.1", "The address to listen on.")
    port: int = setting("port", 8080, "The port for clients. 0 picks a free port.", PORT)
    admin_host: str = setting("admin_host", "127.0.0.1", "The address of the admin port.")
    admin_port: int = setting(
        "admin_port", 9090, "The port for probes, metrics and operators. Worker N has this port plus N.", PORT
    )
    pass_through: tuple[str, ...] = setting(
        "pass_through",
        (
            *(f"GET {base}/models{name}" for base in ("/v1", "/openai/v1", "/v1beta") for name in ("", "/{model}")),
            *("GET /api/tags", "GET /api/version", "GET /api/ps"),
        ),
        "A route that is passed through without being read. `{name}` stands for letters, digits, `.`, `_` and `-`.",
        ROUTE,
    )
    pass_through_query: tuple[str, ...] = setting(
        "pass_through_query",
        (
            *("after", "after_id", "api-version", "before", "before_id", "beta", "limit", "order"),
            *("pageSize", "pageToken", "page_size", "page_token"),
        ),
        "A parameter that the query of such a route may have. Its value has letters, digits and `._~:=,-`, at most 256.",
        PARAMETER,
    )
    admin_allowed_host: tuple[str, ...] = setting(
        "admin_allowed_host",
        (),
        "A further name in `Host` for which the admin port answers, without a port; `*.NAME` is every name below it, `*` every "
        "name. It always answers for this machine's loopback names and for `admin_host`, and for every address if that is a "
        "wildcard.",
        ALLOWED_HOST,
    )
    trusted_hop: tuple[str, ...] = setting(
        "trusted_hop",
        (),
        "A network whose requests may name their conversation, their language and their trace in headers.",
        NETWORK,
    )
    ext_proc: str = setting(
        "ext_proc",
        "",
        "The address at which Envoy's filter `ext_proc` asks: `unix:/run/guardproxy.sock` or HOST:PORT. Envoy sends requests "
        "on, so `upstream` is needed only for the port for clients.",
        ADDRESS,
    )
    request_header: tuple[str, ...] = setting(
        "request_header", (), "A further request header that is sent upstream, with any value.", HEADER
    )
    answer_header: tuple[str, ...] = setting(
        "answer_header", (), "A further answer header that is sent to the client.", HEADER
    )


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """The settings of upstreams. Times are in seconds."""

    entries: tuple[str, ...] = setting(
        "upstream",
        (),
        "The model's API: a URL for all formats, `anthropic=URL` for the format of one provider, or "
        "`NAME=URL` for an upstream that policies fall back to.",
        UPSTREAM,
    )
    keys: tuple[str, ...] = setting(
        "upstream_key",
        (),
        "`NAME=KEY`: the key for an upstream that policies fall back to, instead of the client's key. With `client_keys` or "
        "`jwt_keys`, every upstream needs its key here; `default` is the upstream without a name.",
        AllowedValues(form="like backup=KEY", is_right=is_pair),
        is_secret=True,
    )
    ca: tuple[str, ...] = setting(
        "upstream_ca",
        (),
        "A file of authorities (PEM) for upstreams with https: `FILE` in addition to those of the system, for all "
        "upstreams, or `NAME=FILE` as the only ones of an upstream. Names are those in metrics; `default` is the "
        "upstream without one, `upstream_proxy` the proxy on the way.",
        FILES_OF_UPSTREAMS,
        path=NAMED_FILE,
    )
    cert: tuple[str, ...] = setting(
        "upstream_cert",
        (),
        "`NAME=FILE`: the certificate (PEM) that the proxy shows to this upstream. `FILE`: to all of them.",
        FILES_OF_UPSTREAMS,
        path=NAMED_FILE,
    )
    cert_key: tuple[str, ...] = setting(
        "upstream_cert_key",
        (),
        "`NAME=FILE` or `FILE`: the private key of `upstream_cert`, if that file does not hold it too.",
        FILES_OF_UPSTREAMS,
        path=NAMED_FILE,
    )
    proxy: str = setting(
        "upstream_proxy",
        "",
        "The HTTP proxy for upstreams with https (CONNECT), like http://proxy:3128, or https://proxy:3129 for TLS to the "
        "proxy. `environment`: the one in HTTPS_PROXY, with the exceptions in NO_PROXY. Empty: these variables are ignored.",
        PROXY_ADDRESS,
        is_secret=True,
    )
    no_proxy: tuple[str, ...] = setting(
        "upstream_no_proxy",
        (),
        "A host that is reached without the proxy: a name with all names below it, an address or a network. Hosts of this "
        "machine always are.",
        EXEMPTION,
    )
    breaker_failures: int = setting(
        "breaker_failures",
        5,
        "Consecutive failures that open an upstream's circuit breaker. 0: no breaker.",
        AllowedValues(least=0),
    )
    breaker_share: float = setting(
        "breaker_share",
        0.5,
        "The share of failed requests in `breaker_window_s` that also opens the breaker.",
        AllowedValues(above=0, most=1),
    )
    breaker_window_s: float = setting(
        "breaker_window_s", 30.0, "The time over which `breaker_share` is measured.", AllowedValues(least=0.1)
    )
    breaker_open_s: float = setting(
        "breaker_open_s",
        5.0,
        "How long a breaker stays open at first. Each further opening doubles it.",
        POSITIVE,
    )

    @property
    def named(self) -> dict[str, str]:
        """Returns the URLs of named upstreams, by name."""
        return dict(entry.split("=", 1) for entry in self.entries if has_name(entry))

    @property
    def urls(self) -> tuple[str, ...]:
        """Returns the URLs of all upstreams."""
        return tuple(entry.split("=", 1)[1] if has_name(entry) else entry for entry in self.entries)

    @staticmethod
    def file_for(entries: tuple[str, ...], name: str) -> tuple[Path | None, bool]:
        """Returns the file of `ca`, `cert` or `cert_key` for an upstream, and whether an entry names the upstream."""
        matches = [match for entry in entries if (match := NAMED_FILE.fullmatch(entry))]
        for wanted in (name, None):
            for match in matches:
                if match["name"] == wanted:
                    return Path(match["path"]), wanted is not None
        return None, False

    def key_for(self, name: str) -> str:
        """Returns the key for a named upstream; empty if it has no key."""
        return dict(entry.split("=", 1) for entry in self.keys).get(name, "")

    def name_for(self, provider: str) -> str:
        """Returns the name of the upstream that a provider's requests go to; `default` for the one without a name, and where
        there is no upstream."""
        if provider in self.named:
            return provider
        return DEFAULT if any(not has_name(entry) for entry in self.entries) else next(iter(self.named), DEFAULT)

    def url_for(self, provider: str) -> str:
        """Returns the base URL of a provider, without a final slash or `/v1`; empty if there is no upstream."""
        name = self.name_for(provider)
        url = self.named.get(name) or next((entry for entry in self.entries if not has_name(entry)), "")
        return url.rstrip("/").removesuffix("/v1")


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """The settings of policies. Times are in seconds."""

    folder: Path | None = setting(
        "policies", None, "A folder of policies, or the name of a shipped policy such as `strict`."
    )
    reload_s: float = setting(
        "reload_s",
        2.0,
        "Seconds between two checks of the policies' folder for changes. 0: reload only on SIGHUP or POST /reload.",
        AllowedValues(form="at least 0.1, or 0 to reload only on request", is_right=is_reload),
    )
    allow_code: bool = setting(
        "allow_code", False, "Whether policies may name Python classes to import.", off_flag="--no-code"
    )
    remote_check_host: tuple[str, ...] = setting(
        "remote_check_host", (), "A host that checks may send texts to (`use: http`), like dlp.example:8443."
    )
    remote_check_key: tuple[str, ...] = setting(
        "remote_check_key",
        (),
        "`HOST=KEY`: the key that this host expects.",
        AllowedValues(form="like dlp.example=KEY", is_right=is_pair),
        is_secret=True,
    )


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """The limits of requests and answers, and of the memory for them. Sizes are in bytes."""

    cache_bytes: int = setting(
        "limit_cache_bytes",
        64 * 1024 * 1024,
        "Memory for the answers that policies let the cache keep, in one process. An answer may take a 16th of it.",
        AllowedValues(least=0),
    )
    turns_bytes: int = setting(
        "limit_turns_bytes",
        64 * 1024 * 1024,
        "Memory for the values of stored turns, in one process. A credential may take a quarter of it.",
        AllowedValues(least=0),
    )
    memory_bytes: int = setting(
        "limit_memory_bytes",
        64 * 1024 * 1024,
        "Memory for what exchanges leave for later ones, such as approvals, in one process. A client may take a quarter of it.",
        AllowedValues(least=0),
    )
    body_bytes: int = setting(
        "limit_body_bytes", 32 * 1024 * 1024, "The size of a request body.", AllowedValues(least=1)
    )
    answer_bytes: int = setting(
        "limit_answer_bytes",
        64 * 1024 * 1024,
        "The size of an answer, and of one event of a stream.",
        AllowedValues(least=1),
    )
    held_chars: int = setting(
        "limit_held_chars", 2_000_000, "Characters of an answer that may be held back.", AllowedValues(least=0)
    )
    exchanges: int = setting("limit_exchanges", 2000, "Open exchanges at the same time.", AllowedValues(least=1))
    connections: int = setting(
        "limit_connections",
        0,
        "Open client connections. 0: derived from the limit of file descriptors.",
        AllowedValues(least=0),
    )
    bodies_bytes: int = setting(
        "limit_bodies_bytes",
        512 * 1024 * 1024,
        "Memory for the request bodies of one process. At least twice `limit_body_bytes`.",
    )
    body_ratio: int = setting(
        "limit_body_ratio", 100, "The ratio of a body's size to its compressed size.", AllowedValues(least=1)
    )
    body_rate: int = setting(
        "limit_body_rate",
        1024,
        "The lowest rate of a body in bytes per second, after `body_grace_s`. 0: no limit.",
        AllowedValues(least=0),
    )
    answer_rate: int = setting(
        "limit_answer_rate",
        1024,
        "The lowest rate in bytes per second at which a client takes what waits for it, after `timeout_write_s`. A stream that "
        "waits for the model does not count. 0: only `timeout_write_s` counts, for every 64 KiB.",
        AllowedValues(least=0),
    )
    request_texts: int = setting(
        "limit_request_texts",
        30_000,
        "Strings in a request, keys included. A string costs about 40 microseconds, however short it is.",
        AllowedValues(least=1),
    )
    open_texts: int = setting(
        "limit_open_texts",
        120_000,
        "Strings of all requests that wait to be sent upstream. Each credential has a share; requests without one have one "
        "together.",
        AllowedValues(least=1),
    )
    texts: int = setting(
        "limit_texts", 100_000, "Strings in a request or an event of an answer, keys included.", AllowedValues(least=1)
    )
    values: int = setting(
        "limit_values", 1_000_000, "Values in a request or an event of an answer.", AllowedValues(least=1)
    )
    messages: int = setting("limit_messages", 20_000, "Messages in a request.", AllowedValues(least=1))
    tools: int = setting("limit_tools", 4_000, "Tools in a request.", AllowedValues(least=1))
    path_chars: int = setting(
        "limit_path_chars", 4_000, "Characters of the keys on the path to a value.", AllowedValues(least=1)
    )
    depth: int = setting(
        "limit_depth", 100, "The nesting depth of objects and lists.", AllowedValues(least=1, most=DEPTH_MOST)
    )
    scan_wait_s: float = setting(
        "limit_scan_wait_s",
        2.0,
        "The longest expected wait for a scan thread or a model. If it is longer, a request gets 503 at once.",
        AllowedValues(above=0),
    )


@dataclass(frozen=True, slots=True)
class TimeoutSettings:
    """The time-outs, in seconds."""

    head_s: float = setting("timeout_head_s", 10.0, "For the head of a request, from its first byte.", POSITIVE)
    body_s: float = setting("timeout_body_s", 30.0, "For the body of a request.", AllowedValues(least=0))
    body_grace_s: float = setting("body_grace_s", 5.0, "Before `limit_body_rate` applies.", AllowedValues(least=0))
    connect_s: float = setting("timeout_connect_s", 10.0, "For a connection to the upstream.", AllowedValues(least=0))
    first_byte_s: float = setting("timeout_first_byte_s", 600.0, "For the head of the upstream's answer.", POSITIVE)
    idle_s: float = setting(
        "timeout_idle_s", 600.0, "Between two parts of the upstream's answer.", AllowedValues(least=0)
    )
    total_s: float = setting("timeout_total_s", 3600.0, "For a whole exchange.", AllowedValues(least=0))
    scan_s: float = setting(
        "timeout_scan_s", 10.0, "For the checks of a request, or of a piece of an answer.", AllowedValues(above=0)
    )
    scan_s_per_million: float = setting(
        "timeout_scan_s_per_million",
        60.0,
        "Added to `timeout_scan_s` for each million characters.",
        AllowedValues(least=0),
    )
    write_s: float = setting("timeout_write_s", 30.0, "For a client to read what is sent.", AllowedValues(least=0))
    quiet_s: float = setting(
        "quiet_s", 10.0, "Between two keep-alive events while an answer is held back.", AllowedValues(least=0.1)
    )
    drain_s: float = setting("drain_s", 30.0, "How long a shutdown waits for open exchanges.", AllowedValues(least=0))


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The settings of models."""

    folder: Path | None = setting("models", None, "A folder with further model folders.")
    device: str = setting(
        "supervisor_device",
        "auto",
        "Where models that give scores run. `auto`: on a GPU if it can be used. `cuda`: fail if it cannot.",
        AllowedValues(choices=("auto", "cpu", "cuda")),
    )
    threads: int = setting("supervisor_threads", 0, "Threads of a model run. 0: one.", AllowedValues(least=0))
    workers: int = setting(
        "supervisor_workers", 0, "Simultaneous model runs. 0: one for each core.", AllowedValues(least=0)
    )
    queue: int = setting("supervisor_queue", 256, "Requests that may wait for a model.", AllowedValues(least=1))
    remembered: int = setting("supervisor_remembered", 50_000, "Verdicts that are cached.", AllowedValues(least=0))
    url: str = setting(
        "supervisor_url",
        "",
        "A server that speaks KServe v2 (Triton, onnxruntime-server) and runs the models.",
        AllowedValues(form="like http://triton:8000, a server that speaks KServe v2", is_right=is_url),
    )
    shared: bool = setting(
        "supervisor_shared",
        True,
        "With several workers: whether a single process runs the models for all workers.",
        off_flag="--supervisor-each",
    )
    socket: Path | None = setting(
        "supervisor_socket", None, "The socket of that process. guardproxy sets it automatically."
    )

    @property
    def has_own_process(self) -> bool:
        """Whether several workers leave their models to a process of its own."""
        return self.shared and not self.url


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """The settings of tenants."""

    entries: tuple[str, ...] = setting(
        "tenants",
        (),
        "`NAME=sha256:HEX`: the name of the tenant whose credential has this digest; see `guardproxy "
        "tenant digest`. In TOML also a table.",
        TENANT,
        flag="--tenant",
    )
    unknown: str = setting(
        "unknown_tenant",
        "allow",
        "What happens to a credential that `tenants` does not list.",
        AllowedValues(choices=("allow", "refuse")),
    )
    duty: tuple[str, ...] = setting(
        "duty", (), "A duty of a plug-in: a task for each request, such as a limit. Duties run in this order."
    )

    @property
    def names(self) -> tuple[str, ...]:
        """Returns the names of the tenants."""
        return tuple(dict.fromkeys(entry.partition("=")[0] for entry in self.entries))


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The settings of processes and threads."""

    count: int = setting("workers", 1, "Processes that share the port.", AllowedValues(least=1))
    scan_threads: int = setting("scan_threads", 1, "Threads for scans.", AllowedValues(least=1))


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of a server. The titles are those of the groups in the help and in the documentation."""

    network: NetworkSettings = part("Network", NetworkSettings())
    tls: TlsSettings = part("TLS", TlsSettings())
    upstreams: UpstreamSettings = part("Upstreams", UpstreamSettings())
    mcp: McpSettings = part("MCP", McpSettings())
    policies: PolicySettings = part("Policies", PolicySettings())
    audit: AuditSettings = part("Audit", AuditSettings())
    limits: LimitSettings = part("Limits", LimitSettings())
    timeouts: TimeoutSettings = part("Time-outs", TimeoutSettings())
    models: ModelSettings = part("Models", ModelSettings())
    tenants: TenantSettings = part("Tenants", TenantSettings())
    clients: ClientSettings = part("Clients", ClientSettings())
    adapters: AdapterSettings = part("Adapters", AdapterSettings())
    workers: WorkerSettings = part("Workers", WorkerSettings())
    observability: ObservabilitySettings = part("Observability", ObservabilitySettings())
    console: ConsoleSettings = part("Console", ConsoleSettings())

    @classmethod
    def of(cls, **values: Any) -> Config:
        """Returns settings with these values, by the names of the settings, and with defaults for the rest."""
        return cls().having(**values)

    @property
    def has_client_port(self) -> bool:
        """Whether clients send requests to a port of the proxy. With `ext_proc` they need not, and then an upstream without a
        name or an MCP server says that they do: an upstream with a name may be there for policies alone."""
        is_asked = not all(map(has_name, self.upstreams.entries)) or bool(self.mcp.entries)
        return is_asked or not self.network.ext_proc

    def having(self, **values: Any) -> Config:
        """Returns these settings with other values, by the names of the settings. Raises `KeyError` for a name that is no
        setting."""
        changes: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            changes.setdefault(SETTINGS[name].part, {})[SETTINGS[name].attribute] = value
        return replace(self, **{name: replace(getattr(self, name), **changed) for name, changed in changes.items()})


_DEFAULTS = Config()
SETTINGS = {
    declared.name: declared
    for group in fields(Config)
    for declared in (Declaration.of(group, field) for field in fields(getattr(_DEFAULTS, group.name)))
}

_WITHOUT_PORT = ("Policies", "Audit", "Limits", "Time-outs", "Models", "Observability")
_ALSO_WITHOUT_PORT = ("duty", "limits", "prices", "state", "state_down", "scan_threads")


def needs_no_port(setting: Declaration) -> bool:
    """Whether a setting has a meaning in a process that opens no port and has one client."""
    return setting.group in _WITHOUT_PORT or setting.name in _ALSO_WITHOUT_PORT
