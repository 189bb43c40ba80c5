"""The settings of monitoring: logs, health, and the export to a collector."""

from __future__ import annotations

from dataclasses import dataclass

from guardproxy.config.declaration import AllowedValues, setting, split_address

LEVELS = ("debug", "info", "warning", "error", "critical")


def is_collector(entry: str) -> bool:
    return is_hook(entry) and not split_address(entry).query


def is_hook(entry: str) -> bool:
    parts = split_address(entry)
    is_plain = not (parts.fragment or parts.username or parts.password) and entry.isascii() and " " not in entry
    return not entry or (parts.scheme in ("http", "https") and bool(parts.hostname) and is_plain)


@dataclass(frozen=True, slots=True)
class ObservabilitySettings:
    """The settings of monitoring. Times are in seconds."""

    log_level: str = setting(
        "log_level",
        "info",
        "The log level. `debug` prints the transcript of every exchange.",
        AllowedValues(form=" or ".join(LEVELS), is_right=lambda entry: entry.lower() in LEVELS),
    )
    log_format: str = setting(
        "log_format",
        "auto",
        "The form of the log on standard error: a JSON object on each line, or text with colours. `auto`: text on a terminal.",
        AllowedValues(choices=("auto", "json", "text")),
    )
    readyz_upstreams: bool = setting(
        "readyz_upstreams", False, "Whether /readyz fails while the circuit breakers of all upstreams are open."
    )
    core_files: bool = setting(
        "core_files",
        False,
        "Whether a crash may write a core file, and other processes of the user may read the memory. Both hold texts.",
    )
    livez_stall_s: float = setting(
        "livez_stall_s",
        30.0,
        "/livez fails if the event loop has not run for this time. With several workers, a process whose loop has not run for "
        "it is killed and started again.",
        AllowedValues(least=1),
    )
    otel_endpoint: str = setting(
        "otel_endpoint",
        "",
        "The base URL of an OpenTelemetry collector, which gets traces and metrics by OTLP over HTTP. Needs the extra `otel`.",
        AllowedValues(form="like http://collector:4318", is_right=is_collector),
    )
    otel_guardrails: str = setting(
        "otel_guardrails",
        "off",
        "Whether traces have spans for the rules. Their names follow proposed conventions, which may change.",
        AllowedValues(choices=("on", "off")),
    )
    otel_share: float = setting(
        "otel_share",
        1.0,
        "The share of exchanges whose spans are exported. A trace of a trusted client keeps its own decision.",
        AllowedValues(least=0, most=1),
    )
    confirm_webhook: str = setting(
        "confirm_webhook",
        "",
        "The URL that gets a message about each call of a tool that waits for a person (`action: confirm`). Its answer may "
        "approve or deny the call.",
        AllowedValues(form="like https://hooks.example/confirm", is_right=is_hook),
        is_secret=True,
    )
    confirm_key: str = setting(
        "confirm_key",
        "",
        "The secret that signs messages to `confirm_webhook`. With it, the admin port lists and decides waiting calls only for "
        "those who send it (`guardproxy confirm`).",
        is_secret=True,
    )
    alert_webhook: str = setting(
        "alert_webhook",
        "",
        "The URL that gets a message when a rule of at least `alert_min_severity` holds. Messages never contain a text.",
        AllowedValues(form="like https://hooks.example/services/x", is_right=is_hook),
        is_secret=True,
    )
    alert_min_severity: str = setting(
        "alert_min_severity",
        "high",
        "The lowest `severity` of rules about which `alert_webhook` gets a message.",
        AllowedValues(choices=("low", "medium", "high", "critical")),
    )
    alert_format: str = setting(
        "alert_format",
        "json",
        "The form of messages to `alert_webhook`. `slack`: for a webhook of Slack.",
        AllowedValues(choices=("json", "slack")),
    )
    alert_host: tuple[str, ...] = setting(
        "alert_host",
        (),
        "A host to which rules of policies may send alerts (`alert`), like hooks.example:8443. Plain HTTP: http://hooks.example.",
    )
