"""`guardproxy replay`: replays recorded exchanges under the same or other policies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from guardproxy.cli.policy.arguments import AllowCode
from guardproxy.cli.printing import aligned, plain
from guardproxy.errors import GuardproxyError

if TYPE_CHECKING:
    from guardproxy.audit import Record
    from guardproxy.policy import PolicySet
    from guardproxy.policydiff import Traffic
    from guardproxy.replay import ReplayResult, ShownPath

    Opening = Callable[[Record], tuple[Record, ShownPath | None]]


def replay(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="A log file, or the folder that `serve --audit` wrote.")],
    policies: Annotated[
        Path | None, typer.Option(help="A folder of policies, or the name of a shipped policy such as `strict`.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write an HTML page.")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="The operator's key, for sealed texts: `file:PATH`, `env:NAME` or `command:COMMAND`."),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="The key store of sealed texts. Without it, `seal.keys` beside the log.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each record.")] = False,
    allow_code: AllowCode = False,
) -> None:
    """Replay recorded exchanges and list the differences, for each exchange and by rule.

    The findings of an unchanged check come from the record. A new or changed check scans the recorded text, in which
    placeholders replace sensitive values. A placeholder counts as a finding if the check looks for the same entities;
    otherwise the result "cannot be told". Where a record keeps no texts, its findings are judged again. With --key,
    sealed texts are opened in memory, and none is printed. Exit code 0: no difference; 1: differences, or results that
    cannot be told; 2: wrong use.
    """
    from guardproxy.library import load  # noqa: PLC0415

    files = sorted(log.glob("*.jsonl")) if log.is_dir() else [log]
    if not files or not all(file.is_file() for file in files):
        _wrong_use(f"{log}: no log here")
    try:
        with _opening(log if log.is_dir() else log.parent, store, key or ()) as open_texts:
            rules = load(policies, code=allow_code)
            remarks = _remarks(files, rules)
            for remark in remarks:
                typer.echo(remark, err=as_json)
            counts, traffic = _run(files, rules, open_texts, as_json)
        if report is not None:
            from guardproxy.policydiff import replay_page  # noqa: PLC0415

            title = f"Replay of {log} under {policies or 'the default policies'}"
            report.write_text(replay_page(title, remarks, traffic), "utf-8")
    except GuardproxyError as error:
        _wrong_use(str(error))
    except OSError as error:
        _wrong_use(f"{error.filename}: {error.strerror}")
    if not as_json:
        _print_groups(traffic)
        typer.echo(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    raise typer.Exit(1 if counts["different"] or counts["cannot be told"] else 0)


def _remarks(files: Sequence[Path], rules: PolicySet) -> list[str]:
    """Returns what differs between the versions in the records and the versions here. Raises `GuardproxyError`."""
    from importlib.metadata import version  # noqa: PLC0415

    from guardproxy.audit import entries_of  # noqa: PLC0415
    from guardproxy.replay import Digests  # noqa: PLC0415

    digests = Digests(rules, f"guardproxy {version('guardproxy')}")
    for file in files:
        for entry in entries_of(file):
            digests.see(entry)
    return list(digests.sentences())


@contextmanager
def _opening(folder: Path, store: Path | None, key: Sequence[str]) -> Iterator[Opening]:
    """Yields a function that opens a sealed record, and tells how the paths of the opened record are shown. Without a key,
    it returns each record as it is. Raises `SealError`."""
    if not key:
        yield lambda record: (record, None)
        return
    from guardproxy.audit.sealing import Sealer, open_store  # noqa: PLC0415

    sealer = Sealer(open_store(folder, store, key))

    def open_texts(record: Record) -> tuple[Record, ShownPath | None]:
        if record.sealed is None:
            return record, None
        opened = sealer.open(record)
        return opened.record, opened.shown_path

    try:
        yield open_texts
    finally:
        sealer.close()


def _run(files: Sequence[Path], rules: PolicySet, open_texts: Opening, as_json: bool) -> tuple[dict[str, int], Traffic]:
    """Replays the records and prints the results. Returns the number of each verdict, and the changes by rule. Raises
    `GuardproxyError`."""
    from guardproxy.audit import Closing, Record, entries_of  # noqa: PLC0415
    from guardproxy.errors import SealError  # noqa: PLC0415
    from guardproxy.policydiff import Traffic  # noqa: PLC0415
    from guardproxy.replay import ReplayResult, judged, rerun  # noqa: PLC0415

    counts = {"identical": 0, "different": 0, "cannot be told": 0, "not replayable": 0}
    traffic = Traffic()
    for file in files:
        for record in entries_of(file):
            if not isinstance(record, (Record, Closing)):
                continue
            try:
                opened, shown = open_texts(record) if isinstance(record, Record) else (record, None)
                again = rerun(opened, rules)
                result = judged(opened, again, rules, shown or str)
            except SealError as error:
                again, result = str(error), ReplayResult("not replayable", (str(error),))
            counts[result.verdict] += 1
            if isinstance(again, str) or isinstance(opened, Closing):
                traffic.skip(str(again) + (f": on findings alone {result.verdict}" if result.on_findings else ""))
            else:
                traffic.take(opened, again, shown)
            _print_result(record.id, result, as_json)
    return counts, traffic


def _print_result(name: str, result: ReplayResult, as_json: bool) -> None:
    if as_json:
        row = {"id": name, "verdict": result.verdict, "differences": list(result.differences)}
        row |= {"rescanned": list(result.rescanned), "assumed": list(result.assumed)}
        typer.echo(json.dumps({**row, "on_findings": result.on_findings}))
    elif result.verdict != "identical" or result.on_findings:
        typer.echo(
            f"{name} {result.verdict}{', on findings alone: ' if result.on_findings else ''}{result.on_findings}"
        )
        for difference in result.differences:
            typer.echo(f"    {difference}")
        for policy in result.assumed:
            typer.echo(f"    (`{policy}` is assumed to apply: it reads what records do not hold)")


def _print_groups(traffic: Traffic) -> None:
    """Prints the changes by rule, as a table."""
    rows = [("rule", "action", "it", "exchanges")]
    for group in traffic.groups:
        name = f"{group.policy}: {group.rule}" if group.policy else group.rule
        rows.append((plain(name), plain(group.action), group.way, str(group.count)))
    for line in aligned(rows) if traffic.groups else ():
        typer.echo(line)


def _wrong_use(message: str) -> NoReturn:
    typer.echo(f"guardproxy: {message}", err=True)
    raise typer.Exit(2)
