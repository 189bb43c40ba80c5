"""`guardproxy model distil`: makes a small classifier of labels in an audit log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from guardproxy.cli.printing import aligned, fail, say, say_json
from guardproxy.errors import ConfigError

if TYPE_CHECKING:
    from collections import Counter

    from guardproxy.lab import DistilReport

_MILLION = 1_000_000


def distil(
    log: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A log: the folder that `serve --audit` wrote. Or a file of `guardproxy audit export --reviews`.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The model folder to write; it must not exist.")],
    check: Annotated[str, typer.Option(help="Labels: what this check found, such as one with `use: llm`.")] = "",
    judge: Annotated[
        bool, typer.Option("--judge", help="Labels: answers that a judge scored below `--least`.")
    ] = False,
    feedback: Annotated[
        bool, typer.Option("--feedback", help="Labels: answers with thumbs down, or a score below 0.5.")
    ] = False,
    policy: Annotated[str, typer.Option(help="With --judge: the policy of the judge, if there are several.")] = "",
    least: Annotated[
        int | None,
        typer.Option(help="With --judge: the lowest score of a good answer. Default: one below the highest."),
    ] = None,
    by: Annotated[
        Literal["conversation", "tenant"], typer.Option(help="What is held out as a whole to measure.")
    ] = "conversation",
    label: Annotated[str, typer.Option(help="The label of the classifier. Default: the name of the folder.")] = "",
    vectors: Annotated[str, typer.Option(help="The model of vectors that it stands on.")] = "embedding",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a small classifier of labels in the log, for a policy to use in place of a large model.

    A large model (`use: llm`), a judge, or people have said of some hundred texts what is wrong with them. This command
    fits a head on the vectors and words of these texts, and writes a model folder. Put it where the proxy finds models
    (`--models`), and write `use: supervisor, model: NAME, label: LABEL` in the place of the check that asked. It costs no
    call and less than a millisecond.

    Three in ten conversations (or tenants) are held out: nothing is fitted to them, and the figures are about them. Read
    them as agreement with the labels, not as truth: where the large model errs, so does this one. Keep the large model for
    a sample (`sample: 5 %`), and compare again when your traffic changes.

    The log must keep texts: `audit: {keep: redacted}`. Values are placeholders there, so nothing is learned from names and
    numbers. Sealed texts are not read. About 90 texts with each label are needed, from 10 conversations; with fewer, nothing is
    written and the command says what is missing.

    Exit code 0: done; 1: too few labels; 2: wrong use.
    """
    from guardproxy.inference import find  # noqa: PLC0415
    from guardproxy.lab import distil as run  # noqa: PLC0415
    from guardproxy.lab import labelled_log  # noqa: PLC0415

    if log.is_file() and any((check, judge, feedback)):
        fail("a file has its labels in it; leave out --check, --judge and --feedback")
    if not log.is_file() and sum(map(bool, (check, judge, feedback))) != 1:
        fail("give one of --check NAME, --judge and --feedback")
    try:
        embedding = find(vectors)
        if out.exists():
            raise ConfigError(f"{out} exists already; choose another folder")
        labelled = labelled_log(log, check, is_judge=judge, policy=policy, least=least, by=by)
    except ConfigError as error:
        fail(error)
    for line in _left_out(labelled.left_out):
        say(line, err=True)
    try:
        report = run(labelled.texts, label or out.name, embedding, out)
    except ConfigError as error:
        fail(error, 1)
    if as_json:
        say_json({"folder": str(out), "left_out": dict(labelled.left_out), **report.as_json()}, 2)
    else:
        say(*_lines(report, out.name, by))
    for note in report.notes:
        say(f"note: {note}", err=True)
    say(f"wrote {out}", err=True)


def _left_out(counts: Counter[str]) -> Iterator[str]:
    for reason, count in counts.most_common():
        if count:
            yield f"left out: {count:,} because {reason}"


def _lines(report: DistilReport, name: str, by: str) -> Iterator[Any]:
    from guardproxy.lab import interval  # noqa: PLC0415

    fitted, held_out = report.fitted, report.held_out
    yield f"{report.label}: fitted to {fitted[0]:,} texts, {fitted[1]:,} of them found by the labels"
    groups, apart = report.groups
    yield f"measured on {held_out[0]:,} texts ({held_out[1]:,} found) of {apart:,} {by}s, held out of {groups:,}"
    agreement = report.agreement
    kappa = agreement.kappa
    rows = [
        ["verdicts as the labels", interval(agreement.agreed)],
        ["kappa, beyond chance", f"{kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f})"],
        ["found, of what the labels find", interval(agreement.found)],
        ["found, of the other texts", interval(agreement.wrongly)],
        ["right, of what is found", interval(agreement.right)],
        ["area under the curve", f"{agreement.auc:.3f}"],
    ]
    yield from aligned(rows)
    if report.cost is not None:
        each = report.cost / _MILLION
        yield f"saves {1000 * each:.4g} (in the unit of prices) for 1,000 texts, by {report.priced:,} verdicts with a price"
    else:
        yield "the log has no price for these labels, so what the classifier saves is not known"
    if report.ms is not None:
        yield f"a verdict took {report.ms:,.0f} ms on average"
    yield f"thresholds: {', '.join(f'{point} at {score:g}' for point, score in report.points.items())}"
    yield "for a policy:"
    yield f"  {report.label}: {{use: supervisor, model: {name}, label: {report.label}}}"
