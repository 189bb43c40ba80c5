"""`guardproxy replay`: replays recorded exchanges under the same or other policies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardproxy.cli.engine_arguments import EngineName, Workers, engine_of
from guardproxy.cli.policy.arguments import AllowCode
from guardproxy.cli.policy.diff import group_rows
from guardproxy.cli.printing import aligned, fail, say, say_json, styled
from guardproxy.errors import ConfigError, GuardproxyError

if TYPE_CHECKING:
    from guardproxy.batch import SealedTexts
    from guardproxy.engine import AnyPath
    from guardproxy.policy import PolicySet
    from guardproxy.policydiff import Traffic
    from guardproxy.replay import ReplayResult


def replay(
    log: Annotated[
        str,
        typer.Argument(
            metavar="LOG",
            help="A log file, the folder that `serve --audit` wrote, or the URL of a copy in an object store: s3://, gs://, az://.",
        ),
    ],
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
    engine: EngineName = "local",
    workers: Workers = 0,
) -> None:
    """Replay recorded exchanges and list the differences, for each exchange and by rule.

    The findings of an unchanged check come from the record. A new or changed check scans the recorded text, in which
    placeholders replace sensitive values. A placeholder counts as a finding if the check looks for the same entities;
    otherwise the result "cannot be told". Where a record keeps no texts, its findings are judged again. With --key,
    sealed texts are opened in memory, and none is printed. Exit code 0: no difference; 1: differences, or results that
    cannot be told; 2: wrong use.
    """
    from guardproxy.batch import LogReplay, ReplayWork, SharedPolicies  # noqa: PLC0415
    from guardproxy.engine import files_at, parts_of, path_at  # noqa: PLC0415

    try:
        place = path_at(log)
        files = files_at(place, "*.jsonl")
        if not files:
            fail(f"{log}: no log here")
        parts = list(parts_of((file, file.stat().st_size) for file in files))
        shared = SharedPolicies(policies, allow_code)
        work = ReplayWork(shared, _sealed(place, store, key or ()), all_rows=as_json)
        loaded = shared.load()
        run = LogReplay(work, parts, engine_of(engine, workers, "replaying"))
        remarks = run.remarks()
        for remark in remarks:
            say(remark, err=as_json)
        rows = run.rows()
        if not as_json:  # all results are needed to say first what matters
            rows = iter(list(rows))
            say(_under(loaded), styled((run.traffic.headline, "bold")))
        for name, result in rows:
            _print_result(name, result, as_json)
        if report is not None:
            from guardproxy.policydiff import replay_page  # noqa: PLC0415

            title = f"Replay of {log} under {policies or 'the default policies'}"
            report.write_text(replay_page(title, remarks, run.traffic), "utf-8")
    except GuardproxyError as error:
        fail(str(error))
    except BrokenPipeError:  # whoever read the rows has gone
        raise
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    counts = run.counts
    if not as_json:
        for reason, count in run.traffic.reasons.most_common():
            say(f"{count} not replayable: {reason}")
        _print_groups(run.traffic)
        say(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    raise typer.Exit(1 if counts["different"] or counts["cannot be told"] else 0)


def _under(policies: PolicySet) -> str:
    """Returns the policies of the replay in words, with their rules and their digest."""
    named = (f"{policy.name} ({', '.join(rule.id for rule in policy.rules)})" for policy in policies.policies)
    return f"replayed under {', '.join(named)}: {policies.digest}"


def _sealed(log: AnyPath, store: Path | None, keys: Sequence[str]) -> SealedTexts | None:
    """Returns how sealed texts are opened; `None` without a key. Raises `ConfigError`."""
    from guardproxy.batch import SealedTexts  # noqa: PLC0415

    if not keys:
        return None
    if isinstance(log, Path):
        return SealedTexts(log if log.is_dir() else log.parent, store, tuple(keys))
    if store is None:
        raise ConfigError("a key store is a local file: name it with --store")
    return SealedTexts(store.parent, store, tuple(keys))


def _print_result(name: str, result: ReplayResult, as_json: bool) -> None:
    if as_json:
        row = {"id": name, "verdict": result.verdict, "differences": list(result.differences)}
        row |= {"rescanned": list(result.rescanned), "assumed": list(result.assumed)}
        say_json({**row, "on_findings": result.on_findings})
    else:
        say(f"{name} {result.verdict}{', on findings alone: ' if result.on_findings else ''}{result.on_findings}")
        for difference in result.differences:
            say(f"    {difference}")
        for policy in result.assumed:
            say(f"    (`{policy}` is assumed to apply: it reads what records do not hold)")


def _print_groups(traffic: Traffic) -> None:
    """Prints the changes by rule, as a table."""
    if traffic.groups:
        say(*aligned(group_rows(traffic)))
