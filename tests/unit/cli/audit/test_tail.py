"""`guardproxy audit tail`: what it prints first, and what it prints of logs that grow, continue, appear and are replaced."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardproxy.audit.record.document import Intent
from guardproxy.audit.shipping import Shipper
from guardproxy.audit.writing.log_file import FileSink, Rotation
from guardproxy.cli import app
from guardproxy.cli.audit import tail as audit_tail
from guardproxy.cli.audit.tail import PrintedRows, follow
from tests.kit.logs import write_log
from tests.kit.records import plain_record

Step = Callable[[], object]


def followed(folder: Path, *steps: Step, last: int = 10, as_json: bool = False, said: list[str] | None = None) -> None:
    """Follows a folder; between two looks at the logs, one of the steps happens."""
    left: Iterator[Step] = iter(steps)
    messages: list[str] = [] if said is None else said

    def wait(seconds: float) -> bool:
        assert seconds == 0.5
        step = next(left, None)
        if step is None:
            return True
        step()
        return False

    follow(folder, PrintedRows(last, as_json=as_json, warn=messages.append), wait, 0.5, messages.append)


def ids(printed: str) -> list[str]:
    """The ids of rows, without the heading."""
    return [re.split(r"  +", row)[1] for row in printed.splitlines()[1:]]


def add(folder: Path, name: str, *seconds: int) -> None:
    write_log(folder, name, *(plain_record(id=f"x{second}", at=float(second)) for second in seconds))


def test_the_newest_entries_come_first_and_then_each_further_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(tmp_path, "a", 1, 3, 5)
    add(tmp_path, "b", 2, 4)
    followed(tmp_path, lambda: add(tmp_path, "a", 6), lambda: None, lambda: add(tmp_path, "new", 7), last=3)
    assert ids(capsys.readouterr().out) == ["x3", "x4", "x5", "x6", "x7"]


@pytest.mark.parametrize(("last", "shown"), [(0, []), (1, ["x2"]), (2, ["x1", "x2"]), (9, ["x1", "x2"])])
def test_as_many_entries_come_first_as_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], last: int, shown: list[str]
) -> None:
    add(tmp_path, "a", 1, 2)
    followed(tmp_path, lambda: add(tmp_path, "a", 3), last=last)
    assert ids(capsys.readouterr().out) == [*shown, "x3"]


def test_a_row_is_that_of_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(tmp_path, "a", 1, 2)
    followed(tmp_path)
    shown = CliRunner().invoke(app, ["audit", "show", str(tmp_path)]).stdout
    assert [row.split() for row in capsys.readouterr().out.splitlines()] == [row.split() for row in shown.splitlines()]


def test_json_has_the_lines_of_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(tmp_path, "a", 1)
    followed(tmp_path, lambda: add(tmp_path, "a", 2), as_json=True)
    _, *lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [json.loads(line) for line in lines]


def test_a_log_that_continues_in_other_files_is_followed_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink = FileSink(tmp_path, "a", {"log": "x"}, rotation=Rotation(1))

    def grow(*seconds: int) -> None:
        for second in seconds:
            sink.append(plain_record(id=f"x{second}", at=float(second))).result(30)

    followed(tmp_path, lambda: grow(1, 2), lambda: grow(3, 4, 5))
    sink.close()
    assert len(list(tmp_path.glob("*.jsonl"))) == 5
    assert ids(capsys.readouterr().out) == ["x1", "x2", "x3", "x4", "x5"]


def test_a_line_that_is_not_whole_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(tmp_path, "a", 1)
    log = tmp_path / "a.jsonl"
    before = log.read_bytes()
    add(tmp_path, "a", 2)
    line = log.read_bytes()[len(before) :]
    printed: list[str] = []

    def keep(data: bytes) -> Step:
        def step() -> None:
            printed.append(capsys.readouterr().out)
            log.write_bytes(data)

        return step

    log.write_bytes(before + line[:20])
    followed(tmp_path, keep(before + line[:-1]), keep(before + line), lambda: None)
    assert [ids(f"-\n{text}") for text in printed] == [["id", "x1"], []]
    assert ids(f"-\n{capsys.readouterr().out}") == ["x2"]


def test_a_log_that_was_replaced_is_read_from_its_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(tmp_path / "a", "log", 1)
    sink = FileSink(tmp_path / "b", "log", {"log": "another"})
    sink.append(plain_record(id="y", at=2.0)).result(30)
    sink.close()
    followed(tmp_path / "a", lambda: (tmp_path / "b" / "log.jsonl").replace(tmp_path / "a" / "log.jsonl"))
    assert ids(capsys.readouterr().out) == ["x1", "y"]


def test_many_entries_at_once_are_not_kept_in_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_tail, "LIMIT_WAITING", 2)
    followed(tmp_path, lambda: add(tmp_path, "a", 2, 1, 4, 3, 5))
    assert ids(capsys.readouterr().out) == ["x1", "x2", "x3", "x4", "x5"]


def test_what_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_log(tmp_path, "a", {"id": "no version"})
    said: list[str] = []
    ship = Shipper.ship

    def fail() -> None:
        def failing(shipper: Shipper) -> int:
            raise PermissionError(13, "Permission denied", "a.jsonl")

        monkeypatch.setattr(Shipper, "ship", failing)

    def mend() -> None:
        monkeypatch.setattr(Shipper, "ship", ship)

    followed(tmp_path, fail, lambda: None, mend, fail, said=said)
    denied = "[Errno 13] Permission denied: 'a.jsonl'"
    assert said == ["record 0 of log log-of-a: the entry has no version", denied, denied]


def test_an_exchange_is_printed_when_it_has_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = plain_record(id="x1", at=1.0)
    intent = Intent(
        **{name: getattr(record, name) for name in ("v", "at", "id", "engine", "tenant", "route", "policies", "seals")}
    )
    write_log(tmp_path, "a", intent)
    followed(tmp_path, lambda: write_log(tmp_path, "a", record))
    assert len(ids(capsys.readouterr().out)) == 1


def test_the_command_ends_at_a_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path, "a", 1)
    write_log(tmp_path, "b", {"id": "no version"})
    flush = PrintedRows.flush

    def flush_and_end(rows: PrintedRows) -> None:
        flush(rows)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(PrintedRows, "flush", flush_and_end)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        ran = CliRunner().invoke(app, ["audit", "tail", str(tmp_path), "-n", "1"])
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
    assert (ran.exit_code, ids(ran.stdout)) == (0, ["x1"])
    assert ran.stderr == "guardproxy: record 0 of log log-of-b: the entry has no version\n"


def test_it_ends_when_nobody_reads_what_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*lines: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(audit_tail, "LIMIT_WAITING", 2)
    monkeypatch.setattr(audit_tail, "say", closed)
    with pytest.raises(BrokenPipeError):
        followed(tmp_path, lambda: add(tmp_path, "a", 1, 2))


def test_wrong_use(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["audit", "tail", str(tmp_path / "no")])
    assert (ran.exit_code, ran.stderr) == (2, f"guardproxy: {tmp_path}/no: no such folder\n")
