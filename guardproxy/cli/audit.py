"""`guardproxy audit`: verify the audit logs of a folder, and show their records.

In: a folder that holds `*.jsonl` logs, and their heads beside them and in a folder of copies. Out: text or JSON on
stdout; exit code 0 fine, 1 something is wrong with a log, 2 wrong use. Reads only; works while the proxy writes.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from guardproxy.audit import INTENT, NO_KEY, Finding, logs_of, open_line, unclosed, verify_folder

app = typer.Typer(no_args_is_help=True, help="Verify and read the audit log.")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that `serve --audit` wrote to.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_COLUMNS = ("time", "id", "route", "model", "outcome", "rules", "findings", "ms")


@app.command("verify")
def verify_command(
    folder: Folder,
    heads: Annotated[
        Path | None, typer.Option(help="A folder with copies of *.head files, kept where the proxy cannot write.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that nothing was edited, deleted, put in, moved or cut off, and that no log was removed, renamed or replaced.

    The logs have no signature: whoever can write the folder can write logs anew that verify. Only copies of the *.head files
    that are kept elsewhere show that. Keep the names of the copies.
    """
    if not folder.is_dir():
        _wrong_use(f"{folder}: no such folder")
    if heads is not None and not heads.is_dir():
        _wrong_use(f"{heads}: no such folder")
    if heads is not None and not any(heads.glob("*.head")):
        _wrong_use(f"{heads}: no *.head files here")
    try:
        findings = verify_folder(folder, heads)
    except OSError as error:
        _wrong_use(f"{error.filename or folder}: {error.strerror}")
    if not findings:
        _wrong_use(f"{folder}: no *.jsonl logs here")
    open_intents = len(unclosed(logs_of(folder), logs_of(folder)))
    ok = not any(finding.report.problems for finding in findings)
    if as_json:
        found = [
            {
                "file": finding.file,
                "ok": not finding.report.problems,
                "torn": finding.report.torn,
                "tampered": finding.report.tampered,
                **asdict(finding.report),
                "notes": list(finding.notes),
            }
            for finding in findings
        ]
        typer.echo(json.dumps({"ok": ok, "signed": False, "open_intents": open_intents, "logs": found}, indent=2))
    else:
        for finding in findings:
            for line in _lines_of(finding):
                typer.echo(line)
        if open_intents:
            typer.echo(
                f"{open_intents} exchanges have no end yet: under way, or cut off until the next start closes them"
            )
        typer.echo(NO_KEY, err=True)
    raise typer.Exit(0 if ok else 1)


@app.command("show")
def show_command(
    folder: Folder,
    last: Annotated[int, typer.Option(min=1, help="How many records, counted from the newest.")] = 20,
    record_id: Annotated[str | None, typer.Option("--id", help="Only the records of one exchange.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print records, oldest first: a table, or one JSON object a line."""
    newest: deque[Mapping[str, Any]] = deque(maxlen=last)
    unread = 0
    records: list[Mapping[str, Any]] = []
    for path in _logs(folder):
        newest.clear()
        try:
            for record in _records(path):
                if record is None:
                    unread += 1
                elif record.get("kind") == INTENT and record_id is None:
                    continue  # the record of its exchange follows, or it is among the open ones
                elif record_id is None or record.get("id") == record_id:
                    newest.append(record)
        except OSError as error:
            _wrong_use(f"{path}: {error.strerror}")
        records += newest
    if record_id is None:
        records += unclosed(logs_of(folder), logs_of(folder))
    records = sorted(records, key=_time_of)[-last:]
    if as_json:
        for record in records:
            typer.echo(json.dumps(record, ensure_ascii=True))
    elif records:
        for line in _table([_COLUMNS, *(_row(record) for record in records)]):
            typer.echo(line)
    if unread:
        typer.echo(f"{unread} lines could not be read; see `guardproxy audit verify`", err=True)


def _wrong_use(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(2)


def _logs(folder: Path) -> list[Path]:
    if not folder.is_dir():
        _wrong_use(f"{folder}: no such folder")
    logs = logs_of(folder)
    # a head without its log is what is left of a log that was deleted
    logs += sorted(path for head in folder.glob("*.head") if (path := head.with_suffix(".jsonl")) not in logs)
    if not logs:
        _wrong_use(f"{folder}: no *.jsonl logs here")
    return logs


def _lines_of(finding: Finding) -> Iterator[str]:
    report = finding.report
    state = "changed" if report.tampered else "torn" if report.torn else "intact"
    end = f", head {report.head.seq} {report.head.hash}" if report.head else ""
    yield f"{_plain(finding.file)}: {state}, {report.records} records{end}"
    for problem in report.problems:
        where = f"line {problem.line}: " if problem.line else ""
        yield f"  {where}{_plain(problem.message)} ({problem.code})"
    for note in finding.notes:
        yield f"  note: {_plain(note)}"


def _records(path: Path) -> Iterator[Mapping[str, Any] | None]:
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            record = open_line(line)
            if record is None or "seq" in record:
                yield record


def _time_of(record: Mapping[str, Any]) -> float:
    at = record.get("at")
    return float(at) if isinstance(at, int | float) else 0.0


def _row(record: Mapping[str, Any]) -> tuple[str, ...]:
    findings = record.get("findings")
    rules = record.get("rules")
    return (
        _clock(record.get("at")),
        *(_plain(record.get(key)) for key in ("id", "route", "model")),
        _plain(record.get("outcome", record.get("kind"))),
        ",".join(map(_plain, rules)) if isinstance(rules, list) else _plain(rules),
        str(len(findings)) if isinstance(findings, list) else _plain(findings),
        _ms(record.get("timings")),
    )


def _clock(at: object) -> str:
    try:
        return datetime.fromtimestamp(float(at), UTC).strftime("%Y-%m-%d %H:%M:%SZ")  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return _plain(at)


def _ms(timings: object) -> str:
    """The time of the whole exchange, or of its longest part where no `total` is given."""
    if not isinstance(timings, Mapping):
        return _plain(timings)
    numbers = {key: value for key, value in timings.items() if isinstance(value, int | float)}
    total = next((numbers[key] for key in ("total", "total_ms") if key in numbers), max(numbers.values(), default=None))
    return "" if total is None else f"{total:.1f}"


def _plain(value: object) -> str:
    """A value as text that a terminal only prints: control and direction characters of a client's text are escaped."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
