"""Records a second of `replay` and `audit verify` with one and two workers, and on a Ray cluster of two nodes that loses one.

    python -m benchmarks.engine --out runs/engine [--records 20000] [--distinct 5000] [--logs DIR]

The records are real exchanges (`engine_records.py`). On Ray, one node is killed when half of the parts are done, and another
node joins. Every run must give the same report. `cpu_us` is the time of the processors for one record, of all workers of this
machine together: other work on the machine does not change it much, while it does change the records a second. `own_us` is
the time that the command itself takes for one record, which no further worker makes shorter. Writes `engine.json` and
`engine.png` to --out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.engine_records import make
from guardproxy.audit import verify_folder
from guardproxy.batch import LogReplay, ReplayWork, SharedPolicies
from guardproxy.engine import LocalEngine, Work, WorkEngine, parts_of
from guardproxy.policydiff import replay_page

STORE_BYTES = 200 << 20
WORKERS = 100  # of the estimate
TASKS = ("verify", "replay")


@dataclass
class Watched:
    """An engine that notes when the first result came, before which the workers start. `half`: called when half of the
    tasks are done."""

    engine: WorkEngine
    half: Callable[[], object] | None = None
    started_s: float = field(default_factory=time.perf_counter)
    first_s: float = 0.0

    def each(self, work: Work[Any, Any], tasks: Iterable[Any]) -> Iterator[Any]:
        every = list(tasks)
        for number, result in enumerate(self.engine.each(work, every)):
            self.first_s = self.first_s or time.perf_counter() - self.started_s
            if number == len(every) // 2 and self.half is not None:
                self.half()
            yield result


def verified(logs: Path, policies: Path, engine: WorkEngine) -> str:
    """The report of a verification, as a digest."""
    reports = verify_folder(logs, engine=engine)
    assert not any(report.report.problems for report in reports)
    return hashlib.sha256(repr(reports).encode()).hexdigest()


def replayed(logs: Path, policies: Path, engine: WorkEngine) -> str:
    """The rows and the page of a replay, as a digest."""
    files = sorted(logs.glob("*.jsonl"))
    parts = list(parts_of((file, file.stat().st_size) for file in files))
    run = LogReplay(ReplayWork(SharedPolicies(policies), None, all_rows=True), parts, engine)
    remarks, digest = run.remarks(), hashlib.sha256()
    for row in run.rows():
        digest.update(repr(row).encode())
    assert run.counts["identical"] == sum(run.counts.values())
    digest.update(repr((run.counts, replay_page("Replay", remarks, run.traffic))).encode())
    return digest.hexdigest()


@contextmanager
def cluster() -> Iterator[Callable[[], None]]:
    """Runs a Ray cluster of two nodes. Yields the function that kills the second node, and adds another one."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    both: Any = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    second = [both.add_node(**node)]

    def kill() -> None:
        both.remove_node(second.pop(), allow_graceful=False)
        second.append(both.add_node(**node))

    os.environ["RAY_ADDRESS"] = both.address
    try:
        yield kill
    finally:
        both.shutdown()


def run(
    task: str, logs: Path, policies: Path, records: int, engine: WorkEngine, half: Callable[[], object] | None
) -> dict[str, Any]:
    """One run: its figures and the digest of its report."""
    watched = Watched(engine, half)
    before, own = resource.getrusage(resource.RUSAGE_CHILDREN), time.process_time()
    digest = (verified if task == "verify" else replayed)(logs, policies, watched)
    seconds, own_s = time.perf_counter() - watched.started_s, time.process_time() - own
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    workers_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures = {
        "records_per_s": round(records / seconds, 1),
        "seconds": round(seconds, 1),
        "first_result_s": round(watched.first_s, 1),
        "cpu_us": round((workers_s + own_s) / records * 1e6, 1),
        "own_us": round(own_s / records * 1e6, 1),
    }
    print(task, json.dumps(figures), flush=True)
    return {**figures, "report": digest}


def measure(logs: Path, policies: Path, records: int, names: list[str]) -> dict[str, Any]:
    from guardproxy.engine.cluster import RayEngine

    results: dict[str, Any] = {task: {} for task in TASKS}
    engines: dict[str, WorkEngine] = {"local 1": LocalEngine(1), "local 2": LocalEngine(2)}
    for task in TASKS:
        for name, engine in engines.items():
            if f"{task} {name}" in names:
                results[task][name] = run(task, logs, policies, records, engine, None)
    with cluster() as kill:
        for task in TASKS:
            if f"{task} ray 2" in names:
                results[task]["ray 2"] = run(task, logs, policies, records, RayEngine(2), kill)
    for task, runs in results.items():
        assert len({figures.pop("report") for figures in runs.values()}) <= 1, f"the reports of {task} differ"
    return results


def estimate(figures: dict[str, Any]) -> dict[str, float]:
    """Records a second with `WORKERS` workers, from the processor time of one worker and of the command itself."""
    local = {name: run for name, run in figures.items() if name.startswith("local")}
    cpu_us = min(run["cpu_us"] for run in local.values())
    merge_us = max((run["own_us"] for name, run in local.items() if name != "local 1"), default=0.0)
    rates = {"of_the_workers": WORKERS * 1e6 / cpu_us, "of_the_command": 1e6 / merge_us if merge_us else 0.0}
    least = min(rate for rate in rates.values() if rate)
    return {name: round(rate) for name, rate in {**rates, "records_per_s": least}.items()}


def draw(results: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    for axes, task in zip(panels, TASKS, strict=True):
        runs = results[task]
        bars = axes.bar(list(runs), [figures["records_per_s"] for figures in runs.values()], 0.6)
        axes.bar_label(bars, fmt="{:,.0f}")
        axes.set(title=f"{task}: records a second")
        axes.margins(y=0.2)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where engine.json and engine.png go")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--distinct", type=int, default=5_000, help="exchanges that are played; each is written again")
    parser.add_argument("--logs", type=Path, help="a folder that `engine_records.make` has filled before")
    every = [f"{task} {engine}" for task in TASKS for engine in ("local 1", "local 2", "ray 2")]
    parser.add_argument("--runs", nargs="*", default=every, choices=every, metavar="RUN")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.logs or Path(temporary) / "made"
        if not options.logs:
            make(folder, options.records, options.distinct)
        logs = folder / "audit"
        results = measure(logs, folder / "policies", options.records, options.runs)
        about = {
            "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
            "records": options.records,
            "distinct": options.distinct,
            "record_bytes": round(sum(log.stat().st_size for log in logs.glob("*.jsonl")) / options.records),
        }
    guesses = {task: estimate(runs) for task, runs in results.items() if any("local" in name for name in runs)}
    (options.out / "engine.json").write_text(
        json.dumps({**about, **results, f"estimate_{WORKERS}": guesses}, indent=2) + "\n"
    )
    draw(results, options.out / "engine.png")


if __name__ == "__main__":
    main()
