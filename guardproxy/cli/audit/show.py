"""`guardproxy audit show` and `schema`: shows the records of a folder of logs, and the JSON Schema of their lines.

In: a folder with `*.jsonl` logs. Out: text or JSON on stdout; exit code 0: done, 1: no such exchange, 2: wrong use. Reads only,
so it works while the proxy writes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardproxy.cli.audit.arguments import AsJson, Folder, clock, time_of, wrong_use
from guardproxy.cli.printing import aligned, say, say_json
from guardproxy.errors import AuditError, RecordError

if TYPE_CHECKING:
    from guardproxy.audit import AnyEntry, Judged, OperatorEntry, Record

COLUMNS = ("time", "id", "route", "model", "tenant", "outcome", "rules", "findings", "ms")


def show(
    folder: Folder,
    wanted: Annotated[str | None, typer.Argument(metavar="[ID]", help="Print this exchange with its texts.")] = None,
    last: Annotated[int, typer.Option(min=1, help="The number of entries, newest first.")] = 20,
    exchange_id: Annotated[str | None, typer.Option("--id", help="The same as ID.")] = None,
    rule: Annotated[
        str | None, typer.Option(help="Only exchanges in which this rule held, also in shadow mode.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only exchanges of this tenant or client.")] = None,
    outcome: Annotated[
        str | None,
        typer.Option(help="Only exchanges with this outcome, such as `refused`, or with this code of an error."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="Only entries from this time on: a period such as `2h`, a day, or a time in UTC."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List exchanges, oldest first, or print an exchange.

    The list has a line for each exchange, and for each intent without a record. Columns: time (UTC), id, route, model,
    tenant (with its client), outcome (with the code of an error, and the limit), enforced rules that held, number of findings,
    total time in milliseconds. The options choose among all entries, and --last counts those that are left. With ID: the texts
    with their findings, decisions, attempts, timings, sizes and digests, and feedback about the exchange. With --json:
    the entries as in the log.
    """
    from guardproxy.audit import Intent, open_line  # noqa: PLC0415

    if wanted is not None and exchange_id is not None:
        wrong_use("give the id of the exchange once")
    exchange_id = wanted if exchange_id is None else exchange_id
    try:
        wanted_entries = Wanted(exchange_id, rule, tenant, outcome, 0.0 if since is None else time_of(since))
    except AuditError as error:
        wrong_use(str(error))
    entries, unread = newest(folder, last, wanted_entries)
    if as_json:
        for line, _ in entries:
            say_json(open_line(line))
    elif exchange_id is not None:
        from guardproxy.cli.audit.view import print_entry  # noqa: PLC0415

        has_end = any(not isinstance(entry, Intent) for _, entry in entries)
        for _, entry in entries:
            if not (has_end and isinstance(entry, Intent)):
                print_entry(entry)
    elif entries:
        say(*aligned([COLUMNS, *(row_of(entry) for _, entry in entries)]))
    for problem, count in unread.items():
        say(f"{count} lines could not be read: {problem}", err=True)
    if exchange_id is not None and not entries:
        say(f"no exchange `{exchange_id}` in {folder}", err=True)
        raise typer.Exit(1)


def schema() -> None:
    """Print the JSON Schema of the lines of the audit log."""
    from guardproxy.audit import log_schema  # noqa: PLC0415

    say_json(log_schema(), 2)


def newest(folder: Path, last: int, wanted: Wanted) -> tuple[list[tuple[bytes, AnyEntry]], Counter[str]]:
    """Returns the newest entries of a folder with their lines, sorted by time, and the number of unreadable lines, by
    reason.

    `wanted`: only these entries. Without the id of an exchange, intents that a record closes are omitted.
    """
    from guardproxy.audit import Intent  # noqa: PLC0415
    from guardproxy.audit.proof import logs_of  # noqa: PLC0415
    from guardproxy.audit.shipping import open_intents_of  # noqa: PLC0415

    unread: Counter[str] = Counter()
    entries: list[tuple[bytes, AnyEntry]] = []
    logs = logs_of(folder) if wanted.exchange_id is None else []
    still_open = {intent.id for intent in open_intents_of(logs, logs)}
    for path in _logs(folder):
        # A log may be larger than the memory, so each file keeps no more than can be shown.
        newest: deque[tuple[bytes, AnyEntry]] = deque(maxlen=last)
        try:
            for line, entry in _lines(path, unread):
                name = getattr(entry, "id", None)
                if wanted.exchange_id is None and isinstance(entry, Intent) and name not in still_open:
                    continue
                if wanted.fits(entry):
                    newest.append((line, entry))
        except OSError as error:
            wrong_use(f"{path}: {error.strerror}")
        entries += newest
    return sorted(entries, key=lambda pair: pair[1].at)[-last:], unread


