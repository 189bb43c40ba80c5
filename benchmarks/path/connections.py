"""What it is worth to use the connection of a stream again: streams over TLS, one after the other, each in two ways.

The model answers with ten chunks. The end of the body comes a millisecond after the terminal event, in a packet of its own, as
from providers of models. `kept`: the proxy reads the rest of the body and uses the connection again. `closed`: the proxy closes
the connection at the terminal event. The model, the proxy and the client run in one process, on the loopback address, so a
handshake costs its computing time only; over a network it costs two or three round trips more.
Out: `connections.json` in `--out`.

    python -m benchmarks.path.connections [--rounds 5] [--streams 100] [--out DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import subprocess
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from unittest.mock import patch

import aiohttp
import uvloop
from aiohttp import web

from benchmarks.path.load import percentile
from benchmarks.path.overhead import EMPTY_POLICY
from benchmarks.processes import ROOT, machine
from guardproxy.config import Config
from guardproxy.server import app
from guardproxy.server.intake.listener import Listener
from guardproxy.server.upstream.upstream import Upstream

CHUNKS = 10
END_AFTER_S = 0.001
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _frame(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    tree = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return _chunk(b"data: " + json.dumps(tree).encode() + b"\n\n")


ANSWER = HEAD + _frame({"content": "word "}) * CHUNKS + _frame({}, "stop") + _chunk(b"data: [DONE]\n\n")


class ClosingUpstream(Upstream):
    """The upstream side of a request that closes the connection at the terminal event."""

    def release(self) -> None:
        self.close()


class Model(asyncio.Protocol):
    """One connection of the model. `connections`: the number of connections so far."""

    connections = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Model.connections += 1
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"}"):
            self._transport.write(ANSWER)
            asyncio.get_running_loop().call_later(END_AFTER_S, self._end)

    def _end(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"0\r\n\r\n")


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A context for the model, with a certificate of its own, and a context that trusts it."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, ssl.create_default_context(cafile=cert)


async def proxy(stack: AsyncExitStack, folder: Path, upstream: str, trusting: ssl.SSLContext) -> str:
    """The address of a proxy without rules in this process."""
    policies = folder / "policies"
    policies.mkdir(parents=True)
    (policies / "empty.yaml").write_text(EMPTY_POLICY)
    server = app.Server(Config.of(upstream=(upstream,), policies=policies, audit=folder / "audit"))
    connector: Any = server._connections._connector
    connector._ssl = trusting
    listener = Listener(server.handle, limit=10, timeout_head_s=5.0, auto_decompress=False, access_log=None)
    runner = web.ServerRunner(listener)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stack.push_async_callback(server.close)
    stack.push_async_callback(runner.cleanup)
    return f"http://127.0.0.1:{runner.addresses[0][1]}/v1/chat/completions"


async def measure(client: aiohttp.ClientSession, url: str, streams: int) -> dict[str, float]:
    """The times to the first byte of the answer in milliseconds, and the connections that the model got."""
    before, first_ms = Model.connections, []
    for _ in range(streams):
        began_s = perf_counter()
        async with client.post(url, json=BODY) as answer:
            answer.raise_for_status()
            await answer.content.readany()
            first_ms.append((perf_counter() - began_s) * 1000)
            await answer.read()
        await asyncio.sleep(2 * END_AFTER_S)
    return {
        "connections": Model.connections - before,
        "first_byte_p50_ms": percentile(first_ms, 0.5),
        "first_byte_p99_ms": percentile(first_ms, 0.99),
    }


async def run(rounds: int, streams: int) -> dict[str, Any]:
    """The medians over the rounds of each way."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        context, trusting = certificate(folder)
        model = await asyncio.get_running_loop().create_server(Model, "127.0.0.1", 0, ssl=context)
        stack.callback(model.close)
        upstream = f"https://127.0.0.1:{model.sockets[0].getsockname()[1]}"
        url = await proxy(stack, folder, upstream, trusting)
        client = await stack.enter_async_context(aiohttp.ClientSession())
        ways: dict[str, type[Upstream]] = {"kept": Upstream, "closed": ClosingUpstream}
        measured: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, kind in ways.items():
                with patch.object(app, "Upstream", kind):
                    measured[way].append(await measure(client, url, streams))
        return {
            way: {name: median(one_round[name] for one_round in found) for name in found[0]}
            for way, found in measured.items()
        }


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=100, help="in a round")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    before = machine()
    ways = uvloop.run(run(options.rounds, options.streams))
    report = {"machine": before, "settings": {"rounds": options.rounds, "streams": options.streams}, "ways": ways}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "connections.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(ways, indent=2))


if __name__ == "__main__":
    main()
