"""The dashboard for Grafana, from a table of its panels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

WIDTH = 24  # columns of Grafana's grid
ACROSS, HEIGHT = 3, 8  # panels in a row, and the height of each
SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. `queries`: PromQL by legend; `unit`: in Grafana's words."""

    title: str
    unit: str
    queries: dict[str, str]


def rate(metric: str, by: str, chosen: str = "") -> str:
    """The rate of a counter, summed by a label."""
    return f"sum by ({by}) (rate(guardproxy_{metric}{{{chosen}}}[$__rate_interval]))"


def quantiles(metric: str, chosen: str = "") -> dict[str, str]:
    """The median and the 99th percentile of a histogram of seconds."""
    rates = f"sum by (le) (rate(guardproxy_{metric}_seconds_bucket{{{chosen}}}[$__rate_interval]))"
    return {name: f"histogram_quantile({share}, {rates})" for name, share in (("median", 0.5), ("99 %", 0.99))}


MODEL = 'model=~"$model"'
SHARE = "sum by (decision) (rate(guardproxy_decisions_total[$__rate_interval]))"
ROWS: dict[str, tuple[Panel, ...]] = {
    "Traffic": (
        Panel("Exchanges by outcome", "reqps", {"{{outcome}}": rate("exchanges_total", "outcome")}),
        Panel(
            "Share of decisions",
            "percentunit",
            {"{{decision}}": f"{SHARE} / scalar(sum(rate(guardproxy_decisions_total[$__rate_interval])))"},
        ),
        Panel("Open exchanges", "short", {"open": "sum(guardproxy_open_exchanges)"}),
    ),
    "Answers": (
        Panel("Time to first token", "s", quantiles("time_to_first_token", MODEL)),
        Panel("Time per output token", "s", quantiles("time_per_output_token", MODEL)),
        Panel("Time between pieces of a stream", "s", quantiles("time_between_pieces")),
        Panel("Tokens by model", "short", {"{{model}} {{direction}}": rate("tokens_total", "model, direction", MODEL)}),
        Panel("Tokens by tenant", "short", {"{{tenant}}": rate("tokens_total", "tenant", MODEL)}),
        Panel("Cost by model", "short", {"{{model}}": rate("cost_total", "model", MODEL)}),
        Panel("Duration of exchanges", "s", quantiles("exchange_duration")),
    ),
    "Policies": (
        Panel(
            "Rules that held", "reqps", {"{{policy}} {{rule}} {{mode}}": rate("rule_hits_total", "policy, rule, mode")}
        ),
        Panel("Values replaced", "short", {"{{direction}}": rate("redacted_spans_total", "direction")}),
        Panel("Answers that were not sent", "reqps", {"{{decision}}": rate("discarded_answers_total", "decision")}),
        Panel("Requests past a limit", "reqps", {"{{limit}} {{mode}}": rate("limit_refusals_total", "limit, mode")}),
        Panel("Cache", "reqps", {"{{result}} {{mode}}": rate("cache_lookups_total", "result, mode")}),
        Panel("Wait for checks", "s", quantiles("scan")),
        Panel("Scans without capacity", "reqps", {"{{reason}}": rate("scan_no_capacity_total", "reason")}),
    ),
    "Process": (
        Panel("Event loop lag", "s", quantiles("event_loop_lag")),
        Panel("Audit log: time until durable", "s", quantiles("audit_commit")),
        Panel("Audit log can be written", "bool", {"{{instance}}": "guardproxy_audit_writable"}),
        Panel("Circuit breakers that are open", "short", {"{{upstream}}": 'guardproxy_upstream_breaker{state="open"}'}),
        Panel("Client connections", "short", {"open": "sum(guardproxy_open_connections)"}),
        Panel("Dropped by observers", "short", {"{{observer}}": rate("observer_dropped_total", "observer")}),
    ),
}


def _panels() -> Iterator[dict[str, Any]]:
    top, number = 0, 0
    for title, panels in ROWS.items():
        number += 1
        yield {"id": number, "type": "row", "title": title, "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}}
        top += 1
        for index, panel in enumerate(panels):
            number += 1
            row, column = divmod(index, ACROSS)
            width = WIDTH // ACROSS
            yield {
                "id": number,
                "type": "timeseries",
                "title": panel.title,
                "datasource": SOURCE,
                "gridPos": {"x": column * width, "y": top + row * HEIGHT, "w": width, "h": HEIGHT},
                "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
                "targets": [
                    {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": query, "legendFormat": legend}
                    for place, (legend, query) in enumerate(panel.queries.items())
                ],
            }
        top += -(-len(panels) // ACROSS) * HEIGHT


def dashboard() -> dict[str, Any]:
    """The whole dashboard."""
    models = "label_values(guardproxy_tokens_total, model)"
    return {
        "uid": "guardproxy",
        "title": "guardproxy",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "model",
                    "label": "Model",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": {"query": models, "refId": "models"},
                    "includeAll": True,
                    "allValue": ".*",
                    "multi": True,
                    "refresh": 2,
                },
            ]
        },
        "panels": list(_panels()),
    }


def queries() -> dict[str, str]:
    """The PromQL of every panel, by title and legend, with values instead of Grafana's variables."""
    return {
        f"{panel.title}: {legend}": query.replace("$__rate_interval", "1m").replace("$model", ".*")
        for panels in ROWS.values()
        for panel in panels
        for legend, query in panel.queries.items()
    }


def text() -> str:
    """The text of the file."""
    return json.dumps(dashboard(), indent=2) + "\n"
