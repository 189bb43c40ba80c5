"""Observers see every finished exchange, and can neither delay nor fail one."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from guardproxy.audit.record.chain import verify
from guardproxy.audit.record.document import UPSTREAM_5XX, Record, RecordedError, RecordedShortage
from guardproxy.audit.record.tasks import RecordedRefusal, RecordedRoute
from guardproxy.server.driving.recorder import Recorder
from guardproxy.server.observing.metrics import Metrics
from guardproxy.server.observing.observers import (
    LIMIT_MODELS,
    FanOut,
    LogObserver,
    MetricsObserver,
    ObserverQueue,
    Observers,
)
from tests.kit.play import Play, chat_frames, policy_set
from tests.kit.records import plain_answer, plain_decision, plain_intent, plain_record

WAIT_S = 30.0


class Wanting:
    def wants(self, record: Record) -> bool:
        return record.id != "unwanted"


class Slow(Wanting):
    """An observer that waits until it is let go."""

    name = "slow"

    def __init__(self) -> None:
        self.begun = Event()
        self.go = Event()
        self.ids: list[str] = []

    def finished(self, record: Record) -> None:
        self.begun.set()
        assert self.go.wait(WAIT_S)
        self.ids.append(record.id)


class Raising(Wanting):
    name = "raising"

    def finished(self, record: Record) -> None:
        raise RuntimeError("no")


class Seeing(Wanting):
    name = "seeing"

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.third = Event()

    def finished(self, record: Record) -> None:
        self.ids.append(record.id)
        if len(self.ids) == 3:
            self.third.set()


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"guardproxy_{name}", labels) or 0.0


def test_neither_a_slow_observer_nor_one_that_fails_delays_another() -> None:
    metrics, slow, seeing = Metrics(), Slow(), Seeing()
    observers = Observers((slow, Raising(), seeing), metrics)
    for name in ("x0", "unwanted", "x1", "x2"):
        observers.finished(plain_record(id=name))
    assert seeing.third.wait(WAIT_S), "though the slow one has not seen the first"
    assert slow.ids == []
    slow.go.set()
    observers.close()
    assert slow.ids == seeing.ids == ["x0", "x1", "x2"], "what waits is handed over at the end"
    assert value(metrics, "observer_failed_total", observer="raising") == 3
    assert value(metrics, "observer_failed_total", observer="slow") == 0


@pytest.mark.parametrize(("limit", "limit_bytes"), [(2, 1 << 30), (1000, 200)])
def test_what_there_is_no_room_for_is_dropped_and_counted(limit: int, limit_bytes: int) -> None:
    metrics, slow = Metrics(), Slow()
    queue = ObserverQueue("slow", slow.finished, metrics, limit, limit_bytes)
    queue.put(plain_record(id="x0"), 100)
    assert slow.begun.wait(WAIT_S)
    for number in range(1, 6):
        queue.put(plain_record(id=f"x{number}"), 100)
    assert value(metrics, "observer_dropped_total", observer="slow") == 3
    slow.go.set()
    queue.close()
    assert slow.ids == ["x0", "x1", "x2"]
    queue.put(plain_record(id="late"), 100)
    assert value(metrics, "observer_dropped_total", observer="slow") == 4, "nothing is taken after the end"


def test_an_item_larger_than_the_queue_is_taken_alone() -> None:
    seeing = Seeing()
    queue = ObserverQueue("seeing", seeing.finished, Metrics(), limit_bytes=10)
    queue.put(plain_record(id="large"), 1000)
    queue.close()
    assert seeing.ids == ["large"]


POLICY = """
policy: p
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.io"]}
rules:
  - {id: mail, when: mail, action: redact}
  - {id: quiet, on: response, when: mail, action: flag, mode: shadow}
