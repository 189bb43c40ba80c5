"""What guardproxy adds to a call: the same load against the model directly and through several proxies.

Targets: the canned upstream itself (`direct`), a bare aiohttp pass-through, nginx if it is installed, guardproxy with a
policy without rules, and guardproxy with the shipped default policy. One process each; the proxy under test has a core
of its own, the load generator and the upstream share the other (on a machine with more cores they get one each).
Rounds are interleaved (every target in turn, several times), so that other load on the machine hits all of them; a
figure is the median over the rounds. Out: `overhead.json` and `overhead.png` in `--out`.

    python -m benchmarks.overhead [--rounds 5] [--seconds 3] [--quick] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.chart import draw

ROOT = Path(__file__).parents[1]
OPEN_STREAMS = 500
START_TIMEOUT_S = 60.0

EMPTY_POLICY = "policy: empty\nrules:\n  - {id: watch, when: check_error, action: flag}\n"
NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  upstream model {{ server 127.0.0.1:{upstream_port}; keepalive 512; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://model;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""


@dataclass(slots=True)
class Target:
    """One way to the model."""

    name: str
    port: int
    process: subprocess.Popen[bytes] | None = None
    rounds: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    rss_idle_mib: float = 0.0
    rss_open_mib: float = 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(stack: ExitStack, command: list[str], core: int, log: Path) -> subprocess.Popen[bytes]:
    """Starts a pinned process that ends with the stack."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509  no threads here yet
        )
    stack.callback(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    """Whether `url` answered (any status) before the process ended or the time was up."""
    for _ in range(int(START_TIMEOUT_S / 0.1)):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except urllib.error.HTTPError as answer:
            if answer.code != 503:  # not ready yet
                return True
        except OSError:
            pass
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            return False
    return False


def targets(stack: ExitStack, folder: Path, upstream_port: int, core: int) -> tuple[list[Target], dict[str, str]]:
    """All targets that start on this machine, and why the others do not."""
    url = f"http://127.0.0.1:{upstream_port}"
    found, missing = [Target("direct", upstream_port)], {}

    def add(name: str, command: list[str], port: int, ready: str) -> None:
        log = folder / f"{name}.log"
        process = start(stack, command, core, log)
        if wait_ready(process, ready):
            found.append(Target(name, port, process))
        else:
            lines = log.read_text(errors="replace").strip().splitlines()
            missing[name] = lines[-1] if lines else "did not start"

    port = free_port()
    bare = [sys.executable, "-m", "benchmarks.passthrough", url, str(port)]
    add("aiohttp pass-through", bare, port, f"http://127.0.0.1:{port}/")
    if nginx := shutil.which("nginx"):
        port = free_port()
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port, upstream_port=upstream_port))
        add("nginx", [nginx, "-p", str(folder), "-c", str(config)], port, f"http://127.0.0.1:{port}/")
    else:
        missing["nginx"] = "not installed"

    empty = folder / "empty"
    empty.mkdir()
    (empty / "empty.yaml").write_text(EMPTY_POLICY)
    default = folder / "default"
    default.mkdir()
    shipped = ROOT / "policies" / "default.yaml"
    if shipped.is_file():
        shutil.copy(shipped, default)
    for name, policies in (("guardproxy, no rules", empty), ("guardproxy, default policy", default)):
        if not any(policies.iterdir()):
            missing[name] = "policies/default.yaml is not there"
            continue
        port, admin_port = free_port(), free_port()
        serve = [sys.executable, "-m", "guardproxy", "serve", "--upstream", url, "--policies", str(policies)]
        serve += ["--port", str(port), "--admin-port", str(admin_port), "--audit", str(folder / f"audit {name}")]
        add(name, serve, port, f"http://127.0.0.1:{admin_port}/readyz")
    return found, missing


