"""Reads `alert` of a rule: where a message goes when the rule holds (`{webhook: https://hooks.example/x, min_severity: high}`).

In: the node, and the severity of the rule. Out: an `Alert`, or `None`. The operator must allow the host (`--alert-host`).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from guardproxy.policy.values.document import ALERT_FORMATS, SEVERITIES, Alert, Severity
from guardproxy.policy.yaml.reading import FileReading
from guardproxy.policy.yaml.tree import YamlNode

KEYS: Mapping[str, str] = {
    "webhook": "The URL that gets a message when the rule holds. The operator must allow its host with `--alert-host`.",
    "min_severity": "The least `severity` of the rule for which a message is sent.",
    "format": "`slack` writes the message for a webhook of Slack.",
}


def read_alert(reading: FileReading, node: YamlNode | None, severity: Severity | None) -> Alert | None:
    """Returns where the alerts of a rule go. Adds errors to `reading`. `severity`: of the rule."""
    if node is None:
        return None
    keys = reading.entries(
        node, "a mapping like `{webhook: https://hooks.example/x}`", tuple(KEYS), needed=("webhook",)
    )
    url = reading.word(keys.get("webhook"), "a URL like `https://hooks.example/x`")
    least = reading.choice(keys.get("min_severity"), SEVERITIES)
    form = reading.choice(keys.get("format"), ALERT_FORMATS)
    if least and (severity is None or SEVERITIES.index(severity) < SEVERITIES.index(least)):
        has = f"has the severity `{severity}`" if severity else "has no `severity`"
        reading.fail(
            keys["min_severity"].place, f"the rule {has}, so an alert with `min_severity: {least}` is never sent"
        )
    if url is None:
        return None
    if not is_webhook(url):
        reading.fail(keys["webhook"].place, f"`{url}` is not a URL like `https://hooks.example/x`")
        return None
    return Alert(url, form or "json")


def is_webhook(url: str) -> bool:
    """Whether a text is the URL of a webhook: a host, and no user and no fragment."""
    try:
        parts = urlsplit(url)
        is_plain = not (parts.username or parts.password or parts.fragment) and parts.port != 0
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https") and bool(parts.hostname) and is_plain and url.isprintable() and " " not in url
    )
