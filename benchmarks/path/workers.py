"""How many requests `serve --workers N` answers with one worker, two, and so on up to the cores; drawn by `growth.py`.

The workers, the load generator and the model share all cores, so twice the workers cannot answer twice the requests where the
cores are few. What is possible follows from the processor time of a request: W workers on C cores answer at most W requests in
the time that a worker takes for a request, and C in the time that a worker, the load generator and the model take together.
The load generator is `wrk` and the model a canned answer of nginx, as far as they are installed: they leave most time to the
workers. Servers take turns; figures are medians of the rounds. Out: a row for `growth.json`.

- `requests_per_s`, `possible_per_s`: as measured, and what is possible.
- `worker_us`, `others_us`: processor time of a request in all workers, and in the load generator and the model.
- `shares`: the share of the requests that each worker answered. The kernel chooses the worker of a connection.
"""

from __future__ import annotations

import json
import re
import resource
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.processes import ROOT, free_port, last_lines, processor_s, start, wait_ready

CONNECTIONS = 64
POLICY = "policy: empty\nrules:\n  - {id: watch, when: check_error, action: flag}\n"
REQUEST = {"model": "canned", "messages": [{"role": "user", "content": "please tell me about the weather of tomorrow"}]}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "It rains all day long."}, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15}
ANSWER = {"id": "c", "object": "chat.completion", "created": 1, "model": "canned", "choices": [CHOICE], "usage": USAGE}
NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type application/json;
  client_body_temp_path {folder}/body;
  keepalive_requests 1000000;
  server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ return 200 '{answer}'; }} }}
}}
"""
WRK = """\
wrk.method = "POST"
wrk.body = '{body}'
wrk.headers["Content-Type"] = "application/json"
done = function(summary, latency, requests)
  local errors, form = summary.errors, '\\n{{"requests": %d, "seconds": %f, "failed": %d}}\\n'
  local failed = errors.status + errors.connect + errors.read + errors.timeout
  io.write(string.format(form, summary.requests, summary.duration / 1e6, failed))
end
"""


@dataclass(slots=True)
class Server:
    """A server with so many workers, and what was measured in each round."""

    workers: int
    port: int
    admin_port: int
    process: int
    requests_per_s: list[float] = field(default_factory=list)
    worker_us: list[float] = field(default_factory=list)
    others_us: list[float] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)


Load = Callable[[int, float], dict[str, float]]
"""Sends requests to a port for so many seconds: their number, the time in seconds, and how many failed."""


def possible_per_s(workers: int, cores: int, worker_us: float, others_us: float) -> float:
    """The most requests a second: the workers, or all cores together, have no time left."""
    return min(workers * 1e6 / worker_us, cores * 1e6 / (worker_us + others_us))


def answered_by(metrics: str) -> Counter[str]:
    """The exchanges of each worker, from the text of `/all/metrics`; with one worker, which has no label, its name is `0`."""
    found: Counter[str] = Counter()
    for labels, count in re.findall(r"^guardproxy_exchanges(?:_total)?\{(.*)\} (\S+)$", metrics, re.MULTILINE):
        worker = re.search(r'worker="([^"]*)"', labels)
        found[worker[1] if worker else "0"] += int(float(count))
    return found


def _ports(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        first = free_port()
        with suppress(OSError), ExitStack() as stack:
            for port in range(first, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


def _started(stack: ExitStack, command: list[str], cores: Collection[int], log: Path, ready: str) -> int:
    process = start(stack, command, cores, log)
    if not wait_ready(process, ready):
        raise SystemExit(f"{command[0]} does not start: {last_lines(log)}")
    return process.pid


def _model(stack: ExitStack, folder: Path, cores: Collection[int], port: int) -> int:
    command = [sys.executable, "-m", "benchmarks.path.upstream", str(port)]
    if program := shutil.which("nginx"):
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port, answer=json.dumps(ANSWER)))
        command = [program, "-p", str(folder), "-c", str(config)]
    return _started(stack, command, cores, folder / "model.log", f"http://127.0.0.1:{port}/")


def _load(folder: Path) -> Load:
    program = shutil.which("wrk")
    script = folder / "request.lua"
    script.write_text(WRK.format(body=json.dumps(REQUEST)))

    def run(port: int, seconds: float) -> dict[str, float]:
        command = [sys.executable, "-m", "benchmarks.path.load"]
        settings = {
            "port": port,
            "mode": "plain",
            "connections": CONNECTIONS,
            "seconds": seconds,
            "seed": 1,
            "prompts": 50,
        }
        command.append(json.dumps(settings))
        if program:
            command = [program, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
            command.append(f"http://127.0.0.1:{port}/v1/chat/completions")
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        measured: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
        if program:
            return measured
        requests = measured["answers"]
        seconds = measured["requests"] / measured["requests_per_s"]
        return {"requests": requests, "seconds": seconds, "failed": measured["errors"] + measured["refused"]}

    return run


def _round(server: Server, load: Load, model: int, seconds: float) -> None:
    before, model_s, client_s = processor_s([server.process]), processor_s([model]), _children_s()
    answered = _answered(server)
    measured = load(server.port, seconds)
    if measured["failed"]:
        raise SystemExit(f"{measured['failed']:.0f} requests failed")
    of_a_request = 1e6 / measured["requests"]
    server.requests_per_s.append(measured["requests"] / measured["seconds"])
    server.worker_us.append((processor_s([server.process]) - before) * of_a_request)
    server.others_us.append((processor_s([model]) - model_s + _children_s() - client_s) * of_a_request)
    server.answered.update(_answered(server) - answered)


def _children_s() -> float:
    """Processor time of the processes that have ended: the load generators."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _answered(server: Server) -> Counter[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.admin_port}/all/metrics", timeout=30) as answer:
        return answered_by(answer.read().decode())


def measure(cores: Sequence[int], seconds: float, rounds: int) -> dict[str, Any]:
    """Measures one worker, two, four and so on up to the cores."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        (folder / "policies").mkdir()
        (folder / "policies" / "empty.yaml").write_text(POLICY)
        model_port = free_port()
        model = _model(stack, folder, cores, model_port)
        servers = []
        for workers in (1 << step for step in range(max(2, len(cores)).bit_length())):
            port, admin_port = free_port(), _ports(workers)
            command = [sys.executable, "-m", "guardproxy", "serve", "--upstream", f"http://127.0.0.1:{model_port}"]
            command += ["--policies", str(folder / "policies"), "--audit", str(folder / f"audit {workers}")]
            command += ["--port", str(port), "--admin-port", str(admin_port), "--workers", str(workers)]
            ready = f"http://127.0.0.1:{admin_port}/all/readyz"
            process = _started(stack, command, cores, folder / f"{workers}.log", ready)
            servers.append(Server(workers, port, admin_port, process))
        load = _load(folder)
        for server in servers * rounds:
            _round(server, load, model, seconds)
    return _row(servers, len(cores))


def _row(servers: Sequence[Server], cores: int) -> dict[str, Any]:
    row: dict[str, Any] = {"sizes": [server.workers for server in servers], "cores": cores}
    for name in ("requests_per_s", "worker_us", "others_us"):
        row[name] = [round(median(getattr(server, name)), 1) for server in servers]
    costs = zip(row["sizes"], row["worker_us"], row["others_us"], strict=True)
    row["possible_per_s"] = [round(possible_per_s(workers, cores, *us), 1) for workers, *us in costs]
    row["shares"] = [
        [round(count / server.answered.total(), 2) for _, count in sorted(server.answered.items())]
        for server in servers
    ]
    return row
