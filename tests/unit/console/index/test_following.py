"""The index follows the log, whatever happens to it, and to the index."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from guardproxy.audit.record.chain import begin, seal
from guardproxy.audit.writing.log_file import FileSink, Rotation
from guardproxy.console.index import Filter, Index, following, parts
from guardproxy.console.index.database import FOLDER
from guardproxy.console.index.filters import OUTCOMES
from guardproxy.engine import LocalEngine
from tests.kit.console_log import exchange, feedback, write_console_log

HERE = LocalEngine(1)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(tmp_path, engine=HERE)
    yield index
    index.close()


def plain(name: str, at: float = 1000.0, kind: str = "passed", **changes: Any) -> dict[str, Any]:
    """The members of the record of an exchange."""
    return {**exchange(random.Random(name), name, at, kind, "redacted").document(), **changes}


def write(path: Path, *entries: dict[str, Any], log: str = "", **header: Any) -> list[bytes]:
    """Writes a file of a log, and returns its lines."""
    line, head = begin({"log": log or path.stem, **header})
    lines = [line]
    for entry in entries:
        line, head = seal(entry, head)
        lines.append(line)
    path.write_bytes(b"".join(lines))
    return lines


def ids(index: Index, chosen: Filter | None = None) -> list[str]:
    index.follow()
    assert index.progress.problem == ""
    return [row.id for row in index.rows(chosen or Filter(), 1000).rows]


def test_without_a_log_every_list_is_empty(tmp_path: Path) -> None:
    nowhere = Index(None)
    nowhere.start()
    assert ids(nowhere) == []
    nowhere.close()
    missing = Index(tmp_path / "later", engine=HERE)
    assert ids(missing) == []
    assert missing.progress.is_complete
    assert not (tmp_path / "later").exists()
    write_console_log(tmp_path / "later", 3)
    assert len(ids(missing)) == 3
    missing.close()


def test_an_empty_folder_is_complete(index: Index, tmp_path: Path) -> None:
    assert ids(index) == []
    assert index.progress.percent == 100
    (tmp_path / "audit-0.jsonl").write_bytes(b"")
    assert ids(index) == []
    assert index.count(Filter()) == 0
    assert index.neighbours("x", Filter()) == (None, None)
    assert index.entries("x") == []


def test_the_index_follows_a_log_while_it_is_written(index: Index, tmp_path: Path) -> None:
    for start in range(3):  # the third start writes more files
        sink = FileSink(tmp_path, "audit-0", {"log": f"log-{start}"}, rotation=Rotation(limit_bytes=9000 * start))
        for number in range(8):
            sink.append(
                exchange(random.Random(number), f"gx_{start}{number}", float(start * 10 + number), "passed", "redacted")
            ).result(30)
            assert ids(index)[0] == f"gx_{start}{number}"
        sink.close()
    assert len(list(tmp_path.glob("audit-0*.jsonl"))) > 2
    assert len(ids(index)) == 24
    assert not index.follow()


def test_an_unfinished_line_counts_when_it_is_whole(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "audit-0.jsonl"
    lines = write(path, plain("a"), plain("b"))
    path.write_bytes(b"".join(lines[:2]) + lines[2][:50])
    assert ids(index) == ["a"]
    path.write_bytes(b"".join(lines))
    assert ids(index) == ["b", "a"]


def test_a_log_that_is_cut_loses_what_is_cut(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "audit-0.jsonl"
    lines = write(path, plain("a"), plain("b"), plain("c"))
    assert len(ids(index)) == 3
    for end in (len(lines) - 1, 2):
        os.truncate(path, sum(map(len, lines[:end])) + 7)
        assert len(ids(index)) == end - 1
    os.truncate(path, 3)
    assert ids(index) == []


def test_a_log_that_is_replaced_is_read_again(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "audit-0.jsonl"
    write(path, plain("a"), plain("b"))
    assert ids(index) == ["b", "a"]
    write(path, plain("c"), plain("d"), plain("e"), log="another")
    assert ids(index) == ["e", "d", "c"]


def test_a_line_that_is_changed_is_said_to_be(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "audit-0.jsonl"
    lines = write(path, plain("a", kind="attack"), plain("b"), plain("c"))
    assert len(ids(index)) == 3
    changed = lines[1].replace(b"blocked_request", b"blocked_answers")
    os.utime(path, ns=(1, 1))
    ids(index)
    status = path.stat()
    path.write_bytes(lines[0] + changed + lines[2] + lines[3])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # so that the file looks as before
    found = index.find("a")
    assert found is not None
    assert found.state == "changed"
    assert "changed" in found.message
    assert index.find("b").state == "intact"  # type: ignore[union-attr]
    os.utime(path, ns=(2, 2))
    assert ids(index, Filter(outcome="changed")) == ["a"]
    assert index.find("a").state == "changed"  # type: ignore[union-attr]


def test_a_line_with_a_new_hash_is_not_the_line_that_was_read(index: Index, tmp_path: Path) -> None:
    """Whoever changes a line can compute its hash again. The index knows the hash that the line had."""
    path = tmp_path / "audit-0.jsonl"
    write(path, plain("a", status=200), plain("b"))
    ids(index)
    status = path.stat()
    write(path, plain("a", status=299), plain("b"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert index.find("a").state == "changed"  # type: ignore[union-attr]


def test_removed_files_are_dropped(index: Index, tmp_path: Path) -> None:
    write(
        tmp_path / "audit-0.jsonl",
        plain("a", kind="attack"),
        feedback(exchange(random.Random(0), "c", 1.0, "passed", "none"), "up", 2.0).document(),
    )
    write(tmp_path / "audit-0.1.jsonl", plain("b"))
    assert len(ids(index)) == 2
    found = index.find("a")
    (tmp_path / "audit-0.jsonl").unlink()
    assert index.find("a").state == "gone"  # type: ignore[union-attr]
    assert ids(index) == ["b"]
    assert found is not None
    assert index.find("a") is None
    assert index.count(Filter(label="injection")) == 0
    assert index.count(Filter(check="attack")) == 0
    cursor = index._database.cursor()  # type: ignore[union-attr]
    for table in ("findings", "later"):
        assert cursor.execute(f"SELECT count(*) FROM {table}").fetchall() == [(0,)]


def test_lines_that_were_never_confirmed_are_no_records(index: Index, tmp_path: Path) -> None:
    lines = write(tmp_path / "audit-0.jsonl", plain("a"), plain("b", kind="attack"))
    assert len(ids(index)) == 2
    follows = {"file": "audit-0.jsonl", "log": "audit-0", "seq": 0, "hash": "0" * 64, "why": "a sync failed"}
    write(tmp_path / "audit-0.1.jsonl", plain("c"), follows=follows)
    assert sorted(ids(index)) == ["a", "c"]
    assert index.count(Filter(check="attack")) == 0
    again = Index(tmp_path, engine=HERE)
    assert sorted(ids(again)) == ["a", "c"]
    assert again.count(Filter(check="attack")) == 0
    again.close()
    (tmp_path / "audit-0.jsonl").write_bytes(b"".join(lines))
    assert sorted(ids(index)) == ["a", "c"]


def test_a_copy_of_a_log_counts_once(index: Index, tmp_path: Path) -> None:
    write(tmp_path / "audit-0.jsonl", plain("a"))
    ids(index)
    shutil.copy(tmp_path / "audit-0.jsonl", tmp_path / "a-copy.jsonl")
    assert ids(index) == ["a"]
    (tmp_path / "audit-0.jsonl").unlink()
    assert ids(index) == ["a"]


def test_a_thousand_files_are_one_list(index: Index, tmp_path: Path) -> None:
    before: dict[str, Any] = {}
    for number in range(1000):
        name = f"audit-0.{number}" if number else "audit-0"
        lines = write(tmp_path / f"{name}.jsonl", plain(f"gx_{number:04}", float(number)), **before)
        before = {"follows": {"file": f"{name}.jsonl", "log": name, "seq": 0, "hash": "0" * 64, "why": "large"}}
        assert len(lines) == 2
    assert ids(index) == [f"gx_{number:04}" for number in range(999, -1, -1)]
    write(tmp_path / "audit-0.1000.jsonl", plain("gx_1000", 1000.0), **before)
    assert ids(index)[0] == "gx_1000" or index.count(Filter()) == 1001


def test_a_clock_that_goes_back_keeps_the_pages_whole(index: Index, tmp_path: Path) -> None:
    times = [5.0, 3.0, 3.0, 9.0, 1.0, 3.0, 5.0, 0.0]
    write(tmp_path / "audit-0.jsonl", *(plain(f"gx_{number}", at) for number, at in enumerate(times)))
    index.follow()
    found, before = [], None
    while True:
        page = index.rows(Filter(), 2, before)
        found += [(row.at, row.id) for row in page.rows]
        if (before := page.older) is None:
            break
    assert found == sorted(((at, f"gx_{number}") for number, at in enumerate(times)), reverse=True)


def test_feedback_of_another_tenant_does_not_count(index: Index, tmp_path: Path) -> None:
    record = exchange(random.Random(1), "a", 1.0, "passed", "redacted")
    foreign = feedback(record, "down", 2.0, tenant="t-other")
    write(tmp_path / "audit-0.jsonl", record.document(), foreign.document())
    assert ids(index, Filter(feedback="down")) == []
    assert ids(index, Filter(feedback="none")) == ["a"]
    assert index.row("a").feedback is None  # type: ignore[union-attr]
    assert index.entries("a") == []
    write(tmp_path / "audit-1.jsonl", feedback(record, "up", 3.0).document())
    assert ids(index, Filter(feedback="up")) == ["a"]
    assert len(index.entries("a")) == 1


HOSTILE = [
    "'; DROP TABLE exchanges; --",
    '" OR 1=1 --',
    "{}",
    "?",
    "%s",
    "a\\u0000b",
    "\u202e<script>alert(1)</script>",
    "\ufffe'\"\\",
    "x" * 5000,
    "-",
    "(SELECT 1)",
]
NAMED = ("id", "tenant", "tenant_name", "client", "route", "codec", "model", "outcome", "conversation")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_words_in_every_member_and_filter_are_words(index: Index, tmp_path: Path, text: str) -> None:
    named: dict[str, Any] = dict.fromkeys(NAMED, text)
    members = plain("a", rules=[text], shadow=[text]) | named
    members["decisions"] = [{**plain("b", kind="attack")["decisions"][0], "policy": text, "check": text, "label": text}]
    write(tmp_path / "audit-0.jsonl", members, plain("b", kind="attack"))
    assert len(ids(index)) == 2
    name = next(row.id for row in index.rows(Filter()).rows if row.id != "b")
    short = text.replace("\0", "\ufffd")[:200]
    for chosen in (
        Filter(tenant=short),
        Filter(client=short),
        Filter(model=short),
        Filter(route=short),
        Filter(outcome=short),
        Filter(rule=short),
        Filter(policy=short),
        Filter(id_prefix=short),
    ):
        assert ids(index, chosen) == [name], chosen
    for chosen in (
        Filter(label=short),
        Filter(check=short),
        Filter(later=short),
        Filter(upstream=short),
        Filter(feedback="down"),
    ):
        assert name not in ids(index, chosen) or short == "-"
    assert dict(index.groups(Filter(), "rule"))[short] == 1
    assert index.neighbours(name, Filter(rule=short)) == (None, None)


def test_texts_that_are_no_unicode_are_read(index: Index, tmp_path: Path) -> None:
    members = plain("a", model="half \ud800 pair", client="\udfff")
    write(tmp_path / "audit-0.jsonl", members, plain("b", cost=1 << 70), plain("c", usage={"prompt_tokens": 1 << 90}))
    assert ids(index) == ["c", "b", "a"]
    assert index.row("a").model == "half \ufffd pair"  # type: ignore[union-attr]
    assert index.find("a").state == "intact"  # type: ignore[union-attr]


def test_lines_that_are_no_lines_of_a_log_are_counted(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "audit-0.jsonl"
    lines = write(path, plain("a"), plain("b"))
    junk = [b"\n", b"{}\n", b"[1]\n", b'{"v":99,"seq":1}\n', b"\xff\xfe\n", b'{"v":3,"kind":"exchange","seq":"x"}\n']
    path.write_bytes(b"".join([lines[0], *junk, lines[1], *junk, lines[2]]))
    assert ids(index) == ["b", "a"]
    assert index.progress.unread >= 10


def test_records_of_old_versions_are_read(index: Index, tmp_path: Path) -> None:
    old = {name: value for name, value in plain("a").items() if name != "kind"} | {"v": 1}
    write(tmp_path / "audit-0.jsonl", old, plain("b", v=2))
    assert sorted(ids(index)) == ["a", "b"]


def test_the_index_holds_no_text(index: Index, tmp_path: Path) -> None:
    """Every text of the log, and every word of one with eight letters or more, is looked for in the files of the index."""
    log = write_console_log(tmp_path, 300, keep=("redacted", "full"))
    ids(index)
    texts, names = set(), {"support", "quality"}
    for name in log.ids:
        record = index.record(name)
        sides = (record.request, *record.answers)
        texts |= {text.text for side in sides for text in side.texts if text.text}
        names |= {*record.rules, *record.shadow, record.route, record.model, record.outcome, record.codec}
    index.close()
    words = {word for text in texts for word in text.replace(".", " ").split() if len(word) >= 8}
    words = {word for word in words if not any(word in name for name in names)}
    assert len(texts) > 50
    assert len(words) > 20
    kept = b"".join(path.read_bytes() for path in (tmp_path / FOLDER).iterdir() if path.is_file())
    assert [text for text in (*texts, *words) if text.encode() in kept] == []
    assert b"no-attacks" in kept  # names are there: the search would find a text


def test_two_processes_have_an_index_each(index: Index, tmp_path: Path) -> None:
    write(tmp_path / "audit-0.jsonl", plain("a"))
    other = Index(tmp_path, engine=HERE)
    assert ids(index) == ids(other) == ["a"]
    assert sorted(path.name for path in (tmp_path / FOLDER).glob("*.duckdb")) == ["index.1.duckdb", "index.duckdb"]
    other.close()
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / FOLDER).glob("*.duckdb")}
    assert modes == {0o600}
    assert (tmp_path / FOLDER).stat().st_mode & 0o777 == 0o700


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(10_000))


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def holes(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)


def another_version(path: Path) -> None:
    import duckdb

    with duckdb.connect(str(path)) as database:
        database.execute("UPDATE about SET version = 'x'")


def no_version(path: Path) -> None:
    import duckdb

    with duckdb.connect(str(path)) as database:
        database.execute("DROP TABLE about")


@pytest.mark.parametrize("harm", [garbage, half, holes, another_version, no_version, Path.unlink])
def test_an_index_that_is_harmed_is_made_again(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    log = write_console_log(tmp_path, 200)
    index = Index(tmp_path, engine=HERE)
    assert len(ids(index)) == 200
    index.close()
    harm(tmp_path / FOLDER / "index.duckdb")
    again = Index(tmp_path, engine=HERE)
    for _ in range(4):  # damage may show only when it is read
        again.follow()
        try:
            rows = again.rows(Filter(), 1000).rows
        except Exception:
            continue
        break
    assert [row.id for row in rows] == list(reversed(log.ids))
    assert again.find(log.ids[3]).state == "intact"  # type: ignore[union-attr]
    again.close()


def test_an_index_whose_folder_is_deleted_is_made_again(index: Index, tmp_path: Path) -> None:
    write(tmp_path / "audit-0.jsonl", plain("a"))
    ids(index)
    shutil.rmtree(tmp_path / FOLDER)
    write(tmp_path / "audit-1.jsonl", plain("b"))
    assert ids(index) == ["b", "a"]
    assert (tmp_path / FOLDER / "index.duckdb").exists()


def test_a_start_goes_on_where_the_last_one_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "audit-0.jsonl", plain("a"))
    index = Index(tmp_path, engine=HERE)
    ids(index)
    index.close()
    lines = write(tmp_path / "audit-1.jsonl", plain("b"))
    read: list[str] = []
    real = parts.read_part

    def read_part(part: parts.LogPart) -> parts.PartColumns:
        read.append(part.path.name)
        return real(part)

    monkeypatch.setattr(parts, "read_part", read_part)
    again = Index(tmp_path, engine=HERE)
    assert sorted(ids(again)) == ["a", "b"]
    assert read == ["audit-1.jsonl"]
    assert lines
    again.close()


def test_a_full_disk_is_said_and_passes(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "audit-0.jsonl", plain("a"))
    ids(index)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(following, "write_lines", full)
        write(tmp_path / "audit-1.jsonl", plain("b"))
        for _ in range(3):
            assert not index.follow()
        assert index.progress.problem == "no space left on device"
        assert not index.progress.is_complete
        assert [row.id for row in index.rows(Filter()).rows] == ["a"]
    assert sorted(ids(index)) == ["a", "b"]


def test_the_room_that_the_log_needs_is_left_to_it(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that cannot write its log refuses traffic, so the index must not take the last of the disk."""
    write(tmp_path / "audit-0.jsonl", plain("a"))
    ids(index)
    real = os.statvfs(tmp_path)
    nearly_full = SimpleNamespace(f_bavail=1000, f_frsize=real.f_frsize, f_blocks=real.f_blocks)
    with monkeypatch.context() as patch:
        patch.setattr("guardproxy.console.index.database.os.statvfs", lambda _: nearly_full)
        write(tmp_path / "audit-1.jsonl", plain("b"))
        assert not index.follow()
        assert index.progress.problem == "too little space is left on the disk; it is left to the log"
        assert [row.id for row in index.rows(Filter()).rows] == ["a"]
    assert sorted(ids(index)) == ["a", "b"]


