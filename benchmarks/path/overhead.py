"""What guardproxy adds to a call: the same load against the model directly and through several proxies.

Targets: the canned upstream itself (`direct`), a bare aiohttp pass-through, the proxies of `peers/proxies.py` that are
installed, guardproxy with a policy without rules, and guardproxy with the shipped policies `pii-only` and `default`. The
proxy under test has a core, with the services that it needs, and all other proxies are stopped; the load generator and the
upstream share the other core (on a machine with more cores they get one each). Rounds are interleaved (every target in turn,
several times): other load on the machine hits all of them. A figure is the median over the rounds. A peer that is not
installed, does not start or ends under load is listed with the reason. Out: `overhead.json` and `overhead.png` in `--out`.

    python -m benchmarks.path.overhead [--rounds 5] [--seconds 3] [--quick] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.chart import draw
from benchmarks.peers.proxies import PROXIES, Start, prepared
from benchmarks.processes import (
    ROOT,
    awake,
    end,
    free_port,
    last_lines,
    machine,
    processor_s,
    reason,
    rss_mib,
    send,
    start,
    wait_ready,
)

OPEN_STREAMS = 500
LEAST = {"plain 1": 20, "agent 1": 10}  # requests of a round whose latency counts
KNOWN_PROMPTS = 50  # of the case whose texts a proxy may remember

OURS = "guardproxy"
EMPTY_POLICY = "policy: empty\nrules:\n  - {id: watch, when: check_error, action: flag}\n"


CASES: Mapping[str, Mapping[str, Any]] = {
    "plain 1": {"mode": "plain", "connections": 1},
    "agent 1": {"mode": "agent", "connections": 1, "least_s": 2.0},
    "plain 32": {"mode": "plain", "connections": 32},
    "stream 1": {"mode": "stream", "connections": 1},
    "stream 100": {"mode": "stream", "connections": 100, "least_s": 2.0},
    "stream 100, known prompts": {"mode": "stream", "connections": 100, "prompts": KNOWN_PROMPTS, "least_s": 2.0},
    "paced 100": {"mode": "paced", "connections": 100, "least_s": 3.0},
}
"""The measurements of a round. `least_s`: how long it lasts at least, where a stream takes about two seconds."""


@dataclass(slots=True)
class Target:
    """One way to the model. `processes`: those of the proxy and of the services that it needs."""

    name: str
    port: int
    processes: Sequence[int] = ()
    proxy: Start = field(default_factory=lambda: Start([]))
    rounds: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    rss_idle_mib: float = 0.0
    rss_open_mib: float = 0.0


def targets(
    stack: ExitStack, folder: Path, upstream_port: int, core: int, peers: Path, only: Sequence[str] = ()
) -> tuple[list[Target], dict[str, str]]:
    """All targets that start on this machine, and why the others do not. `peers`: where `make bench-peers` put them; `only`:
    beginnings of their names, if not all are wanted."""
    url = f"http://127.0.0.1:{upstream_port}"
    found, missing = [Target("direct", upstream_port)], {}

    def add(name: str, port: int, proxy: Start, ready: str = "") -> None:
        if only and not name.startswith(tuple(only)):
            return
        ready = ready or f"http://127.0.0.1:{port}{proxy.ready}"
        started: list[subprocess.Popen[bytes]] = []
        began_s = time.monotonic()
        for address, command in {**proxy.beside, ready: proxy.command}.items():
            log = folder / f"{name} {len(started)}.log"
            started.append(start(stack, command, {core}, log, proxy.environment or None))
            if not wait_ready(started[-1], address):
                for process in started:  # they would take time from the others
                    end(process)
                missing[name] = last_lines(log)
                return
        print(f"{name}: ready after {time.monotonic() - began_s:.1f} s", file=sys.stderr)
        send([process.pid for process in started], signal.SIGSTOP)  # until its turn comes
        found.append(Target(name, port, [process.pid for process in started], proxy))

    port = free_port()
    add("aiohttp pass-through", port, Start([sys.executable, "-m", "benchmarks.path.passthrough", url, str(port)]))
    for name, port, proxy in prepared(peers, folder, upstream_port):
        if proxy is None:
            missing[name] = reason(peers, PROXIES[name][1])
        else:
            add(name, port, proxy)

    empty = folder / "empty"
    empty.mkdir()
    (empty / "empty.yaml").write_text(EMPTY_POLICY)
    for name, policies in {"no rules": str(empty), "pii-only policy": "pii-only", "default policy": "default"}.items():
        port, admin_port = free_port(), free_port()
        serve = [sys.executable, "-m", "guardproxy", "serve", "--upstream", url, "--policies", policies]
        serve += ["--port", str(port), "--admin-port", str(admin_port), "--audit", str(folder / f"audit {name}")]
        add(f"{OURS}, {name}", port, Start(serve), f"http://127.0.0.1:{admin_port}/readyz")
    return found, missing


def load(core: int, **settings: Any) -> dict[str, Any]:
    """One measurement in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.path.load", json.dumps(settings)],
        cwd=ROOT,
        capture_output=True,
        timeout=settings["seconds"] * 3 + 120,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr.decode().strip().rpartition(chr(10))[2]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measured_load(target: Target, core: int, **settings: Any) -> dict[str, Any]:
    """One measurement of a target, with the processor time that an answer took."""
    with awake(target.processes):
        before_s = processor_s(target.processes)
        measured = load(core, port=target.port, headers=dict(target.proxy.headers), **settings)
    measured["processor_us"] = (processor_s(target.processes) - before_s) * 1e6 / max(1, measured["answers"])
    return measured


