"""The work of each wire format: of a request, of a plain answer, and of each chunk of a stream.

The material comes from each format's author, so a new format is measured without a change here. `CASES` prepares, for a codec
and a size, what is measured; the work of one unit is the difference between two sizes, so what happens once is not counted.
Work is counted as calls of functions in Python and C, which are the same in every run; the benchmark of formats also takes
the time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from guardproxy.events import Frame, Opaque, Text
from guardproxy.testing.material import path_of
from guardproxy.wire import Codec, Prompt, Reply
from guardproxy.wire.decoding.frame_cache import Alike
from guardproxy.wire.json import write

LIMIT_BYTES = 1 << 26
WORD = "ordinary "
MODEL = "a-model"

Work = Callable[[], object]
Prepare = Callable[[Codec, int], Work | None]


@dataclass(frozen=True, slots=True)
class Case:
    """A measured part of a format. `prepare(codec, size)`: the work for so many units; `None` if the format has no such
    part. `unit`: what the size counts."""

    unit: str
    prepare: Prepare


def is_answered(codec: Codec) -> bool:
    """Whether a model answers on some route of a format."""
    return any(map(codec.contract.is_answered, codec.routes))


def _kilobytes(size: int) -> str:
    return (WORD * (1024 // len(WORD) + 1))[:1024] * size


def request(codec: Codec, size: int) -> Work:
    """Reads a request with a prompt of so many KB."""
    body = codec.write_body(codec.author.request(Prompt(MODEL, _kilobytes(size))))
    path = path_of(codec)
    return lambda: codec.read_request(path, "", body).events()


def answer(codec: Codec, size: int) -> Work | None:
    """Decodes a plain answer with a text of so many KB."""
    if not is_answered(codec):
        return None
    body = write(codec.author.answer(Prompt(MODEL, "hi"), Reply(_kilobytes(size)), "1"))

    def run() -> None:
        decoder = codec.decoder(streamed=False, failed=False, limit_bytes=LIMIT_BYTES, guarded=True)
        decoder.feed(body)
        decoder.end()

    return run


def chunks(codec: Codec, size: int) -> Work | None:
    """Decodes a stream whose text comes in so many chunks, each with its frame."""
    return _stream(codec, "assistant", size)


def tool_chunks(codec: Codec, size: int) -> Work | None:
    """Decodes a stream whose tool arguments come in so many chunks."""
    return _stream(codec, "tool_arguments", size)


def _stream(codec: Codec, kind: Any, size: int) -> Work | None:
    frames = _frames(codec, kind, size)

    def run() -> None:
        """Reads every frame as if none were remembered (`wire/decoding/frame_cache.py`): the highest cost of a format."""
        with patch.object(Alike, "find", lambda _self, _data: None):
            decoder = codec.decoder(streamed=True, failed=False, limit_bytes=LIMIT_BYTES, guarded=True)
            for frame in frames:
                decoder.feed(frame)
            decoder.end()

    return run if frames else None


def _frames(codec: Codec, kind: Any, size: int) -> Sequence[bytes]:
    if not is_answered(codec) or kind not in codec.contract.carries["response"]:
        return ()
    return codec.author.frames_with(kind, [WORD] * size) or ()


def edits(codec: Codec, size: int) -> Work | None:
    """Writes so many edited chunks."""
    decoder = codec.decoder(streamed=True, failed=False, limit_bytes=LIMIT_BYTES, guarded=True)
    found: list[tuple[Frame, Text]] = []
    for frame in _frames(codec, "assistant", size):
        events = decoder.feed(frame)
        found += [(event.frame, event) for event in events if isinstance(event, Text) and event.text == WORD]
        for seen in {id(event.frame): event.frame for event in events if isinstance(event, (Text, Opaque))}.values():
            decoder.sent(seen)
    if not found:
        return None
    return lambda: [codec.edited(frame, [(text, "other ")]) for frame, text in found]


CASES: dict[str, Case] = {
    "request": Case("KB", request),
    "answer": Case("KB", answer),
    "chunk": Case("chunk", chunks),
    "tool chunk": Case("chunk", tool_chunks),
    "edited chunk": Case("chunk", edits),
}


def calls(work: Work) -> int:
    """The calls of functions, in Python and C, of some work."""
    count = 0

    def see(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    work()  # what is remembered from the first time is not counted
    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def calls_per_unit(codec: Codec, case: Case, small: int = 20, large: int = 60) -> float | None:
    """The calls for one more unit; `None` if the format has no such part."""
    first, second = case.prepare(codec, small), case.prepare(codec, large)
    return (calls(second) - calls(first)) / (large - small) if first and second else None


def calls_once(codec: Codec, case: Case) -> int | None:
    """The calls for one unit and all that happens once."""
    work = case.prepare(codec, 1)
    return calls(work) if work else None
