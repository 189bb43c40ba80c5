"""Alerts: messages to people about rules that held, sent off the path of requests.

In: records of finished exchanges. Out: a POST to each webhook that the settings or a rule name. Kept: when each alert was last
sent. A message names the rule, the checks and labels, the tenant and the exchange. It never contains a text of an exchange, a
value, a path or a model, since a client writes those.

An alert is sent at once. The same alert (webhook, policy, rule, tenant) is not sent again for `QUIET_S`; the next message says
how often it came meanwhile. A webhook gets at most `LIMIT_A_MINUTE` messages. A message that fails is sent again, at most
three times in all. Each process counts for itself.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import orjson

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedDecision
from guardproxy.concurrency import lazy
from guardproxy.config import ObservabilitySettings
from guardproxy.policy import PolicySet
from guardproxy.policy.values import SEVERITIES, AlertFormat, Rule
from guardproxy.server.observing.metrics import Metrics

QUIET_S = 60.0
LIMIT_A_MINUTE = 30
LIMIT_KEPT = 1000
TIMEOUT_S = 5.0
PAUSES_S = (1.0, 3.0)
LIMIT_LISTED = 20  # checks and labels in a message
_log = logging.getLogger(__name__)

Post = Callable[[str, bytes], int]
"""Sends a body to a URL, and returns the HTTP status. Raises `OSError` or `HTTPException`."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook, and the form of its messages."""

    url: str
    format: AlertFormat


@dataclass(slots=True)
class LastAlert:
    """When an alert was last sent, and how often it came since."""

    at_s: float
    repeated: int = 0


