"""Further turns of an OpenAI Responses request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.wire.contract.turns import ModelTurn, first_text, with_model
from guardproxy.wire.request.system import SystemChange, changed_messages, text_in, text_of_messages

__all__ = ["first_words", "further", "system_of", "with_model", "with_system"]


def further(tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
    """Returns the request with the model's answer and `feedback` as its last turns."""
    items = _items(tree.get("input"))
    if not turn.can_be_called:
        turns = [_message("assistant", turn.in_words()), _message("user", feedback)]
        return {**tree, "input": [*items, *turns]}
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, call in enumerate(turn.calls):
        name = f"call_again_{len(items)}_{number}"
        calls.append({"type": "function_call", "call_id": name, "name": call.name, "arguments": call.arguments})
        results.append({"type": "function_call_output", "call_id": name, "output": feedback})
    said = [_message("assistant", turn.text)] if turn.text else []
    return {**tree, "input": [*items, *said, *calls, *results]}


def _items(value: Any) -> list[Any]:
    """The items of `input`, which can be a text."""
    if isinstance(value, str):
        return [_message("user", value)]
    return value if isinstance(value, list) else []


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def first_words(tree: Any) -> str:
    """Returns the texts of the user's first message that has text."""
    return first_text(_items(tree.get("input"))) if isinstance(tree, dict) else ""


def system_of(tree: Any) -> str | None:
    """Returns the system prompt of a request: the field `instructions`."""
    if not isinstance(tree, dict):
        return None
    given = tree.get("instructions")
    return text_of_messages(given) if isinstance(given, list) else text_in(given)


def with_system(tree: Mapping[str, Any], change: SystemChange) -> dict[str, Any]:
    """Returns the request with changed `instructions`, which can be a text or items."""
    given = tree.get("instructions")
    if isinstance(given, list):
        return {**tree, "instructions": changed_messages(given, change, {"type": "input_text"})}
    return {**tree, "instructions": change.text(text_in(given))}
