"""Further turns of an Ollama chat request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.wire.contract.turns import ModelTurn, first_words, with_model
from guardproxy.wire.request.system import system_of_messages as system_of
from guardproxy.wire.request.system import with_system_in_messages as with_system

__all__ = ["first_words", "further", "system_of", "with_model", "with_system"]


def further(tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
    """Returns the request with the model's answer and `feedback` as its last turns."""
    if not turn.can_be_called:
        turns = [{"role": "assistant", "content": turn.in_words()}, {"role": "user", "content": feedback}]
        return {**tree, "messages": [*(tree.get("messages") or ()), *turns]}
    calls = [{"function": {"name": call.name, "arguments": call.input()}} for call in turn.calls]
    results = [{"role": "tool", "tool_name": call.name, "content": feedback} for call in turn.calls]
    answer = {"role": "assistant", "content": turn.text, "tool_calls": calls}
    return {**tree, "messages": [*(tree.get("messages") or ()), answer, *results]}
