"""Intents without an end: found in every log of no live process, closed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from guardproxy.audit.record.document import Intent, LogEntry
from guardproxy.audit.shipping.intents import abandoned_intents, closing, open_intents_of
from guardproxy.audit.writing.log_file import FileSink
from tests.kit.records import plain_intent


def intent(name: str, at: float = 1.0) -> Intent:
    return plain_intent(name, at=at, route="POST /v1/x", seals={"request": "s"})


def final(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "outcome": "answered", **more}


def log(folder: Path, name: str, *records: LogEntry | dict[str, Any]) -> FileSink:
    sink = FileSink(folder, name, {"log": f"log-of-{name}"})
    for record in records:
        sink.append(record).result(30)
    return sink


def open_ids(folder: Path, own: Path | None = None) -> list[str]:
    with abandoned_intents(folder, own or folder / "own.jsonl") as found:
        return [intent.id for intent in found]


def test_only_intents_without_a_record_are_open(tmp_path: Path) -> None:
    log(tmp_path, "a", intent("x0", 2.0), intent("x1"), final("x0"), intent("x2", 0.5), final("other")).close()
    assert open_ids(tmp_path) == ["x2", "x1"]


def test_a_record_in_another_log_closes_an_intent(tmp_path: Path) -> None:
    log(tmp_path, "a", final("x1")).close()
    log(tmp_path, "b", intent("x0"), intent("x1"), intent("x2")).close()
    log(tmp_path, "c", closing(intent("x2"), 5.0, "e", "why")).close()
    assert open_ids(tmp_path) == ["x0"]


def test_logs_of_live_processes_are_left_alone_and_those_they_follow(tmp_path: Path) -> None:
    live = log(tmp_path, "live", intent("x0"))
    (tmp_path / "live.jsonl").rename(tmp_path / "renamed.jsonl")
    live.append(intent("x1")).result(30)
    log(tmp_path, "dead", intent("x2")).close()
    assert live.path.name == "live.1.jsonl"
    assert open_ids(tmp_path) == ["x2"]
    assert open_ids(tmp_path, live.path) == ["x0", "x1", "x2"]  # the own log is no other's
    live.close()
    assert open_ids(tmp_path) == ["x0", "x1", "x2"]


def test_what_a_client_writes_closes_and_opens_nothing(tmp_path: Path) -> None:
    body = {"id": "x0", "outcome": "answered", "kind": "intent", "list": [{"id": "x0", "outcome": "answered"}]}
    said = '"id":"x0","outcome":"answered" "kind":"intent"'
    log(tmp_path, "a", intent("x0"), final("x1", request={"body": body, "text": said})).close()
    assert open_ids(tmp_path) == ["x0"]


def test_records_that_one_reader_does_not_take_close_as_well(tmp_path: Path) -> None:
    log(tmp_path, "a", intent("x0"), final("x0", text="\ud800"), intent("x1"), final("x1", number=1 << 70)).close()
    assert open_ids(tmp_path) == []


def test_lines_that_are_no_records_are_passed_over(tmp_path: Path) -> None:
    log(tmp_path, "a", intent("x0")).close()
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b'{"kind":"intent","id":"x1"}\n["kind"]\n{"id":"x0","outcome":1}\n{"kind":"intent" \xff\n{"half')
    assert open_ids(tmp_path) == ["x0"]
    assert open_intents_of([tmp_path / "none.jsonl"], []) == []


def test_an_entry_that_neither_opens_nor_closes_is_passed_over(tmp_path: Path) -> None:
    """It has the id of an intent, and no outcome."""
    log(tmp_path, "a", intent("x0"), {"id": "x0", "kind": "note"}).close()
    assert open_ids(tmp_path) == ["x0"]


def test_an_intent_that_this_version_cannot_read_is_left_out(tmp_path: Path) -> None:
    log(tmp_path, "a", intent("x0"), {**intent("x1").document(), "v": 999}).close()
    assert open_ids(tmp_path) == ["x0"]


def test_a_log_that_cannot_be_read_counts_as_held(tmp_path: Path) -> None:
    log(tmp_path, "a", intent("x0")).close()
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    assert open_ids(tmp_path) == ["x0"]


def test_a_closing_says_what_is_known_and_no_more() -> None:
    assert closing(intent("x0"), 7.5, "engine", "why").document() == {
        **{"kind": "closing", "v": 3, "id": "x0", "at": 7.5, "began": 1.0, "engine": "engine", "tenant": "t1"},
        **{
            "route": "POST /v1/x",
            "policies": "sha256:p",
            "outcome": "unknown",
            "why": "why",
            "seals": {"request": "s"},
        },
    }
