"""Tables of what is judged by meaning, for the pages: groundedness, the semantic cache and topics.

In: `grounded.json`, `semantic_cache.json` and `topic.json`. Out: Markdown. Figures have their counts, and a zero its bound,
beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.models.frame.statements import GOALS

Report = Mapping[str, Any]
Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]
SHOWN = 8
"""Examples of each list. The files have more."""


def percent(row: Mapping[str, Any]) -> str:
    """A share with its count, and of a zero the bound."""
    if row["percent"] is None:
        return ""
    shown = f"{row['percent']:g} % ({row['count']:,} of {row['of']:,})"
    return f"{shown}, so below {row['below_percent']:g} %" if "below_percent" in row else shown


def grounded(report: Report, table: Table) -> str:
    """What each candidate finds on the frame, and the area under the curve on both sets."""
    rows = []
    frame, mctest = report["statements"]["frame"], report["statements"].get("MCTest", {})
    for name, found in frame.items():
        if name == "sentences":
            continue
        own = "flagged" in found
        counts = found["flagged" if own else "at 5 %"]
        groups = [percent(counts[group]) for group in ("true", *GOALS)]
        area = f"{mctest[name]['auc']:.3f}" if name in mctest else ""
        rows.append([f"`by: {name}`" if own else name, *groups, f"{found['auc']:.3f}", area])
    return table(["candidate", "true ones flagged", *GOALS, "AUC", "AUC on MCTest"], rows)


def grounded_cost(report: Report, table: Table) -> str:
    """Milliseconds of a sentence."""
    columns = ("first sentence", "further sentence", "further sentence, 99th percentile")
    rows = [[f"`by: {name}`", *(f"{row[at]:.3g} ms" for at in columns)] for name, row in report["ms"].items()]
    return table(["", *columns], rows)


def grounded_kinds(report: Report, table: Table) -> str:
    """What both forms of the check flag, by kind."""
    frame = report["statements"]["frame"]
    names = [name for name, found in frame.items() if name != "sentences" and "flagged" in found]
    kinds = [kind for kind in frame[names[0]]["flagged"] if ": " in kind]
    columns = [(f"`by: {name}`", frame[name]["flagged"]) for name in names]
    rows = [[kind, *(percent(counts[kind]) for _, counts in columns)] for kind in sorted(kinds)]
    return table(["kind", *(name for name, _ in columns)], rows)


def grounded_wrong(report: Report) -> str:
    """Examples of what the check by meaning gets wrong."""
    lists = report["statements"]["frame"]["meaning"]["lists"]
    lines = []
    for name, rows in lists.items():
        shown = "; ".join(f"{row['sentence']!r} ({row['kind']})" for row in rows[:SHOWN])
        lines.append(f"- {name}: {shown or 'none'}\n")
    return "".join(lines)


def likeness(report: Report, table: Table) -> str:
    """Hits of each candidate at each of its points."""
    groups = list(next(iter(report["candidates"]["equal wording"].values()))["hits"])
    rows = [
        [f"{name}, {point}" if point else name, *(percent(found["hits"][group]) for group in groups)]
        for name, points in report["candidates"].items()
        for point, found in points.items()
    ]
    return table(["candidate, point", *groups], rows)


def likeness_cost(report: Report) -> str:
    """Milliseconds of a comparison."""
    shown = [
        f"{name} {row['median']:.2g} ms (99th percentile {row['p99']:.2g})"
        for name, row in report["ms"].items()
        if row["pairs"]
    ]
    return (
        f"To compare two questions of about 30 words that ask the same takes, with nothing remembered: {', '.join(shown)}. Of "
        f"{report['pairs']:,} pairs the network judged {report['the network was asked']['pairs']:,}.\n"
    )


def likeness_kinds(report: Report, table: Table) -> str:
    """Wrong hits of the cache and of a usual threshold, by what differs between the questions."""
    cache, cosine = report["candidates"]["the cache"], report["candidates"].get("MiniLM cosine", {})
    columns = [("the cache, same", cache["same"]), ("the cache, 0.99", cache["0.99"])]
    columns += [(f"MiniLM cosine, {point}", cosine[point]) for point in ("0.8", "0.9") if point in cosine]
    kinds = list(cache["same"]["wrong hits by kind"])
    rows = [[kind, *(percent(found["wrong hits by kind"][kind]) for _, found in columns)] for kind in kinds]
    return table(["what differs", *(name for name, _ in columns)], rows)


def likeness_wrong(report: Report) -> str:
    """Examples of wrong hits and of misses of the cache at its point."""
    lists = report["candidates"]["the cache"]["same"]["lists"]
    lines = []
    for name, rows in lists.items():
        shown = "; ".join(f"{first!r} and {second!r} ({group}, {kind})" for group, kind, first, second in rows[:SHOWN])
        lines.append(f"- {name}: {shown or 'none'}\n")
    return "".join(lines)


def topics(report: Report, table: Table) -> str:
    """What each candidate finds of both sets of topics."""
    columns = ("found at 2 %", "on the topic", "other topics", "near", "traffic")
    rows = [
        [
            name,
            candidate,
            f"{found['mean auc']:.3f}",
            *(percent(found["all"][at]) if at in found["all"] else "" for at in columns),
        ]
        for name, candidates in report["sets"].items()
        for candidate, found in candidates.items()
    ]
    head = ("topics", "candidate", "mean AUC", "found at 2 % of other topics", "own threshold: found")
    return table([*head, "other topics", "texts that share words", "traffic"], rows)
