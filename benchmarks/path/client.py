"""What a request to an upstream costs this process: over the proxy's connections, and with aiohttp's client session.

Both ask the canned model of `upstream.py`, one request after the other over one kept connection, in rounds that alternate. The
processor time of this process is counted, so the model's does not count.
Out: `client.json` in `--out`.

    python -m benchmarks.path.client [--rounds 7] [--requests 2000] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

import aiohttp
import uvloop
from multidict import CIMultiDict

from benchmarks.processes import ROOT, free_port, machine, start, wait_ready
from guardproxy.config import Config
from guardproxy.server.upstream.connections import Connections

BODY = b'{"model":"canned","messages":[{"role":"user","content":"please tell me about the weather of tomorrow"}]}'
HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer benchmark", "User-Agent": "benchmark"}

Ask = Callable[[], Awaitable[None]]


async def _drained(content: aiohttp.StreamReader) -> None:
    while await content.readany():
        pass


async def measure(url: str, rounds: int, requests: int) -> dict[str, float]:
    """The median processor time of a request in microseconds, by client."""
    config = Config()
    connections = Connections(config.timeouts.connect_s, config.timeouts.idle_s)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept",),
    )

    async def over_connections() -> None:
        await _drained((await connections.request("POST", url, CIMultiDict(HEADERS), BODY)).content)

    async def over_session() -> None:
        headers = CIMultiDict(HEADERS)
        await _drained((await session.request("POST", url, headers=headers, data=BODY, allow_redirects=False)).content)

    clients: Mapping[str, Ask] = {"guardproxy's connections": over_connections, "aiohttp's session": over_session}
    found: dict[str, list[float]] = {name: [] for name in clients}
    try:
        for _ in range(1 + rounds):  # the first warms up
            for name, ask in clients.items():
                began_s = process_time()
                for _ in range(requests):
                    await ask()
                found[name].append((process_time() - began_s) * 1e6 / requests)
    finally:
        await connections.close()
        await session.close()
    return {name: round(median(times[1:]), 1) for name, times in found.items()}


def main() -> int:
    """Measures and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "benchmarks")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder, port = Path(stack.enter_context(TemporaryDirectory())), free_port()
        model = start(
            stack,
            [sys.executable, "-m", "benchmarks.path.upstream", str(port)],
            os.sched_getaffinity(0),
            folder / "model.log",
        )
        if not wait_ready(model, f"http://127.0.0.1:{port}/"):
            raise SystemExit("the canned model does not start")
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        found = uvloop.run(measure(url, options.rounds, options.requests))
    ours, other = found.values()
    report = {"machine": machine(), "processor_us": found, "ratio": round(ours / other, 3)}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "client.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
