"""A folder of logs as a whole: removed, rolled back, replaced, renamed and doubled logs are named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from guardproxy.audit.proof.folder import verify_folder
from guardproxy.audit.record.chain import begin, open_line, seal
from guardproxy.audit.writing.log_file import FileSink


def write(folder: Path, name: str, count: int, log: str = "") -> None:
    sink = FileSink(folder, name, {"log": log or f"log-of-{name}"})
    for number in range(count):
        sink.append({"id": f"{name}{number}"}).result(30)
    sink.close()


def found(folder: Path, copies: Path | None = None) -> dict[str, list[str]]:
    return {
        finding.file: [problem.code for problem in finding.report.problems]
        for finding in verify_folder(folder, copies)
        if finding.report.problems
    }


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """Copies of the heads of two logs, `a` with three records and `b` with one."""
    write(tmp_path / "logs", "a", 3)
    write(tmp_path / "logs", "b", 1)
    copies = tmp_path / "copies"
    copies.mkdir()
    for head in (tmp_path / "logs").glob("*.head"):
        shutil.copy(head, copies)
    return copies


@pytest.fixture
def logs(tmp_path: Path, copies: Path) -> Path:
    return tmp_path / "logs"


def test_nothing_was_done(logs: Path, copies: Path) -> None:
    assert found(logs) == found(logs, copies) == {}
    write(logs, "a", 2)
    write(logs, "c", 1)
    assert found(logs, copies) == {}
    notes = {finding.file: finding.notes for finding in verify_folder(logs, copies) if finding.notes}
    assert list(notes) == ["c.jsonl"]
    assert "no copy of its head" in notes["c.jsonl"][0]


def remove(logs: Path) -> None:
    (logs / "a.jsonl").unlink()
    (logs / "a.head").unlink()


def roll_back(logs: Path) -> None:
    log = logs / "a.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    (logs / "a.head").unlink()


def replace_shorter(logs: Path) -> None:
    remove(logs)
    write(logs, "a", 1, log="another")


def replace_longer(logs: Path) -> None:
    remove(logs)
    write(logs, "a", 9, log="another")


def change_id(logs: Path) -> None:
    """The whole log is written anew: all its hashes are right."""
    remove(logs)
    write(logs, "a", 3, log="another")


def write_anew(logs: Path) -> None:
    """The same with the same id, and another record."""
    remove(logs)
    line, head = begin({"log": "log-of-a"})
    lines = [line]
    for number in range(4):
        line, head = seal({"id": f"forged{number}"}, head)
        lines.append(line)
    (logs / "a.jsonl").write_bytes(b"".join(lines))


def rename(logs: Path) -> None:
    (logs / "a.jsonl").rename(logs / "z.jsonl")
    (logs / "a.head").rename(logs / "z.head")


def swap(logs: Path) -> None:
    (logs / "a.jsonl").rename(logs / "t")
    (logs / "b.jsonl").rename(logs / "a.jsonl")
    (logs / "t").rename(logs / "b.jsonl")
    for head in logs.glob("*.head"):
        head.unlink()


def double(logs: Path) -> None:
    shutil.copy(logs / "a.jsonl", logs / "y.jsonl")


def drop_header(logs: Path) -> None:
    log = logs / "a.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[1:]))
    (logs / "a.head").unlink()


def empty(logs: Path) -> None:
    (logs / "a.jsonl").write_bytes(b"")
    (logs / "a.head").unlink()


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (remove, {"a.jsonl": ["gone"]}),
        (roll_back, {"a.jsonl": ["cut"]}),
        (replace_shorter, {"a.jsonl": ["replaced"]}),
        (replace_longer, {"a.jsonl": ["replaced"]}),
        (change_id, {"a.jsonl": ["replaced"]}),
        (write_anew, {"a.jsonl": ["rewritten"]}),
        (rename, {"a.jsonl": ["gone"], "z.jsonl": ["renamed"]}),
        (swap, {"a.jsonl": ["renamed"], "b.jsonl": ["renamed"]}),
        (double, {"y.jsonl": ["twice"]}),
        (drop_header, {"a.jsonl": ["header"]}),
        (empty, {"a.jsonl": ["cut", "header"]}),
    ],
)
def test_every_attack_on_a_whole_log_is_named(
    logs: Path, copies: Path, attack: Callable[[Path], None], said: dict[str, list[str]]
) -> None:
    attack(logs)
    codes = found(logs, copies)
    assert {file: list(dict.fromkeys(sorted(codes[file]))) for file in codes} == said


def test_a_removed_log_is_named_by_its_id_and_its_last_known_record(logs: Path, copies: Path) -> None:
    remove(logs)
    (gone,) = (finding for finding in verify_folder(logs, copies) if finding.report.problems)
    assert gone.report.problems[0].message == "expected the log log-of-a with record 2 (a.head): it was removed"
    assert found(logs) == {}  # without copies nothing tells


def test_all_logs_are_gone(logs: Path, copies: Path) -> None:
    for path in logs.iterdir():
        path.unlink()
    assert found(logs, copies) == {"a.jsonl": ["gone"], "b.jsonl": ["gone"]}


def test_a_copy_that_is_no_head_is_said(logs: Path, copies: Path) -> None:
    (copies / "b.head").write_text("junk")
    assert found(logs, copies) == {"b.jsonl": ["rewritten"]}


@pytest.fixture
def followed(tmp_path: Path) -> Path:
    """A log that goes on in a second file, after it was renamed while it was written."""
    folder = tmp_path / "logs"
    sink = FileSink(folder, "a", {"log": "first"})
    sink.append({"id": "x0"}).result(30)
    (folder / "a.jsonl").rename(folder / "hidden")
    sink.append({"id": "x1"}).result(30)
    sink.close()
    (folder / "hidden").rename(folder / "a.jsonl")
    return folder


def test_a_file_that_follows_another_vouches_for_it(followed: Path) -> None:
    assert found(followed) == {}
    (first, second) = reversed(verify_folder(followed))
    assert (first.file, second.file) == ("a.jsonl", "a.1.jsonl")
    assert first.notes[0].endswith("records continue in a.1.jsonl")
    roll_back_by_one = (followed / "a.jsonl").read_bytes().splitlines(keepends=True)[0]
    (followed / "a.jsonl").write_bytes(roll_back_by_one)
    assert found(followed) == {"a.jsonl": ["cut"]}
    (followed / "a.jsonl").unlink()
    assert found(followed) == {"a.1.jsonl": ["gone"]}


def test_what_was_never_acknowledged_is_a_note_and_what_was_is_not(followed: Path) -> None:
    log = followed / "a.jsonl"
    whole = log.read_bytes()
    for more in (b'{"half', b"\0\0\0\n", b"junk\n" * 3):
        log.write_bytes(whole + more)
        assert found(followed) == {}
        assert "never confirmed" in verify_folder(followed)[1].notes[1]
    log.write_bytes(whole.replace(b"x0", b"y0") + b'{"half')
    assert found(followed)["a.jsonl"][0] == "altered"


def test_a_header_that_follows_nothing_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.1.jsonl").write_bytes(begin({"log": "x", "follows": {"log": "y", "seq": "0"}})[0])
    assert found(tmp_path) == {"a.1.jsonl": ["header"]}


def test_a_log_that_follows_itself_is_no_endless_loop(tmp_path: Path) -> None:
    follows = {"log": "x", "file": "a.jsonl", "seq": 0, "hash": "0" * 64}
    (tmp_path / "a.jsonl").write_bytes(begin({"log": "x", "follows": follows})[0])
    assert found(tmp_path) == {"a.jsonl": ["cut"]}
    header = open_line((tmp_path / "a.jsonl").read_bytes())
    assert header is not None
    assert json.loads(json.dumps(header))["log"] == "x"


def test_what_both_heads_of_a_log_say_is_named_once(logs: Path, copies: Path) -> None:
    (logs / "a.jsonl").rename(logs / "z.jsonl")
    assert (logs / "a.head").exists()
    assert found(logs, copies) == {"a.jsonl": ["gone"], "z.jsonl": ["renamed"]}


def test_an_empty_file_that_nothing_names_is_torn(tmp_path: Path) -> None:
    write(tmp_path, "a", 1)
    (tmp_path / "a.1.jsonl").touch()
    assert found(tmp_path) == {"a.1.jsonl": ["torn"]}
    (tmp_path / "a.jsonl").write_bytes(b"")
    assert found(tmp_path) == {"a.jsonl": ["header", "cut"], "a.1.jsonl": ["torn"]}
