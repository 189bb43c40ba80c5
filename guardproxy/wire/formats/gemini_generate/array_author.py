"""Writes streams of Gemini as a JSON array; everything else as `author.py` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.authoring import CutText, Prompt, Reply
from guardproxy.wire.formats.gemini_generate import author
from guardproxy.wire.formats.gemini_generate.author import (
    ID_HEADER,
    PROMPT_PATH,
    ROUTE,
    answer,
    answer_with,
    ending,
    error,
    is_request,
    models,
    read,
    request,
    request_with,
    unanswered,
)
from guardproxy.wire.framing import json_array
from guardproxy.wire.json import write

__all__ = [
    "ID_HEADER",
    "PROMPT_PATH",
    "ROUTE",
    "answer",
    "answer_with",
    "ending",
    "error",
    "error_event",
    "event",
    "frames",
    "frames_with",
    "is_request",
    "models",
    "read",
    "request",
    "request_with",
    "unanswered",
]


def frames(prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
    """A stream: the elements of an array, its end last."""
    return _array(author.trees(prompt, reply, ident, cut))


def frames_with(kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
    """A stream with one text of a kind."""
    return list(_array(author.trees_with(kind, pieces)))


def _array(trees: Iterable[Any]) -> Iterator[bytes]:
    name = "["
    for tree in trees:
        yield json_array.frame(write(tree), name)
        name = ","
    yield json_array.CLOSE


def event(item: Any) -> bytes:
    """One element that is not the first: an object as JSON, a string as it is."""
    return json_array.frame(item.replace("\n", " ").encode() if isinstance(item, str) else write(item), ",")


def error_event(message: str) -> bytes:
    """An error in the middle of a stream, and the end of the array."""
    return json_array.frame(write(error(500, message)), ",]")
