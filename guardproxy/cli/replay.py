"""`guardproxy replay`: replays recorded exchanges under the same or other policies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardproxy.cli.policy.arguments import AllowCode
from guardproxy.errors import GuardproxyError

if TYPE_CHECKING:
    from guardproxy.audit import AnyEntry, Closing, Record
    from guardproxy.replay import ReplayResult

    Opening = Callable[[Record], Record]


def replay(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="A log file, or the folder that `serve --audit` wrote.")],
    policies: Annotated[
        Path | None, typer.Option(help="A folder of policies, or the name of a shipped policy such as `strict`.")
    ] = None,
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
    """Replay recorded exchanges and list the differences.

    The findings of an unchanged check come from the record. A new or changed check scans the recorded text, in which
    placeholders replace sensitive values. A placeholder counts as a finding if the check looks for the same entities;
    otherwise the result "cannot be told". With --key, sealed texts are opened in memory, and none is printed. Exit
    code 0: no difference; 1: differences, or results that cannot be told; 2: wrong use.
    """
    from guardproxy.audit import Closing, Record, entries_of  # noqa: PLC0415
    from guardproxy.library import load  # noqa: PLC0415
    from guardproxy.replay import replay as run  # noqa: PLC0415

    files = sorted(log.glob("*.jsonl")) if log.is_dir() else [log]
    if not files or not all(file.is_file() for file in files):
        typer.echo(f"guardproxy: {log}: no log here", err=True)
        raise typer.Exit(2)
    try:
        open_texts = _opening(log if log.is_dir() else log.parent, store, key or ())
        rules = load(policies, code=allow_code)
    except GuardproxyError as error:
        typer.echo(f"guardproxy: {error}", err=True)
        raise typer.Exit(2) from None
    counts = {"identical": 0, "different": 0, "cannot be told": 0, "not replayable": 0}
    for file in files:
        for record in _read(entries_of(file)):
            if not isinstance(record, (Record, Closing)):
                continue
            result = _result(record, open_texts, partial(run, policies=rules))
            counts[result.verdict] += 1
            if as_json:
                row = {"id": record.id, "verdict": result.verdict, "differences": list(result.differences)}
                typer.echo(json.dumps({**row, "rescanned": list(result.rescanned), "assumed": list(result.assumed)}))
            elif result.verdict != "identical":
                typer.echo(f"{record.id} {result.verdict}")
                for difference in result.differences:
                    typer.echo(f"    {difference}")
                for policy in result.assumed:
                    typer.echo(f"    (`{policy}` is assumed to apply: it reads headers, which records do not hold)")
    if not as_json:
        typer.echo(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    raise typer.Exit(1 if counts["different"] or counts["cannot be told"] else 0)


def _opening(folder: Path, store: Path | None, key: Sequence[str]) -> Opening:
    """Returns a function that opens sealed records; without a key, it returns them as they are. Raises `SealError`."""
    if not key:
        return lambda record: record
    from guardproxy.audit.sealing import Sealer, open_store  # noqa: PLC0415

    sealer = Sealer(open_store(folder, store, key))
    return lambda record: sealer.open(record).record if record.sealed else record


def _result(
    record: Record | Closing, open_texts: Opening, run: Callable[[Record | Closing], ReplayResult]
) -> ReplayResult:
    from guardproxy.audit import Closing  # noqa: PLC0415
    from guardproxy.errors import SealError  # noqa: PLC0415
    from guardproxy.replay import ReplayResult  # noqa: PLC0415

    try:
        return run(record if isinstance(record, Closing) else open_texts(record))
    except SealError as error:
        return ReplayResult("not replayable", (str(error),))


def _read(entries: Iterator[AnyEntry]) -> Iterator[AnyEntry]:
    """Yields the entries. Ends the command at an unreadable entry."""
    try:
        yield from entries
    except GuardproxyError as error:
        typer.echo(f"guardproxy: {error}", err=True)
        raise typer.Exit(2) from None
