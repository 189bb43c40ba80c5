"""A turn of an agent: a request whose tools and history were sent before, and whose last message is new."""

from __future__ import annotations

import json
from functools import cache
from random import Random
from typing import Any

from guardproxy.sizing.traffic import words

TOOLS = 20
CALLS = 30
SYSTEM_WORDS, RESULT_WORDS, MESSAGE_WORDS = 800, 150, 30


def _text(random: Random, count: int) -> str:
    return " ".join(words(random, count))


@cache
def tools() -> list[dict[str, Any]]:
    """The tools of the agent."""
    random = Random(11)
    found = []
    for number in range(TOOLS):
        members = {f"arg{at}": {"type": "string", "description": _text(random, 12)} for at in range(5)}
        parameters = {"type": "object", "properties": members, "required": ["arg0"]}
        about = {"name": f"tool_{number}", "description": _text(random, 40), "parameters": parameters}
        found.append({"type": "function", "function": about})
    return found


@cache
def history() -> list[dict[str, Any]]:
    """The messages so far: instructions, and calls of tools with their results."""
    random = Random(12)
    found: list[dict[str, Any]] = [{"role": "system", "content": _text(random, SYSTEM_WORDS)}]
    for number in range(CALLS):
        if number % 5 == 0:
            found.append({"role": "user", "content": _text(random, 40)})
        called = {"name": f"tool_{number % TOOLS}", "arguments": json.dumps({"arg0": _text(random, 8)})}
        call = {"id": f"call_{number}abcDEF", "type": "function", "function": called}
        found.append({"role": "assistant", "content": None, "tool_calls": [call]})
        found.append({"role": "tool", "tool_call_id": call["id"], "content": _text(random, RESULT_WORDS)})
    return found


def turn(random: Random) -> dict[str, Any]:
    """The members of a request for the next turn: about 59 kB, 480 texts."""
    return {
        "messages": [*history(), {"role": "user", "content": _text(random, MESSAGE_WORDS)}],
        "tools": tools(),
    }
