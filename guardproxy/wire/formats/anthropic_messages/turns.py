"""Further turns of an Anthropic Messages request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from guardproxy.wire.contract.turns import ModelTurn, first_words, with_model
from guardproxy.wire.request.system import SystemChange, changed_content, text_in

__all__ = ["first_words", "further", "system_of", "with_model", "with_system"]


def further(tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
    """Returns the request with the model's answer and `feedback` as its last turns."""
    messages: Sequence[Any] = tree["messages"]
    begun = ""
    last = messages[-1]
    if last.get("role") == "assistant" and isinstance(last.get("content"), str):
        begun, messages = last["content"], messages[:-1]  # the model continued this message
    thinks = isinstance(tree.get("thinking"), dict) and tree["thinking"].get("type") != "disabled"
    if turn.can_be_called and not thinks:  # a call needs its sealed thinking beside it
        blocks: list[dict[str, Any]] = [{"type": "text", "text": begun + turn.text}] if begun + turn.text else []
        results: list[dict[str, Any]] = []
        for number, call in enumerate(turn.calls):
            name = f"toolu_again_{len(messages)}_{number}"
            blocks.append({"type": "tool_use", "id": name, "name": call.name, "input": call.input()})
            results.append({"type": "tool_result", "tool_use_id": name, "content": feedback, "is_error": True})
        turns = [{"role": "assistant", "content": blocks}, {"role": "user", "content": results}]
    else:
        turns = [{"role": "assistant", "content": begun + turn.in_words()}, {"role": "user", "content": feedback}]
    return {**tree, "messages": [*messages, *turns]}


def system_of(tree: Any) -> str | None:
    """Returns the system prompt of a request: the field `system`."""
    return text_in(tree.get("system")) if isinstance(tree, dict) else None


def with_system(tree: Mapping[str, Any], change: SystemChange) -> dict[str, Any]:
    """Returns the request with a changed system prompt."""
    return {**tree, "system": changed_content(tree.get("system"), change, {"type": "text"})}
