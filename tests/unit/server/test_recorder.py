"""The recorder closes what an earlier process left open, once, and what its log could not keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit.chain import ChainHead
from guardproxy.audit.document import Record
from guardproxy.audit.sinks.file import Receiver
from guardproxy.errors import AuditError
from guardproxy.server.recorder import Recorder
from tests.kit.records import plain_intent, plain_record


def ended(name: str, outcome: str) -> Record:
    return plain_record(id=name, outcome=outcome)


def records(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    return [record for record in found if "seq" in record]


async def test_exchanges_without_an_end_are_closed_once(tmp_path: Path) -> None:
    earlier = [Recorder(tmp_path, worker, "e") for worker in (0, 1)]
    for worker, before in enumerate(earlier):
        await before.keep(plain_intent(f"x{worker}"))
        await before.keep(plain_intent(f"y{worker}"))
        await before.keep(ended(f"y{worker}", "answered"))
    for before in earlier:
        before.close()
    first, second = Recorder(tmp_path, 0, "e"), Recorder(tmp_path, 1, "e")
    assert (first.unknown, second.unknown) == (2, 0)  # worker 1 was not alive yet
    first.close()
    second.close()
    closed = [record for record in records(tmp_path) if record.get("outcome") == "unknown"]
    assert sorted(record["id"] for record in closed) == ["x0", "x1"]


async def test_exchanges_of_a_live_worker_go_on(tmp_path: Path) -> None:
    live = Recorder(tmp_path, 1, "e")
    await live.keep(plain_intent("x0"))
    other = Recorder(tmp_path, 0, "e")
    assert other.unknown == 0
    await live.keep(ended("x0", "answered"))
    live.close()
    other.close()


class Failing:
    """A log that fails when told to."""

    trouble = ""
    failing_s = 0.0
    remarks = ()
    recoveries = 0

    def __init__(self) -> None:
        self.healthy = True
        self.kept: list[Any] = []

    def put(self, record: Any, receive: Receiver) -> None:
        if self.healthy:
            self.kept.append(record)
            receive(ChainHead(0, ""))
        else:
            receive(AuditError("full"))

    def close(self) -> None:
        self.healthy = False


async def test_what_the_log_could_not_keep_is_closed_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Failing()
    monkeypatch.setattr("guardproxy.server.recorder.FileSink", lambda *_, **__: sink)
    recorder = Recorder(tmp_path, 0, "e")
    assert (recorder.trouble, recorder.failing_s, recorder.remarks, recorder.recoveries) == ("", 0.0, (), 0)
    await recorder.keep(plain_intent("x0"))
    await recorder.keep(plain_intent("x1"))
    sink.healthy = False
    assert recorder.trouble == "the log cannot be written"
    with pytest.raises(AuditError):
        await recorder.keep(ended("x0", "answered"))
    recorder.take(ended("x1", "client_closed"))
    with pytest.raises(AuditError):
        await recorder.keep(plain_intent("never"))
    with pytest.raises(AuditError):
        await recorder.keep(ended("never", "audit_unavailable"))
    with pytest.raises(AuditError):
        await recorder.keep(ended("x2", "refused"))
    sink.healthy = True
    await recorder.keep(ended("x3", "answered"))
    outcomes = {entry.id: getattr(entry, "outcome", None) for entry in sink.kept}
    assert outcomes == {"x0": "unknown", "x1": "unknown", "x3": "answered"}
    await recorder.keep(ended("x4", "answered"))
    assert len(sink.kept) == 6