def with_each(found: list[Target], missing: dict[str, str], measure: Callable[[Target], None]) -> None:
    """Measures every target in turn. One that ends meanwhile is left out with the reason, and the others go on."""
    for target in list(found):
        try:
            measure(target)
        except RuntimeError as error:
            found.remove(target)
            missing[target.name] = f"it started, but ended under load ({error})"
            print(f"left out: {target.name}: {missing[target.name]}", file=sys.stderr)


def measure_round(target: Target, core: int, number: int, seconds: float, options: argparse.Namespace) -> None:
    """All cases of one round. `number`: from 0; `seconds`: of a case, at least."""
    measured = {}
    for at, case in enumerate(options.cases):
        settings = dict(CASES[case])
        least_s = settings.pop("least_s", 0.0)
        if settings["mode"] != "plain" and not target.proxy.streams:
            continue
        if "prompts" in settings and not target.name.startswith(OURS):
            continue  # the others remember no texts
        seed = 1 + number * len(options.cases) + at
        lasts_s = seconds if options.quick else max(seconds, least_s)
        measured[case] = measured_load(target, core, seconds=lasts_s, seed=seed, **settings)
    target.rounds.append(measured)
    rates = ", ".join(f"{case}: {row['requests_per_s']:.0f}" for case, row in measured.items())
    print(f"round {number + 1}: {target.name}: requests/s: {rates}", file=sys.stderr)


def warm_up(target: Target, core: int, seconds: float) -> None:
    """Lets a target load what it loads at the first requests."""
    measured_load(target, core, mode="plain", connections=8, seconds=min(1.0, seconds), seed=0)


def measure_memory(target: Target, core: int, streams: int) -> None:
    """Resident memory at rest and with so many open streams that trickle."""
    if not target.processes or not target.proxy.streams:
        return
    settings: dict[str, Any] = {
        "port": target.port,
        "mode": "open",
        "connections": streams,
        "seconds": 1,
        "seed": 1,
    }
    settings["headers"] = dict(target.proxy.headers)
    target.rss_idle_mib = rss_mib(target.processes)
    with (
        awake(target.processes),
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.path.load", json.dumps(settings)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509
        ) as opener,
    ):
        assert opener.stdout is not None
        opened = json.loads(opener.stdout.readline() or b"{}")
        if opened.get("open") == streams and not opened["errors"]:
            target.rss_open_mib = rss_mib(target.processes)
        else:
            print(f"{target.name}: not measured with {streams} streams: {opened}", file=sys.stderr)


def summary(found: list[Target]) -> dict[str, dict[str, float]]:
    """Medians over the rounds; `added_` figures are differences to `direct` within the same round."""
    direct = found[0]
    table: dict[str, dict[str, float]] = {}
    for target in found:
        pairs = list(zip(target.rounds, direct.rounds, strict=True))

        def is_enough(measured: dict[str, dict[str, Any]], case: str) -> bool:
            # A proxy that still works off an earlier case answers a request or two, whose times say nothing about this one.
            least = LEAST.get(case, 0)
            return case in measured and measured[case]["requests"] >= least

        def of(case: str, metric: str, target: Target = target) -> float:
            return float(median([round_[case][metric] for round_ in target.rounds if is_enough(round_, case)] or [0.0]))

        def added(case: str, metric: str, pairs: Any = pairs) -> float:
            return float(
                median([own[case][metric] - base[case][metric] for own, base in pairs if is_enough(own, case)] or [0.0])
            )

        table[target.name] = {
            "requests_per_s_at_32": of("plain 32", "requests_per_s"),
            "processor_us_at_32": of("plain 32", "processor_us"),
            "share_p10_at_32": of("plain 32", "share_p10"),
            "share_p90_at_32": of("plain 32", "share_p90"),
            "p50_ms_at_32": of("plain 32", "p50_ms"),
            "p90_ms_at_32": of("plain 32", "p90_ms"),
            "p99_ms_at_32": of("plain 32", "p99_ms"),
            "p50_ms_at_1": of("plain 1", "p50_ms"),
            "p99_ms_at_1": of("plain 1", "p99_ms"),
            "added_p50_ms_at_1": added("plain 1", "p50_ms"),
            "added_p99_ms_at_1": added("plain 1", "p99_ms"),
            "added_agent_p50_ms": added("agent 1", "p50_ms"),
            "added_agent_p99_ms": added("agent 1", "p99_ms"),
            "first_text_p50_ms": of("stream 1", "first_text_p50_ms"),
            "added_first_text_p50_ms": added("stream 1", "first_text_p50_ms"),
            "added_first_text_p99_ms": added("stream 1", "first_text_p99_ms"),
            "added_whole_stream_p50_ms": added("stream 1", "p50_ms"),
            "chunks_per_s_at_100": of("stream 100", "chunks_per_s"),
            "chunks_per_s_at_100_known": of("stream 100, known prompts", "chunks_per_s"),
            "added_gap_p99_ms_at_100": added("paced 100", "gap_p99_ms"),
            "rss_idle_mib": target.rss_idle_mib,
            "rss_500_streams_mib": target.rss_open_mib,
            "refused": sum(case["refused"] for round_ in target.rounds for case in round_.values()),
            "errors": sum(case["errors"] for round_ in target.rounds for case in round_.values()),
        }
    return table


