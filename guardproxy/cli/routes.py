"""`guardproxy route report`: what a candidate would do better or worse, and what it would cost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardproxy.cli.printing import Commands, aligned, fail, say, say_json
from guardproxy.errors import ConfigError, QueryError

if TYPE_CHECKING:
    from guardproxy.audit import Better
    from guardproxy.reading import CandidateResults

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Compare models on your own traffic before a route changes.")


@app.callback()
def _group() -> None:
    """Keeps `report` a subcommand while there is one alone."""


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of an audit log.")],
    first: Annotated[str | None, typer.Option("--from", help="The first day, like 2026-11-01.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="The last day.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how often a candidate answered better, equally well or worse than the model that clients got, and what it costs.

    A policy names the candidate (`judge: {candidate: {upstream, model}}`): it gets a sample of the requests after the
    client has its answer, and the judge compares both answers twice, without knowing whose they are. Intervals have a
    confidence of 95 %.
    """
    from guardproxy.reading import candidate_results, read_period  # noqa: PLC0415 - loads much, only now

    unread: Counter[str] = Counter()
    try:
        results = candidate_results(folder, read_period(first, last), unread)
    except (ConfigError, QueryError, OSError) as error:
        fail(error)
    for reason, count in sorted(unread.items()):
        say(f"left out: {count:,} lines ({reason})", err=True)
    if as_json:
        say_json([_document(each) for each in results], 2)
    for number, each in enumerate(() if as_json else results):
        say(*([""] if number else []), *_lines(each))
    if not results and not as_json:
        say("no comparison: a policy names a candidate with `judge: {candidate: {upstream: NAME, model: NAME}}`")


def _lines(results: CandidateResults) -> list[str]:
    rows = [["", "answers", "share", "95 % interval"]]
    for words, kinds in _ROWS:
        share = results.share(*kinds)
        count = sum(results.better[kind] for kind in kinds)
        rows.append([words, f"{count:,}", f"{share.value:.1%}", f"{share.low:.1%}-{share.high:.1%}"])
    lines = [
        f"{results.model} by the judge of the policy `{results.policy}`: {results.total:,} comparisons",
        *aligned(rows),
    ]
    if results.turned:
        lines.append(
            f"{results.turned:,} of the equal ones are answers of which the judge preferred the place, not the text"
        )
    if (cost := results.cost_ratio()) is not None:
        spent = sum(pair[0] for pair in results.costs)
        lines.append(
            f"cost: {cost.value:.2f} for each 1.00 spent, {cost.low:.2f} to {cost.high:.2f} "
            f"({len(results.costs):,} requests with both costs, {spent:,.4f} spent)"
        )
    else:
        lines.append("cost: not known; prices of both models are needed (docs/operations/limits.md)")
    lines += [f"not compared: {count:,} ({reason})" for reason, count in sorted(results.failures.items())]
    return lines


_ROWS: tuple[tuple[str, tuple[Better, ...]], ...] = (
    ("better", ("candidate",)),
    ("equal", ("equal",)),
    ("worse", ("answer",)),
    ("not worse", ("candidate", "equal")),
)


def _document(results: CandidateResults) -> dict[str, object]:
    shares = {words: results.share(*kinds) for words, kinds in _ROWS}
    cost = results.cost_ratio()
    return {
        "policy": results.policy,
        "model": results.model,
        "comparisons": results.total,
        **{words: [round(each.value, 4), round(each.low, 4), round(each.high, 4)] for words, each in shares.items()},
        "order decided": results.turned,
        "cost ratio": cost and [round(cost.value, 4), round(cost.low, 4), round(cost.high, 4)],
        "failures": dict(results.failures),
    }
