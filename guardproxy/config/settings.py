"""All settings of a server: each field of `Config` is a setting."""

# ruff: noqa: RUF009 - `setting` returns a dataclass field

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from ipaddress import ip_network
from pathlib import Path
from typing import get_args

from guardproxy.config.client_settings import ClientConfig
from guardproxy.config.declaration import POSITIVE, AllowedValues, Declaration, Section, setting, split_address

DEFAULT = "default"  # the name, in `upstream_key`, of the upstream without a name
DEPTH_MOST = 100  # the limit of the JSON parser
RELOAD_LEAST_S = 0.1
TENANT_FORM = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})=sha256:([0-9A-Fa-f]{64})", re.ASCII)
HEADER_FORM = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]+", re.ASCII)
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


def is_url(entry: str) -> bool:
    return not entry or split_address(entry).scheme in ("http", "https")


def is_reload(seconds: float) -> bool:
    return seconds == 0 or seconds >= RELOAD_LEAST_S


def is_pair(entry: str) -> bool:
    name, _, value = entry.partition("=")
    return bool(name and value)


def has_name(upstream: str) -> bool:
    return "=" in upstream.split("://", 1)[0]


PORT = AllowedValues(least=0, most=65535)
ROUTE = AllowedValues(
    form="a method and a path, like `GET /v1/models`", is_right=lambda entry: ROUTE_FORM.fullmatch(entry) is not None
)
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
TENANT = AllowedValues(
    form="like acme=sha256:HEX; `guardproxy tenant digest` prints the digest of a credential. A name has 1 to 64 of "
    "A-Z, a-z, 0-9, `.`, `_` and `-`, and begins with a letter or a digit",
    is_right=lambda entry: TENANT_FORM.fullmatch(entry) is not None,
)


