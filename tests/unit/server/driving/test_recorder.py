"""The recorder closes what an earlier process left open, once, and what its log could not keep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from guardproxy.audit.proof.checkpointer import Signing
from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.proof.note import PrivateKey
from guardproxy.audit.proof.verification import verify_checkpoints
from guardproxy.audit.record.chain import ChainHead
from guardproxy.audit.record.document import Record
from guardproxy.audit.writing.log_file import Entry, Receiver, Rotation
from guardproxy.config import Config
from guardproxy.errors import AuditError, ConfigError
from guardproxy.server.driving.recorder import Recorder, key_of, signing_of
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

    fault = ""
    failing_s = 0.0
    warnings = ()
    recoveries = 0

    def __init__(self) -> None:
        self.healthy = True
        self.kept: list[Any] = []

    def put(self, entries: Sequence[Entry], receive: Receiver) -> None:
        for entry in entries:
            if self.healthy:
                self.kept.append(entry.record)
            entry.settle(ChainHead(0, "") if self.healthy else AuditError("full"))
        receive(entries)

    def close(self) -> None:
        self.healthy = False


async def test_what_the_log_could_not_keep_is_closed_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Failing()
    monkeypatch.setattr("guardproxy.server.driving.recorder.FileSink", lambda *_, **__: sink)
    recorder = Recorder(tmp_path, 0, "e")
    assert (recorder.fault, recorder.failing_s, recorder.warnings, recorder.recoveries) == ("", 0.0, (), 0)
    await recorder.keep(plain_intent("x0"))
    await recorder.keep(plain_intent("x1"))
    sink.healthy = False
    assert recorder.fault == "the log cannot be written"
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


KEY = PrivateKey.new("guard.example")


async def test_a_recorder_with_a_key_signs_its_log(tmp_path: Path) -> None:
    copies = tmp_path / "none" / "copies"
    signing = Signing(KEY, every_s=1e6, copies=(str(copies),))
    recorder = Recorder(tmp_path / "audit", 0, "e", signing=signing, rotation=Rotation(limit_bytes=1))
    await recorder.keep(ended("x0", "answered"))
    await recorder.keep(ended("x1", "answered"))
    assert recorder.checkpoint_at > 0
    (warning,) = recorder.warnings
    assert warning.startswith("audit checkpoints: the checkpoint cannot be copied to")
    recorder.close()
    report = verify_checkpoints(tmp_path / "audit", [KEY.public])
    assert report is not None
    logs = verify_folder(tmp_path / "audit", None, report)
    assert [log.report.problems for log in logs] == [(), ()]
    assert report.signed_by == "guard.example"
    plain = Recorder(tmp_path / "plain", 0, "e")
    assert (plain.checkpoint_at, plain.warnings) == (0.0, ())
    plain.close()


def test_a_recorder_that_cannot_sign_ends_its_log(tmp_path: Path) -> None:
    Recorder(tmp_path, 0, "e", signing=Signing(KEY, every_s=1e6)).close()
    with pytest.raises(AuditError, match="not signed with the key"):
        Recorder(tmp_path, 0, "e", signing=Signing(PrivateKey.new("other"), every_s=1e6))
    Recorder(tmp_path, 0, "e", signing=Signing(KEY, every_s=1e6)).close()


def test_settings_say_how_the_log_is_signed(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    assert signing_of(Config.of(audit=audit).audit) is None
    former = str(PrivateKey.new("before").public)
    config = Config.of(audit=audit, audit_key=KEY.text, audit_copy=("stdout",), audit_former_key=(former,))
    signing = signing_of(config.audit)
    assert signing is not None
    assert (signing.signer, signing.every_s, signing.copies) == (KEY, 10.0, ("stdout",))
    assert [str(key) for key in signing.former] == [former]
    for wrong in ({"audit_key": str(tmp_path / "none")}, {"audit_former_key": ("junk",)}):
        with pytest.raises(ConfigError, match=f"`{next(iter(wrong))}` "):
            signing_of(Config.of(audit=audit, **wrong).audit)


def test_workers_that_start_together_share_the_secret_behind_placeholders(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as workers:
        keys = set(workers.map(lambda _: key_of(tmp_path, ""), range(8)))
    (key,) = keys
    assert (len(key), key_of(tmp_path, ""), key_of(tmp_path, "own")) == (64, key, b"own")
    assert (tmp_path / "placeholder.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["placeholder.key"]


def test_a_secret_without_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "placeholder.key").touch()
    with pytest.raises(ConfigError, match="is empty"):
        key_of(tmp_path, "")
