"""A server with vector search for a test: a real Valkey, and before it what answers the commands of the search itself.

No server with vector search comes in a wheel. So `FT.CREATE` and `FT.SEARCH` are read here, as far as the proxy uses them, and
answered from the hashes in the real server; all other commands pass. Written from the documentation of these commands.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy
import redis

Reply = Any


class SearchRelay:
    """Stands before a server. `is_map`: answers to searches as in the third version of the protocol. `commands`: the searches
    and indexes that it was asked for."""

    def __init__(self, path: Path, server: str, *, is_map: bool) -> None:
        self._path, self._server, self._is_map = path, server.removeprefix("unix://"), is_map
        self._client = redis.Redis(unix_socket_path=self._server)
        self._indexes: dict[bytes, tuple[bytes, int]] = {}
        self._serving: set[asyncio.Task[None] | None] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self.commands: list[Sequence[bytes]] = []

    async def begin(self) -> None:
        self._listening = await asyncio.start_unix_server(self._serve, self._path)

    async def end(self) -> None:
        self._listening.close()
        for writer in self._open:
            writer.close()
        await self._listening.wait_closed()
        await asyncio.gather(*[task for task in self._serving if task])
        self._client.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        answers, asking = await asyncio.open_unix_connection(self._server)
        self._open |= {writer, asking}
        passing = asyncio.ensure_future(_pass(answers, writer))
        with suppress(OSError, asyncio.IncompleteReadError, ValueError):
            while True:
                words, raw = await _command(reader)
                if words[0].upper().startswith(b"FT."):
                    writer.write(_encoded(self._answer(words)))
                else:
                    asking.write(raw)
        asking.close()
        writer.close()
        await passing

    def _answer(self, words: Sequence[bytes]) -> Reply:
        self.commands.append(words)
        name, index = words[0].upper(), words[1]
        if name == b"FT.CREATE":
            if index in self._indexes:
                return redis.ResponseError("Index already exists")
            self._indexes[index] = words[words.index(b"PREFIX") + 2], int(words[words.index(b"DIM") + 1])
            return b"OK"
        if index not in self._indexes:
            return redis.ResponseError(f"{index.decode()}: no such index")
        partition = words[2].split(b"{")[1].split(b"}")[0]
        most = int(words[2].split(b"KNN ")[1].split(b" ")[0])
        return self._found(*self._indexes[index], partition, most, words[words.index(b"v") + 1])

    def _found(self, prefix: bytes, dimensions: int, partition: bytes, most: int, wanted: bytes) -> Reply:
        near = []
        for key in self._client.scan_iter(prefix.decode() + "*"):
            fields: Any = self._client.hgetall(key)
            if fields[b"partition"] == partition:
                one, other = numpy.frombuffer(fields[b"vector"], "<f4"), numpy.frombuffer(wanted, "<f4")
                assert len(one) == len(other) == dimensions
                cosine = float(one @ other / (numpy.linalg.norm(one) * numpy.linalg.norm(other)))
                near.append((1 - cosine, key, fields[b"stored"]))
        near = sorted(near)[:most]
        if self._is_map:
            found = [
                {b"id": key, b"extra_attributes": {b"distance": b"%g" % distance, b"stored": stored}}
                for distance, key, stored in near
            ]
            return {b"total_results": len(near), b"results": found, b"warning": []}
        every: list[Reply] = [len(near)]
        for distance, key, stored in near:
            every += [key, [b"distance", b"%g" % distance, b"stored", stored]]
        return every


async def _command(reader: asyncio.StreamReader) -> tuple[list[bytes], bytes]:
    """The words of the next command, and its bytes."""
    raw = await reader.readuntil(b"\n")
    words = []
    for _ in range(int(raw[1:])):
        head = await reader.readuntil(b"\n")
        body = await reader.readexactly(int(head[1:]) + 2)
        words.append(body[:-2])
        raw += head + body
    return words, raw


def _encoded(reply: Reply) -> bytes:
    match reply:
        case redis.ResponseError():
            return b"-ERR %s\r\n" % str(reply).encode()
        case int():
            return b":%d\r\n" % reply
        case dict():
            parts = [part for pair in reply.items() for part in pair]
            return b"%%%d\r\n" % len(reply) + b"".join(map(_encoded, parts))
        case list():
            return b"*%d\r\n" % len(reply) + b"".join(map(_encoded, reply))
        case _:
            return b"$%d\r\n%s\r\n" % (len(reply), reply)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@contextmanager
def searching(path: Path, server: str, *, is_map: bool = False) -> Iterator[SearchRelay]:
    """Runs a relay before a server in a thread. Its address is `unix://` and the path."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="search", daemon=True)
    thread.start()
    relay = SearchRelay(path, server, is_map=is_map)
    asyncio.run_coroutine_threadsafe(relay.begin(), loop).result(timeout=60)
    try:
        yield relay
    finally:
        asyncio.run_coroutine_threadsafe(relay.end(), loop).result(timeout=60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=60)
        loop.close()
