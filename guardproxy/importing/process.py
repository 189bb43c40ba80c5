"""The settings of LiteLLM's process: `litellm_settings`, `general_settings`, `router_settings`.

In: the source. Out: settings, limits and policies of the draft, notes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from guardproxy.config import SETTINGS
from guardproxy.errors import ConfigError
from guardproxy.importing.draft import ImportDraft, variable_of
from guardproxy.importing.guardrails import convert_callback, why_not
from guardproxy.importing.report import ImportReport
from guardproxy.importing.source import ImportSource

_SECTIONS = ("general_settings", "litellm_settings", "router_settings")
_WINDOWS = {"1d": "day", "24h": "day", "30d": "month", "1mo": "month"}
_CALLBACKS = ("callbacks", "success_callback", "failure_callback", "service_callback")
_SEMANTIC = ("redis-semantic", "qdrant-semantic")
_SHARED = ("redis", "redis-cluster", "redis-semantic")
# Which requests ask the same is judged from texts that a rule reads.
_READS_USERS = {
    "checks": {"secrets": {"use": "secrets"}},
    "rules": [{"id": "read-questions", "on": "user", "when": "secrets", "action": "flag"}],
}
_WATCH = {"id": "watch", "when": "check_error", "action": "flag"}  # a policy needs a rule
_HOST = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
REASONS: Mapping[str, str] = {
    "litellm_settings.drop_params": "unknown fields pass or are refused by a policy's `unmapped` and `refuse`",
    "litellm_settings.modify_params": "a policy's `set` and `strip` change fields of a request",
    "litellm_settings.context_window_fallbacks": "a fallback depends on errors, time-outs and status codes only",
    "general_settings.database_url": "there is no database: keys, limits and policies are files",
    "general_settings.store_model_in_db": "there is no database: keys, limits and policies are files",
    "general_settings.alerting": "alert rules for Prometheus are in examples/monitoring",
    "general_settings.alerting_threshold": "alert rules for Prometheus are in examples/monitoring",
    "general_settings.enable_jwt_auth": "set jwt_keys, jwt_issuer and jwt_audience by hand",
    "general_settings.pass_through_endpoints": "`pass_through` takes routes of the upstream itself",
    "general_settings.custom_auth": "code of your own: write a duty as a plug-in",
    "router_settings.routing_strategy": "destinations are chosen by weight and priority",
    "router_settings.routing_strategy_args": "destinations are chosen by weight and priority",
    "environment_variables": "values are not copied: set the variable in the environment of the process",
    "include": "import each of these files itself",
    "mcp_servers": "guardproxy does not serve MCP",
    "vector_store_registry": "guardproxy does not serve vector stores",
    "model_list.model_info": "a description, which no request depends on",
    "model_list.litellm_params.max_tokens": "a policy's `set` changes fields of a request",
    "model_list.litellm_params.temperature": "a policy's `set` changes fields of a request",
    "model_list.litellm_params.timeout": "time-outs hold for all upstreams: `timeout_first_byte_s`",
    "model_list.litellm_params.stream_timeout": "time-outs hold for all upstreams: `timeout_first_byte_s`",
}
"""Why a key is not possible."""
NEEDLESS = frozenset(
    (
        *("litellm_settings.drop_params", "litellm_settings.modify_params"),
        *("general_settings.database_url", "general_settings.store_model_in_db"),
        *("general_settings.alerting", "general_settings.alerting_threshold"),
        *("router_settings.routing_strategy", "router_settings.routing_strategy_args", "environment_variables"),
        *(f"model_list.litellm_params.{name}" for name in ("max_tokens", "temperature", "timeout", "stream_timeout")),
        "model_list.model_info",
    )
)
"""Those without which the result serves, guards, limits and admits as the file says."""


def convert_process(source: ImportSource, draft: ImportDraft, report: ImportReport) -> None:
    """Converts the settings of the process."""
    _keys(source, draft, report)
    _times(source, draft, report)
    _limits(source, draft, report)
    _cache(source, draft, report)
    _callbacks(source, draft, report)
    if source.get("litellm_settings", "turn_off_message_logging") is True:
        draft.policy("no-texts-in-records", {"audit": {"keep": "none"}, "rules": [_WATCH]})
        report.taken("the policy `no-texts-in-records`", "litellm_settings", "turn_off_message_logging")
    for name in ("redact_user_api_key_info", "json_logs"):
        report.taken("guardproxy always does so", "litellm_settings", name)
    if source.get("litellm_settings", "set_verbose") is True:
        report.changed(
            "`log_level` stays `info`; `debug` shows the steps of each exchange", "litellm_settings", "set_verbose"
        )


def _keys(source: ImportSource, draft: ImportDraft, report: ImportReport) -> None:
    """The keys of clients. LiteLLM sends its own keys upstream, so clients need keys of the proxy."""
    if any(upstream.key_variable for upstream in draft.upstreams.values()):
        draft.settings["client_keys"] = "keys"
    if source.get("general_settings", "master_key") is not None:
        draft.settings["client_keys"] = "keys"
        report.changed(
            "clients get keys of their own: `guardproxy keys create` writes the folder `keys` beside guardproxy.toml",
            "general_settings",
            "master_key",
        )


def _times(source: ImportSource, draft: ImportDraft, report: ImportReport) -> None:
    wanted = (
        ("litellm_settings", "request_timeout", "timeout_first_byte_s"),
        ("router_settings", "timeout", "timeout_first_byte_s"),
        ("router_settings", "stream_timeout", "timeout_first_byte_s"),
        ("router_settings", "allowed_fails", "breaker_failures"),
        ("litellm_settings", "allowed_fails", "breaker_failures"),
        ("router_settings", "cooldown_time", "breaker_open_s"),
    )
    for section, name, setting in wanted:
        value = source.get(section, name)
        if value is None or isinstance(value, bool):
            continue
        try:
            draft.settings[setting] = SETTINGS[setting].read(value, name)
        except ConfigError:
            report.impossible(f"`{setting}` must be {SETTINGS[setting].form}", section, name)
        else:
            report.changed(f"`{setting}`, for all upstreams", section, name)


def _limits(source: ImportSource, draft: ImportDraft, report: ImportReport) -> None:
    for section in _SECTIONS:
        for name in ("max_parallel_requests", "global_max_parallel_requests"):
            value = source.get(section, name)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                limit: dict[str, Any] = {
                    "name": f"{section}-{name}".replace("_", "-"),
                    "unit": "parallel",
                    "most": value,
                }
                is_each = name == "max_parallel_requests" and section == "general_settings"
                draft.limits.append(limit | ({"per": ["client"]} if is_each else {}))
                report.taken("a limit in limits.toml", section, name)
    budget, duration = (source.get("litellm_settings", name) for name in ("max_budget", "budget_duration"))
    if not (isinstance(budget, int | float) and not isinstance(budget, bool) and 0 < budget < 10**9):
        return
    window = _WINDOWS.get(str(duration))
    if window is None:
        report.impossible("a budget is for a day (1d) or a month (30d)", "litellm_settings", "max_budget")
    elif not draft.prices:
        report.impossible("no model of the file has a price", "litellm_settings", "max_budget")
    else:
        draft.limits.append({"name": "max-budget", "unit": "cost", "budget": f"{budget:.6f}/{window}"})
        report.taken("a limit in limits.toml", "litellm_settings", "max_budget")
        report.changed(f"a window that begins with the {window}, in UTC", "litellm_settings", "budget_duration")


def _cache(source: ImportSource, draft: ImportDraft, report: ImportReport) -> None:
    if source.get("litellm_settings", "cache") is not True:
        report.taken("there is no cache without a policy", "litellm_settings", "cache")
        return
    path = ("litellm_settings", "cache_params")
    ttl_s = source.get(*path, "ttl")
    kind = source.get(*path, "type")
    is_semantic = kind in _SEMANTIC
    cache: dict[str, Any] = {"mode": "semantic" if is_semantic else "exact"}
    if isinstance(ttl_s, int | float) and not isinstance(ttl_s, bool) and 1 <= ttl_s <= 30 * 86_400:
        cache["ttl_s"] = ttl_s
        report.taken("`ttl_s` of the policy `cache`", *path, "ttl")
    draft.policy("cache", {"cache": cache} | (_READS_USERS if is_semantic else {}))
    report.taken("the policy `cache`", "litellm_settings", "cache")
    if kind in _SHARED:
        _state(source, draft, report, path)
    where = "`GUARDPROXY_STATE` in environment.sh" if kind in _SHARED else "each process has a cache of its own"
    if is_semantic:
        report.changed(f"`mode: semantic`: questions that say the same in other words; {where}", *path, "type")
        for name in (
            "similarity_threshold",
            "redis_semantic_cache_embedding_model",
            "qdrant_semantic_cache_embedding_model",
        ):
            report.needless("rules decide whether two questions say the same, not a distance of vectors", *path, name)
    elif kind not in _SHARED:
        report.changed(where, *path, "type")


def _state(source: ImportSource, draft: ImportDraft, report: ImportReport, path: tuple[str, ...]) -> None:
    """The server that processes share."""
    parts: dict[str, str] = {}
    for name, default in (("host", "localhost"), ("port", "6379")):
        value = source.get(*path, name)
        variable = variable_of(value)
        plain = str(value) if value is not None and _HOST.fullmatch(str(value)) else default
        parts[name] = f"${{{variable}}}" if variable else plain
        report.taken("`GUARDPROXY_STATE` in environment.sh", *path, name)
    secret = source.get(*path, "password")
    variable = variable_of(secret)
    if secret is not None and not variable:
        variable = draft.variable_for(str(secret), "REDIS_PASSWORD")
        report.changed(f"a password in the file is not copied: set {variable}", *path, "password")
    else:
        report.taken("`GUARDPROXY_STATE` in environment.sh", *path, "password")
    user = f":${{{variable}}}@" if variable else ""
    draft.variables["state"] = f"redis://{user}{parts['host']}:{parts['port']}/0"
    report.taken("`GUARDPROXY_STATE` in environment.sh", *path, "type")


def _callbacks(source: ImportSource, draft: ImportDraft, report: ImportReport) -> None:
    for name in _CALLBACKS:
        value = source.get("litellm_settings", name)
        for index, kind in enumerate(value if isinstance(value, list) else [value] if value else []):
            path = ("litellm_settings", name, index) if isinstance(value, list) else ("litellm_settings", name)
            _callback(name, str(kind), draft, report, path)


def _callback(place: str, kind: str, draft: ImportDraft, report: ImportReport, path: tuple[str | int, ...]) -> None:
    """Converts a callback. `place`: the key that lists it."""
    if kind == "prometheus":
        report.taken("/metrics on the admin port; examples/monitoring has a dashboard", *path)
    elif kind in ("otel", "arize_phoenix"):
        draft.variables["otel_endpoint"] = "${OTEL_EXPORTER_OTLP_ENDPOINT}"
        report.changed("`otel_endpoint`, from OTEL_EXPORTER_OTLP_ENDPOINT; spans hold no text", *path)
    elif policy := convert_callback(kind, draft):
        report.taken(f"the policy `{policy}`", *path)
    elif place == "callbacks":  # those may change or refuse requests; the others are told what happened
        report.impossible(f"if it only logs, the audit log has the records; else, {why_not(kind)}", *path)
    else:
        report.needless("records are in the audit log; `guardproxy audit ship` and `audit export` send them on", *path)