class AlertSender:
    """Posts bodies to webhooks, without following redirects."""

    @lazy
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def __call__(self, url: str, body: bytes) -> int:
        """See `Post`."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        connection = (
            HTTPSConnection(host, port, timeout=TIMEOUT_S, context=self._tls)
            if parts.scheme == "https"
            else HTTPConnection(host, port, timeout=TIMEOUT_S)
        )
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json", "User-Agent": "guardproxy"})
            return connection.getresponse().status
        finally:
            connection.close()


class AlertObserver:
    """An observer that sends alerts. `policies`: returns the active policies; `clock`: the time of a monotonic clock in
    seconds; `pause`: waits for some seconds."""

    name = "alerts"

    def __init__(
        self,
        settings: ObservabilitySettings,
        policies: Callable[[], PolicySet],
        metrics: Metrics,
        post: Post | None = None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._hook = Hook(settings.alert_webhook, "slack" if settings.alert_format == "slack" else "json")
        self._least = [str(severity) for severity in SEVERITIES].index(settings.alert_min_severity)
        self._policies = policies
        self._results = metrics.alerts
        self._post = post or AlertSender()
        self._clock = clock
        self._pause = pause
        self._told: OrderedDict[tuple[str, str, str, str], LastAlert] = OrderedDict()
        self._times: dict[str, deque[float]] = {}  # when each webhook got its last messages
        # The rules that have alerts, and their policies: one value, since the loop and the observer's thread set it.
        self._rules: tuple[PolicySet | None, Mapping[tuple[str, str], Rule]] = (None, {})

    def wants(self, record: Record) -> bool:
        """Whether a rule held that has an alert."""
        rules = self._known() if record.decisions else {}
        return bool(rules) and any(
            (decision.policy, decision.rule) in rules for decision in record.decisions if decision.mode == "enforce"
        )

    def finished(self, record: Record) -> None:
        """Sends the alerts of an exchange, in the thread of the observer."""
        held: dict[tuple[str, str], list[RecordedDecision]] = {}
        for decision in record.decisions:
            if decision.mode == "enforce":
                held.setdefault((decision.policy, decision.rule), []).append(decision)
        rules = self._known()
        for key, decisions in held.items():
            if (rule := rules.get(key)) is not None:
                for hook in self._hooks(rule):
                    self._tell(hook, record, rule, decisions)

    def _known(self) -> Mapping[tuple[str, str], Rule]:
        """The rules of the active policies that have alerts."""
        policies, (of, known) = self._policies(), self._rules
        if policies is not of:
            rules = {(policy.name, rule.id): rule for policy in policies.policies for rule in policy.rules}
            known = {key: rule for key, rule in rules.items() if self._hooks(rule)}
            self._rules = policies, known
        return known

    def _hooks(self, rule: Rule) -> list[Hook]:
        """The webhooks for a rule."""
        hooks: list[Hook] = []
        if self._hook.url and rule.severity and SEVERITIES.index(rule.severity) >= self._least:
            hooks.append(self._hook)
        if rule.alert and rule.alert.webhook not in [hook.url for hook in hooks]:
            hooks.append(Hook(rule.alert.webhook, rule.alert.format))
        return hooks

    def _tell(self, hook: Hook, record: Record, rule: Rule, decisions: list[RecordedDecision]) -> None:
        now_s = self._clock()
        key = hook.url, decisions[0].policy, decisions[0].rule, record.tenant
        told = self._told.get(key)
        if told is not None and now_s - told.at_s < QUIET_S:
            told.repeated += 1
            self._results.labels("repeated").inc()
            return
        times = self._times.setdefault(hook.url, deque(maxlen=LIMIT_A_MINUTE))
        if len(times) == LIMIT_A_MINUTE and now_s - times[0] < 60.0:
            self._results.labels("limited").inc()
            return
        times.append(now_s)
        self._told[key] = LastAlert(now_s)
        self._told.move_to_end(key)
        if len(self._told) > LIMIT_KEPT:
            self._told.popitem(last=False)
        alert = alert_of(record, rule, decisions, told.repeated if told else 0)
        body = orjson.dumps({"text": slack_text(alert)} if hook.format == "slack" else alert)
        is_sent = self._send(hook.url, body)
        self._results.labels("sent" if is_sent else "failed").inc()

    def _send(self, url: str, body: bytes) -> bool:
        """Posts a body, several times if it fails. The log shows the host, as the path of a URL may be secret."""
        why = ""
        for pause_s in (*PAUSES_S, None):
            try:
                status = self._post(url, body)
            except (OSError, HTTPException) as error:
                why = type(error).__name__
            else:
                if 200 <= status < 300:
                    return True
                why = f"status {status}"
                if status < 500 and status not in (408, 429):
                    break
            if pause_s is not None:
                self._pause(pause_s)
        _log.warning("alert not sent", extra={"host": urlsplit(url).netloc, "error": why})
        return False


def alert_of(record: Record, rule: Rule, decisions: list[RecordedDecision], repeated: int) -> dict[str, Any]:
    """Returns an alert as JSON. `decisions`: of one rule. `repeated`: how often the alert came since it was last sent."""
    first = decisions[0]
    return {
        "version": 1,
        "at": datetime.fromtimestamp(record.at, UTC).isoformat(timespec="milliseconds"),
        "severity": rule.severity,
        "policy": first.policy,
        "rule": first.rule,
        "action": first.action,
        "outcome": record.outcome,
        "directions": sorted({decision.direction for decision in decisions}),
        "checks": _few(decision.check for decision in decisions),
        "labels": _few(decision.label for decision in decisions),
        "findings": len(decisions),
        "tenant": record.tenant_name or record.tenant,
        "client": record.client,
        "exchange": record.id,
        "route": record.route,
        "repeated": repeated,
    }


def slack_text(alert: Mapping[str, Any]) -> str:
    """Returns an alert as the text of a message in Slack."""
    again = f" (and {alert['repeated']} more since the last message)" if alert["repeated"] else ""
    lines = [
        f"*{alert['severity'] or 'alert'}*: rule `{alert['rule']}` of the policy `{alert['policy']}` held{again}",
        f"action {alert['action']}, outcome {alert['outcome']}, {alert['findings']} findings "
        f"({', '.join(alert['labels'])}) in the {' and the '.join(alert['directions'])}",
        f"tenant {alert['tenant'] or 'unknown'}, exchange `{alert['exchange']}`, {alert['route']}, {alert['at']}",
    ]
    return "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _few(words: Iterator[str]) -> list[str]:
    return sorted(set(words))[:LIMIT_LISTED]
