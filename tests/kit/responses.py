"""Streams of OpenAI Responses for tests, and how a client reads them back.

The reader fails if two events say a different text for the same place, if the numbers of the events do not rise, or if anything
follows the last event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from guardproxy.wire.formats.openai_responses import replies
from guardproxy.wire.formats.openai_responses.writer import author
from tests.kit.play import events

RESPONSES = "POST /v1/responses"

# The texts that come in deltas, by the types of their events without the last word: the field of the whole text, and the path
# of the text in its item. The words stand for numbers of the event.
GROWING: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "response.output_text": ("text", ("content", "content_index", "text")),
    "response.refusal": ("refusal", ("content", "content_index", "refusal")),
    "response.reasoning_text": ("text", ("content", "content_index", "text")),
    "response.reasoning_summary_text": ("text", ("summary", "summary_index", "text")),
    "response.function_call_arguments": ("arguments", ("arguments",)),
    "response.mcp_call_arguments": ("arguments", ("arguments",)),
    "response.custom_tool_call_input": ("input", ("input",)),
    "response.code_interpreter_call_code": ("code", ("code",)),
    "response.shell_call_command": ("command", ("action", "commands", "command_index")),
}
ITEMS: Mapping[str, dict[str, Any]] = {
    "response.output_text": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": ""}]},
    "response.refusal": {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": ""}]},
    "response.reasoning_text": {
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": ""}],
    },
    "response.reasoning_summary_text": {"type": "reasoning", "summary": [{"type": "summary_text", "text": ""}]},
    "response.function_call_arguments": {
        **{"type": "function_call", "call_id": "call_1", "name": "send", "arguments": ""},
    },
    "response.mcp_call_arguments": {
        **{"type": "mcp_call", "name": "send", "server_label": "tools", "arguments": ""},
    },
    "response.custom_tool_call_input": {
        **{"type": "custom_tool_call", "call_id": "call_1", "name": "send", "input": ""},
    },
    "response.code_interpreter_call_code": {"type": "code_interpreter_call", "container_id": "cntr_1", "code": ""},
    "response.shell_call_command": {"type": "shell_call", "call_id": "call_1", "action": {"commands": [""]}},
}
"""An item with an empty text, for each text that comes in deltas."""


def growing(base: str, pieces: Sequence[str], at: int = 0) -> Iterator[dict[str, Any]]:
    """The events of an item whose text comes in these pieces."""
    field, path = GROWING[base]
    whole = "".join(pieces)
    item: dict[str, Any] = {"id": f"msg_{at}", "status": "in_progress", **ITEMS[base]}
    done = placed({**item, "status": "completed"}, path, whole)
    numbers = {step: 0 for step in path if step.endswith("_index")}
    where: dict[str, Any] = {"output_index": at, "item_id": item["id"], **numbers}
    part = {"content": "content_part", "summary": "reasoning_summary_part"}.get(path[0])
    begun = {**item, path[0]: []} if part else item
    yield {"type": "response.output_item.added", "output_index": at, "item": begun}
    if part:
        yield {"type": f"response.{part}.added", **where, "part": item[path[0]][0]}
    for piece in pieces:
        event: dict[str, Any] = {"type": f"{base}.delta", **where, "delta": piece}
        yield {**event, "logprobs": []} if base == "response.output_text" else event
    yield {"type": f"{base}.done", **where, field: whole}
    if part:
        yield {"type": f"response.{part}.done", **where, "part": done[path[0]][0]}
    yield {"type": "response.output_item.done", "output_index": at, "item": done}


def placed(node: Any, path: Sequence[str], text: str) -> Any:
    """A copy of an item with a text at a path; numbers of the path are 0."""
    if not path:
        return text
    if path[0].endswith("_index"):
        return [placed(node[0], path[1:], text), *node[1:]]
    return {**node, path[0]: placed(node.get(path[0]), path[1:], text)}


def stream(*inner: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """A whole stream of the events of some items; the last event repeats the items."""
    middle = [dict(event) for items in inner for event in items]
    output = [event["item"] for event in middle if event["type"] == "response.output_item.done"]
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "in_progress", "output": []}
    end = {**head, "status": "completed", "output": output}
    return [author.event(event) for event in replies.around(middle, end, head)]


def response_frames(base: str, pieces: Sequence[str]) -> list[bytes]:
    """A whole stream of one item whose text comes in these pieces."""
    return stream(growing(base, pieces))


def response_texts(data: bytes) -> dict[str, str]:
    """What a client has of a stream: the texts by the types of their events, and the type of the last event as `end`."""
    said: dict[tuple[Any, ...], str] = {}
    out: dict[str, str] = {}
    last = -1
    for name, tree in events(data):
        assert name is not None
        assert name == tree["type"]
        assert "end" not in out, "nothing follows the last event"
        assert tree["sequence_number"] > last
        last = tree["sequence_number"]
        if name == "error":
            out["end"] = name
            continue
        base, _, step = name.rpartition(".")
        if base in GROWING:
            field, path = GROWING[base]
            key = (tree["output_index"], *(tree[word] if word.endswith("_index") else word for word in path))
            if step == "delta":
                said[key] = said.get(key, "") + tree["delta"]
                out[base] = out.get(base, "") + tree["delta"]
            else:
                assert tree[field] == said.get(key, ""), name
        elif name == "response.output_item.done":
            _agree({key[1:]: text for key, text in said.items() if key[0] == tree["output_index"]}, tree["item"])
        elif name in ("response.content_part.done", "response.reasoning_summary_part.done"):
            place = (
                ("content", tree["content_index"]) if "content_index" in tree else ("summary", tree["summary_index"])
            )
            start = (tree["output_index"], *place)
            _agree({key[3:]: text for key, text in said.items() if key[:3] == start}, tree["part"])
        elif name in ("response.completed", "response.incomplete", "response.failed"):
            _agree(said, tree["response"]["output"])
            out["end"] = name
    return out


def _agree(said: Mapping[tuple[Any, ...], str], node: Any) -> None:
    """Fails unless a tree has these texts at these paths."""
    for path, text in said.items():
        child = node
        for step in path:
            child = child[step]
        assert child == text, path