def ratios(table: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Rates, processor time and the slowest answers relative to the bare pass-through."""
    bare = table.get("aiohttp pass-through")
    if bare is None:
        return {}
    rates = (
        *("requests_per_s_at_32", "chunks_per_s_at_100", "chunks_per_s_at_100_known"),
        *("processor_us_at_32", "p99_ms_at_32"),
    )
    return {name: {rate: row[rate] / bare[rate] for rate in rates if bare[rate]} for name, row in table.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark. Exit code 1 when guardproxy did not start, or it or the model answered with errors."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything works")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "peers", help="the folder of `make bench-peers`")
    parser.add_argument("--only", nargs="*", default=(), help="beginnings of the names of the proxies to measure")
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES), help="those to measure, if not all")
    options = parser.parse_args(arguments)
    rounds, seconds = (1, min(options.seconds, 0.5)) if options.quick else (options.rounds, options.seconds)
    cores = sorted(os.sched_getaffinity(0))
    proxy_core, load_core, upstream_core = cores[0], cores[min(1, len(cores) - 1)], cores[min(2, len(cores) - 1)]
    before = machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream_port = free_port()
        upstream = start(
            stack,
            [sys.executable, "-m", "benchmarks.path.upstream", str(upstream_port)],
            {upstream_core},
            folder / "up.log",
        )
        if not wait_ready(upstream, f"http://127.0.0.1:{upstream_port}/"):
            raise SystemExit("the canned upstream does not start")
        found, missing = targets(stack, folder, upstream_port, proxy_core, options.peers, options.only)
        for name, why in missing.items():
            print(f"left out: {name}: {why}", file=sys.stderr)
        if not options.quick:
            with_each(found, missing, partial(warm_up, core=load_core, seconds=seconds))
        for number in range(rounds):
            once = partial(measure_round, core=load_core, number=number, seconds=seconds, options=options)
            with_each(found, missing, once)
        streams = 20 if options.quick else OPEN_STREAMS
        with_each(found, missing, partial(measure_memory, core=load_core, streams=streams))
    table = summary(found)
    report = {
        "machine": before,
        "settings": {
            "rounds": rounds,
            "seconds": seconds,
            "prompt_words": 50,
            "answer_words": 50,
            "stream_chunks": 100,
            "cores": {"proxy": proxy_core, "load": load_core, "upstream": upstream_core},
        },
        "left_out": missing,
        "versions": {target.name: target.proxy.version for target in found if target.proxy.version},
        "remarks": {target.name: target.proxy.remarks for target in found if target.proxy.remarks},
        "summary": table,
        "relative_to_pass_through": ratios(table),
        "rounds": {target.name: target.rounds for target in found},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "overhead.json").write_text(json.dumps(report, indent=2) + "\n")
    draw(table, options.out / "overhead.png")
    for name, row in table.items():
        print(
            f"{name:28} {row['requests_per_s_at_32']:8.0f} req/s  {row['processor_us_at_32']:6.0f} us of a processor"
            f"  p99 {row['p99_ms_at_32']:.0f} ms  +{row['added_p50_ms_at_1']:.2f} ms p50"
            f"  +{row['added_p99_ms_at_1']:.2f} ms p99  +{row['added_first_text_p50_ms']:.2f} ms to first text"
            f"  {row['chunks_per_s_at_100']:8.0f} chunks/s ({row['chunks_per_s_at_100_known']:.0f} known)"
            f"  +{row['added_gap_p99_ms_at_100']:.1f} ms p99 between tokens  {row['rss_500_streams_mib']:6.0f} MiB"
        )
    failed = [name for name, row in table.items() if row["errors"]] + list(missing)
    return int(any(name.startswith((OURS, "direct")) for name in failed))


if __name__ == "__main__":
    raise SystemExit(main())
