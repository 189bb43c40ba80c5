"""Measures a proxy under more requests than it can answer: what is still answered, and what a refusal costs and takes.

`python -m benchmarks.path.overload --out benchmarks/results` writes `overload.json`. The proxy has the first core, the
generator and the upstream the last. First connections that ask again at once find the peak; then new texts come at fixed rates,
at multiples of the peak, whether they are answered or not: a client that gets no answer does not ask less. Each request has a
free connection or a new one, so a queue stands where it does in practice, in the sockets. The policy is the default one unless
`--policies` says otherwise.

`goodput`: answers with status 200 in each second, as a share of the peak. `cpu_ms`: the proxy's processor time of a request,
refused ones included. `resets`: connections that ended without an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any, cast

import uvloop

from benchmarks.path.load import percentile, request
from benchmarks.processes import ROOT, end, free_port, machine, processor_s, start, wait_ready

TIMES = (1.0, 3.0)
CONNECTIONS = 32  # that find the peak
LAST_S = 15.0  # for answers that are late
MOST_OPEN = 8000


class Client(asyncio.Protocol):
    """One connection of the pool. `sent_s`: when its request was due; 0 while it is free."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._transport: asyncio.Transport
        self._buffer = b""
        self._request = b""
        self._due_s = 0.0

    def ask(self, request: bytes, due_s: float) -> None:
        """Sends a request, once the connection is open."""
        self._request, self._due_s, self._buffer = request, due_s, b""
        if hasattr(self, "_transport"):
            self._transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        head = head.lower()
        at = head.find(b"content-length:")
        size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else -1
        if len(body) >= size if size >= 0 else body.endswith(b"0\r\n\r\n"):
            self._run.answered(self, int(head[9:12]), self._due_s)
            self._due_s = 0.0
            if b"connection: close" in head:
                self._transport.close()
            else:
                self._run.free.append(self)

    def connection_lost(self, exception: Exception | None) -> None:
        self._run.lost(self, was_waiting=bool(self._due_s))

    def close(self) -> None:
        """Ends the connection without being counted."""
        self._due_s = 0.0
        if hasattr(self, "_transport"):
            self._transport.abort()


