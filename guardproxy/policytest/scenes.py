"""A scene of a policy test -> the bytes that go over the wire: a request, and answers that are cut anywhere.

In: `Texts` or `Written`, and a seed. Out: bytes. Kept: nothing. The cuts are a function of the seed, so a failure can be
played again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from guardproxy.policy import Texts, Told, Written
from guardproxy.wire import codec_for, frame
from guardproxy.wire.json import write

JSON = "application/json"
STREAM = "text/event-stream"
LETTERS = 1
"""The seed at which every character of a text, and every event, comes alone."""

_MOST_CUTS = 40


@dataclass(frozen=True, slots=True)
class Cuts:
    """How an answer comes. `streamed`: as events; `seed`: in pieces, of which 0 makes one."""

    streamed: bool = False
    seed: int = 0

    def __str__(self) -> str:
        if not self.streamed and not self.seed:
            return "whole"
        return f"in pieces (seed {self.seed})" if self.seed else "streamed at once"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the upstream says. `late[i]`: the piece after `pieces[i]` comes before the checks have seen that one."""

    status: int
    media: str
    pieces: tuple[bytes, ...]
    late: tuple[bool, ...] = ()


Fill = Callable[[str], str]
"""Puts this exchange's placeholders where a scene says `[EMAIL_ADDRESS_1]`."""


def request_of(scene: Texts | Written, told: Told, streamed: bool) -> bytes:
    """The body of the request."""
    if isinstance(scene, Written):
        return write(scene.request)
    messages = [{"role": "user", "content": scene.request or ""}]
    body: dict[str, Any] = {"model": told.model, "messages": messages}
    if _dialect(told) == "anthropic_messages":
        body["max_tokens"] = 1024
    return write({**body, "stream": True} if streamed else body)


def answer_of(scene: Texts | Written, told: Told, cuts: Cuts, number: int, fill: Fill) -> Answer | None:
    """The answer at one attempt (from 0); `None` when the scene has none for it."""
    if isinstance(scene, Written):
        return _written(scene, told, cuts, number, fill)
    if number >= len(scene.answers):
        return None
    text, dialect = fill(scene.answers[number]), _dialect(told)
    if not cuts.streamed:
        return Answer(200, JSON, (write(_whole(dialect, text)),))
    parts = [text[low:high] for low, high in _borders(len(text), cuts.seed)]
    frames = _messages(parts) if dialect == "anthropic_messages" else _chat(parts)
    return _cut(b"".join(frames), 200, STREAM, cuts.seed)


def plays(scene: Texts | Written, chunkings: int) -> list[Cuts]:
    """All the ways in which a scene is played; the first is what the others must agree with."""
    if isinstance(scene, Texts):
        streams = [Cuts(True, seed) for seed in range(chunkings + 1)] if scene.answers and chunkings else []
        return [Cuts(), *streams]
    if scene.stream is not None:
        return [Cuts(True, seed) for seed in range(chunkings + 1)]
    # The bytes of one JSON body mean nothing before the last has come: one way to cut them stands for all.
    return [Cuts(False, seed) for seed in range(2 if scene.answers and chunkings else 1)]


def _dialect(told: Told) -> str:
    codec = codec_for(told.route)
    return codec.name if codec else ""


def _written(scene: Written, told: Told, cuts: Cuts, number: int, fill: Fill) -> Answer | None:
    if scene.stream is not None:
        if number:
            return None
        data = b"".join(_event(one, _dialect(told), fill) for one in [*scene.stream, *_end(scene.stream, told)])
        return _cut(data, scene.status, STREAM, cuts.seed)
    if number >= len(scene.answers):
        return None
    return _cut(fill(write(scene.answers[number]).decode()).encode(), scene.status, JSON, cuts.seed)


def _event(item: Any, dialect: str, fill: Fill) -> bytes:
    data = item if isinstance(item, str) else write(item).decode()
    name = item.get("type") if isinstance(item, Mapping) and dialect == "anthropic_messages" else None
    return frame(fill(data).replace("\n", " ").encode(), name if isinstance(name, str) else None)


def _end(stream: Sequence[Any], told: Told) -> list[Any]:
    """What closes a stream, where the scene leaves it out: a test is of texts, not of endings."""
    if _dialect(told) == "anthropic_messages":
        stop = {"type": "message_stop"}
        return [] if stop in stream or any(_is_error(one) for one in stream) else [stop]
    return [] if "[DONE]" in stream else ["[DONE]"]


def _is_error(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get("type") == "error"


# One text as an answer.


def _whole(dialect: str, text: str) -> dict[str, Any]:
    if dialect == "anthropic_messages":
        head = {"id": "msg_test", "type": "message", "role": "assistant", "model": ""}
        return {**head, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def _chat(parts: Sequence[str]) -> list[bytes]:
    def chunk(delta: Mapping[str, str], finish: str | None = None) -> bytes:
        return frame(write({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))

    texts = [chunk({"content": part}) for part in parts]
    return [chunk({"role": "assistant"}), *texts, chunk({}, "stop"), frame(b"[DONE]")]


def _messages(parts: Sequence[str]) -> list[bytes]:
    message = {"id": "msg_test", "type": "message", "role": "assistant", "model": "", "content": []}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": part}} for part in parts),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {}},
        {"type": "message_stop"},
    ]
    return [frame(write(event), event["type"]) for event in events]


# Cuts.


def _cut(data: bytes, status: int, media: str, seed: int) -> Answer:
    if seed == LETTERS:  # each event as it comes, seen by the checks before the next
        pieces = tuple(filter(None, re.split(rb"(?<=\n\n)", data)))
        return Answer(status, media, pieces, (False,) * len(pieces))
    pieces = tuple(data[low:high] for low, high in _borders(len(data), seed))
    chance = Random(f"late {seed}")  # noqa: S311 - a test that can be repeated
    return Answer(status, media, pieces, tuple(bool(seed) and chance.random() < 0.3 for _ in pieces))


def _borders(size: int, seed: int) -> list[tuple[int, int]]:
    """From where to where each piece goes."""
    if seed == LETTERS:
        return list(pairwise(range(size + 1)))
    chance = Random(f"{seed} {size}")  # noqa: S311 - as above
    count = chance.randint(1, min(size, _MOST_CUTS)) if seed and size > 1 else 0
    return list(pairwise(sorted({0, size, *(chance.randrange(1, size) for _ in range(count))})))
