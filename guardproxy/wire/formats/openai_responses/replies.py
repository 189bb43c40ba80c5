"""Writes the answer of a model as a response of the API: whole, and as the events of a stream.

Each text comes several times in a stream: in its deltas, in the events that end the text, its part and its item, and in the
last event.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from guardproxy.wire.contract.turns import Call
from guardproxy.wire.contract.writing import CutText, Prompt, Reply, logprobs_of, word_parts
from guardproxy.wire.families.openai import CREATED_S

ENDS = ("response.completed", "response.incomplete", "response.failed", "error")
"""The types of the events that end a stream."""


def whole(prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
    """A plain answer."""
    output = [_with_status(item, _status(reply)) for item, _ in _items(prompt, reply, ident, lambda text: [text])]
    return _response(prompt, reply, ident, _status(reply), output)


def compacted(prompt: Prompt, ident: str) -> dict[str, Any]:
    """A compacted conversation: the last message, and sealed content instead of the others."""
    sealed = base64.b64encode(hashlib.sha256(prompt.text.encode()).digest()).decode()
    said = {"type": "output_text", "text": prompt.text, "annotations": []}
    message = {"type": "message", "id": f"msg_{ident}", "role": "assistant", "status": "completed", "content": [said]}
    return {
        "id": f"resp_{ident}",
        "object": "response.compaction",
        "created_at": CREATED_S,
        "output": [message, {"type": "compaction", "id": f"cmp_{ident}", "encrypted_content": sealed}],
        "usage": _usage(prompt, Reply()),
    }


def events(prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[dict[str, Any]]:
    """The events of a stream."""
    inner = events_of_items(prompt, reply, ident, cut)
    return around(inner, whole(prompt, reply, ident), _response(prompt, None, ident, "in_progress", []))


def events_of_items(prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[dict[str, Any]]:
    """The events of the items of an answer."""
    for at, (item, deltas) in enumerate(_items(prompt, reply, ident, cut)):
        where = {"output_index": at, "item_id": item["id"]}
        yield {"type": "response.output_item.added", "output_index": at, "item": _emptied(item)}
        yield from ({**entry, **where} for entry in deltas)
        done = _with_status(item, _status(reply))
        yield {"type": "response.output_item.done", "output_index": at, "item": done}


def around(
    inner: Iterable[dict[str, Any]], end: Mapping[str, Any], head: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """A stream of these events. `end`: the response of the last event; `head`: that of the first events, if it differs."""
    beginning = {**end, "status": "in_progress", "output": []} if head is None else head
    number = 0
    for name in ("response.created", "response.in_progress"):
        yield {"type": name, "response": beginning, "sequence_number": number}
        number += 1
    for entry in inner:
        yield {**entry, "sequence_number": number}
        number += 1
    status = end.get("status", "completed")
    yield {"type": f"response.{status}", "response": {**end, "status": status}, "sequence_number": number}


def _items(
    prompt: Prompt, reply: Reply, ident: str, cut: CutText
) -> Iterator[tuple[dict[str, Any], Iterator[dict[str, Any]]]]:
    """Yields each item whole, with the events that build it."""
    if reply.reasoning:
        summary = {"type": "summary_text", "text": reply.reasoning}
        yield {"type": "reasoning", "id": f"rs_{ident}", "summary": [summary]}, _summary(reply.reasoning, cut)
    if reply.text or reply.refusal or not reply.calls:
        item = {"type": "message", "id": f"msg_{ident}", "role": "assistant"}
        part: dict[str, Any] = {"type": "output_text", "text": reply.text, "annotations": []}
        if reply.refusal:
            part = {"type": "refusal", "refusal": reply.refusal}
        elif prompt.with_logprobs:
            part["logprobs"] = logprobs_of(word_parts(reply.text))
        yield {**item, "content": [part]}, _content(prompt, part, cut)
    for at, call in enumerate(reply.calls):
        ids = {"id": f"fc_{ident[:12]}_{at}", "call_id": f"call_{ident[:12]}_{at}"}
        yield {"type": "function_call", **ids, "name": call.name, "arguments": call.arguments}, _arguments(call, cut)


def _summary(text: str, cut: CutText) -> Iterator[dict[str, Any]]:
    where, name = {"summary_index": 0}, "response.reasoning_summary_"
    yield {"type": f"{name}part.added", **where, "part": {"type": "summary_text", "text": ""}}
    for piece in cut(text):
        yield {"type": f"{name}text.delta", **where, "delta": piece}
    yield {"type": f"{name}text.done", **where, "text": text}
    yield {"type": f"{name}part.done", **where, "part": {"type": "summary_text", "text": text}}


def _content(prompt: Prompt, part: Mapping[str, Any], cut: CutText) -> Iterator[dict[str, Any]]:
    where = {"content_index": 0}
    field = "refusal" if "refusal" in part else "text"
    name = "response.refusal" if field == "refusal" else "response.output_text"
    blank = {key: [] if key == "logprobs" else value for key, value in part.items()}
    yield {"type": "response.content_part.added", **where, "part": {**blank, field: ""}}
    for piece in cut(part[field]):
        entry = {"type": f"{name}.delta", **where, "delta": piece}
        if field == "text":
            entry["logprobs"] = logprobs_of([piece]) if prompt.with_logprobs else []
        if prompt.with_obfuscation:
            entry["obfuscation"] = "x" * (16 - len(piece) % 16)
        yield entry
    more = {"logprobs": part.get("logprobs", [])} if field == "text" else {}
    yield {"type": f"{name}.done", **where, field: part[field], **more}
    yield {"type": "response.content_part.done", **where, "part": part}


def _arguments(call: Call, cut: CutText) -> Iterator[dict[str, Any]]:
    for piece in cut(call.arguments):
        yield {"type": "response.function_call_arguments.delta", "delta": piece}
    yield {"type": "response.function_call_arguments.done", "name": call.name, "arguments": call.arguments}


def _emptied(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as `response.output_item.added` shows it."""
    empty: dict[str, Any] = {"content": [], "summary": [], "arguments": ""}
    begun = {key: empty.get(key, value) for key, value in item.items()}
    return begun if item["type"] == "reasoning" else {**begun, "status": "in_progress"}


def _with_status(item: dict[str, Any], status: str) -> dict[str, Any]:
    return item if item["type"] == "reasoning" else {**item, "status": status}


def _status(reply: Reply) -> str:
    return "incomplete" if reply.cut else "completed"


def _response(
    prompt: Prompt, reply: Reply | None, ident: str, status: str, output: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    form: dict[str, Any] = {"type": "text"}
    if prompt.schema is not None:
        form = {"type": "json_schema", "name": "answer", "schema": prompt.schema, "strict": True}
    return {
        "id": f"resp_{ident}",
        "object": "response",
        "created_at": CREATED_S,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": prompt.system or None,
        "max_output_tokens": prompt.limit_words,
        "model": prompt.model,
        "output": list(output),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": form},
        "tool_choice": "auto",
        "tools": [{"type": "function", "name": name, "parameters": schema} for name, schema in prompt.tools.items()],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None if reply is None else _usage(prompt, reply),
        "user": None,
        "metadata": {},
    }


def _usage(prompt: Prompt, reply: Reply) -> dict[str, Any]:
    return {
        "input_tokens": prompt.prompt_words,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": reply.words,
        "output_tokens_details": {"reasoning_tokens": len(reply.reasoning.split())},
        "total_tokens": prompt.prompt_words + reply.words,
    }
