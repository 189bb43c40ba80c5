"""Further turns of an OpenAI chat request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardproxy.wire.contract.turns import ModelTurn, first_words
from guardproxy.wire.request.azure import with_model
from guardproxy.wire.request.system import system_of_messages as system_of
from guardproxy.wire.request.system import with_system_in_messages as with_system

__all__ = ["first_words", "further", "system_of", "with_model", "with_system"]


def further(tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
    """Returns the request with the model's answer and `feedback` as its last turns."""
    if not turn.can_be_called:
        turns = [{"role": "assistant", "content": turn.in_words()}, {"role": "user", "content": feedback}]
        return {**tree, "messages": [*tree["messages"], *turns]}
    calls, results = [], []
    for number, call in enumerate(turn.calls):
        name = f"call_again_{len(tree['messages'])}_{number}"
        function = {"name": call.name, "arguments": call.arguments}
        calls.append({"id": name, "type": "function", "function": function})
        results.append({"role": "tool", "tool_call_id": name, "content": feedback})
    answer = {"role": "assistant", "content": turn.text or None, "tool_calls": calls}
    return {**tree, "messages": [*tree["messages"], answer, *results]}