def test_the_thread_follows_until_it_is_closed(tmp_path: Path) -> None:
    from threading import Event

    changed = Event()

    class Watched(Index):
        def follow(self) -> bool:
            result = super().follow()
            if result:
                changed.set()
            return result

    index = Watched(tmp_path, engine=HERE, poll_s=0.001)
    index.start()
    index.start()
    write(tmp_path / "audit-0.jsonl", plain("a"))
    assert changed.wait(30)
    index.close()
    index.close()
    assert not index.follow()
    assert index.rows(Filter()).rows == ()


def test_every_group_of_outcomes_can_be_asked(index: Index, tmp_path: Path) -> None:
    write(tmp_path / "audit-0.jsonl", plain("a"))
    for name in OUTCOMES:
        ids(index, Filter(outcome=name))


def test_progress_counts_bytes() -> None:
    progress = following.IndexProgress(199, 200)
    assert progress.percent == 99
    assert not progress.is_complete
    assert not following.IndexProgress(200, 200, "no space left on device").is_complete


def test_the_chain_is_followed_over_parts_and_files(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PART_BYTES", 5000)
    write_console_log(tmp_path, 60, segment_lines=20)
    ids(index)
    assert (index.progress.broken, index.progress.unread) == (0, 0)
    sink = FileSink(tmp_path, "audit-7", {"log": "log-7"})
    for number in range(4):
        sink.append(exchange(random.Random(number), f"gx_{number}", 1.0, "passed", "redacted")).result(30)
        ids(index)
    sink.close()
    assert (index.progress.broken, index.progress.unread) == (0, 0)


@pytest.mark.parametrize("part_bytes", [2000, 1 << 22])
@pytest.mark.parametrize(
    ("harm", "broken", "unread"),
    [
        (lambda lines: [*lines[:3], *lines[4:]], 1, 0),  # removed
        (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], 3, 0),  # swapped
        (lambda lines: [*lines[:3], lines[3].replace(b'"status":200', b'"status":201'), *lines[4:]], 1, 0),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 1, 0),  # repeated
        (lambda lines: [*lines[:3], b"junk\n", *lines[3:]], 0, 1),
        (lambda lines: [lines[0].replace(b"audit-0", b"audit-9"), *lines[1:]], 1, 0),
    ],
)
def test_a_break_of_the_chain_is_counted(
    index: Index,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[list[bytes]], list[bytes]],
    broken: int,
    unread: int,
    part_bytes: int,
) -> None:
    monkeypatch.setattr(following, "PART_BYTES", part_bytes)
    path = tmp_path / "audit-0.jsonl"
    lines = write(path, *(plain(f"gx_{number}", float(number), status=200) for number in range(8)))
    path.write_bytes(b"".join(harm(lines)))
    ids(index)
    assert (index.progress.broken, index.progress.unread) == (broken, unread)
    index.close()
    again = Index(tmp_path, engine=HERE)
    ids(again)
    assert (again.progress.broken, again.progress.unread) == (broken, unread)
    again.close()


