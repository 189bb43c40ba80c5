"""An upstream that answers at once, as `python -m guardproxy.sizing.upstream`. It prints its port, and ends with its standard
input.

A request whose body asks for a stream gets 100 chunks, each written by itself. No body is parsed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from random import Random
from typing import Any

from guardproxy.sizing.figures import STREAM_CHUNKS
from guardproxy.sizing.traffic import words

_ABOUT: dict[str, Any] = {"id": "chatcmpl-sizing", "created": 1_750_000_000, "model": "sizing"}
_USAGE = {"prompt_tokens": 60, "completion_tokens": 60, "total_tokens": 120}


def answer(random: Random) -> bytes:
    """Returns an answer of 50 words."""
    message = {"role": "assistant", "content": " ".join(words(random, 50))}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({**_ABOUT, "object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()


def chunks(random: Random) -> list[bytes]:
    """Returns the events of a stream."""
    texts = [{"content": f"{word} "} for word in words(random, STREAM_CHUNKS)]
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *texts]
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    trees = [{**_ABOUT, "object": "chat.completion.chunk", "choices": [choice]} for choice in choices]
    return [*(b"data: %s\n\n" % json.dumps(tree).encode() for tree in trees), b"data: [DONE]\n\n"]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the requests of a connection."""
    random = Random(7)  # noqa: S311 - texts to measure with
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
            body = await reader.readexactly(length)
            if b'"stream": true' in body or b'"stream":true' in body:
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                for chunk in chunks(random):
                    writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
            else:
                data = answer(random)
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data)
                )
                writer.write(data)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def run(port: int = 0) -> None:
    """Serves until standard input ends. `port`: 0 picks a free one."""
    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=2**20)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(run(*map(int, sys.argv[1:])))
