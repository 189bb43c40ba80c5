"""Counts the bytes that an open stream keeps in the server: what Python allocates, which is the same on every machine.

The server runs as in `hot_path.py`. A model answers each request with the beginning of a stream and does not end it. Memory
outside of Python is not counted, such as the kernel's buffers of sockets. `python -m tools.open_streams` prints the bytes
and where most of them are.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import tempfile
import tracemalloc
from contextlib import ExitStack
from pathlib import Path

import uvloop

from tests.kit.play import chat_frames
from tools.hot_path import DEFAULT, NO_RULES, chunked, request, served

FIRST = 10  # streams before the first count: caches fill, tables grow
MORE = 20
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SENTENCE = [
    {"content": f"{word} "} for word in ("it", "rains", "all", "day", "long", "and", "then", "it", "snows.", "So")
]


class _Streams:
    """The streams that are open, with their clients and models. `chunks`: how many come before a stream rests."""

    def __init__(self, stack: ExitStack, port: int, listening: socket.socket, chunks: int) -> None:
        self._stack = stack
        self._port = port
        self._listening = listening
        deltas = (SENTENCE * (chunks // len(SENTENCE) + 1))[: chunks - 1]
        # Every frame but the last, which ends the stream. `omega` comes back last, so the client knows that all has been read.
        frames = chat_frames([*deltas, {"content": "omega. "}, {"content": "held"}])[:-2]
        self._frames = list(map(chunked, frames))

    def open(self, count: int) -> None:
        """Opens so many streams, one after the other."""
        for _ in range(count):
            client = self._stack.enter_context(socket.create_connection(("127.0.0.1", self._port), 30))
            client.sendall(request(streamed=True))
            connection = self._stack.enter_context(self._listening.accept()[0])
            _until(connection, b"}")
            connection.sendall(HEAD + b"".join(self._frames))
            _until(client, b"omega")


def _until(connection: socket.socket, end: bytes) -> None:
    data = b""
    while end not in data:
        part = connection.recv(1 << 16)
        assert part, data
        data += part


async def _measure(policy: str, chunks: int, folder: Path) -> tuple[float, list[str]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with served(policy, folder, listening) as port:
            with ExitStack() as stack:
                streams = _Streams(stack, port, listening, chunks)
                await asyncio.to_thread(streams.open, FIRST)
                tracemalloc.start()
                try:
                    await asyncio.to_thread(streams.open, MORE)
                    gc.collect()
                    kept, snapshot = tracemalloc.get_traced_memory()[0], tracemalloc.take_snapshot()
                finally:
                    tracemalloc.stop()
    places = [f"{place.size / MORE:8.0f} {place.traceback}" for place in snapshot.statistics("lineno")[:20]]
    return kept / MORE, places


def measure(policy: str, chunks: int) -> tuple[float, list[str]]:
    """The bytes that an open stream keeps after so many chunks of text, and the places that allocated most of them."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(policy, chunks, Path(folder)))


def main() -> None:
    """Prints the bytes."""
    for name, policy in (("no rules", NO_RULES), ("default policy", DEFAULT)):
        for chunks in (10, 1000):
            kept, places = measure(policy, chunks)
            print(f"{name}, {chunks} chunks: {kept:.0f} bytes")
            print(*places, sep="\n")


if __name__ == "__main__":
    main()
