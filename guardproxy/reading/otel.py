"""Entries of the log as log records of OpenTelemetry, in OTLP/JSON.

In: an entry and its place in the log. Out: a JSON object of an export request, which a collector reads from a file or takes by
HTTP. No text of a request or an answer is in it.

Names of attributes follow OpenTelemetry's semantic conventions where they have a name (`gen_ai.`, `http.`), and begin
with `guardproxy.` otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from guardproxy.audit import Closing, Gap, Intent, Judged, OperatorEntry, Record
from guardproxy.audit.shipping import LoggedEntry
from guardproxy.telemetry import Attribute, gen_ai_attributes

_INFO, _WARN = (9, "INFO"), (13, "WARN")


def otel_request(logged: LoggedEntry, version: str) -> dict[str, Any]:
    """Returns an `ExportLogsServiceRequest` with one log record. `version`: the version of guardproxy."""
    scope = {"name": "guardproxy.audit", "version": version}
    resource = {"attributes": _attributes({"service.name": "guardproxy", "service.version": version})}
    return {
        "resourceLogs": [
            {"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": [_log_record(logged)]}]},
        ]
    }


def _log_record(logged: LoggedEntry) -> dict[str, Any]:
    entry = logged.entry
    is_serious = (
        isinstance(entry, Closing | Gap)
        or (isinstance(entry, Record) and bool(entry.rules))
        or (isinstance(entry, OperatorEntry) and entry.shows_texts)
    )
    number, text = _WARN if is_serious else _INFO
    place: dict[str, Attribute] = {"log": logged.file, "seq": logged.seq, "hash": logged.hash}
    event = entry.__struct_config__.tag
    members: dict[str, Attribute | None] = {
        **(_shared(entry) if isinstance(entry, Record | Intent | Closing) else {}),
        **({"guardproxy.exchange.id": entry.id} if isinstance(entry, Judged) else {}),
        **(_score(entry) if isinstance(entry, Judged) else {}),
        **(_exchange(entry) if isinstance(entry, Record) else {}),
        **({"guardproxy.why": entry.why} if isinstance(entry, Closing | Gap) else {}),
        **(_deed(entry, str(event)) if isinstance(entry, OperatorEntry) else {}),
        **{f"guardproxy.audit.{name}": value for name, value in place.items()},
    }
    return {
        "timeUnixNano": str(round(entry.at * 1000) * 1_000_000),
        "severityNumber": number,
        "severityText": text,
        "eventName": f"guardproxy.{event}",
        "body": {"stringValue": f"{event} {entry.outcome}" if isinstance(entry, Record) else event},
        "attributes": _attributes(members),
    }


def _score(entry: Judged) -> dict[str, Attribute | None]:
    return {
        "gen_ai.evaluation.name": entry.policy,
        "gen_ai.evaluation.score.value": entry.score,
        "gen_ai.request.model": entry.model,
        "error.type": entry.failure,
    }


def _deed(entry: OperatorEntry, event: str) -> dict[str, Attribute | None]:
    """What a person did."""
    return {
        "guardproxy.exchange.id": getattr(entry, "id", None),
        "guardproxy.why": entry.reason or None,
        "guardproxy.by": entry.by,
        **{f"guardproxy.{event}.{name.replace(' ', '_')}": value for name, value in entry.details.items()},
    }


def _shared(entry: Record | Intent | Closing) -> dict[str, Attribute | None]:
    return {
        "guardproxy.exchange.id": entry.id,
        "guardproxy.route": entry.route,
        "guardproxy.tenant": entry.tenant,
        "guardproxy.policies": entry.policies,
        "guardproxy.engine": entry.engine,
    }


def _exchange(record: Record) -> dict[str, Attribute | None]:
    labels = Counter(
        finding.label for side in (record.request, *record.answers) for text in side.texts for finding in text.findings
    )
    return {
        **gen_ai_attributes(record),
        "http.response.status_code": record.status or None,
        "error.type": record.error.code if record.error else None,
        "guardproxy.tenant.name": record.tenant_name or None,
        "guardproxy.conversation": record.conversation or None,
        "guardproxy.format": record.codec or None,
        "guardproxy.outcome": record.outcome,
        "guardproxy.rules": record.rules,
        "guardproxy.rules.shadow": record.shadow,
        "guardproxy.actions": sorted({found.action for found in record.decisions if found.mode == "enforce"}),
        "guardproxy.uninspected": sorted({*record.request.uninspected, *record.response.uninspected}),
        "guardproxy.duration_ms": record.total_ms,
        **{f"guardproxy.findings.{label}": count for label, count in sorted(labels.items())},
    }


def _attributes(members: Mapping[str, Attribute | None]) -> list[dict[str, Any]]:
    return list(_each(members))


def _each(members: Mapping[str, Attribute | None]) -> Iterator[dict[str, Any]]:
    for name, value in members.items():
        if value is not None:
            yield {"key": name, "value": _value(value)}


def _value(value: Attribute) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
    return {"arrayValue": {"values": [{"stringValue": item} for item in value]}}
