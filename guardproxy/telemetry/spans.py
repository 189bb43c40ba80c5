"""The spans of a finished exchange.

In: the record of an exchange, its trace, the URL of its upstream. Out: `TraceSpan` values.

    POST /v1/chat/completions       server: the whole exchange
    ├── run_guardrail guardproxy    internal: the rules of the request, with a finding for each that held
    ├── chat gpt-5                  client: the request to the upstream, with an event for each discarded answer
    └── run_guardrail guardproxy    internal: the rules of the answer

The spans `run_guardrail` follow conventions that are only proposed (open-telemetry/semantic-conventions-genai#427), so a
setting turns them on. No text of a request or an answer is in a span.

Decision: docs/decisions/0048-traces-are-made-from-records.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedDecision
from guardproxy.findings import Direction
from guardproxy.policy.values import action_of
from guardproxy.telemetry.attributes import Attribute, gen_ai_attributes, operation_of
from guardproxy.telemetry.measures import MICRO
from guardproxy.telemetry.trace import TraceContext, part_id
from guardproxy.wire import FEEDBACK

Kind = Literal["server", "client", "internal"]
LIMIT_EVENTS = 128  # of a span; collectors drop more
_NS_PER_MS = 1_000_000
_FAULT = 500  # the lowest HTTP status of a fault of the server
_ERRORS = 400
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """Something that happened during a span. `at_ns`: Unix time in nanoseconds."""

    name: str
    at_ns: int
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class TraceSpan:
    """A span of a trace. Ids are hexadecimal digits; times are Unix times in nanoseconds. `error`: why it failed; empty if it
    did not."""

    name: str
    kind: Kind
    id: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Attribute]
    events: tuple[TraceEvent, ...] = ()
    error: str = ""


def spans_of(record: Record, trace: TraceContext, url: str, *, guardrails: bool) -> tuple[TraceSpan, ...]:
    """Returns the spans of an exchange, the outermost first. `url`: of the upstream; empty if none was asked. `guardrails`:
    whether the rules have spans."""
    rules = (_rules(record, trace, "request"), _rules(record, trace, "response")) if guardrails else ()
    is_asked = url and record.is_read and record.codec != FEEDBACK.name  # no model answers feedback
    call = (_call(record, trace, url),) if is_asked else ()
    return (_exchange(record, trace), *call, *(span for span in rules if span is not None))


def _exchange(record: Record, trace: TraceContext) -> TraceSpan:
    method, _, route = record.route.partition(" ")
    code = record.error.code if record.error else ""
    attributes = {
        "http.request.method": method if route else None,
        "http.route": route or None,
        "http.response.status_code": record.status or None,
        "error.type": code or None,
        "guardproxy.exchange.id": record.id,
        "guardproxy.outcome": record.outcome,
        "guardproxy.policies": record.policies,
        "guardproxy.tenant.name": record.tenant_name or None,
        "guardproxy.cache": record.cache.result if record.cache else None,
        "guardproxy.rules": record.rules or None,
        "guardproxy.rules.shadow": record.shadow or None,
    }
    name = record.route if route else "request"
    start_ns, end_ns = _ns(record, 0.0), _ns(record, _end_ms(record))
    error = code or str(record.status) if record.status >= _FAULT else ""
    return TraceSpan(name, "server", trace.exchange, trace.parent, start_ns, end_ns, _present(attributes), error=error)


def _call(record: Record, trace: TraceContext, url: str) -> TraceSpan:
    parts, status = urlsplit(url), record.response.status
    begin_ms, end_ms = record.timings.get("request_scanned", 0.0), _end_ms(record)
    error = ""
    if status is None:
        error = record.error.code if record.error else record.outcome
    elif status >= _ERRORS:
        error = str(status)
    first_ms = record.timings.get("upstream_answered")
    attributes = {
        **gen_ai_attributes(record),
        "server.address": parts.hostname,
        "server.port": parts.port or _PORTS.get(parts.scheme),
        "http.response.status_code": status,
        "error.type": error or None,
        "guardproxy.cost": None if record.cost is None else record.cost / MICRO,
        "gen_ai.response.time_to_first_chunk": (first_ms - begin_ms) / 1000
        if first_ms is not None and record.response.streamed
        else None,
    }
    events = tuple(
        TraceEvent(
            "guardproxy.attempt",
            _ns(record, attempt.ended),
            {
                "guardproxy.decision": attempt.decision,
                "guardproxy.rule": attempt.rule,
                "gen_ai.usage.output_tokens": attempt.output_tokens,
            },
        )
        for attempt in record.attempts[:LIMIT_EVENTS]
    )
    name = f"{operation_of(record)} {attributes['gen_ai.request.model'] or ''}".rstrip()
    start_ns, end_ns = _ns(record, begin_ms), _ns(record, end_ms)
    return TraceSpan(name, "client", trace.call, trace.exchange, start_ns, end_ns, _present(attributes), events, error)


def _rules(record: Record, trace: TraceContext, direction: Direction) -> TraceSpan | None:
    """The span of the rules for a direction; `None` if no check read it."""
    side = record.request if direction == "request" else record.response
    if not any(text.checks for text in side.texts):
        return None
    times, end_ms = record.timings, _end_ms(record)
    answered_ms = times.get("upstream_answered", end_ms)
    begin_ms, until_ms = (
        (0.0, times.get("request_scanned", end_ms)) if direction == "request" else (answered_ms, end_ms)
    )
    decisions = [decision for decision in record.decisions if decision.direction == direction]
    enforced = {_verdict(decision) for decision in decisions if decision.mode == "enforce"}
    verdict = next((word for word in ("deny", "modify", "warn") if word in enforced), "allow")
    attributes: dict[str, Attribute | None] = {
        "gen_ai.operation.name": "run_guardrail",
        "gen_ai.security.guardrail.name": "guardproxy",
        "gen_ai.security.target.type": "llm_input" if direction == "request" else "llm_output",
        "gen_ai.security.verdict.type": verdict,
        "gen_ai.security.content.modified": any(text.edits for text in side.texts),
        "gen_ai.security.policy.id": record.policies,
        "gen_ai.conversation.id": record.conversation or None,
    }
    events = tuple(_finding(record, decision, until_ms) for decision in decisions[:LIMIT_EVENTS])
    start_ns, end_ns, own = _ns(record, begin_ms), _ns(record, until_ms), part_id(trace, direction)
    name = "run_guardrail guardproxy"
    return TraceSpan(name, "internal", own, trace.exchange, start_ns, end_ns, _present(attributes), events)


def _verdict(decision: RecordedDecision) -> str:
    """The word for an action. An action of another package counts as a warning."""
    action = action_of(decision.action)
    return action.verdict if action else "warn"


def _finding(record: Record, decision: RecordedDecision, at_ms: float) -> TraceEvent:
    attributes = {
        "gen_ai.security.target.type": "llm_input" if decision.direction == "request" else "llm_output",
        "gen_ai.security.policy.id": record.policies,
        "gen_ai.security.policy.name": decision.policy,
        "gen_ai.security.policy.rule.id": decision.rule,
        "gen_ai.security.verdict.type": _verdict(decision),
        "gen_ai.security.action.type": decision.action if decision.mode == "enforce" else "none",
        "gen_ai.security.risk.finding": decision.label,
        "guardproxy.check": decision.check,
        "guardproxy.mode": decision.mode,
    }
    return TraceEvent("gen_ai.security.finding", _ns(record, at_ms), attributes)


def _ns(record: Record, at_ms: float) -> int:
    """A time of an exchange as Unix time. `at_ms`: milliseconds since the request came."""
    return round(record.at * 1_000_000) * 1000 + round(at_ms * _NS_PER_MS)  # a float is exact to a microsecond


def _end_ms(record: Record) -> float:
    return record.total_ms or 0.0


def _present(attributes: Mapping[str, Attribute | None]) -> dict[str, Attribute]:
    return {name: value for name, value in attributes.items() if value is not None}
