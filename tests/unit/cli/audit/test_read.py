"""`guardproxy audit query`, `export` and `report`: what they print and write, and their exit codes."""

from __future__ import annotations

import json
from inspect import signature
from pathlib import Path
from typing import Any, get_args

import duckdb
import pytest
from typer.testing import CliRunner

from guardproxy.audit.record import RecordedFeedback
from guardproxy.cli import app
from guardproxy.cli.audit import read as audit_read
from guardproxy.reading import EXPORT_FORMS
from tests.kit.logs import write_log
from tests.kit.records import plain_answer, plain_record, plain_text


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["audit", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "audit"
    write_log(folder, "a", plain_record(None, plain_text(text="\x1b[31m" + "x" * 300)), plain_record(id="x1"))
    return folder


def test_query(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run("query", folder, "SELECT id, rules, time, error FROM exchanges ORDER BY id")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["id", "rules", "time", "error"],
        ["x0", "[]", "2025-06-15", "15:06:40.250000Z"],
        ["x1", "[]", "2025-06-15", "15:06:40.250000Z"],
    ]
    code, out, _ = run("query", folder, "SELECT id, time, bytes FROM exchanges", "--json")
    assert json.loads(out.splitlines()[0]) == {"id": "x0", "time": "2025-06-15 15:06:40.250000Z", "bytes": {}}
    _, out, _ = run("query", folder, "SELECT 'nan'::DOUBLE AS least, ['inf'::DOUBLE, 1] AS list", "--json")
    assert json.loads(out, parse_constant=pytest.fail) == {"least": None, "list": [None, 1]}
    _, out, _ = run("query", folder, "SELECT text FROM texts")
    assert "\x1b" not in out
    assert out.splitlines()[1].endswith("…")
    monkeypatch.setattr(audit_read, "LIMIT_ROWS", 1)
    code, out, err = run("query", folder, "SELECT id FROM exchanges ORDER BY id")
    assert (out.split(), err) == (["id", "x0"], "only the first 1 rows are shown; use LIMIT, or --json for all rows\n")


def test_wrong_use(folder: Path, tmp_path: Path) -> None:
    assert run("query", folder, "SELEC") == (2, "", run("query", folder, "SELEC")[2])
    assert run("query", tmp_path / "no", "SELECT 1")[2] == f"guardproxy: {tmp_path}/no: no *.jsonl logs here\n"
    assert run("export", tmp_path / "no", "--out", "-")[0] == 2
    assert run("report", folder, "--out", tmp_path / "r.html", "--from", "x")[0] == 2
    assert run("report", folder, "--out", tmp_path / "r.html", "--heads", tmp_path)[2].endswith(
        "no *.head files here\n"
    )
    assert run("report", folder, "--out", tmp_path / "r.html", "--key", "no key")[0] == 2
    assert run("report", folder, "--out", tmp_path)[2] == f"guardproxy: {tmp_path}: Is a directory\n"
    (folder / "a.jsonl").unlink()
    (folder / "a.jsonl").mkdir()
    assert run("query", folder, "SELECT 1")[2] == f"guardproxy: {folder}/a.jsonl: Is a directory\n"


def test_export(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert run("export", folder, "--out", out) == (0, "", "")
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["x0", "x1"]
    assert run("export", folder, "--out", out) == (2, "", f"guardproxy: {out}: File exists\n")
    code, printed, _ = run("export", folder, "--out", "-", "--format", "ocsf", "--to", "2025-06-14")
    assert (code, printed) == (0, "")
    (folder / "a.jsonl").write_bytes((folder / "a.jsonl").read_bytes() + b"{")
    code, printed, err = run("export", folder, "--out", "-", "--format", "otel")
    assert (code, len(printed.splitlines())) == (0, 2)
    assert err == "1 lines could not be read: not a line of a log; see `guardproxy audit verify`\n"


def test_export_of_feedback(folder: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"feedback": RecordedFeedback(exchange="x1", thumbs="up"), "route": "POST /guard/feedback"}
    answered = plain_record(plain_answer(plain_text(kind="assistant")), id="x1")
    write_log(folder, "b", answered, plain_record(id="f1", **given), plain_record(id="f2", **given, at=1.0))
    write_log(folder, "c", plain_record(id="f3", feedback=RecordedFeedback(exchange="gone")))
    (folder / "a.jsonl").unlink()
    code, printed, err = run("export", folder, "--out", "-", "--feedback", "--from", "2025-06-01")
    assert (code, json.loads(printed)["thumbs"]) == (0, "up")
    assert err == "1 feedback without a row: the exchange is not in the folder\n"
    assert run("export", folder, "--out", "-", "--feedback", "--format", "otel")[0] == 2


def test_export_to_parquet(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    code, printed, err = run("export", folder, "--out", out, "--format", "parquet")
    assert (code, printed, err) == (
        0,
        "2 exchanges, 1 texts, 0 findings, 0 decisions, 0 feedback, 0 scores, 0 reviews, 0 events\n",
        "",
    )
    assert duckdb.execute(f"SELECT count(*) FROM '{out}/exchanges.parquet'").fetchall() == [(2,)]
    assert run("export", folder, "--out", out, "--format", "parquet")[0] == 2
    assert run("export", folder, "--out", "-", "--format", "parquet")[0] == 2


def test_report(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert run("report", folder, "--out", page, "--title", "shop") == (0, f"{page}: 2 exchanges, log verified\n", "")
    assert "Audit report: shop" in page.read_text("utf-8")
    (folder / "a.jsonl").write_bytes((folder / "a.jsonl").read_bytes() + b"{")
    code, out, _ = run("report", folder, "--out", page, "--heads", folder)
    assert (code, out) == (1, f"{page}: 2 exchanges, log NOT verified\n")
    assert "Log not verified" in page.read_text("utf-8")


def test_the_command_knows_every_form_of_an_export() -> None:
    (form,) = [
        part.annotation
        for name, part in signature(audit_read.export, eval_str=True).parameters.items()
        if name == "form"
    ]
    assert get_args(get_args(form)[0]) == tuple(EXPORT_FORMS)
