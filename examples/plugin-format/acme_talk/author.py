"""Writes the format, for the demo, for tests of policies and for the conformance suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire import Prompt, Reply
from guardproxy.wire.contract import CutText
from guardproxy.wire.framing import ndjson
from guardproxy.wire.json import write

ROUTE = "POST /acme/models/talker-1:talk"
PROMPT_PATH = ("turns", 0, "text")
ID_HEADER = "x-acme-request"
_DONE = {"end": "done"}
_SPEAKERS: dict[str, str] = {"user": "user", "assistant": "model", "system": "system"}


def read(tree: Any) -> Prompt:
    """The prompt of a request. Raises `ValueError`."""
    if not is_request(tree) or not tree["turns"]:
        raise ValueError("turns: a list with at least one turn is required")
    texts = [turn["text"] for turn in tree["turns"]]
    return Prompt("talker-1", texts[-1], prompt_words=len(" ".join(texts).split()), stream=bool(tree.get("stream")))


def is_request(tree: Any) -> bool:
    """Whether a tree looks like a request."""
    return isinstance(tree, dict) and isinstance(tree.get("turns"), list)


def request(prompt: Prompt) -> dict[str, Any]:
    """A request."""
    body: dict[str, Any] = {"turns": [{"from": "user", "text": prompt.text}], "stream": prompt.stream}
    return body if prompt.schema is None else {**body, "answer_schema": prompt.schema}


def request_with(kind: Kind, text: str) -> dict[str, Any]:
    """A request with one text of a kind."""
    empty = {"turns": [{"from": "user", "text": ""}]}
    match kind:
        case "tool_definition":
            return {**empty, "answer_schema": {"description": text}}
        case "metadata":
            return {"turns": [{"from": text, "text": ""}]}
        case "unmapped":
            return {**empty, "x_unknown": text}
    return {"turns": [{"from": _SPEAKERS[kind], "text": text}]}


def answer(prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
    """A plain answer."""
    return {"text": reply.text or reply.refusal, **_DONE, "usage": {"in": prompt.prompt_words, "out": reply.words}}


def answer_with(kind: Kind, text: str) -> dict[str, Any] | None:
    """A plain answer with one text of a kind."""
    match kind:
        case "error":
            return error(500, text)
        case "metadata":
            return {"text": "", "end": text}
        case "unmapped":
            return {"text": "", **_DONE, "x_unknown": text}
    return {"text": text, **_DONE}


def frames(prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
    """A stream."""
    for piece in cut(reply.text or reply.refusal):
        yield event({"text": piece})
    yield event({**_DONE, "usage": {"in": prompt.prompt_words, "out": reply.words}})


def frames_with(kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
    """A stream with one text of a kind."""
    match kind:
        case "error":
            return [error_event("".join(pieces))]
        case "metadata":
            return [event({"end": "".join(pieces)})]
    field = "x_unknown" if kind == "unmapped" else "text"
    return [*(event({field: piece}) for piece in pieces), event(_DONE)]


def unanswered(route: str, tree: Any, ident: str) -> dict[str, Any]:
    """Nothing: a model answers on every route."""
    return {}


def models(names: Sequence[str]) -> dict[str, Any]:
    """A list of models."""
    return {"models": list(names)}


def event(item: Any) -> bytes:
    """A line of a stream."""
    return ndjson.frame(item.replace("\n", " ").encode() if isinstance(item, str) else write(item))


def ending(items: Sequence[Any]) -> list[Any]:
    """What closes a stream of these items."""
    return [] if any("end" in item or "error" in item for item in items) else [_DONE]


def error(status: int, message: str) -> dict[str, Any]:
    """The body of an error."""
    return {"error": {"code": f"http_{status}", "message": message}}


def error_event(message: str) -> bytes:
    """An error in the middle of a stream, which ends it."""
    return event(error(500, message))
