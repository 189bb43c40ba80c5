"""Shipping: every line arrives in order, a failure loses nothing, and the next run goes on where the last one stopped."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.audit.record.chain import begin, seal, verify
from guardproxy.audit.record.document import Intent
from guardproxy.audit.shipping.shipping import (
    RETRY_MOST_S,
    RETRY_S,
    Arrears,
    Batch,
    Sent,
    Shipper,
    position_of,
    sent_of,
    ship_on,
)
from guardproxy.errors import AuditError
from tests.kit.logs import write_log
from tests.kit.records import plain_record


class Memory:
    """A target that keeps what it accepts. `failures`: how many of the next batches it refuses."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.failures = 0

    def send(self, batch: Batch) -> None:
        if self.failures:
            self.failures -= 1
            raise AuditError("refused")
        self.batches.append(batch)

    def close(self) -> None: ...

    @property
    def data(self) -> bytes:
        return b"".join(batch.data for batch in self.batches)


def test_lines_arrive_once_and_in_order_and_verify(tmp_path: Path) -> None:
    folder, position, target = tmp_path / "audit", tmp_path / "position", Memory()
    write_log(folder, "a", plain_record(id="x0"), plain_record(id="x1"))
    assert Shipper(folder, target, position).ship() == 1
    assert Shipper(folder, target, position).ship() == 0, "a new process goes on where the last one stopped"
    write_log(folder, "a", plain_record(id="x2"))
    write_log(folder, "b", plain_record(id="y0"))
    assert Shipper(folder, target, position).ship() == 2
    assert [(batch.log, batch.first, batch.last) for batch in target.batches] == [
        ("log-of-a", -1, 1),
        ("log-of-a", 2, 2),
        ("log-of-b", -1, 0),
    ]
    assert target.data == (folder / "a.jsonl").read_bytes() + (folder / "b.jsonl").read_bytes()
    assert not verify((folder / "a.jsonl").read_bytes().splitlines(keepends=True)).problems


def test_what_is_refused_is_sent_again(tmp_path: Path) -> None:
    target = Memory()
    write_log(tmp_path, "a", *(plain_record(id=f"x{at}") for at in range(5)))
    shipper = Shipper(tmp_path, target, tmp_path / "p", batch_bytes=1)
    target.failures = 1
    with pytest.raises(AuditError, match="refused"):
        shipper.ship()
    assert shipper.ship() == 6, "batches are as small as asked for, but whole lines"
    assert target.data == (tmp_path / "a.jsonl").read_bytes()


def test_an_unfinished_line_waits(tmp_path: Path) -> None:
    target = Memory()
    write_log(tmp_path, "a", plain_record())
    log = tmp_path / "a.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-10])
    shipper = Shipper(tmp_path, target, tmp_path / "p")
    assert (shipper.ship(), shipper.ship()) == (1, 0)
    log.write_bytes(whole)
    assert shipper.ship() == 1
    assert target.data == whole


def test_a_line_that_is_finished_while_the_lines_before_it_are_sent_follows_whole(tmp_path: Path) -> None:
    write_log(tmp_path, "a", *(plain_record(id=f"x{at}") for at in range(3)))
    log = tmp_path / "a.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-10])

    class Slow(Memory):
        def send(self, batch: Batch) -> None:
            super().send(batch)
            log.write_bytes(whole)

    target = Slow()
    shipper = Shipper(tmp_path, target, tmp_path / "p")
    assert (shipper.ship(), shipper.ship()) == (2, 0)
    assert target.data == whole


def test_a_file_that_is_not_the_one_of_before_is_sent_from_its_start(tmp_path: Path) -> None:
    target = Memory()
    write_log(tmp_path, "a", plain_record(id="x0"), plain_record(id="x1"))
    shipper = Shipper(tmp_path, target, tmp_path / "p")
    shipper.ship()
    log = tmp_path / "a.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))  # a failed write was cut off
    assert shipper.ship() == 1
    header, head = begin({"log": "another"})
    log.write_bytes(header + seal({"id": "y"}, head)[0])
    assert shipper.ship() == 1
    assert target.batches[-1].log == "another"
    seq, _ = seal({"id": "z" * 500}, head)
    log.write_bytes(header + seq + seal({"id": "z"}, head)[0])
    assert shipper.ship() == 1, "no line ends at the position"
    longer = header + seal({"id": "q" * 500}, head)[0] + seal({"id": "z"}, head)[0]
    assert len(longer) == log.stat().st_size
    log.write_bytes(longer + seal({"id": "again"}, head)[0])
    assert shipper.ship() == 1, "the next line is not the next record"


def test_what_was_never_confirmed_is_not_sent(tmp_path: Path) -> None:
    target = Memory()
    seq, digest = write_log(tmp_path, "a", plain_record(id="kept"))
    write_log(tmp_path, "a", plain_record(id="lost"))
    follows = {"file": "a.jsonl", "log": "log-of-a", "seq": seq, "hash": digest, "why": "a sync failed"}
    header, head = begin({"log": "second", "follows": follows})
    (tmp_path / "a.1.jsonl").write_bytes(header + seal(plain_record(id="kept2").document(), head)[0])
    (tmp_path / "no-header.jsonl").write_bytes(b"junk\n")
    shipper = Shipper(tmp_path, target, tmp_path / "p", batch_bytes=1)
    assert (shipper.ship(), shipper.ship()) == (4, 0)
    assert b"lost" not in target.data
    with (tmp_path / "a.1.jsonl").open("ab") as file:
        file.write(b'junk\n{"seq":"x"}\n')
    assert shipper.ship() == 0