@dataclass(frozen=True, slots=True)
class Wanted:
    """The entries to show. `None`: any. `since_s`: Unix time."""

    exchange_id: str | None = None
    rule: str | None = None
    tenant: str | None = None
    outcome: str | None = None
    since_s: float = 0.0

    def fits(self, entry: AnyEntry) -> bool:
        """Whether an entry is to be shown."""
        if self.exchange_id is not None and self.exchange_id not in (getattr(entry, "id", None), _subject(entry)):
            return False
        return (
            entry.at >= self.since_s
            and _is_among(self.rule, entry, "rules", "shadow")
            and _is_among(self.tenant, entry, "tenant", "tenant_name", "client")
            and _is_among(self.outcome, entry, "outcome", "error")
        )


def _is_among(value: str | None, entry: AnyEntry, *names: str) -> bool:
    """Whether a member of an entry is, has or holds a value. Without a value: yes."""
    if value is None:
        return True
    for name in names:
        member = getattr(entry, name, None)
        if value == getattr(member, "code", member) or (isinstance(member, tuple) and value in member):
            return True
    return False


def _subject(entry: AnyEntry) -> str | None:
    """Returns the id of the exchange that an entry is about: feedback is about another exchange."""
    from guardproxy.audit import Record  # noqa: PLC0415

    return entry.feedback.exchange if isinstance(entry, Record) and entry.feedback else None


def _lines(path: Path, unread: Counter[str]) -> Iterator[tuple[bytes, AnyEntry]]:
    from guardproxy.audit import entry_of, open_line  # noqa: PLC0415

    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            members = open_line(line)
            if members is None:
                unread["not a line of a log; see `guardproxy audit verify`"] += 1
            elif "seq" in members:
                try:
                    yield line, entry_of(members)
                except RecordError as error:
                    unread[str(error)] += 1


def _logs(folder: Path) -> list[Path]:
    from guardproxy.audit.proof import logs_of  # noqa: PLC0415

    if not folder.is_dir():
        wrong_use(f"{folder}: no such folder")
    logs = logs_of(folder)
    # a head without its log means that the log was deleted
    logs += sorted(path for head in folder.glob("*.head") if (path := head.with_suffix(".jsonl")) not in logs)
    if not logs:
        wrong_use(f"{folder}: no *.jsonl logs here")
    return logs


def row_of(entry: AnyEntry) -> tuple[str, ...]:
    """Returns the cells of an entry: its values for `COLUMNS`."""
    from guardproxy.audit import Closing, Gap, Intent, Judged, OperatorEntry, Record  # noqa: PLC0415

    time = clock(entry.at)
    match entry:
        case Record():
            return (
                *(time, entry.id, entry.route, entry.model, _tenant(entry)),
                *(_outcome(entry), ",".join(entry.rules), str(entry.finding_count)),
                "" if entry.total_ms is None else f"{entry.total_ms:.1f}",
            )
        case Closing() | Intent():
            outcome = "(no end yet)" if isinstance(entry, Intent) else entry.outcome
        case Gap():
            return time, "", "", "", "", f"(gap: {entry.why})", "", "", ""
        case Judged():
            return (
                time,
                entry.id,
                "",
                entry.model,
                "",
                f"({judged(entry)})",
                "",
                "",
                f"{entry.ms:.1f}",
            )
        case OperatorEntry():
            return time, getattr(entry, "id", ""), "", "", "", f"({done_of(entry)})", "", "", ""
    return time, entry.id, entry.route, "", entry.tenant, outcome, "", "", ""


def _tenant(record: Record) -> str:
    """Returns the name of the tenant, or its digest if it has no name; and its client, if it has another name."""
    name = record.tenant_name or record.tenant
    return name if record.client in ("", name) else f"{name}/{record.client}"


def _outcome(record: Record) -> str:
    """Returns the outcome, and for a refusal the code of the error and the limit."""
    if record.error is None or record.error.code == record.outcome:
        return record.outcome
    limits = (refusal.name for refusal in record.refusals if refusal.mode == "enforce" and refusal.name)
    return f"{record.outcome}: {' '.join([record.error.code, *limits])}"


def judged(entry: Judged) -> str:
    """Returns what a judge said, in words."""
    said = f"no score: {entry.failure}" if entry.score is None else f"score {entry.score} of {entry.scale[1]}"
    return f"judge of {entry.policy}: {said}"


def done_of(entry: OperatorEntry) -> str:
    """Returns what a person did, in words."""
    return f"{entry.brief}, by {entry.by}" + (f": {entry.reason}" if entry.reason else "")
