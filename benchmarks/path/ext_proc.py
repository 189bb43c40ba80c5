"""What the door for Envoy costs: the same load by Envoy, whose filter asks guardproxy, and by guardproxy's own port.

Targets: the canned upstream itself (`direct`), an Envoy that asks nobody, and for the policies `no rules` and `default` one
process of guardproxy by each of its doors. What a target needs (guardproxy, and Envoy if it is in the way) shares a core; the
load generator and the upstream share the other core (on a machine with more cores they get one each). Rounds are interleaved,
and only the processes of the target run. A figure is the median over the rounds; `processor_us` is that of all processes of a
target. Out: `ext_proc.json` in `--out`.

    python -m benchmarks.path.ext_proc [--rounds 5] [--seconds 3] [--quick] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.path.overhead import CASES, EMPTY_POLICY, Target, measured_load, summary
from benchmarks.processes import ROOT, free_port, last_lines, machine, send, start, wait_ready
from tests.kit.envoy import binary, configuration

MEASURED = ("plain 1", "plain 32", "stream 1", "stream 100, known prompts")
SHOWN = (
    *("requests_per_s_at_32", "processor_us_at_32", "added_p50_ms_at_1", "added_p99_ms_at_1"),
    *("added_first_text_p50_ms", "chunks_per_s_at_100_known", "refused", "errors"),
)


def envoy(stack: ExitStack, folder: Path, name: str, upstream_url: str, socket: Path | None, core: int) -> Target:
    """An Envoy that listens. `socket`: of the guardproxy that it asks; `None`: it asks nobody."""
    config = configuration(upstream_url, socket or folder / "none")
    port, admin_port = free_port(), free_port()
    listener = config["static_resources"]["listeners"][0]
    listener["address"]["socket_address"]["port_value"] = port
    config["admin"]["address"]["socket_address"]["port_value"] = admin_port
    if socket is None:
        del listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]
    file, log = folder / f"{name}.json", folder / f"{name}.log"
    file.write_text(json.dumps(config))
    command = [binary(), "-c", str(file), "--concurrency", "1", "-l", "error", "--use-dynamic-base-id"]
    process = start(stack, command, {core}, log)
    if not wait_ready(process, f"http://127.0.0.1:{admin_port}/ready"):
        raise SystemExit(f"Envoy does not start: {last_lines(log)}")
    return Target(name, port, [process.pid])


def targets(stack: ExitStack, folder: Path, upstream_port: int, core: int) -> list[Target]:
    """All targets, running."""
    upstream_url = f"http://127.0.0.1:{upstream_port}"
    found = [Target("direct", upstream_port), envoy(stack, folder, "Envoy alone", upstream_url, None, core)]
    empty = folder / "empty"
    empty.mkdir()
    (empty / "empty.yaml").write_text(EMPTY_POLICY)
    for name, policies in {"no rules": str(empty), "default policy": "default"}.items():
        port, admin_port, socket = free_port(), free_port(), folder / f"{name.split()[0]}.sock"
        command = [sys.executable, "-m", "guardproxy", "serve", "--upstream", upstream_url, "--policies", policies]
        command += ["--port", str(port), "--admin-port", str(admin_port), "--audit", str(folder / f"audit {name}")]
        log = folder / f"{name}.log"
        process = start(stack, [*command, "--ext-proc", f"unix:{socket}"], {core}, log)
        if not wait_ready(process, f"http://127.0.0.1:{admin_port}/readyz"):
            raise SystemExit(f"guardproxy does not start: {last_lines(log)}")
        found.append(Target(f"by HTTP, {name}", port, [process.pid]))
        asking = envoy(stack, folder, f"by Envoy, {name}", upstream_url, socket, core)
        found.append(Target(asking.name, asking.port, [*asking.processes, process.pid]))
    return found


def measure(rounds: int, seconds: float, cores: Sequence[int], cases: Collection[str]) -> dict[str, Any]:
    """Measures all targets. Returns the figures and the rounds."""
    proxy_core, load_core, upstream_core = cores[0], cores[min(1, len(cores) - 1)], cores[min(2, len(cores) - 1)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream_port = free_port()
        log = folder / "upstream.log"
        command = [sys.executable, "-m", "benchmarks.path.upstream", str(upstream_port)]
        upstream = start(stack, command, {upstream_core}, log)
        if not wait_ready(upstream, f"http://127.0.0.1:{upstream_port}/"):
            raise SystemExit(f"the canned upstream does not start: {last_lines(log)}")
        found = targets(stack, folder, upstream_port, proxy_core)
        for target in found:
            send(target.processes, signal.SIGSTOP)  # until its turn comes
        for number in range(rounds):
            for target in found:
                measured = {}
                for at, case in enumerate(cases):
                    settings = dict(CASES[case])
                    lasts_s = max(seconds, settings.pop("least_s", 0.0)) if rounds > 1 else seconds
                    seed = 1 + number * len(cases) + at
                    measured[case] = measured_load(target, load_core, seconds=lasts_s, seed=seed, **settings)
                target.rounds.append(measured)
                rates = ", ".join(f"{case}: {row['requests_per_s']:.0f}" for case, row in measured.items())
                print(f"round {number + 1} of {rounds}: {target.name}: requests/s: {rates}", file=sys.stderr)
    table = summary(found)
    return {
        "summary": {name: {figure: row[figure] for figure in SHOWN} for name, row in table.items()},
        "rounds": {target.name: target.rounds for target in found},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark. Exit code 1 if an answer was an error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything works")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args(arguments)
    rounds, seconds = (1, min(options.seconds, 0.5)) if options.quick else (options.rounds, options.seconds)
    cores = sorted(os.sched_getaffinity(0))
    before = machine()
    figures = measure(rounds, seconds, cores, MEASURED[:2] if options.quick else MEASURED)
    options.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": before, "settings": {"rounds": rounds, "seconds": seconds}, **figures}
    (options.out / "ext_proc.json").write_text(json.dumps(report, indent=2) + "\n")
    for name, row in figures["summary"].items():
        print(f"{name:26}", ", ".join(f"{figure} {value:,.2f}" for figure, value in row.items()))
    return int(any(row["errors"] for row in figures["summary"].values()))


if __name__ == "__main__":
    raise SystemExit(main())
