"""Records of exchanges as events of the Open Cybersecurity Schema Framework (OCSF), version 1.5.

In: a record and its place in the log. Out: an event of class API Activity for the exchange, and an event of class Detection
Finding for each rule that held. No text of a request or an answer is in them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from guardproxy.audit import Closing, Record
from guardproxy.audit.record import RecordedDecision
from guardproxy.audit.shipping import LoggedEntry
from guardproxy.policy.values import Effect, action_of

_VERSION = "1.5.0"
# Class and category of OCSF; an activity of 99 is one that the class does not name.
_ACTIVITY: dict[str, Any] = {
    "category_uid": 6,
    "category_name": "Application Activity",
    "class_uid": 6003,
    "class_name": "API Activity",
    "activity_id": 99,
    "activity_name": "Inference",
    "type_uid": 600399,
}
_FINDING: dict[str, Any] = {
    "category_uid": 2,
    "category_name": "Findings",
    "class_uid": 2004,
    "class_name": "Detection Finding",
    "activity_id": 1,
    "activity_name": "Create",
    "type_uid": 200401,
}
_INFORMATIONAL, _LOW, _MEDIUM = 1, 2, 3
_ALLOWED, _DENIED, _OBSERVED, _MODIFIED = 1, 2, 3, 4
_BLOCKED, _CORRECTED, _DETECTED = 2, 11, 15
# What an enforced action means: action, disposition, severity.
_WATCHED = (_OBSERVED, _DETECTED, _INFORMATIONAL)
_EFFECTS: dict[Effect, tuple[int, int, int]] = {
    "none": _WATCHED,
    "corrected": (_MODIFIED, _CORRECTED, _LOW),
    "blocked": (_DENIED, _BLOCKED, _MEDIUM),
}


def ocsf_events(logged: LoggedEntry, version: str) -> Iterator[dict[str, Any]]:
    """Yields the events of an entry: none for an intent or a gap. `version`: the version of guardproxy."""
    entry = logged.entry
    if not isinstance(entry, Record | Closing):
        return
    yield _activity(logged, entry, version)
    if isinstance(entry, Record):
        by_rule: defaultdict[tuple[str, str, str, str], list[RecordedDecision]] = defaultdict(list)
        for decision in entry.decisions:
            by_rule[decision.policy, decision.rule, decision.action, decision.mode].append(decision)
        for number, decisions in enumerate(by_rule.values()):
            yield _finding(logged, entry, number, decisions, version)


def _shared(logged: LoggedEntry, entry: Record | Closing, uid: str, version: str) -> dict[str, Any]:
    return {
        "time": round(entry.at * 1000),
        "metadata": {
            "version": _VERSION,
            "uid": uid,
            "correlation_uid": entry.id,
            "log_name": logged.file,
            "sequence": logged.seq,
            "tenant_uid": entry.tenant,
            "profiles": ["security_control"],
            "product": {"name": "guardproxy", "vendor_name": "guardproxy", "version": version},
        },
    }


def _activity(logged: LoggedEntry, entry: Record | Closing, version: str) -> dict[str, Any]:
    is_known = isinstance(entry, Record)
    name = (entry.tenant_name if isinstance(entry, Record) else None) or entry.tenant or "no credential"
    is_blocked = entry.outcome in ("blocked_request", "blocked_response", "refused")
    event = {
        **_ACTIVITY,
        **_shared(logged, entry, entry.id, version),
        "severity_id": _INFORMATIONAL if is_known else _LOW,
        "action_id": _DENIED if is_blocked else _ALLOWED if is_known else 0,
        "status_id": 0 if not is_known else 1 if entry.outcome in ("answered", "passed") else 2,
        "status_code": entry.outcome,
        "actor": {"user": {"uid": entry.tenant or "none", "name": name}},
        "api": {"operation": entry.route},
        "src_endpoint": {"name": "client"},  # a record holds no address
        "unmapped": {"policies": entry.policies, "hash": logged.hash},
    }
    if isinstance(entry, Record):
        event["http_response"] = {"code": entry.status}
        event["duration"] = round(entry.total_ms or 0)
        event["unmapped"] |= {
            "model": entry.model,
            "answered_by": entry.response.model,
            "uninspected": sorted({*entry.request.uninspected, *entry.response.uninspected}),
        }
    return event


def _effect(decision: RecordedDecision) -> Effect:
    """What the action of a rule did. A rule that only watches, and an action of another package, count as observing."""
    action = action_of(decision.action) if decision.mode == "enforce" else None
    return action.effect if action else "none"


def _finding(
    logged: LoggedEntry, record: Record, number: int, decisions: Sequence[RecordedDecision], version: str
) -> dict[str, Any]:
    first = decisions[0]
    action, disposition, severity = _EFFECTS[_effect(first)]
    labels = Counter(decision.label for decision in decisions)
    uid = f"{record.id}-{number}"
    return {
        **_FINDING,
        **_shared(logged, record, uid, version),
        "severity_id": severity,
        "status_id": 1,
        "action_id": action,
        "disposition_id": disposition,
        "count": len(decisions),
        "finding_info": {
            "uid": uid,
            "title": f"{first.rule}: {first.action}",
            "types": sorted(labels),
            "created_time": round(record.at * 1000),
            "analytic": {"name": f"{first.policy}: {first.rule}", "type_id": 1, "uid": record.policies},
        },
        "unmapped": {
            "mode": first.mode,
            "direction": sorted({decision.direction for decision in decisions}),
            "checks": sorted({decision.check for decision in decisions}),
            "labels": dict(sorted(labels.items())),
            "hash": logged.hash,
        },
    }