def test_a_broken_position_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("junk")
    with pytest.raises(AuditError, match="not a position"):
        Shipper(tmp_path, Memory(), tmp_path / "p")


def test_it_goes_on_until_it_is_told_to_end_and_waits_longer_after_each_failure(tmp_path: Path) -> None:
    target, waits, said = Memory(), list[float](), list[str]()
    write_log(tmp_path, "a", plain_record())
    target.failures = 8

    def wait(pause_s: float) -> bool:
        waits.append(pause_s)
        return len(waits) > 11

    ship_on(Shipper(tmp_path, target, tmp_path / "p"), wait, 1.5, said.append)
    assert waits == [0.0, *(min(RETRY_S * 2**at, RETRY_MOST_S) for at in range(8)), 1.5, 1.5, 1.5]
    assert said == ["refused"] * 8
    assert target.data == (tmp_path / "a.jsonl").read_bytes()


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 900)), min_size=1, max_size=6))
def test_no_order_of_writes_failures_and_restarts_loses_or_moves_a_line(steps: list[tuple[int, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, target = Path(name), Memory()
        for written, failures, batch_bytes in steps:
            write_log(folder, "a", *(plain_record(id=f"x{at}") for at in range(written)))
            target.failures = failures
            shipper = Shipper(folder, target, folder / "p", batch_bytes)
            for _ in range(failures):
                try:
                    shipper.ship()
                except AuditError:
                    continue
            target.failures = 0
            shipper.ship()
            assert target.data == (folder / "a.jsonl").read_bytes()


@pytest.mark.parametrize(("last", "least", "most"), [(0, 0, 9), (1, 1, 9), (50, 50, 150), (10_000, 401, 401)])
def test_what_comes_long_before_the_end_can_be_skipped(tmp_path: Path, last: int, least: int, most: int) -> None:
    names = ("v", "at", "id", "engine", "tenant", "route", "policies", "seals")
    record = plain_record(tenant_name="x" * 9000)
    intent = Intent(**{name: getattr(record, name) for name in names})
    write_log(tmp_path, "a", *[intent] * 200, *[record] * 200)
    (tmp_path / "empty.jsonl").write_bytes(b"")
    log, target = tmp_path / "a.jsonl", Memory()
    with log.open("ab") as file:
        file.write(b'{"torn')
    shipper = Shipper(tmp_path, target)
    (tmp_path / "unreadable.jsonl").mkdir()
    shipper.skip(last)
    (tmp_path / "unreadable.jsonl").rmdir()
    shipper.ship()
    whole = log.read_bytes().removesuffix(b'{"torn')
    lines = target.data.splitlines()
    assert whole.endswith(target.data)
    assert least <= len(lines) <= most


def test_without_a_position_each_shipper_begins_at_the_start(tmp_path: Path) -> None:
    target = Memory()
    write_log(tmp_path, "a", plain_record(id="x0"))
    shipper = Shipper(tmp_path, target)
    assert (shipper.ship(), shipper.ship()) == (1, 0)
    assert Shipper(tmp_path, target).ship() == 1
    assert sorted(path.name for path in tmp_path.iterdir() if "osition" in path.name) == []


# How far a target is behind.


def test_what_was_sent_is_counted_in_whole_lines(tmp_path: Path) -> None:
    folder, target = tmp_path, Memory()
    position = position_of(folder, "s3://bucket")
    write_log(folder, "a", plain_record(id="x0"), plain_record(id="x1"))
    size = (folder / "a.jsonl").stat().st_size
    assert sent_of(folder, position) == Sent(size, 0), "there is no position yet"
    Shipper(folder, target, position).ship()
    assert sent_of(folder, position) == Sent(size, size)
    with (folder / "a.jsonl").open("ab") as log:
        log.write(b'{"torn')
    (folder / "unreadable.jsonl").mkdir()
    assert sent_of(folder, position) == Sent(size, size), "a line that is being written does not count"
    position.write_bytes(b"{")
    assert sent_of(folder, position) == Sent(size, 0)
    assert position_of(folder, "s3://other") != position


def test_lines_that_are_not_sent_count_as_sent(tmp_path: Path) -> None:
    """A log that another one follows may end in lines that were never confirmed."""
    position = position_of(tmp_path, "-")
    write_log(tmp_path, "a", plain_record(id="x0"))
    shipper = Shipper(tmp_path, Memory(), position)
    shipper.ship()
    with (tmp_path / "a.jsonl").open("ab") as log:
        log.write(b'{"no": "record"}\n')
    assert shipper.ship() == 0
    sent = sent_of(tmp_path, position)
    assert sent.accepted == sent.written


def test_a_target_is_behind_if_it_lacks_what_was_there_long_ago() -> None:
    arrears = Arrears(30.0)
    arrears.note(Sent(100, 100), 0.0)
    assert (arrears.behind_s(1000.0), arrears.missing_bytes) == (0.0, 0)
    arrears.note(Sent(200, 100), 1000.0)
    assert arrears.behind_s(1029.0) == 0.0
    arrears.note(Sent(900, 150), 1029.0)
    assert arrears.behind_s(1031.0) == 31.0, "that it accepts something does not matter"
    assert arrears.missing_bytes == 750
    arrears.note(Sent(900, 250), 1032.0)
    assert arrears.behind_s(1033.0) == 0.0, "it has what was there at first"
    assert arrears.behind_s(1063.0) == 31.0
    arrears.note(Sent(300, 100), 1064.0)
    assert arrears.behind_s(1065.0) == 0.0, "a log was removed: it is measured anew"
    arrears.note(Sent(300, 300), 1066.0)
    assert arrears.behind_s(2000.0) == 0.0
