"""The files of a log: which is the last, and what a crash between two of them leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardproxy.audit.record.chain import open_line, seal
from guardproxy.audit.storage.disk import Disk
from guardproxy.audit.writing.segment import Segment, numbers, open_last, open_next, path_of
from guardproxy.errors import AuditError

HEADER = {"log": "first"}


def extend(segment: Segment, record: dict[str, str]) -> None:
    line, head = seal(record, segment.head)
    segment.append([line], head)


def second(folder: Path) -> Segment:
    first = open_last(Disk(), folder, "a", HEADER)
    extend(first, {"id": "x0"})
    after = open_next(Disk(), first, "a", {"log": "second"}, "why")
    first.close()
    return after


def test_the_files_of_a_log_are_told_by_their_numbers(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.2.jsonl", "a.10.head", "a.x.jsonl", "a.01.jsonl", "ab.jsonl", "a.3.torn", "a-1.jsonl"):
        (tmp_path / name).touch()
    assert numbers(tmp_path, "a") == [0, 2, 10]
    assert path_of(tmp_path, "a", 0).name == "a.jsonl"
    assert path_of(tmp_path, "a", 3).name == "a.3.jsonl"


def test_the_last_file_goes_on(tmp_path: Path) -> None:
    after = second(tmp_path)
    extend(after, {"id": "x1"})
    after.close()
    again = open_last(Disk(), tmp_path, "a", {"log": "third"})
    assert (again.path.name, again.origin, again.head.seq) == ("a.1.jsonl", "second", 0)
    assert again.header["follows"]["log"] == "first"
    again.close()


def test_a_crash_at_every_byte_of_the_header_of_a_next_file(tmp_path: Path) -> None:
    after = second(tmp_path)
    after.close()
    whole = after.path.read_bytes()
    for end in range(len(whole)):
        after.path.write_bytes(whole[:end])
        again = open_last(Disk(), tmp_path, "a", HEADER)
        assert (again.path.name, again.head.seq) == ("a.jsonl", 0)
        assert not after.path.exists()
        again.close()


def test_a_next_file_takes_no_name_that_was_used(tmp_path: Path) -> None:
    first = open_last(Disk(), tmp_path, "a", HEADER)
    (tmp_path / "a.4.head").touch()
    after = open_next(Disk(), first, "a", {"log": "second"}, "why")
    assert after.path.name == "a.5.jsonl"
    for segment in (first, after):
        segment.close()


def test_a_file_that_is_cut_back_ends_with_its_last_durable_record(tmp_path: Path) -> None:
    segment = open_last(Disk(), tmp_path, "a", HEADER)
    extend(segment, {"id": "x0"})
    whole = segment.path.read_bytes()
    with segment.path.open("ab") as file:
        file.write(b"{half")
    assert not segment.is_in_place()
    segment.cut()
    assert segment.path.read_bytes() == whole
    assert segment.is_in_place()
    segment.path.write_bytes(whole.replace(b"x0", b"y0"))
    with pytest.raises(AuditError, match="another program changed the log"):
        segment.cut()
    assert segment.lost
    segment.path.write_bytes(whole[:-9])
    with pytest.raises(AuditError, match="another program truncated the log"):
        segment.cut()
    assert segment.path.read_bytes() == whole[:-9]
    segment.close()


def test_a_file_whose_header_is_gone_is_not_gone_on_with(tmp_path: Path) -> None:
    segment = open_last(Disk(), tmp_path, "a", HEADER)
    line, _ = seal({"id": "x0"}, segment.head)
    segment.close()
    segment.path.write_bytes(line)
    with pytest.raises(AuditError):
        open_last(Disk(), tmp_path, "a", HEADER)
    assert open_line(line)
