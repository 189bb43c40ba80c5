"""Erasing, rotating, unsealing: each leaves an entry, and the log verifies after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.record.document import Record
from guardproxy.audit.record.entries import AnyEntry, Erased, Judged, Rotated, Unsealed
from guardproxy.audit.record.versions import entries_of
from guardproxy.audit.sealing.key_access import KeyAccess
from guardproxy.audit.sealing.sealer import Sealer
from guardproxy.audit.sealing.store import KeyStore
from guardproxy.audit.writing.log_file import FileSink
from guardproxy.errors import AuditError, SealError
from tests.kit.sealing import MAIL, OPERATOR, OTHER, private, scored, store_at


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    made = store_at(tmp_path)
    yield made
    made.close()


@pytest.fixture
def log(tmp_path: Path, store: KeyStore) -> Path:
    """A folder with a log of three sealed exchanges, two of them Ann's."""
    sink = FileSink(tmp_path, "audit-0", {"log": "origin"}, sealing=Sealer(store_at(tmp_path)))
    for user in ("ann", "bob", "ann"):
        sink.append(private(user=user)).result(30)
    sink.close()
    return tmp_path


def access(log: Path, store: KeyStore, why: str = "ticket 7") -> KeyAccess:
    return KeyAccess(log, store, "test", "eve", why, lambda: 5.0)


def records(log: Path) -> list[Record]:
    return [entry for entry in entries_of(log / "audit-0.jsonl") if isinstance(entry, Record)]


def entries(log: Path) -> list[AnyEntry]:
    assert not any(report.report.problems for report in verify_folder(log))
    return list(entries_of(log / "operator.jsonl"))


def test_an_erased_subject_cannot_be_read_and_the_log_verifies(log: Path, store: KeyStore) -> None:
    before = (log / "audit-0.jsonl").read_bytes()
    first, second, third = records(log)
    assert access(log, store).erase(subject="ann") == 1
    (entry,) = entries(log)
    assert first.sealed is not None
    assert entry == Erased(v=3, at=5.0, engine="test", keys=(first.sealed.key,), by="eve", why="ticket 7")
    assert (log / "audit-0.jsonl").read_bytes() == before
    sealer = Sealer(store)
    for record in (first, third):
        with pytest.raises(SealError, match="the texts were erased"):
            sealer.open(record)
    assert MAIL in sealer.open(second).values.values()
    assert access(log, store).erase(subject="ann") == 0
    assert len(entries(log)) == 1


def test_rotation_changes_no_record(log: Path, store: KeyStore) -> None:
    before = (log / "audit-0.jsonl").read_bytes()
    assert access(log, store).rotate(OTHER) == 2
    assert entries(log) == [Rotated(v=3, at=5.0, engine="test", count=2, by="eve", why="ticket 7")]
    assert (log / "audit-0.jsonl").read_bytes() == before
    again = store_at(log, (OTHER,), create=False)
    assert all(MAIL in Sealer(again).open(record).values.values() for record in records(log))
    again.close()


def test_unsealing_is_recorded_before_the_texts_are_shown(log: Path, store: KeyStore) -> None:
    record, *_ = records(log)
    opened = access(log, store).unseal(record)
    assert MAIL in opened.values.values()
    assert record.sealed is not None
    key = record.sealed.key
    assert entries(log) == [Unsealed(v=3, at=5.0, id=record.id, engine="test", key=key, by="eve", why="ticket 7")]
    held = FileSink(log, "operator", {"log": "other"})
    with pytest.raises(AuditError, match="another process"):
        access(log, store).unseal(record)
    held.close()


def test_a_command_that_could_not_write_its_entry_is_completed_by_the_next(log: Path, store: KeyStore) -> None:
    held = FileSink(log, "operator", {"log": "other"})
    with pytest.raises(AuditError, match="another process"):
        access(log, store, "ticket 8").erase(subject="ann")
    held.close()
    assert store.is_unsettled
    access(log, store, "ticket 9").settle()
    access(log, store, "ticket 9").settle()
    (entry,) = entries(log)
    assert isinstance(entry, Erased)
    assert entry.why == "ticket 8"


def test_a_rotation_with_the_wrong_key_changes_nothing(log: Path, store: KeyStore) -> None:
    wrong = store_at(log, (), create=False)
    with pytest.raises(SealError, match="the operator's key is needed"):
        access(log, wrong).rotate(OTHER)
    wrong.close()
    assert not store.is_unsettled
    again = store_at(log, (OPERATOR,), create=False)
    again.close()


def test_reasons_of_judges_are_read_by_their_policies(tmp_path: Path, store: KeyStore) -> None:
    sink = FileSink(tmp_path, "audit-0", {"log": "origin"}, sealing=Sealer(store_at(tmp_path)))
    record = private(user="ann")
    sink.append(record).result(30)
    sink.append(record.with_reason(scored(), "it says hello")).result(30)
    sink.close()
    found = [entry for entry in entries_of(tmp_path / "audit-0.jsonl") if isinstance(entry, Judged)]
    assert access(tmp_path, store).reasons([*found, scored()]) == {"graded": "it says hello"}
