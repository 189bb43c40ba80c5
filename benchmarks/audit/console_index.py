"""What the index of the console costs: a cold index of a large log, and a page of 50 rows of any filter.

    python -m benchmarks.audit.console_index [--records 1000000] [--log DIR] [--out DIR]

In: a generated log (`tests/kit/console_log.py`), in `--log` if it is given; it is kept there and used again. Out:
`console_index.json`: seconds and memory of the cold index, its size, and milliseconds of each query, the median and the
slowest of several."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT, machine
from guardproxy.console.index import Filter, Index
from guardproxy.console.index.database import FOLDER
from tests.kit.console_log import THRESHOLDS, write_console_log

ROWS = 50
ROUNDS = 7
FILTERS: dict[str, dict[str, str]] = {
    "no filter": {},
    "blocked": {"outcome": "blocked"},
    "a rule": {"rule": "calm-tone"},
    "a tenant": {"tenant": "acme"},
    "a client that nobody is": {"client": "nobody"},
    "a label": {"label": "PERSON"},
    "a check": {"check": "secrets"},
    "near a threshold": {"near": "0.01"},
    "disliked": {"feedback": "down"},
    "without feedback": {"feedback": "none"},
    "costly": {"cost_above": "0.089"},
    "an id": {"id_prefix": "gx_0000abc"},
    "model, label and day": {"model": "gpt-5", "label": "injection", "since": "2026-09-23", "until": "2026-09-23"},
}


def main() -> int:
    """Writes the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = options.log or Path(place)
        if not list(folder.glob("*.jsonl")):
            write_console_log(
                folder, options.records, segment_lines=50_000, keep=("redacted", "redacted", "none"), is_small=True
            )
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        report = {"machine": machine(), "load": os.getloadavg()[0], **measured(folder)}
    (options.out / "console_index.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    return 0


def measured(folder: Path) -> dict[str, Any]:
    """Returns the figures of a log."""
    index = Index(folder, lambda: THRESHOLDS)
    log_bytes = sum(path.stat().st_size for path in folder.glob("*.jsonl"))
    before = processor_s()
    began_s = time.perf_counter()
    index.follow()
    cold_s = time.perf_counter() - began_s
    cold = {
        "seconds": round(cold_s, 1),
        "processor_seconds": round(processor_s() - before, 1),
        "log_mib": log_bytes >> 20,
        "index_mib": sum(path.stat().st_size for path in (folder / FOLDER).iterdir()) >> 20,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "memory_of_a_worker_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10,
    }
    found = index.rows(Filter(), ROWS).rows[20].id
    records = index.count(Filter())
    day = Filter(since=index.rows(Filter(), 1).rows[0].at - 86_400)
    queries: dict[str, Callable[[], object]] = {
        **{f"page: {name}": page(index, Filter.parse(query)) for name, query in FILTERS.items()},
        "second page": second_page(index),
        "one exchange, verified": lambda: index.find(found),
        "neighbours": lambda: index.neighbours(found, Filter(outcome="blocked")),
        "count of a filter": anew(index, lambda: index.count(Filter(rule="calm-tone"))),
        "groups of all": anew(index, lambda: index.groups(Filter(), "rule")),
        "series of all": anew(index, lambda: index.series(Filter(), "outcome")),
        "totals of a day": anew(index, lambda: index.totals(day)),
        "totals of all": anew(index, lambda: index.totals(Filter())),
    }
    timed = {name: timed_ms(query) for name, query in queries.items()}
    index.close()
    pages = [times for name, times in timed.items() if name.startswith("page: ")]
    worst = {f"slowest_page_{kind}_ms": max(times[kind] for times in pages) for kind in ("median", "processor")}
    return {"records": records, "cold": cold, **worst, "ms": timed}


def page(index: Index, chosen: Filter) -> Callable[[], object]:
    """Asks for the first page of a filter."""
    return lambda: index.rows(chosen, ROWS)


def anew(index: Index, query: Callable[[], object]) -> Callable[[], object]:
    """Asks for sums, which the index would remember."""

    def ask() -> object:
        index._memory.clear()
        return query()

    return ask


def second_page(index: Index) -> Callable[[], object]:
    """Asks for the page after the first one."""
    older = index.rows(Filter(), ROWS).older
    return lambda: index.rows(Filter(), ROWS, older)


def timed_ms(query: Callable[[], object]) -> dict[str, float]:
    """Returns the median and the slowest of several calls, and the median of their processor time, in milliseconds. Other
    work on the machine changes the first two."""
    times, used = [], []
    for _ in range(ROUNDS):
        began_s, before = time.perf_counter(), time.process_time()
        query()
        times.append((time.perf_counter() - began_s) * 1e3)
        used.append((time.process_time() - before) * 1e3)
    return {
        "median": round(statistics.median(times), 1),
        "slowest": round(max(times), 1),
        "processor": round(statistics.median(used), 1),
    }


def processor_s() -> float:
    """Returns the processor time of this process and of its workers that ended, in seconds."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    raise SystemExit(main())
