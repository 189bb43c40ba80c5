"""What it saves to judge a request while the upstream works: the time to the first token under the default policy.

The model takes a fixed time to its first token. Each prompt is new, so no verdict is remembered. Three ways in turn: `bare`
without a proxy, `before` with the default policy, which judges a request before it is sent, and `beside` with the same
policy and `parallel: true` in its rules that block. The model, the proxies and the client share one process and its cores.
Out: `parallel.json` in `--out`, with the milliseconds that each way adds to `bare`.

    python -m benchmarks.path.parallel [--rounds 5] [--requests 20] [--think-ms 100] [--out DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import aiohttp
import uvloop
from aiohttp import web

from benchmarks.path.connections import HEAD, _frame
from benchmarks.path.load import percentile
from benchmarks.processes import ROOT, machine
from guardproxy.config import Config
from guardproxy.server import app
from guardproxy.server.intake.listener import Listener

WORDS = (20, 200)
"""The lengths of prompts, in words."""
LEXICON = (
    "river",
    "stone",
    "walk",
    "early",
    "market",
    "paper",
    "window",
    "garden",
    "often",
    "seven",
    "letter",
    "colour",
)
SENT = HEAD + _frame({"content": "word "}) + _frame({}, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Model(asyncio.Protocol):
    """One connection of a model that thinks before its first token."""

    think_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"}"):
            asyncio.get_running_loop().call_later(self.think_s, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(SENT)


async def proxy(stack: AsyncExitStack, folder: Path, upstream: str, policy: str, *more: str) -> str:
    """The address of a proxy in this process. `more`: further upstreams."""
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "policy.yaml").write_text(policy)
    server = app.Server(Config.of(upstream=(upstream, *more), policies=folder / "policies", audit=folder / "audit"))
    runner = web.ServerRunner(
        Listener(server.handle, limit=10, timeout_head_s=5.0, auto_decompress=False, access_log=None)
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stack.push_async_callback(server.close)
    stack.push_async_callback(runner.cleanup)
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


async def first_token_ms(client: aiohttp.ClientSession, url: str, text: str) -> float:
    """The time to the first bytes of the answer to a new prompt."""
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]}
    began_s = perf_counter()
    async with client.post(f"{url}/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        await answer.content.readany()
        took_ms = (perf_counter() - began_s) * 1000
        await answer.read()
    return took_ms


async def run(rounds: int, requests: int) -> dict[str, Any]:
    """All ways in turn, for each length of a prompt."""
    before = (ROOT / "policies" / "default.yaml").read_text("utf-8")
    beside = before.replace("    action: block\n", "    action: block\n    parallel: true\n")
    rng = random.Random(1)
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        model = await loop.create_server(Model, "127.0.0.1", 0)
        stack.callback(model.close)
        bare = f"http://127.0.0.1:{model.sockets[0].getsockname()[1]}"
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {"bare": bare}
        urls["before"] = await proxy(stack, folder / "before", bare, before)
        urls["beside"] = await proxy(stack, folder / "beside", bare, beside)
        client = await stack.enter_async_context(aiohttp.ClientSession())
        found: dict[int, dict[str, list[float]]] = {words: {way: [] for way in urls} for words in WORDS}
        for number in range(rounds + 1):  # the first round warms up
            for words in WORDS:
                for _ in range(requests):
                    for way, url in urls.items():
                        took_ms = await first_token_ms(client, url, " ".join(rng.choices(LEXICON, k=words)) + "?")
                        if number:
                            found[words][way].append(took_ms)
    return {f"{words} words": _figures(ways) for words, ways in found.items()}


def _figures(ways: dict[str, list[float]]) -> dict[str, float]:
    """The percentiles of each way, and the milliseconds that it adds to the median without a proxy."""
    figures = {f"{way}_p50_ms": round(median(times), 2) for way, times in ways.items()}
    figures |= {f"{way}_p99_ms": round(percentile(times, 0.99), 2) for way, times in ways.items()}
    return figures | {
        f"{way}_adds_ms": round(median(ways[way]) - median(ways["bare"]), 2) for way in ("before", "beside")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--think-ms", type=float, default=100.0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    Model.think_s = options.think_ms / 1000
    result = {"machine": machine(), "think_ms": options.think_ms, **uvloop.run(run(options.rounds, options.requests))}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "parallel.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
