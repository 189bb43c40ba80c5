"""Records as a log holds them. Every record that comes through here is sealed, read back and validated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema_rs import Draft202012Validator

from guardproxy.audit.record.chain import ChainHead, seal
from guardproxy.audit.record.document import (
    ENTRY_VERSION,
    Intent,
    LogEntry,
    Record,
    RecordedAnswer,
    RecordedAttempt,
    RecordedDecision,
    RecordedRequest,
    RecordedText,
)
from guardproxy.audit.record.document_schema import log_schema
from guardproxy.audit.record.versions import entry_of, read_entry
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.replay.replays import replay as replay_entry
from guardproxy.replay.results import ReplayResult

_BEFORE = ChainHead(0, "0" * 64)
_CHAIN = ("seq", "prev", "hash")


@cache
def validator(name: str = "") -> Draft202012Validator:
    """The validator of lines of the log, or of the entries with the type `name`. It takes microseconds, so that each record
    of each test can be validated."""
    schema = log_schema()
    return Draft202012Validator({**schema, "$ref": f"#/$defs/{name}", "oneOf": [{}]} if name else schema)


def _read_back(record: Record, line: bytes, document: Any) -> Record:
    validator(type(record).__name__).validate(document)
    again = read_entry(line)
    assert isinstance(again, Record)
    assert again.to_json() == record.to_json(), "a record is written the same way again"
    return again


def through_log(record: Record) -> Record:
    """The record as it is read from a log."""
    line, _ = seal(record.document(), _BEFORE)
    return _read_back(record, line, json.loads(line))


def members(entry: LogEntry) -> dict[str, Any]:
    """The members of an entry as they stand in a log, without those of the chain."""
    line, _ = seal(entry.document(), _BEFORE)
    document = json.loads(line)
    if isinstance(entry, Record):
        _read_back(entry, line, document)
    return {name: value for name, value in document.items() if name not in _CHAIN}


def record_of(members: Mapping[str, Any]) -> Record:
    """The record with these members, which may leave out what differs between two runs."""
    record = entry_of({"timings": {}, "scans": 0, "bytes": {}, **members})
    assert isinstance(record, Record)
    return record


def replay(record: Record | Mapping[str, Any], policies: PolicySet) -> ReplayResult:
    """Replays a record, or the record with these members."""
    return replay_entry(record if isinstance(record, Record) else record_of(record), policies)


def plain_text(path: str = "messages[0].content", text: str | None = "hello", **changes: Any) -> RecordedText:
    """A text without findings."""
    chars = len(text or "")
    plain: dict[str, Any] = {
        "kind": "user",
        "chars": chars,
        "checks": (),
        "findings": (),
        "edits": (),
        "released": chars,
    }
    return RecordedText(**{**plain, "path": path, "text": text, **changes})


def plain_answer(*texts: RecordedText, **changes: Any) -> RecordedAnswer:
    """An answer with these texts."""
    plain: dict[str, Any] = {"status": 200, "streamed": False, "model": "m", "finish": ("stop",), "runs": ()}
    side = {"withheld": (), "texts": texts, "uninspected": (), "uninspected_kinds": (), "unmapped": ()}
    return RecordedAnswer(**{**plain, **side, **changes})


def plain_attempt(response: RecordedAnswer | None = None) -> RecordedAttempt:
    """An attempt that a rule discarded; the last one where it has no answer."""
    times: dict[str, Any] = {"began": 0.0, "ended": 1.0}
    counts: dict[str, Any] = {"tokens": 5, "output_tokens": 2, "counted": True}
    return RecordedAttempt(decision="retry", rule="r", errors=(), cut=False, response=response, **counts, **times)


def plain_decision(**changes: Any) -> RecordedDecision:
    """A rule `r` that redacted a name in the request."""
    place: dict[str, Any] = {"direction": "request", "path": "m", "check": "pii", "label": "NAME", "start": 1, "end": 4}
    return RecordedDecision(**{**place, "policy": "p", "rule": "r", "action": "redact", "mode": "enforce", **changes})


def plain_record(response: RecordedAnswer | None = None, *texts: RecordedText, **changes: Any) -> Record:
    """The record of an exchange that went through untouched. `texts`: of the request."""
    request = RecordedRequest(body=None, texts=texts, uninspected=(), uninspected_kinds=(), unmapped=())
    plain: dict[str, Any] = {
        **{"v": ENTRY_VERSION, "at": 1_750_000_000.25, "id": "x0", "engine": "test", "tenant": "t1"},
        **{"route": "POST /v1/messages", "policies": "sha256:p", "codec": "anthropic_messages", "model": "small"},
        **{"outcome": "answered", "status": 200, "stream": False, "checks": {}, "rules": (), "shadow": ()},
        **{"decisions": (), "usage": {}, "sizes": {}, "seals": {}, "scans": 0, "timings": {"finished": 20.04}},
    }
    return Record(**{**plain, "request": request, "response": response or plain_answer(), **changes})


def plain_intent(name: str = "x0", **changes: Any) -> Intent:
    """The intent of the exchange `name`."""
    plain: dict[str, Any] = {
        **{"v": ENTRY_VERSION, "id": name, "at": 1.0, "engine": "test", "tenant": "t1"},
        **{"route": "POST /v1/messages", "policies": "sha256:p", "seals": {}},
    }
    return Intent(**{**plain, **changes})
