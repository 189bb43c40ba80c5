"""The load generator: bare asyncio connections that ask, read to the end of the answer, and ask again.

In: one JSON object as argument: `port`, `mode` (`plain`, `agent`, `stream`, `paced`, `open`), `connections`, `seconds`, `seed`,
`headers` (more headers of a request), `prompts` (how many differ; 0: all). Out: one JSON object with what was measured: rates,
percentiles in milliseconds, how many were refused (4xx, which count for nothing else) or failed. `share_p10`, `share_p90`:
percentiles of the requests of a connection, 1 for the mean of all connections. `answers`: all answers, with those that came
before the measurement began. In mode `paced` the model writes a chunk every 20 ms, and the time between chunks is measured. In
mode `open` it opens `connections` streams that never end, a few at a time, prints a line once each has received text, and holds
them until its standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from random import Random
from time import perf_counter
from typing import Any, cast

import uvloop

from benchmarks.path.agent import turn
from guardproxy.sizing.traffic import words

PROMPT_WORDS = 50
OPEN_S = 60.0  # for all streams of mode `open` to begin
OPENING = 16  # streams of mode `open` that wait for their first text: a proxy with one core refuses hundreds at once
WARM_S = 4.0  # for streams to get out of step, at most
MADE_FIRST = 3000  # requests for each second that are made before it begins
MADE_FIRST_AGENT = 100  # turns of an agent, which are large
WAIT_S = 4.0  # for the first answer of a slow proxy, beyond the time of the measurement
_TEXT = re.compile(rb'"content":\s*"[^"]')


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie (nearest rank); 0 without values."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


MODELS = {"open": "trickle", "paced": "paced"}


def request(random: Random, mode: str, port: int, headers: Mapping[str, str]) -> bytes:
    """One request with a prompt of its own."""
    tree: dict[str, Any] = {"model": MODELS.get(mode, "canned")}
    if mode == "agent":
        tree |= turn(random)
    else:
        tree["messages"] = [{"role": "user", "content": " ".join(words(random, PROMPT_WORDS))}]
    if mode not in ("plain", "agent"):
        tree["stream"] = True
    body = json.dumps(tree, separators=(",", ":")).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer benchmark\r\nContent-Length: {len(body)}\r\n"
    )
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{head}{more}\r\n".encode() + body


class Asker(asyncio.Protocol):
    """One connection. Counts what it receives while `counting`."""

    def __init__(self, ask: Any, answered: asyncio.Event) -> None:
        self._ask = ask
        self._answered = answered
        self._transport: asyncio.Transport
        self.counting = False
        self.open = True
        self.latencies_s: list[float] = []
        self.first_texts_s: list[float] = []
        self.gaps_s: list[float] = []
        self._last_s = 0.0  # when the last chunk of this answer came; 0 before the first
        self.chunks = 0
        self.answers = 0
        self.errors = 0
        self.refused = 0
        self.got_text: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.had_answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one only in kind
        self._send()

    def _send(self) -> None:
        self._buffer = b""
        self._headed = False
        self._status = 0
        self._left: int | None = None
        self._texted = False
        self._last_s = 0.0
        self._sent_s = perf_counter()
        self._transport.write(self._ask())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self.counting and (chunks := data.count(b"data: ")):
            now_s = perf_counter()
            self.chunks += chunks
            if self._last_s:
                self.gaps_s.append(now_s - self._last_s)
            self._last_s = now_s
        if not self._headed:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head, self._buffer = self._buffer[:end].lower(), self._buffer[end + 4 :]
            self._headed = True
            self._status = int(head[9:12])
            if self._status != 200:
                self.refused += 400 <= self._status < 500
                self.errors += self._status >= 500
            at = head.find(b"content-length:")
            self._left = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else None
        if not self._texted and _TEXT.search(self._buffer):
            self._texted = True
            if self.counting:
                self.first_texts_s.append(perf_counter() - self._sent_s)
            if not self.got_text.done():
                self.got_text.set_result(None)
        whole = self._buffer.endswith(b"0\r\n\r\n") if self._left is None else len(self._buffer) >= self._left
        if whole:
            self.answers += 1
            if not self.had_answer.done():
                self.had_answer.set_result(None)
            if self.counting and self._status == 200:
                self.latencies_s.append(perf_counter() - self._sent_s)
                self._answered.set()
            if self.open:
                self._send()

    def connection_lost(self, exception: Exception | None) -> None:
        if self.open:
            self.errors += 1

    def close(self) -> None:
        self.open = False
        self._transport.abort()


async def _open(askers: list[Asker], connected: Callable[[], Awaitable[Asker]], count: int) -> None:
    """Adds `count` connections to `askers`. The next one opens when fewer than `OPENING` wait for their first text."""
    waiting: set[asyncio.Future[None]] = set()
    for _ in range(count):
        askers.append(await connected())
        waiting.add(askers[-1].got_text)
        while len(waiting) >= OPENING:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if waiting:
        await asyncio.wait(waiting)


async def measure(
    port: int,
    mode: str,
    connections: int,
    seconds: float,
    seed: int,
    headers: Mapping[str, str] | None = None,
    prompts: int = 0,
) -> dict[str, Any]:
    """Runs one measurement. The first tenth of the time is not counted, and of streams and agents the time until each
    connection had an answer: streams begin all at once, so at first a proxy reads as many prompts as there are connections, and
    the first turn of an agent is all new."""
    random = Random(seed)
    most = MADE_FIRST_AGENT if mode == "agent" else min(4000, round(seconds * MADE_FIRST))
    ready = [request(random, mode, port, headers or {}) for _ in range(prompts or most)]
    loop = asyncio.get_running_loop()

    def ask() -> bytes:
        if prompts:
            return random.choice(ready)
        return ready.pop() if ready else request(random, mode, port, headers or {})

    answered = asyncio.Event()  # in the time that counts

    async def connected() -> Asker:
        return (await loop.create_connection(lambda: Asker(ask, answered), "127.0.0.1", port))[1]

    if mode == "open":
        askers: list[Asker] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(OPEN_S):
                await _open(askers, connected, connections)
        opened = sum(asker.got_text.done() for asker in askers)
        print(json.dumps({"open": opened, "errors": sum(asker.errors for asker in askers)}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for asker in askers:
            asker.close()
        return {}
    askers = [await connected() for _ in range(connections)]
    await asyncio.sleep(seconds / 10)
    if mode in ("stream", "agent"):
        await asyncio.wait([asker.had_answer for asker in askers], timeout=min(WARM_S, 4 * seconds))
    for asker in askers:
        asker.counting = True
    started_s = perf_counter()
    await asyncio.sleep(seconds)
    with suppress(TimeoutError):
        await asyncio.wait_for(answered.wait(), WAIT_S)
    elapsed_s = perf_counter() - started_s
    for asker in askers:
        asker.close()
    latencies = [value * 1000 for asker in askers for value in asker.latencies_s]
    gaps = [value * 1000 for asker in askers for value in asker.gaps_s]
    firsts = [value * 1000 for asker in askers for value in asker.first_texts_s]
    shares = [len(asker.latencies_s) * len(askers) / max(1, len(latencies)) for asker in askers]
    return {
        "requests_per_s": len(latencies) / elapsed_s,
        "chunks_per_s": sum(asker.chunks for asker in askers) / elapsed_s,
        "p50_ms": percentile(latencies, 0.50),
        "p90_ms": percentile(latencies, 0.90),
        "p99_ms": percentile(latencies, 0.99),
        "first_text_p50_ms": percentile(firsts, 0.50),
        "first_text_p99_ms": percentile(firsts, 0.99),
        "gap_p50_ms": percentile(gaps, 0.50),
        "gap_p99_ms": percentile(gaps, 0.99),
        "share_p10": percentile(shares, 0.10),
        "share_p90": percentile(shares, 0.90),
        "requests": len(latencies),
        "answers": sum(asker.answers for asker in askers),
        "refused": sum(asker.refused for asker in askers),
        "errors": sum(asker.errors for asker in askers),
    }


if __name__ == "__main__":
    measured = uvloop.run(measure(**json.loads(sys.argv[1])))
    if measured:
        print(json.dumps(measured))
