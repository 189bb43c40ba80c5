"""`guardproxy drift`: says whether the traffic of a period differs from a baseline."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardproxy.cli.audit.arguments import Folder
from guardproxy.cli.printing import aligned, fail, say, say_json
from guardproxy.errors import AuditError

if TYPE_CHECKING:
    from guardproxy.reading import Shift

_SHOWN = 20


def drift(
    folder: Folder,
    first: Annotated[
        str | None, typer.Option("--from", metavar="WHEN", help="The first day or hour to compare.")
    ] = None,
    last: Annotated[
        str | None,
        typer.Option("--to", metavar="WHEN", help="The last day to compare, or the hour before which it ends."),
    ] = None,
    baseline_from: Annotated[
        str | None, typer.Option(metavar="WHEN", help="The first day or hour of the baseline.")
    ] = None,
    baseline_to: Annotated[
        str | None, typer.Option(metavar="WHEN", help="The last day of the baseline, or its end.")
    ] = None,
    baseline: Annotated[Path | None, typer.Option(metavar="FILE", help="Compare with a baseline from --save.")] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the chosen days as a baseline; compare nothing.")
    ] = None,
    page: Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Also write an HTML page.")] = None,
    metrics: Annotated[
        Path | None, typer.Option(metavar="FILE.prom", help="Also write metrics for Prometheus' textfile collector.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each measure.")] = False,
) -> None:
    """Compare the traffic in the log of the last days with that of the days before.

    Measures: the shares of blocked, redacted and unread exchanges, of each rule and of each kind of finding; the scores
    of findings; lengths; the time to the first byte; routes, models and languages. Without options, the last day of the
    log is compared with all days before it. Days, and hours such as 2026-01-31T12:00, are in UTC. Exit code 0: stable; 1:
    something shifted; 2: wrong use.
    """
    from guardproxy.audit.shipping import confirmed_entries  # noqa: PLC0415
    from guardproxy.reading import (  # noqa: PLC0415
        HourlySamples,
        baseline_hours,
        drift_metrics,
        drift_page,
        judged_hours,
        read_sample,
        shifts,
        verdict_of,
        write_sample,
    )

    if baseline is not None and (baseline_from or baseline_to):
        fail("give either --baseline or the days of a baseline")

    try:
        samples, unread = HourlySamples(), Counter[str]()
        for logged in confirmed_entries(folder, unread):
            samples.see(logged.entry)
        hours = sorted(samples.hours)
        now = judged_hours(hours, first, last)
        current = samples.within(now)
        if save is not None:
            save.write_bytes(write_sample(current))
            say(f"{save}: {current.exchanges} exchanges of {now}")
            raise typer.Exit
        if baseline is not None:
            before, than = read_sample(baseline.read_bytes()), f"the baseline in {baseline.name}"
        else:
            earlier = baseline_hours(hours, now, baseline_from, baseline_to)
            before, than = samples.within(earlier), str(earlier)
        found = shifts(before, current)
        about = f"{now} against {than}"
        if metrics is not None:
            metrics.with_name(f"{metrics.name}.new").write_text(drift_metrics(found), "utf-8")
            metrics.with_name(f"{metrics.name}.new").replace(metrics)  # the collector never reads half a file
        if page is not None:
            page.write_text(drift_page(str(folder), about, before, found, samples.days), "utf-8")
    except AuditError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror}")
    if as_json:
        for shift in found:
            say_json(_row(shift))
    else:
        say(f"{about}: {verdict_of(found)}")
        _print([shift for shift in found if shift.is_shifted])
    for problem, count in unread.items():
        say(f"{count} lines could not be read: {problem}", err=True)
    raise typer.Exit(int(any(shift.is_shifted for shift in found)))


def _row(shift: Shift) -> dict[str, Any]:
    # A PSI by chance of infinity, where nothing can be told, is `null` in JSON.
    limit = round(shift.chance, 6) if math.isfinite(shift.chance) else None
    numbers = {"psi": round(shift.psi, 6), "chance": limit, "ks": shift.ks and round(shift.ks, 6)}
    words = {"before": shift.before, "after": shift.after, "counts": shift.counts}
    return {"measure": shift.measure, "verdict": shift.verdict, **numbers, **words}


def _print(shifted: Sequence[Shift]) -> None:
    if not shifted:
        return
    rows: list[tuple[str, ...]] = [("measure", "shift", "PSI", "KS", "before", "now")]
    for shift in shifted[:_SHOWN]:
        ks = "" if shift.ks is None else f"{shift.ks:.2f}"
        rows.append((shift.measure, shift.verdict, f"{shift.psi:.2f}", ks, shift.before, shift.after))
    say(*aligned(rows))
    if len(shifted) > _SHOWN:
        say(f"and {len(shifted) - _SHOWN} more; --report and --json have all of them")
