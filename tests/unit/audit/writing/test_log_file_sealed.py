"""A log whose records are sealed: what it does without keys, and when the keys cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from guardproxy.audit.record.document import Gap, Record
from guardproxy.audit.record.private import PrivateEntry, PrivateRecord, WrittenRecord
from guardproxy.audit.record.versions import entries_of
from guardproxy.audit.sealing.sealer import Sealer
from guardproxy.audit.writing.log_file import FileSink
from guardproxy.errors import AuditError, SealError
from tests.kit.disk import problems, wait_healthy
from tests.kit.records import plain_record
from tests.kit.sealing import MAIL, OTHER, private, store_at


class Failing:
    """Keys that cannot be used while `is_broken`, and fail for records with `bad` as their id."""

    def __init__(self, sealer: Sealer) -> None:
        self.sealer = sealer
        self.is_broken = False
        self.checks = 0

    def seal(self, records: Sequence[PrivateEntry]) -> Sequence[WrittenRecord | AuditError]:
        if self.is_broken:
            raise SealError("the key store is away")
        pairs = zip(records, self.sealer.seal(records), strict=True)
        return [AuditError("not JSON") if record.id == "bad" else written for record, written in pairs]

    def check(self) -> None:
        self.checks += self.is_broken
        if self.checks > 1:
            self.is_broken = False
        if self.is_broken:
            raise SealError("the key store is away")

    def close(self) -> None:
        self.sealer.close()


def bad() -> PrivateRecord:
    record = private()
    members = {name: getattr(record, name) for name in record.__struct_fields__}
    return PrivateRecord(**{**members, "id": "bad"})


def test_texts_are_sealed_before_they_are_written(tmp_path: Path) -> None:
    sink = FileSink(tmp_path, "a", {"log": "x"}, sealing=Sealer(store_at(tmp_path)))
    sink.append(private(user="ann")).result(30)
    sink.append(plain_record()).result(30)
    sink.close()
    assert MAIL.encode() not in sink.path.read_bytes()
    sealed, plain = entries_of(sink.path)
    assert isinstance(sealed, Record)
    assert sealed.sealed is not None
    assert plain == plain_record()
    assert problems(tmp_path) == []


def test_without_keys_a_record_to_seal_is_refused(tmp_path: Path) -> None:
    sink = FileSink(tmp_path, "a", {"log": "x"})
    refused, kept = sink.append(private()), sink.append(plain_record())
    with pytest.raises(AuditError, match="the texts of this record must be sealed, and no key is given"):
        refused.result(30)
    kept.result(30)
    assert sink.healthy
    sink.close()
    assert list(entries_of(sink.path)) == [plain_record()]


def test_while_keys_cannot_be_used_no_record_is_kept(tmp_path: Path) -> None:
    """The log recovers by itself when they can be used again."""
    sealing = Failing(Sealer(store_at(tmp_path)))
    sealing.is_broken = True
    sink = FileSink(tmp_path, "a", {"log": "x"}, sealing=sealing, retry_s=0.001)
    with pytest.raises(AuditError, match="the log cannot be written: the key store is away"):
        sink.append(private()).result(30)
    wait_healthy(sink)
    with pytest.raises(AuditError, match="not JSON"):
        sink.append(bad()).result(30)
    sink.append(private()).result(30)
    sink.close()
    gap, record = entries_of(sink.path)
    assert isinstance(gap, Gap)
    assert gap.why == "the key store is away"
    assert isinstance(record, Record)
    assert record.sealed is not None
    assert problems(tmp_path) == []


def test_a_changed_key_is_noticed_before_a_record_needs_it(tmp_path: Path) -> None:
    sealer = Sealer(store_at(tmp_path))
    sink = FileSink(tmp_path, "a", {"log": "x"}, sealing=sealer, watch_s=0.001)
    custody = store_at(tmp_path)
    custody.rotate(OTHER, lambda count: b"")
    custody.close()
    while sink.healthy:
        sink._thread.join(0.0005)
    assert "is not the key of this key store" in sink.fault
    kept = sink.append(plain_record())  # of an exchange that had begun before
    kept.result(30)
    assert (sink.healthy, sink.recoveries) == (False, 0)
    with pytest.raises(AuditError, match=r"the log cannot be written: .* is not the key of this key store"):
        sink.append(private()).result(30)
    sink.close()
    assert list(entries_of(sink.path)) == [plain_record()]


def test_keys_that_can_be_used_again_need_no_recovery(tmp_path: Path) -> None:
    sealing = Failing(Sealer(store_at(tmp_path)))
    sealing.is_broken, sealing.checks = True, -5
    sink = FileSink(tmp_path, "a", {"log": "x"}, sealing=sealing, watch_s=0.001)
    while sink.healthy:
        sink._thread.join(0.0005)
    assert sink.fault == "no record can be sealed: the key store is away"
    assert sink.failing_s > 0
    wait_healthy(sink)
    sink.append(private()).result(30)
    sink.close()
    assert (sink.fault, sink.failing_s, sink.recoveries) == ("", 0.0, 0)
    assert [type(entry) for entry in entries_of(sink.path)] == [Record]
