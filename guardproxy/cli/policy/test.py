"""`guardproxy policy test`: runs the `tests:` of policy files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardproxy.cli.policy.arguments import AllowCode, AsJson, Folders, Limits, Prices, refuse_costs_without_prices
from guardproxy.cli.printing import contrast_lines, fail, say, say_json, styled
from guardproxy.errors import PolicyError

if TYPE_CHECKING:
    from rich.text import Text

    from guardproxy.policy.values import Policy
    from guardproxy.policytest import CaseResult, ExampleNearLine, Mismatch


def run(
    folders: Folders,
    only: Annotated[str, typer.Option(metavar="GLOB", help="Only tests whose name, or `policy: name`, matches.")] = "*",
    show_untested: Annotated[
        bool, typer.Option("--untested", help="List rules that hold in no test. Exit 1 if there are any.")
    ] = False,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="Skip tests that need the model; it is not loaded.")
    ] = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the results as JUnit XML.")] = None,
    judge: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ask the judges of the policies about labelled cases, instead of the tests."),
    ] = None,
    upstream: Annotated[
        list[str], typer.Option(metavar="NAME=URL", help="With --judge: the upstream of a judge.")
    ] = [],  # noqa: B006 - typer copies it
    kappa: Annotated[float, typer.Option(help="With --judge: exit 1 if the kappa of a judge is lower.")] = 0.6,
    prices: Prices = "none",
    limits: Limits = None,
    as_json: AsJson = False,
    allow_code: AllowCode = False,
) -> None:
    """Run the `tests:` of every policy file, each against its own policy alone. Needs no network.

    An answer is played whole, streamed, and streamed in random pieces; all must give the same result. Checks that use
    a service (`http`) are left out, and tests that need them are skipped. Examples of topics that lie near the line
    between found and not found are shown; they are no failures. Exit code 0: all tests passed; 1: a test
    failed; 2: wrong use.

    With --judge, each line of FILE is a labelled case: `request` (or `messages`), `answer` and `good`. Keys of upstreams
    come from GUARDPROXY_UPSTREAM_KEY. Prints how the scores agree with the labels.
    """
    from guardproxy.policytest import junit as as_junit  # noqa: PLC0415
    from guardproxy.policytest import untested  # noqa: PLC0415

    if judge is not None:
        from guardproxy.cli.policy.judging import run_judges  # noqa: PLC0415

        raise typer.Exit(run_judges(folders, judge, upstream, kappa, as_json=as_json))
    if show_untested and (only != "*" or no_model):
        fail("--untested covers all tests; leave --only and --no-model out")
    results: list[CaseResult] = []
    policies: list[Policy] = []
    near: list[ExampleNearLine] = []
    for result in _results(folders, only, policies, near, prices, limits, with_model=not no_model, code=allow_code):
        results.append(result)
        if not as_json:
            say(*_lines(result))
    if not results and only != "*":
        fail(f"no test has a name that matches `{only}`")
    missed = untested(policies, results) if show_untested else []
    failed, skipped = (
        sum(bool(result.mismatches) for result in results),
        sum(bool(result.skipped) for result in results),
    )
    if junit is not None:
        try:
            junit.write_bytes(as_junit(results))
        except OSError as error:
            fail(f"{junit}: {(error.strerror or '').lower()}")
    if as_json:
        say_json(_json(results, missed, near, show_untested), 2)
    else:
        for example in near:
            say(styled(("near", "yellow"), f" {example.policy}: {example.check}: {example}"))
        for policy, rule in missed:
            say(styled(("none", "yellow"), f" {policy.name}: `{rule}` holds in no test"))
        summary = f"{len(results) - failed - skipped} passed, {failed} failed" + (
            f", {skipped} skipped" if skipped else ""
        )
        say(styled((summary, "red" if failed else "green")))
    raise typer.Exit(1 if failed or missed else 0)


def _results(
    folders: list[Path],
    only: str,
    policies: list[Policy],
    near: list[ExampleNearLine],
    prices: str,
    limits: Path | None,
    *,
    with_model: bool,
    code: bool,
) -> Iterator[CaseResult]:
    from guardproxy.library import ASKING, DISTANT, JUDGES, TOPICS, all_but, folder_of, loader  # noqa: PLC0415
    from guardproxy.policy.file import Files  # noqa: PLC0415
    from guardproxy.policytest import near_line, run_tests  # noqa: PLC0415

    left_out = DISTANT if with_model else (*DISTANT, *JUDGES, *TOPICS)
    unbuilt = [use for use in left_out if use not in ASKING]  # a test may say what a model elsewhere answers
    load = loader(selection=all_but(unbuilt), code=code)
    try:
        sets = [(load(folder), Files(folder_of(folder)).read) for folder in folders]
        for loaded, _ in sets:
            refuse_costs_without_prices(loaded, prices, limits)
    except PolicyError as error:
        say(*str(error).split("\n"), err=True)
        raise typer.Exit(2) from None
    for loaded, read in sets:
        policies += loaded.policies
        near += near_line(loaded)
        yield from run_tests(loaded, read, time.perf_counter, only, left_out=left_out)


def _lines(result: CaseResult) -> Iterator[Text]:
    if result.skipped:
        yield styled(("skip", "yellow"), f" {result.name}: {result.skipped}")
        return
    yield styled(
        ("FAIL" if result.mismatches else "ok  ", "bold red" if result.mismatches else "green"),
        f" {result.name}",
    )
    if result.mismatches:
        place = result.test.place
        yield styled((f"       {result.policy.source}:{place.line}:{place.column}", "dim"))
    for mismatch in result.mismatches:
        yield from (styled("       ", line) for line in _mismatch(mismatch))


def _mismatch(mismatch: Mismatch) -> Iterator[Text]:
    from guardproxy.policytest import contrast  # noqa: PLC0415

    yield styled(mismatch.message)
    if mismatch.wanted is not None and mismatch.got is not None:
        wanted, got = contrast(mismatch.wanted, mismatch.got)
        yield from contrast_lines("-", wanted, "green")
        yield from contrast_lines("+", got, "red")
    elif mismatch.got is not None:
        yield from (styled(("| ", "dim"), line) for line in mismatch.got.splitlines())


def _json(
    results: list[CaseResult], missed: list[tuple[Policy, str]], near: list[ExampleNearLine], with_missed: bool
) -> dict[str, Any]:
    tests = [
        {
            "policy": result.policy.name,
            "test": result.test.name,
            "file": result.policy.source,
            "line": result.test.place.line,
            "seconds": round(result.seconds, 4),
            "plays": result.plays,
            "skipped": result.skipped,
            "rules": sorted(result.rules),
            "faults": [
                {"message": mismatch.message, "expected": mismatch.wanted, "got": mismatch.got}
                for mismatch in result.mismatches
            ],
        }
        for result in results
    ]
    document: dict[str, Any] = {"ok": not any(result.mismatches for result in results) and not missed, "tests": tests}
    if near:
        document["near"] = [asdict(example) for example in near]
    if with_missed:
        document["untested"] = [{"policy": policy.name, "rule": rule} for policy, rule in missed]
    return document