class Run:
    """One run: `rate` requests in each second for `seconds`, or with rate 0 as many as `connections` get answered."""

    def __init__(self, port: int, rate: float, seconds: float, seed: int, mode: str = "plain") -> None:
        self._mode = mode
        self._port = port
        self._rate = rate
        self._seconds = seconds
        self._random = Random(seed)
        self.free: deque[Client] = deque()
        self._open: set[Client] = set()
        self._began_s = 0.0
        self._asked = 0
        self._resets = self._unsent = 0
        self._answers: dict[int, list[float]] = {}
        self._arrived: list[float] = []
        self._waiting = 0

    def answered(self, client: Client, status: int, due_s: float) -> None:
        """Counts an answer."""
        now_s = perf_counter()
        self._waiting -= 1
        self._answers.setdefault(status, []).append(now_s - due_s)
        if status == 200:
            self._arrived.append(now_s)

    def lost(self, client: Client, *, was_waiting: bool) -> None:
        """Counts a connection that ended, as a reset if its request has no answer."""
        self._open.discard(client)
        if client in self.free:
            self.free.remove(client)
        if was_waiting:
            self._waiting -= 1
            self._resets += 1

    async def _ask(self, ready: bytes, due_s: float) -> None:
        self._asked += 1
        self._waiting += 1
        if self.free:
            self.free.popleft().ask(ready, due_s)
            return
        if len(self._open) >= MOST_OPEN:
            self._waiting -= 1
            self._unsent += 1
            return
        client = Client(self)
        client.ask(ready, due_s)
        self._open.add(client)
        try:
            await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", self._port)
        except OSError:
            self.lost(client, was_waiting=True)

    async def go(self) -> dict[str, Any]:
        """Runs, and returns what was measured."""
        count = int(self._rate * self._seconds) or (3000 if self._mode == "plain" else 600)
        ready = deque(request(self._random, self._mode, self._port, {}) for _ in range(count))
        began_s = self._began_s = perf_counter()
        tasks: set[asyncio.Task[None]] = set()
        if not self._rate:
            while perf_counter() - began_s < self._seconds and ready:
                while self._waiting < CONNECTIONS and ready:
                    await self._ask(ready.popleft(), perf_counter())
                await asyncio.sleep(0.001)
        while self._rate and ready:
            now_s = perf_counter()
            while ready and (due_s := began_s + (count - len(ready)) / self._rate) <= now_s:
                task = asyncio.create_task(self._ask(ready.popleft(), due_s))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(0.002)
        last_s = perf_counter()
        elapsed_s = last_s - began_s
        for _ in range(int(LAST_S / 0.05)):
            if not self._waiting:
                break
            await asyncio.sleep(0.05)
        unanswered = self._waiting
        for client in list(self._open):
            client.close()
        good = self._answers.get(200, [])
        refused = [took_s for status, took in self._answers.items() if status != 200 for took_s in took]
        return {
            "rate": self._rate,
            "asked": self._asked,
            "good_per_s": sum(at_s <= last_s for at_s in self._arrived) / elapsed_s,
            "statuses": {status: len(took) for status, took in sorted(self._answers.items())},
            "good_p50_ms": 1000 * percentile(good, 0.5),
            "good_p99_ms": 1000 * percentile(good, 0.99),
            "refused_p50_ms": 1000 * percentile(refused, 0.5),
            "refused_p99_ms": 1000 * percentile(refused, 0.99),
            "resets": self._resets,
            "unanswered": unanswered,
            "unsent": self._unsent,
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--policies", default="")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--times", type=float, nargs="*", default=TIMES)
    parser.add_argument("--mode", choices=("plain", "agent"), default="plain", help="short texts, or turns of an agent")
    parser.add_argument("--peak", type=float, default=0.0, help="requests in a second; 0: measured")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that everything works")
    options = parser.parse_args(arguments)
    seconds = 0.5 if options.quick else options.seconds
    cores = sorted(os.sched_getaffinity(0))
    report: dict[str, Any] = {"machine": machine(), "runs": []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        up, port, admin = free_port(), free_port(), free_port()
        start(stack, [sys.executable, "-m", "benchmarks.path.upstream", str(up)], cores[-1:], folder / "upstream.txt")
        command = [sys.executable, "-m", "guardproxy", "serve", "--upstream", f"http://127.0.0.1:{up}"]
        command += [
            "--port",
            str(port),
            "--admin-port",
            str(admin),
            "--audit",
            str(folder / "audit"),
            "--log-level",
            "error",
        ]
        command += ["--policies", options.policies] if options.policies else []
        proxy = start(stack, command, cores[:1], folder / "proxy.txt")
        if not wait_ready(proxy, f"http://127.0.0.1:{admin}/readyz"):
            print((folder / "proxy.txt").read_text()[-2000:], file=sys.stderr)
            return 1

        def run(rate: float, seed: int, seconds: float) -> dict[str, Any]:
            before_s = processor_s([proxy.pid])
            work = json.dumps({"port": port, "rate": rate, "seconds": seconds, "seed": seed, "mode": options.mode})
            command = [
                "taskset",
                "-c",
                str(cores[-1]),
                sys.executable,
                "-m",
                "benchmarks.path.overload",
                "--generate",
                work,
            ]
            made = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
            found: dict[str, Any] = json.loads(made.stdout)
            found["cpu_ms"] = 1000 * (processor_s([proxy.pid]) - before_s) / max(1, found["asked"])
            return found

        warm = run(0.0, 1, seconds)
        peak = options.peak or run(0.0, 2, seconds)["good_per_s"]
        report |= {"peak_per_s": peak, "warm_per_s": warm["good_per_s"]}
        print(f"peak {peak:.0f} requests/s", flush=True)
        for number, times in enumerate(options.times):
            row = {"times": times, **run(peak * times, 10 + number, seconds)}
            row["goodput"] = row["good_per_s"] / peak
            report["runs"].append(row)
            print(
                {key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()}, flush=True
            )
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        shown = ("guardproxy_refused", "guardproxy_scan_no_capacity", "guardproxy_event_loop_lag_seconds_sum")
        report["metrics"] = [line for line in lines if line.startswith(shown) and "_created" not in line]
        print("\n".join(report["metrics"]), flush=True)
        end(proxy)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "overload.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--generate"]:
        print(json.dumps(uvloop.run(Run(**json.loads(sys.argv[2])).go())))
    else:
        raise SystemExit(main())
