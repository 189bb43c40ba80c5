"""The entries of a folder that were confirmed, and no others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from guardproxy.audit.record.chain import ChainHead, seal
from guardproxy.audit.shipping.acknowledged import UNREADABLE, confirmed_entries, last_confirmed
from guardproxy.audit.storage.disk import Disk
from guardproxy.audit.writing.segment import open_last, open_next
from tests.kit.logs import write_log
from tests.kit.records import plain_record


def ids(folder: Path, unread: Counter[str] | None = None) -> list[str]:
    read = confirmed_entries(folder, Counter() if unread is None else unread)
    return [getattr(logged.entry, "id", "") for logged in read]


def test_entries_come_by_log_and_in_order(tmp_path: Path) -> None:
    write_log(tmp_path, "b", plain_record(id="b0"))
    seq, digest = write_log(tmp_path, "a", plain_record(id="a0"), plain_record(id="a1"))
    assert ids(tmp_path) == ["a0", "a1", "b0"]
    logged = list(confirmed_entries(tmp_path, Counter()))[1]
    assert (logged.file, logged.seq, logged.hash) == ("a.jsonl", seq, digest)


def test_lines_after_the_last_confirmed_record_are_no_records(tmp_path: Path) -> None:
    disk = Disk()
    segment = open_last(disk, tmp_path, "a", {"log": "first"})
    line, head = seal(plain_record(id="kept").document(), segment.head)
    segment.append([line], head)
    lost, _ = seal(plain_record(id="again").document(), head)
    with segment.path.open("ab") as file:
        file.write(lost)  # written, and its sync failed
    following = open_next(disk, segment, "a", {"log": "second"}, "a sync failed")
    line, head = seal(plain_record(id="again").document(), ChainHead(-1, following.head.hash))
    following.append([line], head)
    segment.close()
    following.close()
    assert ids(tmp_path) == ["again", "kept"]
    assert last_confirmed([segment.path, following.path]) == {"a.jsonl": 0}


def test_lines_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    write_log(tmp_path, "a", {"id": "no version"}, plain_record(id="a1"))
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b'["no object"]\n{"seq":"no number"}\n{"v":2,"half')
    unread: Counter[str] = Counter()
    assert ids(tmp_path, unread) == ["a1"]
    assert unread == {UNREADABLE: 3, "the entry has no version": 1}
