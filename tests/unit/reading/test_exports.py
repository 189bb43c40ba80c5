"""Exports: what their readers make of them, and that they hold no text that they promise not to hold."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from py_ocsf_models.events.findings.detection_finding import DetectionFinding

from guardproxy.audit.record.document import Gap, RecordedDecision, RecordedError, RecordedFinding
from guardproxy.audit.record.entries import Erased, Judged, Reviewed, Rotated, Unsealed
from guardproxy.audit.record.versions import entry_of
from guardproxy.audit.shipping.intents import closing
from guardproxy.reading.exports import Form, exported_lines
from guardproxy.reading.period import Period
from tests.kit.logs import write_log
from tests.kit.records import plain_answer, plain_decision, plain_intent, plain_record, plain_text

SECRET = "the quick brown fox"
FOUND = RecordedFinding(check="pii", label="NAME", start=0, end=3, score=1.0)


def held(rule: str, action: str, mode: str = "enforce") -> RecordedDecision:
    return plain_decision(rule=rule, action=action, mode=mode)


RECORD = plain_record(
    plain_answer(plain_text("a", SECRET)),
    plain_text("m", SECRET, findings=(FOUND, FOUND)),
    **{"decisions": (held("r", "redact"), held("r", "redact"), held("b", "block"), held("s", "block", "shadow"))},
    **{"rules": ("r", "b"), "shadow": ("s",), "usage": {"input_tokens": 5, "output_tokens": 7}},
    **{"error": RecordedError(code="late"), "outcome": "blocked_request", "status": 400},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    ends = (
        closing(plain_intent("x2"), 1_750_000_002.0, "e", "killed"),
        Gap(v=3, at=1_750_000_004.0, since=3.5, why="full"),
    )
    write_log(
        folder, "a", plain_intent("x0", at=1_750_000_000.0), RECORD, plain_record(id="x1", tenant="", codec=""), *ends
    )
    return folder


def exported(folder: Path, form: Form, period: Period | None = None) -> list[dict[str, Any]]:
    unread: Counter[str] = Counter()
    lines = [json.loads(line) for line in exported_lines(folder, form, period or Period(), unread)]
    assert not unread
    return lines


def test_lines_of_json_are_the_entries_with_their_places(folder: Path) -> None:
    lines = exported(folder, "jsonl")
    assert [(line.pop("log"), line.pop("seq")) for line in lines] == [("a.jsonl", seq) for seq in range(5)]
    assert all(len(line.pop("hash")) == 64 for line in lines)
    assert entry_of(lines[1]) == RECORD
    assert len(exported(folder, "jsonl", Period(1_750_000_001.0))) == 2


def test_a_score_is_an_evaluation(tmp_path: Path) -> None:
    about: dict[str, Any] = {"v": 3, "at": 1.0, "id": "x1", "engine": "e", "policy": "p", "upstream": "u", "model": "m"}
    write_log(tmp_path, "a", Judged(**about, rubric="r", scale=(1, 5), ms=1.0, score=4))
    (request,) = exported(tmp_path, "otel")
    (entry,) = request["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    values = {attribute["key"]: attribute["value"] for attribute in entry["attributes"]}
    assert (entry["eventName"], values["gen_ai.evaluation.score.value"]) == ("guardproxy.judged", {"intValue": "4"})
    assert values["guardproxy.exchange.id"] == {"stringValue": "x1"}
    assert not exported(tmp_path, "ocsf")


def test_a_streamed_exchange_says_so(tmp_path: Path) -> None:
    write_log(tmp_path, "a", plain_record(stream=True))
    (line,) = exported(tmp_path, "otel")
    assert attributes(line)["gen_ai.request.stream"] is True


def test_ocsf_events_have_what_their_classes_require(folder: Path) -> None:
    events = exported(folder, "ocsf")
    findings = [event for event in events if event["class_uid"] == 2004]
    for finding in findings:
        DetectionFinding.model_validate(finding)
    assert [(event["finding_info"]["title"], event["action_id"], event["count"]) for event in findings] == [
        ("r: redact", 4, 2),
        ("b: block", 2, 1),
        ("s: block", 3, 1),
    ]
    activities = [event for event in events if event["class_uid"] == 6003]
    required = {"activity_id", "actor", "api", "category_uid", "class_uid", "metadata", "severity_id", "src_endpoint"}
    assert all({*required, "time", "type_uid"} <= event.keys() for event in activities)
    assert [(event["metadata"]["uid"], event["action_id"], event["status_id"]) for event in activities] == [
        ("x0", 2, 2),
        ("x1", 1, 1),
        ("x2", 0, 0),
    ]
    assert all(event["type_uid"] == event["class_uid"] * 100 + event["activity_id"] for event in events)
    assert len({event["metadata"]["uid"] for event in events}) == len(events)


def attributes(line: dict[str, Any]) -> dict[str, Any]:
    (record,) = line["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    return {item["key"]: next(iter(item["value"].values())) for item in record["attributes"]}


def test_logs_of_opentelemetry_are_read_by_its_own_schema(folder: Path) -> None:
    lines = exported(folder, "otel")
    records = []
    for line in lines:
        request = Parse(json.dumps(line), ExportLogsServiceRequest())
        (record,) = request.resource_logs[0].scope_logs[0].log_records
        records.append(record)
    assert [record.event_name.partition(".")[2] for record in records] == [
        *("intent", "exchange", "exchange", "closing", "gap")
    ]
    assert records[1].time_unix_nano == 1_750_000_000_250_000_000
    assert [record.severity_text for record in records] == ["INFO", "WARN", "INFO", "WARN", "WARN"]
    found = attributes(lines[1])
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == ("5", "7")
    assert (found["guardproxy.findings.NAME"], found["error.type"]) == ("2", "late")
    assert found["guardproxy.actions"] == {"values": [{"stringValue": "block"}, {"stringValue": "redact"}]}
    assert attributes(lines[4])["guardproxy.why"] == "full"


@pytest.mark.parametrize("form", ["ocsf", "otel"])
def test_no_text_leaves_with_events(folder: Path, form: Form) -> None:
    assert SECRET not in json.dumps(exported(folder, form))
    assert SECRET in json.dumps(exported(folder, "jsonl"))


def test_lines_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    write_log(tmp_path, "a", {"id": "no version"}, plain_record())
    unread: Counter[str] = Counter()
    assert len(list(exported_lines(tmp_path, "jsonl", Period(), unread))) == 1
    assert unread == {"the entry has no version": 1}


def test_what_operators_did_with_sealed_texts_is_an_event_of_opentelemetry(tmp_path: Path) -> None:
    about: dict[str, Any] = {"v": 3, "at": 1.0, "engine": "e", "by": "eve", "why": "ticket"}
    write_log(
        tmp_path,
        "operator",
        Erased(keys=("k",), **about),
        Rotated(count=1, **about),
        Unsealed(id="x1", key="k", **about),
        Reviewed(v=3, at=1.0, engine="e", by="eve", id="x1", policy="p", rule="r", verdict="right"),
    )
    events = [line["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0] for line in exported(tmp_path, "otel")]
    assert [event["eventName"] for event in events] == [
        "guardproxy.erased",
        "guardproxy.rotated",
        "guardproxy.unsealed",
        "guardproxy.reviewed",
    ]
    assert [event["severityText"] for event in events] == ["INFO", "INFO", "WARN", "INFO"]
    attributes = {attribute["key"]: attribute["value"] for attribute in events[2]["attributes"]}
    assert attributes["guardproxy.exchange.id"] == {"stringValue": "x1"}
    assert attributes["guardproxy.by"] == {"stringValue": "eve"}
    assert attributes["guardproxy.why"] == {"stringValue": "ticket"}
    assert attributes["guardproxy.unsealed.data_key"] == {"stringValue": "k"}
    verdict = {attribute["key"]: attribute["value"] for attribute in events[3]["attributes"]}
    assert verdict["guardproxy.reviewed.verdict"] == {"stringValue": "right"}
    assert "guardproxy.why" not in verdict