@dataclass(frozen=True, slots=True)
class Config(ClientConfig):
    """The settings of a server: these, those of the audit log, of clients and of monitoring. Sizes are in bytes, times in
    seconds."""

    host: str = setting("Network", "127.0.0.1", "The address to listen on.")
    port: int = setting("Network", 8080, "The port for clients. 0 picks a free port.", PORT)
    admin_host: str = setting("Network", "127.0.0.1", "The address of the admin port.")
    admin_port: int = setting(
        "Network", 9090, "The port of /livez, /readyz, /metrics and /reload. Worker N has this port plus N.", PORT
    )
    pass_through: tuple[str, ...] = setting(
        "Network",
        (
            *(f"GET {base}/models{name}" for base in ("/v1", "/openai/v1", "/v1beta") for name in ("", "/{model}")),
            *("GET /api/tags", "GET /api/version", "GET /api/ps"),
        ),
        "A route that is passed through without being read. `{name}` stands for letters, digits, `.`, `_` and `-`.",
        ROUTE,
    )
    pass_through_query: tuple[str, ...] = setting(
        "Network",
        (
            *("after", "after_id", "api-version", "before", "before_id", "beta", "limit", "order"),
            *("pageSize", "pageToken", "page_size", "page_token"),
        ),
        "A parameter that the query of such a route may have. Its value has letters, digits and `._~:=,-`, at most 256.",
        PARAMETER,
    )
    admin_allowed_host: tuple[str, ...] = setting(
        "Network",
        (),
        "A further name in `Host` for which the admin port answers, without a port; `*.NAME` is every name below it, `*` every "
        "name. It always answers for this machine's loopback names and for `admin_host`, and for every address if that is a "
        "wildcard.",
        ALLOWED_HOST,
    )
    trusted_hop: tuple[str, ...] = setting(
        "Network", (), "A network whose requests may name their conversation and their language in headers.", NETWORK
    )
    request_header: tuple[str, ...] = setting(
        "Network", (), "A further request header that is sent upstream, with any value.", HEADER
    )
    answer_header: tuple[str, ...] = setting(
        "Network", (), "A further answer header that is sent to the client.", HEADER
    )

    upstream: tuple[str, ...] = setting(
        "Upstreams",
        (),
        "The model's API: a URL for all formats, `anthropic=URL` for the format of one provider, or "
        "`NAME=URL` for an upstream that policies fall back to.",
        UPSTREAM,
    )
    upstream_key: tuple[str, ...] = setting(
        "Upstreams",
        (),
        "`NAME=KEY`: the key for an upstream that policies fall back to, instead of the client's key. With `client_keys` or "
        "`jwt_keys`, every upstream needs its key here; `default` is the upstream without a name.",
        AllowedValues(form="like backup=KEY", is_right=is_pair),
        is_secret=True,
    )
    breaker_failures: int = setting(
        "Upstreams",
        5,
        "Consecutive failures that open an upstream's circuit breaker. 0: no breaker.",
        AllowedValues(least=0),
    )
    breaker_share: float = setting(
        "Upstreams",
        0.5,
        "The share of failed requests in `breaker_window_s` that also opens the breaker.",
        AllowedValues(above=0, most=1),
    )
    breaker_window_s: float = setting(
        "Upstreams", 30.0, "The time over which `breaker_share` is measured.", AllowedValues(least=0.1)
    )
    breaker_open_s: float = setting(
        "Upstreams",
        5.0,
        "The first time that an open breaker stays open. Each further opening doubles it.",
        POSITIVE,
    )

    policies: Path | None = setting(
        "Policies", None, "A folder of policies, or the name of a shipped policy such as `strict`."
    )
    reload_s: float = setting(
        "Policies",
        2.0,
        "Seconds between two checks of the policies' folder for changes. 0: reload only on SIGHUP or POST /reload.",
        AllowedValues(form="at least 0.1, or 0 to reload only on request", is_right=is_reload),
    )
    allow_code: bool = setting(
        "Policies", False, "Whether policies may name Python classes to import.", off_flag="--no-code"
    )
    remote_check_host: tuple[str, ...] = setting(
        "Policies", (), "A host that checks may send texts to (`use: http`), like dlp.example:8443."
    )
    remote_check_key: tuple[str, ...] = setting(
        "Policies",
        (),
        "`HOST=KEY`: the key that this host expects.",
        AllowedValues(form="like dlp.example=KEY", is_right=is_pair),
        is_secret=True,
    )

    limit_body_bytes: int = setting("Limits", 32 * 1024 * 1024, "The size of a request body.", AllowedValues(least=1))
    limit_answer_bytes: int = setting(
        "Limits", 64 * 1024 * 1024, "The size of an answer, and of one event of a stream.", AllowedValues(least=1)
    )
    limit_held_chars: int = setting(
        "Limits", 2_000_000, "Characters of an answer that may be held back.", AllowedValues(least=0)
    )
    limit_exchanges: int = setting("Limits", 2000, "Open exchanges at the same time.", AllowedValues(least=1))
    limit_connections: int = setting(
        "Limits", 0, "Open client connections. 0: derived from the limit of file descriptors.", AllowedValues(least=0)
    )
    limit_bodies_bytes: int = setting(
        "Limits", 512 * 1024 * 1024, "Memory for the request bodies of one process. At least twice `limit_body_bytes`."
    )
    limit_body_ratio: int = setting(
        "Limits", 100, "The ratio of a body's size to its compressed size.", AllowedValues(least=1)
    )
    limit_body_rate: int = setting(
        "Limits",
        1024,
        "The lowest rate of a body in bytes per second, after `body_grace_s`. 0: no limit.",
        AllowedValues(least=0),
    )
    limit_answer_rate: int = setting(
        "Limits",
        1024,
        "The lowest rate in bytes per second at which a client takes what waits for it, after `timeout_write_s`. A stream that "
        "waits for the model does not count. 0: only `timeout_write_s` counts, for every 64 KiB.",
        AllowedValues(least=0),
    )
    limit_request_texts: int = setting(
        "Limits",
        30_000,
        "Strings in a request, keys included. A string costs about 40 microseconds, however short it is.",
        AllowedValues(least=1),
    )
    limit_open_texts: int = setting(
        "Limits",
        120_000,
        "Strings of all requests that are read and not sent yet. A credential gets a share; requests without one share it.",
        AllowedValues(least=1),
    )
    limit_texts: int = setting(
        "Limits", 100_000, "Strings in a request or an event of an answer, keys included.", AllowedValues(least=1)
    )
    limit_values: int = setting(
        "Limits", 1_000_000, "Values in a request or an event of an answer.", AllowedValues(least=1)
    )
    limit_messages: int = setting("Limits", 20_000, "Messages in a request.", AllowedValues(least=1))
    limit_tools: int = setting("Limits", 4_000, "Tools in a request.", AllowedValues(least=1))
    limit_path_chars: int = setting(
        "Limits", 4_000, "Characters of the keys on the path to a value.", AllowedValues(least=1)
    )
    limit_depth: int = setting(
        "Limits", 100, "The nesting depth of objects and lists.", AllowedValues(least=1, most=DEPTH_MOST)
    )
    limit_scan_wait_s: float = setting(
        "Limits",
        2.0,
        "The longest expected wait for a scan thread or a model. If it is longer, a request gets 503 at once.",
        AllowedValues(above=0),
    )

    timeout_head_s: float = setting("Time-outs", 10.0, "For the head of a request, from its first byte.", POSITIVE)
    timeout_body_s: float = setting("Time-outs", 30.0, "For the body of a request.", AllowedValues(least=0))
    body_grace_s: float = setting("Time-outs", 5.0, "Before `limit_body_rate` applies.", AllowedValues(least=0))
    timeout_connect_s: float = setting("Time-outs", 10.0, "For a connection to the upstream.", AllowedValues(least=0))
    timeout_first_byte_s: float = setting("Time-outs", 600.0, "For the head of the upstream's answer.", POSITIVE)
    timeout_idle_s: float = setting(
        "Time-outs", 600.0, "Between two parts of the upstream's answer.", AllowedValues(least=0)
    )
    timeout_total_s: float = setting("Time-outs", 3600.0, "For a whole exchange.", AllowedValues(least=0))
    timeout_scan_s: float = setting(
        "Time-outs", 10.0, "For the checks of a request, or of a piece of an answer.", AllowedValues(above=0)
    )
    timeout_scan_s_per_million: float = setting(
        "Time-outs", 60.0, "Added to `timeout_scan_s` for each million characters.", AllowedValues(least=0)
    )
    timeout_write_s: float = setting("Time-outs", 30.0, "For a client to read what is sent.", AllowedValues(least=0))
    quiet_s: float = setting(
        "Time-outs", 10.0, "Between two keep-alive events while an answer is held back.", AllowedValues(least=0.1)
    )
    drain_s: float = setting("Time-outs", 30.0, "How long a shutdown waits for open exchanges.", AllowedValues(least=0))

    models: Path | None = setting("Models", None, "A folder with further model folders.")
    supervisor_device: str = setting(
        "Models",
        "auto",
        "Where models that give scores run. `auto`: on a GPU if it can be used. `cuda`: fail if it cannot.",
        AllowedValues(choices=("auto", "cpu", "cuda")),
    )
    supervisor_threads: int = setting("Models", 0, "Threads of a model run. 0: 1.", AllowedValues(least=0))
    supervisor_workers: int = setting(
        "Models", 0, "Simultaneous model runs. 0: one for each core.", AllowedValues(least=0)
    )
    supervisor_queue: int = setting("Models", 256, "Requests that may wait for a model.", AllowedValues(least=1))
    supervisor_remembered: int = setting("Models", 50_000, "Verdicts that are cached.", AllowedValues(least=0))
    supervisor_url: str = setting(
        "Models",
        "",
        "A server that speaks KServe v2 (Triton, onnxruntime-server) and runs the models.",
        AllowedValues(form="like http://triton:8000, a server that speaks KServe v2", is_right=is_url),
    )
    supervisor_shared: bool = setting(
        "Models",
        True,
        "With several workers: whether a single process runs the models for all workers.",
        off_flag="--supervisor-each",
    )
    supervisor_socket: Path | None = setting(
        "Models", None, "The socket of that process. guardproxy sets it automatically."
    )

    tenants: tuple[str, ...] = setting(
        "Tenants",
        (),
        "`NAME=sha256:HEX`: the name of the tenant whose credential has this digest; see `guardproxy "
        "tenant digest`. In TOML also a table.",
        TENANT,
        flag="--tenant",
    )
    unknown_tenant: str = setting(
        "Tenants", "allow", "What happens to a credential without a name.", AllowedValues(choices=("allow", "refuse"))
    )
    duty: tuple[str, ...] = setting("Tenants", (), "A duty of a plug-in, such as a limit. Duties run in this order.")

    workers: int = setting("Workers", 1, "Processes that share the port.", AllowedValues(least=1))
    scan_threads: int = setting("Workers", 1, "Threads for scans.", AllowedValues(least=1))

    @property
    def named_upstreams(self) -> dict[str, str]:
        """Returns the URLs of named upstreams, by name."""
        return dict(entry.split("=", 1) for entry in self.upstream if has_name(entry))

    @property
    def upstream_urls(self) -> tuple[str, ...]:
        """Returns the URLs of all upstreams."""
        return tuple(entry.split("=", 1)[1] if has_name(entry) else entry for entry in self.upstream)

    @property
    def shares_models(self) -> bool:
        """Whether several workers leave their models to a process of its own."""
        return self.supervisor_shared and not self.supervisor_url

    @property
    def tenant_names(self) -> tuple[str, ...]:
        """Returns the names of the tenants."""
        return tuple(dict.fromkeys(entry.partition("=")[0] for entry in self.tenants))

    @property
    def has_clients(self) -> bool:
        """Whether clients need a key or a token of the proxy's own."""
        return bool(self.client_keys or self.jwt_keys)

    def key_for(self, name: str) -> str:
        """Returns the key for a named upstream; empty if it has no key."""
        return dict(entry.split("=", 1) for entry in self.upstream_key).get(name, "")

    def upstream_name(self, provider: str) -> str:
        """Returns the name of the upstream that a provider's requests go to; `default` for the one without a name."""
        by_name = self.named_upstreams
        if provider in by_name:
            return provider
        return DEFAULT if any(not has_name(entry) for entry in self.upstream) else next(iter(by_name))

    def upstream_for(self, provider: str) -> str:
        """Returns the base URL of a provider, without a final slash or `/v1`."""
        name = self.upstream_name(provider)
        url = self.named_upstreams.get(name) or next(entry for entry in self.upstream if not has_name(entry))
        return url.rstrip("/").removesuffix("/v1")


_SECTIONS = get_args(Section)
_DECLARED = sorted(map(Declaration.of, fields(Config)), key=lambda declared: _SECTIONS.index(declared.group))
SETTINGS = {declared.name: declared for declared in _DECLARED}
