"""Alerts about rules that held: who is told, how often, and that no message holds a text of an exchange."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from msgspec.structs import replace

from guardproxy.audit.record.document import Record
from guardproxy.config import Config
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import PolicyErrors
from guardproxy.server.observing.alerts import LIMIT_A_MINUTE, LIMIT_KEPT, AlertObserver, AlertSender
from guardproxy.server.observing.confirming import LIMIT_TRIES
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.observing.observers import Observers
from guardproxy.server.policy_requirements import check_policies
from tests.kit.play import CHAT, Play, chat_frames, policy_set

SECRET = "jo@ab.io"
HOOK = "https://hooks.example/services/T0"
POLICY = """
policy: acme
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.io"]}
  bad: {use: pattern, label: BAD, words: [forbidden]}
rules:
  - {id: mail, when: mail, action: redact, severity: medium}
  - {id: bad, when: bad, action: block, severity: critical}
  - {id: seen, when: bad, action: flag, mode: shadow, severity: critical}
  - {id: plain, when: mail, action: flag}
"""
TOLD = POLICY.replace("severity: medium", "severity: medium, alert: {webhook: 'http://127.0.0.1:9/x', format: slack}")


@dataclass
class Receiver:
    """Takes what is posted. `statuses`: the answers; an exception is raised."""

    statuses: list[int | Exception] = field(default_factory=list)
    sent: list[tuple[str, Any]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    now_s: float = 1000.0
    metrics: Metrics = field(default_factory=Metrics)

    def __call__(self, url: str, body: bytes) -> int:
        self.sent.append((url, json.loads(body)))
        answer = self.statuses.pop(0) if self.statuses else 200
        if isinstance(answer, Exception):
            raise answer
        return answer

    def observer(self, policies: PolicySet, **settings: Any) -> AlertObserver:
        config = Config.of(upstream=("http://127.0.0.1:9",), **settings)
        return AlertObserver(
            config.observability, lambda: policies, self.metrics, self, lambda: self.now_s, self.pauses.append
        )

    def count(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("guardproxy_alerts_total", {"result": result}) or 0.0


def record_of(policies: PolicySet, text: str = f"{SECRET} is forbidden", answer: str = "fine") -> Record:
    play = Play(policies, CHAT).ask({"model": f"m-{SECRET}", "messages": [{"role": "user", "content": text}]})
    if play.upstream is not None:
        play.stream(chat_frames([{"content": answer}]))
    return play.finish.record


def test_a_rule_of_the_least_severity_is_told() -> None:
    policies, receiver = policy_set(POLICY), Receiver()
    observer, record = receiver.observer(policies, alert_webhook=HOOK), record_of(policies)
    assert observer.wants(record)
    observer.finished(record)
    ((url, alert),) = receiver.sent
    assert url == HOOK
    assert alert == {
        **{
            "version": 1,
            "at": "1970-01-01T00:00:00.000+00:00",
            "severity": "critical",
            "policy": "acme",
            "rule": "bad",
        },
        **{"action": "block", "outcome": "blocked_request", "directions": ["request"], "checks": ["bad"]},
        **{
            "labels": ["BAD"],
            "findings": 1,
            "tenant": "tenant",
            "client": "",
            "exchange": "id",
            "route": CHAT,
            "repeated": 0,
        },
    }
    assert not observer.wants(record_of(policies, f"only {SECRET}")), "a redaction is below `high`"
    assert not receiver.observer(policies).wants(record), "no webhook is set"
    assert not receiver.observer(policy_set(POLICY.replace("id: bad,", "id: other,")), alert_webhook=HOOK).wants(record)
    low = receiver.observer(policies, alert_webhook=HOOK, alert_min_severity="medium")
    low.finished(record)
    assert [alert["rule"] for _, alert in receiver.sent[1:]] == ["mail", "bad"]


@pytest.mark.parametrize("form", ["json", "slack"])
def test_no_message_holds_a_text_of_an_exchange(form: str) -> None:
    policies, receiver = policy_set(POLICY), Receiver()
    observer = receiver.observer(policies, alert_webhook=HOOK, alert_min_severity="low", alert_format=form)
    observer.finished(record_of(policies))
    observer.finished(record_of(policies, "hello", f"to {SECRET}"))
    assert receiver.sent
    for _, message in receiver.sent:
        assert SECRET not in json.dumps(message)
        assert "forbidden" not in json.dumps(message)


def test_a_rule_tells_whom_it_names() -> None:
    policies, receiver = policy_set(TOLD), Receiver()
    observer = receiver.observer(policies)
    observer.finished(record_of(policies, f"<&> {SECRET}"))
    ((url, message),) = receiver.sent
    assert url == "http://127.0.0.1:9/x"
    assert message["text"].splitlines()[0] == "*medium*: rule `mail` of the policy `acme` held"
    assert message["text"].splitlines()[2].startswith("tenant tenant, exchange `id`, POST /v1/chat/completions, 1970")
    both = receiver.observer(policies, alert_webhook="http://127.0.0.1:9/x", alert_min_severity="low")
    both.finished(record_of(policies, SECRET))
    assert len(receiver.sent) == 2, "a webhook is told once"


def test_the_same_alert_is_told_once_a_minute() -> None:
    policies, receiver = policy_set(POLICY), Receiver()
    observer, record = receiver.observer(policies, alert_webhook=HOOK, alert_format="slack"), record_of(policies)
    for _ in range(3):
        observer.finished(record)
    receiver.now_s += 61
    observer.finished(record)
    assert ["2 more since" in message["text"] for _, message in receiver.sent] == [False, True]
    assert (receiver.count("sent"), receiver.count("repeated")) == (2, 2)


def test_a_webhook_gets_a_limited_number_of_messages() -> None:
    policies, receiver = policy_set(POLICY), Receiver()
    observer, record = receiver.observer(policies, alert_webhook=HOOK), record_of(policies)
    for number in range(LIMIT_A_MINUTE + 5):
        observer.finished(_of_tenant(record, str(number)))
    assert (len(receiver.sent), receiver.count("limited")) == (LIMIT_A_MINUTE, 5)
    for number in range(LIMIT_KEPT + 1):
        receiver.now_s += 3
        observer.finished(_of_tenant(record, f"t{number}"))
    assert len(observer._told) == LIMIT_KEPT


def _of_tenant(record: Record, tenant: str) -> Record:
    return replace(record, tenant=tenant)


@pytest.mark.parametrize(
    ("statuses", "tries", "result"),
    [
        ([503, OSError(), 204], 3, "sent"),
        ([503] * 3, LIMIT_TRIES, "failed"),
        ([429, 200], 2, "sent"),
        ([404], 1, "failed"),
        ([302], 1, "failed"),
    ],
)
def test_a_message_that_fails_is_sent_again(
    statuses: list[int | Exception], tries: int, result: str, caplog: pytest.LogCaptureFixture
) -> None:
    policies, receiver = policy_set(POLICY), Receiver(statuses)
    with caplog.at_level(logging.WARNING):
        receiver.observer(policies, alert_webhook=HOOK).finished(record_of(policies))
    assert (len(receiver.sent), receiver.count(result), len(receiver.pauses)) == (tries, 1, tries - 1)
    assert ("alert not sent" in caplog.text) == (result == "failed")
    assert "T0" not in caplog.text, "the path of a webhook is secret"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Content-Type"], body))  # type: ignore[attr-defined]
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Location", "/x")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def webhook() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.got = []  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_message_reaches_a_webhook_off_the_path() -> None:
    policies, metrics = policy_set(POLICY), Metrics()
    with webhook() as server:
        url = f"http://127.0.0.1:{server.server_port}/x?k=v"
        config = Config.of(upstream=("http://127.0.0.1:9",), alert_webhook=url)
        observers = Observers([AlertObserver(config.observability, lambda: policies, metrics)], metrics)
        observers.finished(record_of(policies))
        observers.close()
        ((path, media, body),) = server.got  # type: ignore[attr-defined]
        assert (path, media, json.loads(body)["rule"]) == ("/x?k=v", "application/json", "bad")
        assert AlertSender()(url.replace("/x?k=v", "/moved"), b"{}") == 302
        assert len(server.got) == 2, "no redirect is followed"  # type: ignore[attr-defined]
    with pytest.raises(OSError, match=r".*"):
        AlertSender()("https://127.0.0.1:1", b"{}")


def test_the_operator_allows_the_hosts_of_policies() -> None:
    policies = policy_set(TOLD)
    with pytest.raises(PolicyErrors, match=r"does not allow: give --alert-host http://127\.0\.0\.1:9"):
        check_policies(policies, Config.of(upstream=("http://127.0.0.1:9",)))
    check_policies(policies, Config.of(upstream=("http://127.0.0.1:9",), alert_host=("http://127.0.0.1:9",)))