def test_a_file_without_a_header_is_counted(index: Index, tmp_path: Path) -> None:
    lines = write(tmp_path / "audit-0.jsonl", plain("a"), plain("b"))
    ids(index)
    (tmp_path / "audit-1.jsonl").write_bytes(b'{"log":')  # a start in progress
    assert ids(index) == ["b", "a"]
    assert index.progress.unread == 0
    (tmp_path / "audit-0.jsonl").write_bytes(b"".join(lines[1:]))
    assert ids(index) == []
    assert index.progress.unread == 1
    (tmp_path / "audit-0.jsonl").write_bytes(b"".join(lines))
    assert ids(index) == ["b", "a"]
    assert index.progress.unread == 0


def test_large_logs_come_in_batches_and_say_how_far_they_are(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, size in (("PART_BYTES", 20_000), ("BATCH_BYTES", 30_000), ("WORTH_A_LINE_BYTES", 0)):
        monkeypatch.setattr(following, name, size)
    log = write_console_log(tmp_path, 150, segment_lines=60)
    with caplog.at_level("INFO", "guardproxy.console.index"):
        assert ids(index) == list(reversed(log.ids))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) > 3
    assert said[-1].startswith("console index: 100 % of ")


def test_a_file_that_goes_while_it_is_read_is_left_out(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "audit-0.jsonl", plain("a"))
    write(tmp_path / "audit-1.jsonl", plain("b"))
    real = following._present

    def gone(path: Path, stamp: following.Stamp) -> following.PresentFile | None:
        if path.name == "audit-1.jsonl":
            raise FileNotFoundError(path)
        return real(path, stamp)

    with monkeypatch.context() as patch:
        patch.setattr(following, "_present", gone)
        assert ids(index) == ["a"]
    assert sorted(ids(index)) == ["a", "b"]
