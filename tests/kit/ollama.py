"""Streams of Ollama for tests, and how a client reads them back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from guardproxy.wire.formats.ollama_chat.writer import author as chat
from guardproxy.wire.formats.ollama_generate.writer import author as generate

OLLAMA, GENERATE = chat.ROUTE, generate.ROUTE
HEAD = {"model": "m", "created_at": "2026-02-03T04:05:06.123456789Z"}
_ANSWERS = {OLLAMA: "content", GENERATE: "response"}


def line_frames(route: str, field: str, parts: Iterable[str], after: Sequence[str] = ()) -> list[bytes]:
    """A stream with these parts in a field of its lines, then these parts of the answer. It begins with a line without text,
    as a stop in the first frame of a stream is an error without any text."""
    lines = [{_ANSWERS[route]: ""}, *({field: part} for part in parts), *({_ANSWERS[route]: part} for part in after)]
    wrapped: list[dict[str, Any]] = [
        {"message": {"role": "assistant", **line}} if route == OLLAMA else line for line in lines
    ]
    last = {"message": {"role": "assistant", "content": ""}} if route == OLLAMA else {"response": ""}
    return [
        *(chat.event({**HEAD, **line, "done": False}) for line in wrapped),
        chat.event({**HEAD, **last, "done": True, "done_reason": "stop"}),
    ]


def line_texts(data: bytes) -> dict[str, str]:
    """What a client has of a stream: each text by the name of its field, the reason of the end, and the error."""
    out: dict[str, str] = {}
    for line in data.splitlines():
        tree = json.loads(line)
        for name, text in {**tree, **tree.get("message", {})}.items():
            if name in ("content", "response", "thinking", "x_unknown", "error"):
                out[name] = out.get(name, "") + text
        if tree.get("done"):
            out["done"] = out.get("done", "") + tree.get("done_reason", "")
    return out
