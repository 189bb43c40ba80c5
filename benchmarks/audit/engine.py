"""Records a second of `replay` and `audit verify` with one and two workers, and on a Ray cluster of two nodes that loses one.

    python -m benchmarks.audit.engine --out runs/engine [--records 20000] [--distinct 5000] [--logs DIR]

The records are real exchanges (`engine_records.py`). On Ray, one node is killed when half of the parts are done, and another
node joins. Every run must give the same report. `started_records_per_s` leaves out the time to the first result. `cpu_us` is
the time of the processors for one record, of all workers of this machine together, which other work on the machine changes
little; actors are no processes of the command. `own_us` is the time that the command itself takes for one record, which no
further worker makes shorter. Writes `engine.json` and `engine.png` to --out. What a run of some tasks alone (--runs) finds is
added to the JSON that is there.
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

from benchmarks.audit.engine_records import make
from guardproxy.audit.proof.folder import verify_folder
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
    # By default, actors give way to every other process of the machine, which local workers do not.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
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
        "started_records_per_s": round(records / (seconds - watched.first_s), 1),
        "cpu_us": round((workers_s + own_s) / records * 1e6, 1) if half is None else None,
        "own_us": round(own_s / records * 1e6, 1),
    }
    print(task, digest[:16], json.dumps(figures), flush=True)
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


def estimate(runs: dict[str, Any]) -> dict[str, int]:
    """Records a second with `WORKERS` workers on as many cores. Each worker does what one worker does. The command takes as
    long for one record as with two workers, and is the limit where it cannot follow."""
    cpu_us = runs["local 1"]["cpu_us"]
    own_us = max(run["own_us"] for name, run in runs.items() if name != "local 1")
    rates = {"workers": WORKERS * 1e6 / cpu_us, "command": 1e6 / own_us}
    return {name: round(rate) for name, rate in {**rates, "records_per_s": min(rates.values())}.items()}


def draw(results: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    for axes, task in zip(panels, TASKS, strict=True):
        runs = results.get(task, {}).get("runs", {})
        bars = axes.bar(list(runs), [figures["started_records_per_s"] for figures in runs.values()], 0.6)
        axes.bar_label(bars, fmt="{:,.0f}")
        axes.set(title=f"{task}: records a second, without the start")
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
        measured = measure(logs, folder / "policies", options.records, options.runs)
        about = {
            "records": options.records,
            "distinct": options.distinct,
            "record_bytes": round(sum(log.stat().st_size for log in logs.glob("*.jsonl")) / options.records),
        }
    path = options.out / "engine.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    results["machine"] = {
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    for task, runs in measured.items():
        if runs:
            results[task] = {**about, "runs": runs}
            if "local 1" in runs and len(runs) > 1:
                results[task][f"estimate_{WORKERS}"] = estimate(runs)
    path.write_text(json.dumps(results, indent=2) + "\n")
    draw(results, options.out / "engine.png")


if __name__ == "__main__":
    main()