def load(core: int, **settings: Any) -> dict[str, Any]:
    """One measurement in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", json.dumps(settings)],
        cwd=ROOT,
        capture_output=True,
        timeout=settings["seconds"] * 3 + 120,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr.decode()[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def tasks(process: subprocess.Popen[bytes]) -> list[Path]:
    """The folders in `/proc` of all threads of a process and of its children."""
    found: list[Path] = []
    waiting = [process.pid]
    while waiting:
        with suppress(OSError):
            for task in Path(f"/proc/{waiting.pop()}/task").iterdir():
                found.append(task)
                waiting += [int(child) for child in (task / "children").read_text().split()]
    return found


def rss_mib(process: subprocess.Popen[bytes]) -> float:
    """Resident memory of a process and its children."""
    total_kib = 0
    for folder in {task.parent.parent for task in tasks(process)}:
        with suppress(OSError):
            total_kib += int((folder / "status").read_text().split("VmRSS:")[1].split()[0])
    return total_kib / 1024


def processor_s(process: subprocess.Popen[bytes]) -> float:
    """Processor time of a process and its children."""
    total_ns = 0
    for task in tasks(process):
        with suppress(OSError):
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def measured_load(target: Target, core: int, **settings: Any) -> dict[str, Any]:
    """One measurement of a target, with the processor time that an answer took."""
    before_s = processor_s(target.process) if target.process else 0.0
    measured = load(core, port=target.port, **settings)
    after_s = processor_s(target.process) if target.process else 0.0
    measured["processor_us"] = (after_s - before_s) * 1e6 / measured["answers"]
    return measured


def measure_memory(target: Target, core: int) -> None:
    """Resident memory at rest and with many open streams that trickle."""
    if target.process is None:
        return
    settings = {"port": target.port, "mode": "open", "connections": OPEN_STREAMS, "seconds": 1, "seed": 1}
    target.rss_idle_mib = rss_mib(target.process)
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load", json.dumps(settings)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509
    ) as opener:
        assert opener.stdout is not None
        opened = json.loads(opener.stdout.readline() or b"{}")
        if opened.get("open") == OPEN_STREAMS and not opened["errors"]:
            target.rss_open_mib = rss_mib(target.process)


def summary(found: list[Target]) -> dict[str, dict[str, float]]:
    """Medians over the rounds; `added_` figures are differences to `direct` within the same round."""
    direct = found[0]
    table: dict[str, dict[str, float]] = {}
    for target in found:
        pairs = list(zip(target.rounds, direct.rounds, strict=True))

        def of(case: str, metric: str, target: Target = target) -> float:
            return float(median(round_[case][metric] for round_ in target.rounds))

        def added(case: str, metric: str, pairs: Any = pairs) -> float:
            return float(median(own[case][metric] - base[case][metric] for own, base in pairs))

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
            "first_text_p50_ms": of("stream 1", "first_text_p50_ms"),
            "added_first_text_p50_ms": added("stream 1", "first_text_p50_ms"),
            "added_first_text_p99_ms": added("stream 1", "first_text_p99_ms"),
            "added_whole_stream_p50_ms": added("stream 1", "p50_ms"),
            "chunks_per_s_at_100": of("stream 100", "chunks_per_s"),
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
    rates = ("requests_per_s_at_32", "chunks_per_s_at_100", "processor_us_at_32", "p99_ms_at_32")
    return {name: {rate: row[rate] / bare[rate] for rate in rates} for name, row in table.items()}


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    model = ""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    versions = {}
    for package in ("aiohttp", "uvloop", "guardproxy"):
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load_average": os.getloadavg(),
        **versions,
    }


def main() -> int:
    """Runs the benchmark. Exit code 1 when a target answered with errors."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything works")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    rounds, seconds = (1, 0.5) if options.quick else (options.rounds, options.seconds)
    cores = sorted(os.sched_getaffinity(0))
    proxy_core, load_core, upstream_core = cores[0], cores[min(1, len(cores) - 1)], cores[min(2, len(cores) - 1)]
    before = machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream_port = free_port()
        upstream = start(
            stack, [sys.executable, "-m", "benchmarks.upstream", str(upstream_port)], upstream_core, folder / "up.log"
        )
        if not wait_ready(upstream, f"http://127.0.0.1:{upstream_port}/"):
            raise SystemExit("the canned upstream does not start")
        found, missing = targets(stack, folder, upstream_port, proxy_core)
        for name, reason in missing.items():
            print(f"left out: {name}: {reason}", file=sys.stderr)
        cases = {
            "plain 1": {"mode": "plain", "connections": 1},
            "plain 32": {"mode": "plain", "connections": 32},
            "stream 1": {"mode": "stream", "connections": 1},
            "stream 100": {"mode": "stream", "connections": 100},
        }
        for target in found:  # warm up
            load(load_core, port=target.port, mode="plain", connections=8, seconds=min(1.0, seconds), seed=0)
        for number in range(rounds):
            for target in found:
                measured = {}
                for at, (case, settings) in enumerate(cases.items()):
                    seed = 1 + number * len(cases) + at
                    measured[case] = measured_load(target, load_core, seconds=seconds, seed=seed, **settings)
                target.rounds.append(measured)
                at_32 = measured["plain 32"]["requests_per_s"]
                print(f"round {number + 1} of {rounds}: {target.name}: {at_32:.0f} requests/s", file=sys.stderr)
        for target in found:
            measure_memory(target, load_core)
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
            f"  {row['chunks_per_s_at_100']:8.0f} chunks/s  {row['rss_500_streams_mib']:6.0f} MiB"
        )
    return 1 if any(row["errors"] for row in table.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
