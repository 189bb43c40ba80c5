"""Counts the calls of functions that the server makes for one request, in Python and C: a cost that needs no clock.

The server runs on its loop with a real policy folder and a real log. A model and a client run in threads of their own, whose
calls do not count, and neither do those of the observers, which run in batches. `python -m tools.hot_path` prints the
counts and the functions that make most calls.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from guardproxy.config import Config
from guardproxy.server.app import Server
from guardproxy.server.intake.listener import Listener
from tests.kit.play import chat_frames

ROOT = Path(__file__).parents[1]
NO_RULES = "policy: empty\nrules:\n  - {id: watch, when: check_error, action: flag}\n"
DEFAULT = (ROOT / "policies" / "default.yaml").read_text()
WARM_UP = 40
REQUESTS = 100
LIMIT = 1000  # connections
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "please tell me about the weather of tomorrow"}]}
USAGE = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "it rains all day long"}, "finish_reason": "stop"}
    ],
    "usage": USAGE,
}
WORDS = [{"content": f"{word} "} for word in ("it", "rains", "all", "day", "long")]


def _with_length(start: str, headers: str, body: bytes) -> bytes:
    return f"{start}\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(data: bytes) -> bytes:
    """A chunk of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def _answer(*, streamed: bool) -> bytes:
    if not streamed:
        return _with_length("HTTP/1.1 200 OK", "", json.dumps(ANSWER).encode())
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(map(chunked, chat_frames(WORDS))) + b"0\r\n\r\n"


def request(*, streamed: bool) -> bytes:
    """The bytes of a request."""
    body = json.dumps({**REQUEST, "stream": True} if streamed else REQUEST).encode()
    start, headers = "POST /v1/chat/completions HTTP/1.1", "Host: localhost\r\nAuthorization: Bearer counted\r\n"
    return _with_length(start, headers, body)


def _read(connection: socket.socket) -> bytes:
    """One request or answer of a connection; empty at its end."""
    data = b""
    while part := connection.recv(1 << 16):
        data += part
        head, _, body = data.partition(b"\r\n\r\n")
        if b"chunked" in head:
            if body.endswith(b"0\r\n\r\n"):
                return data
        elif b"ontent-Length: " in head:
            length = int(head.partition(b"ontent-Length: ")[2].partition(b"\r\n")[0])
            if len(body) == length:
                return data
    return b""


def _model(listening: socket.socket, answer: bytes) -> None:
    """Answers every request of one connection."""
    connection, _ = listening.accept()
    with connection:
        while _read(connection):
            connection.sendall(answer)


@dataclass
class _Client(threading.Thread):
    """Sends requests one after the other. `counting(True)` is called after the warm-up, `counting(False)` at the end."""

    port: int
    request: bytes
    counting: Callable[[bool], None]
    failure: str = ""

    def __post_init__(self) -> None:
        super().__init__(daemon=True, name="outside-client")

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            for number in range(WARM_UP + REQUESTS):
                if number == WARM_UP:
                    self.counting(True)
                connection.sendall(self.request)
                answer = _read(connection)
                if not answer.startswith(b"HTTP/1.1 200 "):
                    self.failure = answer.decode("latin-1") or "no answer"
                    break
            self.counting(False)


@dataclass
class Calls:
    """The calls for each request. `loop`: on the event loop and in the threads of steps and scans; `writer`: in the thread that
    writes the log; `by_function`: of all threads, by file and function."""

    loop: float = 0.0
    writer: float = 0.0
    by_function: Counter[str] = field(default_factory=Counter)


class _Counted:
    """Counts the calls of the threads whose profiler it is."""

    def __init__(self) -> None:
        self.is_on = False
        self.counts: Counter[tuple[int, Any]] = Counter()

    def see(self, frame: Any, event: str, argument: Any) -> None:
        if self.is_on and event in ("call", "c_call"):
            self.counts[threading.get_ident(), frame.f_code] += 1

    def calls(self) -> Calls:
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        result = Calls()
        for (ident, code), count in self.counts.items():
            name = names.get(ident, "")
            if name.startswith(("observer-", "outside-")):
                continue
            if name.startswith("audit-"):
                result.writer += count / REQUESTS
            else:
                result.loop += count / REQUESTS
            result.by_function[f"{Path(code.co_filename).name} {code.co_qualname}"] += count
        return result


@asynccontextmanager
async def served(policy: str, folder: Path, listening: socket.socket) -> AsyncIterator[int]:
    """A server under a policy, in front of the model that listens there. Gives its port."""
    policies = folder / "policies"
    policies.mkdir()
    (policies / "policy.yaml").write_text(policy)
    upstream = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = Server(Config.of(upstream=(upstream,), policies=policies, audit=folder / "audit"))
    listener = Listener(server.handle, limit=LIMIT, timeout_head_s=5.0, auto_decompress=False, access_log=None)
    runner = web.ServerRunner(listener)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await server.drain()
        await runner.cleanup()
        await server.close()


async def _measure(policy: str, *, streamed: bool, folder: Path, counted: _Counted) -> Calls:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def counting(is_on: bool) -> None:
        counted.is_on = is_on
        if not is_on:
            loop.call_soon_threadsafe(ended.set)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with served(policy, folder, listening) as port:
            gc.collect()
            gc.disable()
            client = _Client(port, request(streamed=streamed), counting)
            answer = _answer(streamed=streamed)
            threading.Thread(target=_model, args=(listening, answer), daemon=True, name="outside-model").start()
            client.start()
            try:
                await ended.wait()
                sys.setprofile(None)
                assert not client.failure, client.failure
                return counted.calls()
            finally:
                gc.enable()


def measure(policy: str, *, streamed: bool = False) -> Calls:
    """The calls for each request under a policy."""
    counted = _Counted()
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        threading.setprofile(counted.see)
        sys.setprofile(counted.see)
        try:
            return runner.run(_measure(policy, streamed=streamed, folder=Path(folder), counted=counted))
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def main() -> None:
    """Prints the counts."""
    for name, policy in (("no rules", NO_RULES), ("default policy", DEFAULT)):
        for streamed in (False, True):
            calls = measure(policy, streamed=streamed)
            print(f"{name}, {'streamed' if streamed else 'whole'}: loop {calls.loop:.1f}, writer {calls.writer:.1f}")
            for function, count in calls.by_function.most_common(10):
                print(f"    {count / REQUESTS:8.2f} {function}")


if __name__ == "__main__":
    main()
