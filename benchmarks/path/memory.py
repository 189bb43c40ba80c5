"""What one process of the proxy takes with the default policy: the figures behind `resources` of the chart.

In: nothing. Out: `memory.json` in `--out`: resident memory after the start, after 1,000 requests and with 500 open streams, and
the processor time of the start. Each round starts a new process; the upstream is that of the other benchmarks. Memory needs no
quiet machine.

    python -m benchmarks.path.memory [--rounds 3] [--requests 1000] [--streams 500] [--workers 1] [--out DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import aiohttp

from benchmarks.processes import ROOT, free_port, machine, processor_s, rss_mib, start, wait_ready
from guardproxy.sizing.traffic import words

AT_ONCE = 8
PROMPT_WORDS = 100
OPEN_S = 5.0  # for which the streams stay open before memory is read: each gets some more chunks
PATH = "/v1/chat/completions"


def body(random: Random, *, is_open: bool = False) -> dict[str, Any]:
    """A request, or one for a stream that does not end."""
    message = {"role": "user", "content": " ".join(words(random, PROMPT_WORDS))}
    return {"model": "trickle" if is_open else "m", "stream": is_open, "messages": [message]}


async def ask(client: aiohttp.ClientSession, url: str, count: int) -> None:
    """Sends so many requests, `AT_ONCE` at a time, and reads their answers."""
    random, left = Random(11), iter(range(count))

    async def one_after_the_other() -> None:
        for _ in left:
            async with client.post(url, json=body(random)) as answer:
                answer.raise_for_status()
                await answer.read()

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))


async def open_streams(stack: AsyncExitStack, client: aiohttp.ClientSession, url: str, count: int) -> None:
    """Opens so many streams, of each of which something has come."""
    random = Random(12)
    for _ in range(count):
        answer = await stack.enter_async_context(client.post(url, json=body(random, is_open=True)))
        answer.raise_for_status()
        await answer.content.readany()


async def loaded(url: str, processes: list[int], requests: int, streams: int) -> dict[str, float]:
    """Returns what the processes take under load."""
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, read_bufsize=1 << 20))
        await ask(client, url, requests)
        after_mib = rss_mib(processes)
        async with AsyncExitStack() as opened:
            await open_streams(opened, client, url, streams)
            await asyncio.sleep(OPEN_S)
            return {"after_requests_mib": after_mib, "with_streams_mib": rss_mib(processes)}


def measure(requests: int, streams: int, workers: int) -> dict[str, float]:
    """Starts an upstream and a proxy, and returns what the proxy takes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream, port, admin = free_port(), free_port(), free_port()
        cores = range(machine()["cores"])
        model = [sys.executable, "-m", "benchmarks.path.upstream", str(upstream)]
        start(stack, model, cores, folder / "upstream.txt")
        command = [sys.executable, "-m", "guardproxy", "serve", "--upstream", f"http://127.0.0.1:{upstream}"]
        command += ["--port", str(port), "--admin-port", str(admin), "--audit", str(folder / "audit")]
        began_s = time.monotonic()
        proxy = start(stack, [*command, "--workers", str(workers)], cores, folder / "proxy.txt")
        if not wait_ready(proxy, f"http://127.0.0.1:{admin}/all/readyz"):
            raise SystemExit((folder / "proxy.txt").read_text())
        found = {
            "start_s": time.monotonic() - began_s,
            "start_processor_s": processor_s([proxy.pid]),
            "idle_mib": rss_mib([proxy.pid]),
        }
        url = f"http://127.0.0.1:{port}{PATH}"
        return found | asyncio.run(loaded(url, [proxy.pid], requests, streams))


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    settings = {name: getattr(options, name) for name in ("rounds", "requests", "streams", "workers")}
    report: dict[str, Any] = {"machine": machine(), "settings": settings}
    rounds = [measure(options.requests, options.streams, options.workers) for _ in range(options.rounds)]
    report |= {name: {"median": median(found[name] for found in rounds)} for name in rounds[0]}
    for name in rounds[0]:
        report[name]["most"] = max(found[name] for found in rounds)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "memory.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
