"""What guardproxy adds to a call of a tool over MCP: over HTTP and over standard streams, without rules and with the shipped
policy `agents`.

The server answers each call with a text of 50 words, at once. Each call has another argument of 20 words, so no verdict is
remembered. Targets are asked in turn, round by round; a figure is the median over the rounds. Each proxy has a core, and the
server and the client share the other. Over HTTP, `p50_ms` is that of one connection, and `calls_per_s` that of 16. Out:
`mcp.json` in `--out`, with the milliseconds that each target adds to the server itself.

    python -m benchmarks.path.mcp [--rounds 5] [--seconds 2] [--policies none agents] [--out DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Any

import uvloop

from benchmarks.path.load import percentile
from benchmarks.processes import ROOT, free_port, machine, start, wait_ready
from guardproxy.sizing.traffic import words

CONNECTIONS = 16
ARGUMENT_WORDS, RESULT_WORDS = 20, 50
POLICIES = {"none": "policy: none\nrules:\n  - {id: watch, when: check_error, action: flag}\n", "agents": ""}
_TEXT = " ".join(words(Random(3), RESULT_WORDS))
_RESULT = {"content": [{"type": "text", "text": _TEXT}], "structuredContent": {"result": _TEXT}, "isError": False}
_AFTER = json.dumps({"result": _RESULT})[1:].encode()
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
STDIO = f"""\
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    sys.stdout.write('{{"jsonrpc":"2.0","id":%s,' % json.dumps(message["id"]) + {_AFTER.decode()!r} + "\\n")
    sys.stdout.flush()
"""

Ask = Callable[[], Awaitable[float]]


def call(random: Random, number: int) -> bytes:
    """A call of a tool."""
    arguments = {"text": " ".join(words(random, ARGUMENT_WORDS))}
    params = {"name": "echo", "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}).encode()


class Server(asyncio.Protocol):
    """A connection of the server. Its client sends one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        if not found or len(body) < length:
            return
        self._received = b""
        identifier = json.loads(body).get("id") if body else None
        answer = b'{"jsonrpc":"2.0","id":%s,%s' % (json.dumps(identifier).encode(), _AFTER)
        self._transport.write(_HEAD % (len(answer), answer))


async def over_http(stack: AsyncExitStack, url: str, random: Random) -> Ask:
    """Opens a connection. Returns what sends a call over it and returns the milliseconds until its answer."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    stack.callback(writer.close)
    number = 0

    async def ask() -> float:
        nonlocal number
        number += 1
        body = call(random, number)
        head = f"POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        began_s = perf_counter()
        writer.write(f"{head}Accept: application/json, text/event-stream\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = next(int(line[15:]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        return (perf_counter() - began_s) * 1000

    return ask


async def over_pipes(stack: AsyncExitStack, command: Sequence[str], random: Random) -> Ask:
    """Starts a server. Returns what sends a call to it and returns the milliseconds until its answer."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    given, answers = process.stdin, process.stdout
    stack.push_async_callback(process.wait)
    stack.callback(given.close)
    number = 0

    async def ask() -> float:
        nonlocal number
        number += 1
        body = call(random, number)
        began_s = perf_counter()
        given.write(body + b"\n")
        assert _AFTER[:20] in await answers.readline()
        return (perf_counter() - began_s) * 1000

    return ask


async def timed(ask: Ask, seconds: float) -> list[float]:
    """The times of calls, one after the other, for so long."""
    due_s, times = perf_counter() + seconds, list[float]()
    while perf_counter() < due_s:
        times.append(await ask())
    return times


async def rate(asks: Sequence[Ask], seconds: float) -> float:
    """The calls in a second over several connections."""
    began_s = perf_counter()
    counts = [len(times) for times in await asyncio.gather(*(timed(ask, seconds) for ask in asks))]
    return sum(counts) / (perf_counter() - began_s)


def guard(folder: Path, name: str) -> list[str]:
    """The words that give a guard its policy and its log."""
    if text := POLICIES[name]:
        (folder / "policies").mkdir(parents=True, exist_ok=True)
        (folder / "policies" / "policy.yaml").write_text(text)
    policies = str(folder / "policies") if text else name
    return ["--policies", policies, "--audit", str(folder / "audit"), "--log-level", "error"]


async def run(rounds: int, seconds: float, policies: Sequence[str]) -> dict[str, Any]:
    """All targets in turn."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])
    random = Random(7)
    async with AsyncExitStack() as stack:
        processes = stack.enter_context(ExitStack())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        stack.callback(server.close)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
        urls = {"direct": url}
        pipes = {"direct": [sys.executable, "-c", STDIO]}
        for name in policies:
            words_of, port, admin = guard(folder / name, name), free_port(), free_port()
            own = ["--mcp", f"tool={url}", "--port", str(port), "--admin-port", str(admin)]
            command = [sys.executable, "-m", "guardproxy", "serve", *own, *words_of]
            process = start(processes, command, cores[-1:], folder / f"{name}.log")
            if not await asyncio.to_thread(wait_ready, process, f"http://127.0.0.1:{admin}/readyz"):
                raise SystemExit((folder / f"{name}.log").read_text()[-2000:])
            urls[name] = f"http://127.0.0.1:{port}/mcp/tool"
            words_of = guard(folder / f"{name}-pipes", name)
            guarded = [sys.executable, "-m", "guardproxy", "mcp", *words_of, "--", *pipes["direct"]]
            pipes[name] = ["taskset", "-c", str(cores[-1]), *guarded]
        single = {name: await over_http(stack, at, random) for name, at in urls.items()}
        many = {name: [await over_http(stack, at, random) for _ in range(CONNECTIONS)] for name, at in urls.items()}
        piped = {name: await over_pipes(stack, command, random) for name, command in pipes.items()}
        times: dict[str, dict[str, list[list[float]]]] = {"http": {}, "stdio": {}}
        rates: dict[str, list[float]] = {name: [] for name in urls}
        for number in range(rounds + 1):  # the first round warms up
            for way, asks in (("http", single), ("stdio", piped)):
                for name, ask in asks.items():
                    taken = await timed(ask, seconds)
                    if number:
                        times[way].setdefault(name, []).append(taken)
            for name, several in many.items():
                found = await rate(several, seconds)
                if number:
                    rates[name].append(found)
    return {way: _figures(by_name, rates if way == "http" else {}) for way, by_name in times.items()}


def _figures(times: dict[str, list[list[float]]], rates: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """The percentiles and the rate of each target, and the milliseconds that it adds to the median of the server itself."""
    figures: dict[str, dict[str, float]] = {}
    for name, rounds in times.items():
        middle = median(map(median, rounds))
        figures[name] = {
            "p50_ms": round(middle, 3),
            "p99_ms": round(median(percentile(taken, 0.99) for taken in rounds), 3),
            "adds_ms": round(middle - median(map(median, times["direct"])), 3),
        }
        if name in rates:
            figures[name]["calls_per_s"] = round(median(rates[name]))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--policies", nargs="*", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    result = {"machine": machine(), **uvloop.run(run(options.rounds, options.seconds, options.policies))}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "mcp.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
