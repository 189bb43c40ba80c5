"""The fastest upstream that still speaks the wire format: canned Chat Completions over a bare asyncio protocol.

The frames have all members that OpenAI's have, also the random padding that hides the length of a chunk.
A request whose body says `"stream":true` gets 100 SSE chunks, one write each; otherwise one answer of 50 words. With
the model `trickle` the stream never ends: one chunk a second. With the model `paced` a chunk comes every `PACE_S`, as from a
model that writes. No request is parsed further than its length.
Usage: `upstream.py PORT`.
"""

from __future__ import annotations

import asyncio
import json
import string
import sys
from random import Random
from typing import Any, cast

import uvloop

from guardproxy.sizing.traffic import words

ANSWER_WORDS = 50
CHUNKS = 100
TRICKLE_S = 1.0
PACE_S = 0.02

_FIELDS = {
    "id": "chatcmpl-CXyzAbc123dEfGhIjKlMnOpQrStUv",
    "created": 1_760_000_000,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_560af6e559",
}
_USAGE = {"prompt_tokens": 60, "completion_tokens": 60, "total_tokens": 120}
_MESSAGE = {"role": "assistant", "content": "WORDS", "refusal": None}
_PLAIN = json.dumps(
    {
        **_FIELDS,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": _MESSAGE, "logprobs": None, "finish_reason": "stop"}],
        "usage": _USAGE,
    }
).encode()
_BEFORE, _AFTER = _PLAIN.split(b"WORDS")
_RANDOM = Random(5)
_LETTERS = string.ascii_letters + string.digits
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _frame(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    padding = "".join(_RANDOM.choices(_LETTERS, k=_RANDOM.randint(1, 16)))
    about = {"object": "chat.completion.chunk", "usage": None, "obfuscation": padding}
    tree = {**_FIELDS, "choices": [choice], **about}
    return _chunked(b"data: " + json.dumps(tree, separators=(",", ":")).encode() + b"\n\n")


_ROLE = _frame({"role": "assistant", "content": ""})
# Sentences of frames, made once: what is streamed is put together from them, in an order of its own each time.
_SENTENCES = [[_frame({"content": f"{word} "}) for word in words(Random(seed), CHUNKS // 10)] for seed in range(2000)]
_LAST = _frame({}, "stop") + _chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection; requests are answered one after the other."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._buffer = b""
        self._transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one only in kind

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            if b"transfer-encoding: chunked" in head:
                if not self._buffer.endswith(b"0\r\n\r\n"):
                    return
                size = len(self._buffer) - end - 4
            else:
                at = head.find(b"content-length:")
                size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + size:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + size], self._buffer[end + 4 + size :]
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        if b'"trickle"' in body:
            self._transport.write(_STREAM_HEAD + _ROLE)
            self._trickle()
        elif b'"stream":true' in body or b'"stream": true' in body:
            self._transport.write(_STREAM_HEAD + _ROLE)
            chosen = self._random.sample(_SENTENCES, CHUNKS // 10)
            frames = [frame for sentence in chosen for frame in sentence][::-1]
            self._next(frames, PACE_S if b'"paced"' in body else 0.0)
        else:
            said = " ".join(words(self._random, ANSWER_WORDS)).encode()
            size = len(_BEFORE) + len(said) + len(_AFTER)
            self._transport.write(_HEAD % size + _BEFORE + said + _AFTER)

    def _next(self, frames: list[bytes], pace_s: float) -> None:
        """One chunk each turn of the loop, or every `pace_s`, so that they leave one by one."""
        if self._transport.is_closing():
            return
        if not frames:
            self._transport.write(_LAST)
            return
        self._transport.write(frames.pop())
        if pace_s:
            self._loop.call_later(pace_s, self._next, frames, pace_s)
        else:
            self._loop.call_soon(self._next, frames, pace_s)

    def _trickle(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._random.choice(_SENTENCES)[0])
            self._loop.call_later(TRICKLE_S, self._trickle)


async def serve(port: int) -> None:
    random = Random(7)
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(random), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
