"""The tables of pages that come from files of benchmarks; `make pages` writes them.

In: the files of `benchmarks/results` that `parts` names. Out: the lines between `<!-- generated: NAME -->` and `<!-- end -->`.
A test compares the pages with the files, so no figure can be older than its file.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks import meaning_tables
from benchmarks.processes import ROOT

RESULTS = ROOT / "benchmarks" / "results"
Row = Mapping[str, float]
OVERHEAD: Mapping[str, Callable[[Row], str]] = {
    "added at p50, p99": lambda row: _some(
        row["added_p50_ms_at_1"], f"{_ms(row['added_p50_ms_at_1'])}, {_ms(row['added_p99_ms_at_1'])} ms"
    ),
    "added to the first text": lambda row: _some(
        row["added_first_text_p50_ms"], f"{_ms(row['added_first_text_p50_ms'])} ms"
    ),
    "added to a turn of an agent": lambda row: _some(row["added_agent_p50_ms"], f"{_ms(row['added_agent_p50_ms'])} ms"),
    "p99 added between tokens": lambda row: _some(
        row["chunks_per_s_at_100"], f"{max(0.0, row['added_gap_p99_ms_at_100']):.1f} ms"
    ),
    "requests/s, 32 connections (of the pass-through)": lambda row: (
        f"{row['requests_per_s_at_32']:,.0f} ({row['ratio']:.2f})"
    ),
    "p99 there": lambda row: f"{row['p99_ms_at_32']:.0f} ms",
    "processor time of a request": lambda row: f"{_ms(row['processor_us_at_32'] / 1000)} ms",
    "chunks/s, 100 streams": lambda row: _some(row["chunks_per_s_at_100"], f"{row['chunks_per_s_at_100']:,.0f}"),
    "memory, 500 open streams": lambda row: _some(row["rss_500_streams_mib"], f"{row['rss_500_streams_mib']:.0f} MiB"),
}
SHORT = tuple(
    name for name in OVERHEAD if name not in ("p99 added between tokens", "p99 there", "processor time of a request")
)
SHORT_ROWS = (
    *("guardproxy, no rules", "guardproxy, pii-only policy", "guardproxy, default policy"),
    *("aiohttp pass-through", "LiteLLM", "LiteLLM with Presidio", "Portkey gateway"),
)


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"


def _some(value: float, shown: str) -> str:
    """Nothing for what was not measured."""
    return shown if value else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines).replace("|  |", "| |").replace("  |", " |")


def overhead(report: Mapping[str, Any], columns: Sequence[str], names: Sequence[str] = ()) -> str:
    """What each proxy adds: those that are named, or all. The model itself has no row."""
    ratios = {name: row["requests_per_s_at_32"] for name, row in report["relative_to_pass_through"].items()}
    measured = {name: {**row, "ratio": ratios[name]} for name, row in report["summary"].items() if name != "direct"}
    rows = {name: measured[name] for name in names or measured if name in measured}
    return table(["", *columns], [[name, *(OVERHEAD[column](row) for column in columns)] for name, row in rows.items()])


def sizing(report: Sequence[Mapping[str, Any]]) -> str:
    """What `guardproxy bench --json` measured: a line a policy."""
    rows = [
        [
            "no rules" if row["policy"] == "none" else f"`{row['policy']}`",
            *(f"{_ms(added['p50_ms'])}" for added in (*row["prompts"].values(), row["turn"], row["first_text"])),
            f"{row['requests_s']:,.0f}",
            f"{row['streams']:,.0f}",
            f"{row['memory_mib']:,.0f}",
        ]
        for row in report
    ]
    words = [f"{int(count):,} words" for count in report[0]["prompts"]]
    return table(["policy", *words, "agent turn", "first text", "requests/s", "streams", "MiB"], rows)


def memory(report: Mapping[str, Any]) -> str:
    """The memory of our process at rest and with open streams; policies that were not measured have no row."""
    rows = [
        [name.removeprefix("guardproxy, "), *(f"{row[key]:.0f} MiB" for key in ("rss_idle_mib", "rss_500_streams_mib"))]
        for name, row in report["summary"].items()
        if name.startswith("guardproxy") and row["rss_500_streams_mib"]
    ]
    return table(["one worker", "at rest", "with 500 open streams"], rows)


def console_index(report: Mapping[str, Any]) -> str:
    """What pages of the console cost, over a large index."""
    rows = [
        [name.removeprefix("page: "), *(f"{_ms(row[key])} ms" for key in ("median", "slowest", "processor"))]
        for name, row in report["ms"].items()
    ]
    return table(["a page of 50 rows", "median", "slowest of seven", "processor time"], rows)


def notes(report: Mapping[str, Any]) -> str:
    """Versions, remarks, and what is left out."""
    versions = ", ".join(f"{name} {version}" for name, version in report.get("versions", {}).items())
    lines = [f"Versions: {versions}."] if versions else []
    lines += [f"{name}: {remark}." for name, remark in report.get("remarks", {}).items()]
    lines += [f"Left out: {name}: {reason}." for name, reason in report["left_out"].items()]
    return "".join(f"- {line}\n" for line in lines)


def scan(report: Mapping[str, Any]) -> str:
    """What a scan costs and finds."""
    rows = []
    for task, sizes in report["median_us"].items():
        kinds = report["objected"][task]
        for name in next(iter(sizes.values())):
            found = statistics.mean(row[name] for kind, row in kinds.items() if kind != "harmless")
            costs = [f"{_ms(values[name] / 1000)} ms" for values in sizes.values()]
            rows.append([task, name, *costs, f"{found:.0%}", f"{kinds['harmless'][name]:.1%}"])
    words = [f"{int(size):,} words" for size in next(iter(report["median_us"].values()))]
    return table(["task", "library", *words, "found", "false alarms"], rows)


def libraries(report: Mapping[str, Any]) -> str:
    """Versions of the libraries, what is switched off in them, and those that are left out."""
    lines = [
        f"{name} {about['version']}, without {'; '.join(about['switched_off'])}."
        for name, about in report["peers"].items()
    ]
    lines += [f"Left out: {name}: {reason}." for name, reason in report["left_out"].items()]
    return "".join(f"- {line}\n" for line in lines)


def workers(report: Mapping[str, Any]) -> str:
    """What several workers answer; nothing if it was not measured."""
    row = report.get("workers")
    if row is None:
        return ""
    columns = ("requests_per_s", "possible_per_s", "worker_us", "others_us", "shares")
    lines = [
        [
            str(size),
            *(f"{row[name][at]:,.0f}" for name in columns[:2]),
            *(f"{row[name][at]:,.0f} us" for name in columns[2:4]),
            ", ".join(f"{share:.0%}" for share in row["shares"][at]),
        ]
        for at, size in enumerate(row["sizes"])
    ]
    head = ("workers", "requests/s", "possible", "a request in a worker", "in client and model", "share of each worker")
    return table(head, lines)


def agents(report: Mapping[str, Any]) -> str:
    """What each guard does with the scenes that policies were not tuned on. A zero has its bound beside it."""
    half = report["measured"][report["about"]["figures_to_report"]]
    names = {
        "mcp": "in front of the tools",
        "mcp without sessions": "in front of tools without sessions",
        "llm": "in front of the model",
    }
    measures = ("attacks_reached", "honest_done", "honest_done_unasked")
    rows = [
        [guard, names[door], *(_percent(row[measure]) for measure in measures)]
        for guard, doors in half.items()
        for door, row in doors.items()
    ]
    head = ("guard", "where", "attacks that reach a call", "honest tasks done", "done without asking the user")
    return table(head, rows)


def _percent(row: Mapping[str, Any]) -> str:
    shown = f"{row['percent']:.0f} % ({row['count']} of {row['of']})"
    return f"{shown}, so below {row['below_percent']:.0f} %" if "below_percent" in row else shown


def small_cost(report: Mapping[str, Any]) -> str:
    """What each of the small checks costs, and how much of a stream it holds."""
    rows = [
        [name, f"{row['whole']:,.0f}", f"{row['stream']:,.0f}", f"{row['held_median']:,.0f}, {row['held_most']:,.0f}"]
        for name, row in report["cost"].items()
    ]
    return table(["check", "whole, us per KB", "stream, us per KB", "held characters: median, most"], rows)


def small_findings(report: Mapping[str, Any]) -> str:
    """What the small checks find in texts of other people. A zero has its bound beside it."""
    rows = []
    for row in report["findings"]:
        options = ", ".join(f"{key}: {str(value).replace(chr(39), '')}" for key, value in row["options"].items())
        check = f"`{row['check']}`" + (f", {options}" if options else "")
        shown = f"{row['percent']:.4g} %" + (f", so below {row['below_percent']:.2g} %" if not row["found"] else "")
        texts = f"{row['texts']} (unseen)" if row["unseen"] else row["texts"]
        rows.append([check, texts, row["wanted"], f"{row['found']:,} of {row['rows']:,}", shown])
    return table(["check", "texts", "wanted", "found", "share"], rows)


def small_files(report: Mapping[str, Any]) -> str:
    """The files whose language is named."""
    head = ["language", "files", "`use: code`", "pygments"]
    return table(
        head,
        [
            [row["language"], *(f"{row[key]:,}" for key in ("files", "guardproxy", "pygments"))]
            for row in report["files"]
        ],
    )


def parts() -> dict[str, str]:
    """The generated parts of the pages, by name; those whose file is not there are left as they are."""

    def read(name: str) -> Any:
        path = RESULTS / f"{name}.json"
        return json.loads(path.read_text()) if path.is_file() else None

    found: dict[str, str] = {}
    if (report := read("overhead")) is not None:
        found |= {"overhead": overhead(report, list(OVERHEAD)), "overhead-short": overhead(report, SHORT, SHORT_ROWS)}
        found |= {"overhead-notes": notes(report), "memory": memory(report)}
    if (report := read("sizing")) is not None:
        found["sizing"] = sizing(report)
    if (report := read("console_index")) is not None:
        found["console-index"] = console_index(report)
    if (report := read("scan")) is not None:
        found |= {"scan": scan(report), "scan-libraries": libraries(report)}
    if (report := read("growth")) is not None:
        found["workers"] = workers(report)
    if (report := read("agents")) is not None:
        found["agents"] = agents(report)
    if (report := read("small")) is not None:
        found |= {
            "small-cost": small_cost(report),
            "small-findings": small_findings(report),
            "small-files": small_files(report),
        }
    if (report := read("grounded")) is not None:
        found |= {
            "grounded": meaning_tables.grounded(report, table),
            "grounded-cost": meaning_tables.grounded_cost(report, table),
            "grounded-kinds": meaning_tables.grounded_kinds(report, table),
            "grounded-wrong": meaning_tables.grounded_wrong(report),
        }
    if (report := read("semantic_cache")) is not None:
        found |= {
            "likeness": meaning_tables.likeness(report, table),
            "likeness-cost": meaning_tables.likeness_cost(report),
            "likeness-kinds": meaning_tables.likeness_kinds(report, table),
            "likeness-wrong": meaning_tables.likeness_wrong(report),
        }
    if (report := read("topic")) is not None:
        found["topics"] = meaning_tables.topics(report, table)
    return found


def filled(text: str, tables: Mapping[str, str]) -> str:
    """A page with its generated parts."""

    def fill(match: re.Match[str]) -> str:
        return f"{match[1]}{tables.get(match[2], match[3])}{match[4]}"

    return re.sub(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- end -->)", fill, text, flags=re.DOTALL)
