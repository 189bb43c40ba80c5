"""`guardproxy audit verify` and `show`: what they print, and their exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from guardproxy.audit.sinks.file import FileSink
from guardproxy.cli.audit import app

RECORD = {
    "id": "x0",
    "at": 1_750_000_000.25,
    "route": "POST /v1/messages",
    "model": "small",
    "outcome": "blocked",
    "rules": ["no-attacks", "watch"],
    "findings": [{"check": "attack"}, {"check": "pii"}],
    "timings": {"checks": 3.25, "upstream": 20.04},
}


def write(folder: Path, name: str, *records: dict[str, Any]) -> tuple[int, str]:
    sink = FileSink(folder, name, {"log": f"log-of-{name}"})
    for record in records:
        sink.append(record).result(30)
    sink.close()
    return sink.head


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_verify_says_intact(tmp_path: Path) -> None:
    seq, digest = write(tmp_path, "a", RECORD, {"id": "x1"})
    write(tmp_path, "b")
    code, out, _ = run("verify", tmp_path)
    assert code == 0
    assert out.splitlines()[0] == f"a.jsonl: intact, 2 records, head {seq} {digest}"
    assert out.splitlines()[1].startswith("b.jsonl: intact, 0 records, head -1 ")


def test_verify_says_what_was_changed_and_where(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD, {"id": "x1"})
    log = tmp_path / "a.jsonl"
    log.write_bytes(log.read_bytes().replace(b"small", b"large"))
    code, out, _ = run("verify", tmp_path)
    assert code == 1
    assert out.startswith("a.jsonl: changed, 2 records")
    assert "\n  line 2: the record was changed: " in out
    assert out.endswith(" (altered)\n")


def test_verify_tells_torn_from_changed(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD)
    with (tmp_path / "a.jsonl").open("ab") as log:
        log.write(b'{"half')
    code, out, _ = run("verify", tmp_path)
    assert code == 1
    assert out.startswith("a.jsonl: torn, 1 records")
    code, out, _ = run("verify", "--json", tmp_path)
    assert code == 1
    (found,) = json.loads(out)["logs"]
    assert (found["ok"], found["torn"], found["tampered"]) == (False, True, False)
    assert [problem["code"] for problem in found["problems"]] == ["torn"]


def test_verify_as_json(tmp_path: Path) -> None:
    seq, digest = write(tmp_path, "a", RECORD)
    code, out, _ = run("verify", tmp_path, "--json")
    assert code == 0
    assert json.loads(out) == {
        "ok": True,
        "signed": False,
        "open_intents": 0,
        "logs": [
            {
                "file": "a.jsonl",
                "ok": True,
                "torn": False,
                "tampered": False,
                "log": "log-of-a",
                "records": 1,
                "head": {"seq": seq, "hash": digest},
                "problems": [],
                "notes": [],
            }
        ],
    }


def cut(log: Path) -> None:
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))


def test_verify_finds_a_cut_tail_by_the_head_beside_the_log(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD, {"id": "x1"})
    cut(tmp_path / "a.jsonl")
    code, out, _ = run("verify", tmp_path)
    assert code == 1
    assert out.endswith("  line 3: expected record 1, found record 0 at the end: the tail was cut off (cut)\n")


def test_verify_finds_a_cut_by_a_head_kept_elsewhere(tmp_path: Path) -> None:
    audit, safe = tmp_path / "audit", tmp_path / "safe"
    write(audit, "a", RECORD, {"id": "x1"})
    safe.mkdir()
    shutil.copy(audit / "a.head", safe)
    cut(audit / "a.jsonl")
    (audit / "a.head").unlink()
    assert run("verify", audit)[0] == 0
    assert run("verify", audit, "--heads", safe)[0] == 1
    assert run("verify", audit, "--heads", tmp_path / "none")[0] == 2


def test_verify_finds_a_deleted_log(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD)
    (tmp_path / "a.jsonl").unlink()
    code, out, _ = run("verify", tmp_path)
    assert code == 1
    assert "a.jsonl: changed, 0 records\n" in out
    assert run("show", tmp_path)[:2] == (0, "")


def test_verify_finds_a_broken_head(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD)
    (tmp_path / "a.head").write_text("junk")
    code, out, _ = run("verify", tmp_path)
    assert code == 1
    assert "  a.head: not the head of a log (rewritten)\n" in out


@pytest.mark.parametrize("command", ["verify", "show"])
def test_wrong_use(tmp_path: Path, command: str) -> None:
    code, out, err = run(command, tmp_path / "none")
    assert (code, out) == (2, "")
    assert err == f"{tmp_path}/none: no such folder\n"
    assert run(command, tmp_path)[0] == 2
    assert run(command)[0] == 2
    (tmp_path / "a.jsonl").mkdir()
    code, out, err = run(command, tmp_path)
    assert (code, out, err) == (2, "", f"{tmp_path}/a.jsonl: Is a directory\n")


def test_show_prints_a_table(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD)
    code, out, _ = run("show", tmp_path)
    assert code == 0
    assert out.splitlines() == [
        "time                  id  route              model  outcome  rules             findings  ms",
        "2025-06-15 15:06:40Z  x0  POST /v1/messages  small  blocked  no-attacks,watch  2         20.0",
    ]


def test_show_gives_the_newest_of_all_logs_in_the_order_of_time(tmp_path: Path) -> None:
    write(tmp_path, "a", {"id": "1", "at": 1}, {"id": "4", "at": 4})
    write(tmp_path, "b", {"id": "2", "at": 2}, {"id": "3", "at": 3.5})
    for last, wanted in ((1, "4"), (3, "234"), (9, "1234")):
        _, out, _ = run("show", tmp_path, "--json", "--last", str(last))
        assert "".join(json.loads(line)["id"] for line in out.splitlines()) == wanted
    _, out, _ = run("show", tmp_path, "--json", "--id", "2")
    assert [json.loads(line)["seq"] for line in out.splitlines()] == [0]
    assert run("show", tmp_path, "--id", "none")[:2] == (0, "")


@pytest.mark.parametrize(
    ("record", "row"),
    [
        ({}, []),
        ({"id": 7, "rules": "one", "findings": 3, "timings": 4}, ["7", "one", "3", "4"]),
        ({"id": "i", "at": "noon", "timings": {"total_ms": 1, "x": 9}}, ["noon", "i", "1.0"]),
        ({"id": "i", "at": 1e300, "timings": {"total": 2, "x": "y"}}, ["1e+300", "i", "2.0"]),
        ({"id": "i", "timings": {}, "rules": [{"a": 1}], "route": ["x"]}, ["i", '["x"]', '{"a":', "1}"]),
        ({"id": "a\x1b[31m\n\u202eb", "later": {"field": 1}}, ["a\\x1b[31m\\n\\u202eb"]),
    ],
)
def test_show_takes_any_record(tmp_path: Path, record: dict[str, Any], row: list[str]) -> None:
    write(tmp_path, "a", record)
    code, out, err = run("show", tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split() == row


def test_show_says_what_it_could_not_read(tmp_path: Path) -> None:
    write(tmp_path, "a", RECORD)
    with (tmp_path / "a.jsonl").open("ab") as log:
        log.write(b'junk\n{"half')
    code, out, err = run("show", tmp_path)
    assert code == 0
    assert len(out.splitlines()) == 2
    assert err == "2 lines could not be read; see `guardproxy audit verify`\n"
