"""`guardproxy audit query`, `export` and `report`: SQL over the logs, other forms of the records, a page for auditors.

In: a folder with logs. Out: rows, files, a page; exit code 0: fine, 1: the report found a problem in the log, 2: wrong
use. Reads only, so it works while the proxy writes.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from guardproxy.cli.audit.arguments import Copies, Folder, Heads, Keys
from guardproxy.cli.engine_arguments import engine_of
from guardproxy.cli.printing import aligned, fail, say, say_encoded, say_json
from guardproxy.errors import AuditError, QueryError

First = Annotated[str | None, typer.Option("--from", help="The first day (2026-01-31), or a time in UTC.")]
Last = Annotated[str | None, typer.Option("--to", help="The last day, which counts as a whole, or a time in UTC.")]
LIMIT_ROWS = 10_000


def query(
    folder: Folder,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT in the dialect of DuckDB.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each row.")] = False,
) -> None:
    """Query the logs with SQL. Needs the extra `analysis`.

    Tables: exchanges, texts, findings, decisions, feedback, scores, events (intents, closings and gaps). `DESCRIBE
    exchanges` lists the columns of a table. Times are in UTC. The query can read the logs and nothing else.
    """
    from guardproxy.reading import LogDatabase  # noqa: PLC0415

    with _wrong_use_for(folder), LogDatabase(folder) as database:
        names, rows = database.query(sql)
        if as_json:
            for row in rows:
                say_json(dict(zip(names, row, strict=True)), shown=_shown)
        else:
            _print_table(names, rows)
        if unread := database.unreadable():
            say(f"{unread} lines could not be read; see `guardproxy audit verify`", err=True)


def export(
    folder: Folder,
    out: Annotated[Path, typer.Option(metavar="PATH", help="The file; for Parquet the folder. `-`: standard output.")],
    form: Annotated[
        Literal["jsonl", "ocsf", "otel", "parquet"],
        typer.Option("--format", help="jsonl: whole records; ocsf: security events; otel: logs; parquet: tables."),
    ] = "jsonl",
    first: First = None,
    last: Last = None,
    feedback: Annotated[
        bool, typer.Option("--feedback", help="JSON lines for fine-tuning: exchanges with feedback, and what it says.")
    ] = False,
    reviews: Annotated[
        bool,
        typer.Option("--reviews", help="Labelled JSON lines for `guardproxy model`: texts with verdicts of reviewers."),
    ] = False,
    rule: Annotated[str, typer.Option(help="With --reviews: only verdicts about this rule.")] = "",
    check: Annotated[str, typer.Option(help="With --reviews: only texts in which this check found something.")] = "",
    kind: Annotated[str, typer.Option("--channel", help="With --reviews: only texts of this kind, such as user.")] = "",
) -> None:
    """Export the records as Parquet, JSON lines, OCSF events or OpenTelemetry logs. Parquet needs the extra `analysis`.

    OCSF and OpenTelemetry hold no texts. An existing file or folder is refused.
    """
    from guardproxy.reading import (  # noqa: PLC0415
        LogDatabase,
        ReviewedTexts,
        exported_lines,
        feedback_rows,
        read_period,
        reviewed_rows,
    )

    unread: Counter[str] = Counter()
    without: Counter[str] = Counter()
    with _wrong_use_for(folder):
        period = read_period(first, last)
        _refuse_missing(folder)
        if (feedback or reviews) and form != "jsonl":
            raise QueryError("rows to learn from are JSON lines: leave out --format")
        if feedback and reviews:
            raise QueryError("give --feedback or --reviews, not both")
        if form == "parquet":
            if str(out) == "-":
                raise QueryError("tables are written to a folder, not to standard output")
            with LogDatabase(folder, writes_to=out.absolute()) as database:
                out.mkdir(parents=True)
                counts = database.write_parquet(out.absolute(), period)
                unread["see `guardproxy audit verify`"] = database.unreadable()
            say(", ".join(f"{count} {name}" for name, count in counts.items()))
        else:
            if reviews:
                lines = reviewed_rows(folder, ReviewedTexts(rule, check, kind, period), unread, without)
            elif feedback:
                lines = feedback_rows(folder, period, unread, without)
            else:
                lines = exported_lines(folder, form, period, unread)
            if str(out) == "-":
                for line in lines:
                    say_encoded(line)
            else:
                with out.open("x", encoding="utf-8") as target:
                    target.writelines(lines)
    for problem, count in without.items():
        say(f"{count} {'verdicts' if reviews else 'feedback'} without a row: {problem}", err=True)
    for problem, count in unread.items():
        if count:
            say(f"{count} lines could not be read: {problem}", err=True)


def report(
    folder: Folder,
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="The page.")],
    first: First = None,
    last: Last = None,
    heads: Heads = None,
    key: Keys = [],  # noqa: B006 - typer copies it
    copy: Copies = [],  # noqa: B006
    title: Annotated[str, typer.Option(help="The name of the system, for the heading.")] = "guardproxy",
) -> None:
    """Write a page for auditors: what was guarded, blocked, redacted and not inspected, what was in force, whether the
    log verifies, and which questions of the EU AI Act, SOC 2 and HIPAA that answers.

    Exit code 0: the log verifies; 1: it does not; 2: wrong use. The page is written in both cases.
    """
    from importlib.metadata import version  # noqa: PLC0415

    from guardproxy.audit.proof import logs_of, public_key, read_copies, verify_signed_folder  # noqa: PLC0415
    from guardproxy.audit.shipping import confirmed_entries, open_intents_of  # noqa: PLC0415
    from guardproxy.reading import TrafficSummary, Verification, read_period, report_page  # noqa: PLC0415

    unread: Counter[str] = Counter()
    with _wrong_use_for(folder):
        summary = TrafficSummary(read_period(first, last))
        _refuse_missing(folder)
        if heads is not None and not any(heads.glob("*.head")):
            raise QueryError(f"{heads}: no *.head files here")
        copies = [found for path in copy for found in read_copies(path)]
        runs_on = engine_of("local", 0, "verifying")
        signed, logs = verify_signed_folder(folder, list(map(public_key, key)), copies, heads, runs_on)
        for logged in confirmed_entries(folder, unread):
            summary.see(logged.entry)
        open_intents = len(open_intents_of(logs_of(folder), logs_of(folder)))
        verification = Verification(logs, heads is not None or bool(copies), open_intents, unread, signed)
        program = f"guardproxy {version('guardproxy')}"
        out.write_text(report_page(title, summary, verification, time.time(), program), "utf-8")
    say(f"{out}: {summary.total} exchanges, log {'verified' if verification.is_intact else 'NOT verified'}")
    raise typer.Exit(0 if verification.is_intact else 1)


@contextmanager
def _wrong_use_for(folder: Path) -> Iterator[None]:
    """Ends the command with a message on errors of the query, the period or a file."""
    try:
        yield
    except AuditError as error:
        message = str(error)
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"{error.filename or folder}: {error.strerror}"
    else:
        return
    fail(message)


def _refuse_missing(folder: Path) -> None:
    if not any(folder.glob("*.jsonl")):
        raise QueryError(f"{folder}: no *.jsonl logs here")


def _print_table(names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    cells = [tuple(names), *(tuple(map(_cell, row)) for row in islice(rows, LIMIT_ROWS))]
    say(*aligned(cells))
    if next(rows, None) is not None:
        say(f"only the first {LIMIT_ROWS} rows are shown; use LIMIT, or --json for all rows", err=True)


def _cell(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool | list | dict):
        return json.dumps(value, default=_shown, ensure_ascii=False)
    return _shown(value)


def _shown(value: Any) -> str:
    return f"{value.isoformat(sep=' ')}Z" if isinstance(value, datetime) else str(value)
