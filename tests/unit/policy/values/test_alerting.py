"""`alert:` of a rule: what it becomes, and what each mistake is told, with its place."""

from __future__ import annotations

import pytest

from guardproxy.policy.values.alerting import is_webhook, read_alert
from guardproxy.policy.values.document import Alert, Severity
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import read_tree

URL = "https://hooks.example/x"


def read(text: str, severity: Severity | None = "high") -> tuple[Alert | None, list[str]]:
    """The value and the mistakes, each with the column at which it stands."""
    reading = FileReading("p.yaml")
    alert = read_alert(reading, read_tree(text, "p.yaml"), severity)
    return alert, [f"{error.column}: {error.message}" for error in reading.errors]


def test_a_rule_without_an_alert() -> None:
    assert read_alert(FileReading("p.yaml"), None, "high") is None


@pytest.mark.parametrize(
    ("text", "alert"),
    [
        (f"{{webhook: '{URL}'}}", Alert(URL)),
        (f"{{webhook: '{URL}', min_severity: high}}", Alert(URL)),
        (f"{{webhook: '{URL}', min_severity: low, format: slack}}", Alert(URL, "slack")),
    ],
)
def test_where_an_alert_goes(text: str, alert: Alert) -> None:
    assert read(text) == (alert, [])


@pytest.mark.parametrize(
    ("text", "severity", "mistake"),
    [
        ("{}", "high", "1: `webhook` is missing"),
        ("{webhook: 'ftp://x'}", "high", "11: `ftp://x` is not a URL like `https://hooks.example/x`"),
        (
            f"{{webhook: '{URL}', min_severity: critical}}",
            "high",
            "52: the rule has the severity `high`, so an alert with `min_severity: critical` is never sent",
        ),
        (
            f"{{webhook: '{URL}', min_severity: low}}",
            None,
            "52: the rule has no `severity`, so an alert with `min_severity: low` is never sent",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, severity: Severity | None, mistake: str) -> None:
    assert read(text, severity)[1] == [mistake]


@pytest.mark.parametrize(
    "url", ["", "x", "https://", "https://a:b@c/", "https://a#b", "https://a:x/", "https://a/ b", "https://[::"]
)
def test_what_is_no_webhook(url: str) -> None:
    assert not is_webhook(url)
    assert is_webhook("http://127.0.0.1:9000/x?y=z")