"""


def exchanged() -> Record:
    play = Play(policy_set(POLICY)).ask({"model": "m", "messages": [{"role": "user", "content": "jo@ab.io, al@ab.io"}]})
    return play.stream(chat_frames([{"content": "to ed@ab.io"}])).finish.record


def test_metrics_count_what_a_real_record_says() -> None:
    metrics = Metrics()
    MetricsObserver(metrics).finished(exchanged())
    route = "POST /v1/chat/completions"
    assert value(metrics, "exchanges_total", route=route, outcome="answered") == 1
    assert value(metrics, "rule_hits_total", policy="p", rule="mail", action="redact", mode="enforce") == 3
    assert value(metrics, "rule_hits_total", policy="p", rule="quiet", action="flag", mode="shadow") == 1
    assert value(metrics, "redacted_spans_total", direction="request") == 2
    assert value(metrics, "redacted_spans_total", direction="response") == 1


def test_metrics_count_tokens_and_times_by_model_and_tenant() -> None:
    metrics = Metrics()
    observer = MetricsObserver(metrics)
    usage, timings = {"input_tokens": 5, "output_tokens": 11}, {"first_byte": 250.0, "finished": 1250.0}
    answer = plain_answer(streamed=True)
    for number in range(LIMIT_MODELS + 2):
        observer.finished(
            plain_record(answer, model=f"m{number}", usage=usage, timings=timings, tenant_name="acme", cost=250_000)
        )
    observer.finished(plain_record(plain_answer(status=404), model="invented", usage=usage))
    observer.finished(plain_record(model="m0"))
    observer.finished(plain_record(model="m0", usage=usage, tenant_name="acme", cost=2_500_000))
    assert value(metrics, "tokens_total", direction="input", model="m0", tenant="acme") == 10
    assert value(metrics, "tokens_total", direction="output", model="other", tenant="acme") == 22
    assert value(metrics, "cost_total", model="m0", tenant="acme") == 0.25 + 2.5
    assert value(metrics, "time_to_first_token_seconds_sum", model="m0") == 0.25
    assert value(metrics, "time_per_output_token_seconds_sum", model="m0") == 0.1
    assert value(metrics, "decisions_total", decision="pass") == LIMIT_MODELS + 5


def test_the_log_line_is_news_only_where_a_rule_held_or_something_failed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "guardproxy.server.observing.observers")
    observer, metrics = LogObserver(), MetricsObserver(Metrics())
    for record in (
        plain_record(id="plain"),
        plain_record(id="failed", outcome="upstream_timeout", status=504),
        plain_record(
            id="why", outcome="upstream_timeout", error=RecordedError(code="upstream_timeout", cause="tls_timeout")
        ),
        exchanged(),
    ):
        assert metrics.wants(record)
        if observer.wants(record):
            observer.finished(record)
    assert [vars(line)["id"] for line in caplog.records] == ["failed", "why", "id"]
    assert [vars(line).get("cause") for line in caplog.records] == [None, "tls_timeout", None]
    last = vars(caplog.records[-1])
    assert (last["rules"], last["outcome"], last["status"], last["ms"]) == (["mail"], "answered", 200, 0.0)


class Copying:
    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.is_closed = False

    def take(self, line: bytes) -> None:
        self.lines.append(line)

    def close(self) -> None:
        self.is_closed = True


class Away:
    def take(self, line: bytes) -> None:
        raise ConnectionError

    def close(self) -> None:
        raise ConnectionError


async def test_a_sink_gets_the_lines_of_the_file_after_they_are_durable(tmp_path: Path) -> None:
    metrics, copying = Metrics(), Copying()
    fan_out = FanOut({"copying": copying, "away": Away()}, metrics)
    for start in range(2):
        recorder = Recorder(tmp_path, 0, "e", fan_out.durable)
        await recorder.keep(plain_intent(f"x{start}"))
        await recorder.keep(plain_record(id=f"x{start}"))
        recorder.close()
    fan_out.close()
    file = (tmp_path / "audit-0.jsonl").read_bytes().splitlines(keepends=True)
    header, *entries = file
    assert copying.lines == [header, *entries[:2], header, *entries[2:]], "the header again at each start"
    assert not verify([*copying.lines[:3], *copying.lines[4:]]).problems
    assert copying.is_closed
    assert value(metrics, "observer_failed_total", observer="sink away") == len(copying.lines)


def test_routes_and_what_they_save_are_counted() -> None:
    metrics = Metrics()
    routes = (
        RecordedRoute(policy="p", mode="enforce", upstream="cheap", simple=True, saved=0.25),
        RecordedRoute(policy="q", mode="shadow"),
    )
    for _ in range(2):
        MetricsObserver(metrics).finished(plain_record(routing=routes))
    of = metrics.registry.get_sample_value
    assert of("guardproxy_routes_total", {"policy": "p", "upstream": "cheap", "mode": "enforce"}) == 2
    assert of("guardproxy_routes_total", {"policy": "q", "upstream": "default", "mode": "shadow"}) == 2
    assert of("guardproxy_saved_money_total", {"policy": "p", "mode": "enforce"}) == 0.5
    assert of("guardproxy_saved_money_total", {"policy": "q", "mode": "shadow"}) is None


def test_the_log_line_says_who_asked_for_what_and_why_it_was_refused(caplog: pytest.LogCaptureFixture) -> None:
    limit = RecordedRefusal(duty="limits", name="few", code="budget_exceeded", mode="enforce")
    shadow = RecordedRefusal(duty="limits", name="many", code="budget_exceeded", mode="shadow")
    refused = plain_record(
        outcome="refused",
        error=RecordedError(code="budget_exceeded", field="model"),
        refusals=(limit, shadow),
        tenant_name="team",
        client="web",
    )
    failed = plain_record(plain_answer(status=503), outcome=UPSTREAM_5XX, model="4111 1111 1111 1111")
    blocked = plain_record(outcome="blocked_request", rules=("r",), decisions=(plain_decision(),))
    late = plain_record(outcome="no_capacity", no_capacity=RecordedShortage(check="pii", reason="late"))
    with caplog.at_level("INFO"):
        for record in (refused, failed, blocked, late):
            assert LogObserver().wants(record)
            LogObserver().finished(record)
        assert not LogObserver().wants(plain_record())
    common = {"tenant": "t1", "model": "small"}
    assert [_further(line) for line in caplog.records] == [
        {
            **common,
            "tenant": "team",
            "client": "web",
            "error": "budget_exceeded",
            "field": "model",
            "limits": ["limits few"],
        },
        {"tenant": "t1", "upstream_status": 503},
        {**common, "policies": ["p"]},
        {**common, "no_capacity": "pii: late"},
    ]


def _further(line: Any) -> dict[str, Any]:
    names = ("tenant", "client", "model", "upstream_status", "error", "field", "limits", "no_capacity", "policies")
    return {name: getattr(line, name) for name in names if hasattr(line, name)}
