"""`guardproxy policy diff`: compares policies by their text and on recorded traffic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardproxy.cli.policy.arguments import AllowCode, AsJson
from guardproxy.cli.printing import aligned, fail, is_terminal, progress_console, say, say_json, styled
from guardproxy.errors import GuardproxyError

if TYPE_CHECKING:
    from guardproxy.audit import Closing, Record
    from guardproxy.policydiff import Change, ExcerptPart, Traffic

_WHAT = "A folder of policy files, a file, or the name of a shipped policy."
_STYLES = {"loosens": "bold red", "tightens": "green", "either": "yellow", "neutral": "dim"}
_SIGNS = {"loosens": "LOOSENS ", "tightens": "tightens", "either": "either  ", "neutral": "        "}


def diff(
    old: Annotated[Path, typer.Argument(metavar="A", help=_WHAT)],
    new: Annotated[Path, typer.Argument(metavar="B", help="The policies to compare with A.")],
    log: Annotated[
        Path | None, typer.Option(metavar="LOG", help="A log, or the folder that `serve --audit` wrote.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Also write an HTML page.")] = None,
    examples: Annotated[int, typer.Option(min=0, max=100, help="The number of exchanges to print for each rule.")] = 5,
    as_json: AsJson = False,
    allow_code: AllowCode = False,
) -> None:
    """Report how policies B differ from policies A, and with --log which recorded exchanges would change.

    Policies, rules and items of lists are compared by name; their order is irrelevant. Exit code 0: no differences; 1:
    differences; 2: wrong use.
    """
    from guardproxy.library import read_policies  # noqa: PLC0415
    from guardproxy.policydiff import changes  # noqa: PLC0415

    try:
        change_list = changes(read_policies(old)[0], read_policies(new)[0])
        traffic = _traffic(old, new, log, examples, allow_code) if log else None
    except GuardproxyError as error:
        fail(str(error))
    if report is not None:
        from guardproxy.policydiff import page  # noqa: PLC0415

        try:
            report.write_text(page(str(old), str(new), change_list, traffic), "utf-8")
        except OSError as error:
            fail(f"{report}: {(error.strerror or '').lower()}")
    if as_json:
        say_json(_json(change_list, traffic), 2)
    else:
        _print_changes(change_list)
        if traffic:
            _print_traffic(traffic)
    raise typer.Exit(1 if change_list or (traffic and traffic.counts["different"]) else 0)


def _traffic(old: Path, new: Path, log: Path, examples: int, code: bool) -> Traffic:
    from guardproxy.library import loader  # noqa: PLC0415
    from guardproxy.policydiff import Traffic  # noqa: PLC0415

    files = sorted(log.glob("*.jsonl")) if log.is_dir() else [log]
    if not files or not all(file.is_file() for file in files):
        fail(f"{log}: no log here")
    load = loader(code=code)
    traffic = Traffic(load(old), load(new), examples)
    with progress(sum(file.stat().st_size for file in files)) as advance:
        for file in files:
            for size, record in _records(file):
                if record is not None:
                    traffic.see(record)
                advance(size)
    return traffic


def _records(file: Path) -> Iterator[tuple[int, Record | Closing | None]]:
    """Yields the length of each line in bytes, with its record, or `None` for other lines. Raises `RecordError`."""
    from guardproxy.audit import Closing, Record, read_entry  # noqa: PLC0415

    with file.open("rb") as lines:
        for line in lines:
            entry = read_entry(line)
            yield len(line), entry if isinstance(entry, (Record, Closing)) else None


@contextmanager
def progress(total: int) -> Iterator[Any]:
    """Shows a progress bar on standard error if it is a terminal. Yields the function that advances it."""
    if not is_terminal(err=True):
        yield lambda size: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = ("replaying", BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=progress_console(), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda size: bar.advance(task, size)


def _print_changes(change_list: list[Change]) -> None:
    for change in change_list:
        say(styled((_SIGNS[change.effect], _STYLES[change.effect]), f"  {change!s}"))
    loose = sum(change.effect == "loosens" for change in change_list)
    count = f"{len(change_list)} {'change' if len(change_list) == 1 else 'changes'}"
    say(f"{count}, {loose} of them loosening" if change_list else "the policies are equivalent")


def _print_traffic(traffic: Traffic) -> None:
    from guardproxy.policydiff import COUNTS  # noqa: PLC0415

    say(styled((traffic.headline, "bold")))
    summary = ", ".join(f"{traffic.counts[name]} {name}" for name in COUNTS)
    say(f"{sum(traffic.counts.values())} exchanges: {summary}")
    for reason, count in traffic.reasons.most_common():
        say(styled((f"  {count} not replayable: {reason}", "dim")))
    if not traffic.groups:
        return
    say(*aligned(group_rows(traffic)))
    for group in traffic.groups:
        for example in group.examples:
            head = f"{group.rule} {group.way}: {example.id}, {example.before} -> {example.after}"
            say(styled((head, "bold"), f" {example.where}" if example.where else ""))
            if example.pieces:
                say(styled("    ", *map(_piece, example.pieces)))
    if traffic.rescanned:
        names = ", ".join(sorted(traffic.rescanned))
        say(styled((f"new or changed checks scanned recorded texts with placeholders for values: {names}", "dim")))


def group_rows(traffic: Traffic) -> list[tuple[str, ...]]:
    """Returns the changes by rule, as the rows of a table."""
    rows: list[tuple[str, ...]] = [("rule", "action", "it", "exchanges")]
    for group in traffic.groups:
        name = f"{group.policy}: {group.rule}" if group.policy else group.rule
        rows.append((name, group.action, group.way, str(group.count)))
    return rows


def _piece(piece: ExcerptPart) -> tuple[str, str] | str:
    text = piece.text
    return (f"«{text}»", "bold yellow") if piece.mark else text


def _json(change_list: list[Change], traffic: Traffic | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "same": not change_list and not (traffic and traffic.counts["different"]),
        "changes": [
            {"policy": change.policy, "change": change.words, "effect": change.effect} for change in change_list
        ],
    }
    if traffic is None:
        return document
    groups = [
        {
            "policy": group.policy,
            "rule": group.rule,
            "action": group.action,
            "way": group.way,
            "count": group.count,
            "ids": group.ids,
            "examples": [
                {
                    "id": example.id,
                    "before": example.before,
                    "after": example.after,
                    "where": example.where,
                    "differences": list(example.differences),
                    "text": [{"text": piece.text, "found": piece.mark} for piece in example.pieces],
                }
                for example in group.examples
            ],
        }
        for group in traffic.groups
    ]
    outcomes = [{"before": old, "after": new, "count": count} for (old, new), count in traffic.outcomes.most_common()]
    document |= {"headline": traffic.headline, "effects": dict(traffic.effects)}
    about = {"exchanges": dict(traffic.counts), "not_replayable": dict(traffic.reasons), "outcomes": outcomes}
    return {**document, **about, "rescanned": sorted(traffic.rescanned), "groups": groups}
