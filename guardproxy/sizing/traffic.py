"""Makes requests in the format of OpenAI, no text twice: prompts of a length, and turns of an agent with its history.

In: a seeded random. Out: bodies as bytes. The words are ordinary, and one prompt in four names an e-mail address.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

_VOCABULARY = """
the a this our their one some every garden letter winter river table market window kitchen morning question answer
order parcel report station colour number person window street engine school village doctor ticket summer price
is was has takes gives keeps brings shows finds leaves needs opens closes moves writes reads sends asks waits
old new small large early late warm cold quiet busy empty full near long short first second last simple and but
because while before after under over beside without between again today often never always slowly together
"""
_WORDS = _VOCABULARY.split()
_TURNS = 6
_RESULT_WORDS = 400


def words(random: Random, count: int) -> str:
    """Returns a text of so many words, in sentences."""
    chosen = [random.choice(_WORDS) for _ in range(count)]
    for at in range(0, count, 12):
        chosen[at] = chosen[at].capitalize()
        chosen[min(at + 11, count - 1)] += "."
    return " ".join(chosen)


def prompt(random: Random, count: int, *, stream: bool = False) -> bytes:
    """Returns a request with a prompt of so many words."""
    text = words(random, count)
    if random.random() < 0.25:
        text += f" Write to person{random.randrange(10**6)}@example.com."
    tree: dict[str, Any] = {"model": "sizing", "messages": [{"role": "user", "content": text}]}
    return json.dumps(tree | {"stream": True} if stream else tree).encode()


class Agent:
    """An agent at work: each of its requests has the history of the one before, and a new result of a tool. After `_TURNS`
    turns it begins anew."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._messages: list[dict[str, Any]] = []

    def turn(self) -> bytes:
        """Returns its next request."""
        if not self._messages or len(self._messages) > 2 * _TURNS:
            self._messages = [{"role": "user", "content": words(self._random, 60)}]
        else:
            number = f"call_{self._random.randrange(10**9)}"
            call = {
                "id": number,
                "type": "function",
                "function": {"name": "search", "arguments": '{"about": "parcels"}'},
            }
            result = words(self._random, _RESULT_WORDS)
            self._messages += [
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": number, "content": result},
            ]
        about = {"type": "object", "properties": {"about": {"type": "string"}}}
        tool = {
            "type": "function",
            "function": {"name": "search", "description": "Finds reports.", "parameters": about},
        }
        return json.dumps({"model": "sizing", "messages": self._messages, "tools": [tool]}).encode()
