"""A further turn of a conversation, in each dialect: the model's own answer and what is wrong with it.

In: the tree of a request. Out: a new tree. Also what a conversation began with; and the two things that a stream may say while
its answer is held back: a sign of life, and the beginning of an answer that will be refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardproxy.wire.framing.sse import KEEP_ALIVE, frame
from guardproxy.wire.json import write

_SILENT = "(nothing)"


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of the model: `arguments` is the text that it wrote, whole or broken."""

    name: str
    arguments: str

    def input(self) -> dict[str, Any] | None:
        """The arguments as an object, where they are one."""
        try:
            tree = json.loads(self.arguments)
        except ValueError:
            return None
        return tree if isinstance(tree, dict) else None

    def in_words(self) -> str:
        return f"I called the tool `{self.name}` with these arguments: {self.arguments}"


@dataclass(frozen=True, slots=True)
class Said:
    """What the model answered."""

    text: str = ""
    calls: tuple[Call, ...] = ()

    def in_words(self) -> str:
        return "\n".join([*([self.text] if self.text else []), *(call.in_words() for call in self.calls)]) or _SILENT

    @property
    def can_be_called(self) -> bool:
        """Whether the calls can be repeated as calls."""
        return bool(self.calls) and all(call.input() is not None for call in self.calls)


def further(codec: str, tree: Mapping[str, Any], said: Said, feedback: str) -> dict[str, Any]:
    """The request once more, with the model's answer and `feedback` as its last turns."""
    if codec == "openai_responses":
        return _responses(tree, said, feedback)
    if codec == "anthropic_messages":
        return _messages(tree, said, feedback)
    return _chat(tree, said, feedback)


def _chat(tree: Mapping[str, Any], said: Said, feedback: str) -> dict[str, Any]:
    if not said.can_be_called:
        turns = [{"role": "assistant", "content": said.in_words()}, {"role": "user", "content": feedback}]
        return {**tree, "messages": [*tree["messages"], *turns]}
    calls, results = [], []
    for number, call in enumerate(said.calls):
        name = f"call_again_{len(tree['messages'])}_{number}"
        function = {"name": call.name, "arguments": call.arguments}
        calls.append({"id": name, "type": "function", "function": function})
        results.append({"role": "tool", "tool_call_id": name, "content": feedback})
    answer = {"role": "assistant", "content": said.text or None, "tool_calls": calls}
    return {**tree, "messages": [*tree["messages"], answer, *results]}


def _responses(tree: Mapping[str, Any], said: Said, feedback: str) -> dict[str, Any]:
    before = tree.get("input")
    items: list[Any] = list(before) if isinstance(before, list) else [{"role": "user", "content": before or ""}]
    if said.can_be_called:
        for number, call in enumerate(said.calls):
            name = f"call_again_{len(items)}_{number}"
            called = {"type": "function_call", "call_id": name, "name": call.name, "arguments": call.arguments}
            items += [called, {"type": "function_call_output", "call_id": name, "output": feedback}]
    else:
        items += [{"role": "assistant", "content": said.in_words()}, {"role": "user", "content": feedback}]
    return {**tree, "input": items}


def _messages(tree: Mapping[str, Any], said: Said, feedback: str) -> dict[str, Any]:
    messages: Sequence[Any] = tree["messages"]
    begun = ""
    last = messages[-1]
    if last.get("role") == "assistant" and isinstance(last.get("content"), str):
        begun, messages = last["content"], messages[:-1]  # the answer went on from there
    thinks = isinstance(tree.get("thinking"), dict) and tree["thinking"].get("type") != "disabled"
    if said.can_be_called and not thinks:  # beside a call its thinking would have to stand, sealed
        blocks: list[dict[str, Any]] = [{"type": "text", "text": begun + said.text}] if begun + said.text else []
        results: list[dict[str, Any]] = []
        for number, call in enumerate(said.calls):
            name = f"toolu_again_{len(messages)}_{number}"
            blocks.append({"type": "tool_use", "id": name, "name": call.name, "input": call.input()})
            results.append({"type": "tool_result", "tool_use_id": name, "content": feedback, "is_error": True})
        turns = [{"role": "assistant", "content": blocks}, {"role": "user", "content": results}]
    else:
        turns = [{"role": "assistant", "content": begun + said.in_words()}, {"role": "user", "content": feedback}]
    return {**tree, "messages": [*messages, *turns]}


def first_words(tree: Any) -> str:
    """The texts of the first message of the user that has any: the same in every turn, however later turns write it down.
    What the operator says (`system`) is left out, for it may tell the time."""
    turns = tree.get("messages", tree.get("input")) if isinstance(tree, dict) else None
    if isinstance(turns, str):
        return turns
    for turn in turns if isinstance(turns, list) else ():
        if not isinstance(turn, dict) or turn.get("role") != "user":
            continue
        content = turn.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        texts = (part.get("text") for part in parts if isinstance(part, dict))
        if said := "".join(text for text in texts if isinstance(text, str)):
            return said
    return ""


def keep_alive(codec: str) -> bytes:
    """A sign of life in a stream that says nothing yet."""
    return frame(write({"type": "ping"}), "ping") if codec == "anthropic_messages" else KEEP_ALIVE


def opening(codec: str, model: str) -> bytes:
    """What must stand before the dialect's own ending when nothing of an answer was sent."""
    if codec != "anthropic_messages":
        return b""
    message: dict[str, Any] = {
        "id": "msg_filtered",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }
    return frame(write({"type": "message_start", "message": message}), "message_start")
