"""The files for Prometheus and Grafana name metrics that exist. `tests/e2e/test_prometheus.py` runs their queries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from guardproxy.inference.running.meters import Registry
from guardproxy.server.observing.metrics import Metrics
from tools.pages import dashboard

FOLDER = Path(__file__).parents[2] / "examples" / "monitoring"
NAME = re.compile(r"\bguardproxy_\w+")
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
EXPRESSIONS = {**dashboard.queries(), **{rule["alert"]: rule["expr"] for rule in RULES}}
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def known() -> set[str]:
    """The names of all series that `/metrics` can have."""
    registry = CollectorRegistry()
    Registry(registry)
    families = [*Metrics().registry.collect(), *registry.collect()]
    return {family.name + suffix for family in families for suffix in _SUFFIXES[family.type]}


@pytest.fixture(scope="module")
def names() -> set[str]:
    return known()


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_an_expression_names_metrics_that_exist(expression: str, names: set[str]) -> None:
    assert set(NAME.findall(expression)) <= names
    assert NAME.search(expression) or expression.startswith("up{")


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    groups = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]
    firing = {case["alertname"] for group in groups for case in group["alert_rule_test"] if case["exp_alerts"]}
    assert firing == {rule["alert"] for rule in RULES}


def test_panels_do_not_overlap() -> None:
    cells = [
        (x, y)
        for panel in dashboard.dashboard()["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < dashboard.WIDTH
