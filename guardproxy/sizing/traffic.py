"""Makes requests in the format of OpenAI, no text twice: prompts of a length, and turns of an agent with its history.

In: a seeded random. Out: bodies as bytes. The sentences are plain and made up, and one prompt in four names an e-mail address.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

_VOCABULARY = """
adjective quiet old bright narrow green heavy simple warm early distant wooden careful gentle modern small
noun garden bridge kitchen library river station market village mountain harbor school window lantern boat road
person teacher gardener baker sailor painter farmer student driver carpenter doctor neighbor librarian cook
thing map basket letter candle curtain carpet engine mirror chair blanket notebook ladder bottle drum kettle
time morning evening winter summer autumn spring weekend holiday harvest festival storm journey lesson
"""
_KINDS = {kind: chosen for kind, *chosen in (line.split() for line in _VOCABULARY.strip().splitlines())}
_TEMPLATES = (
    "The {adjective} {noun} near the {second_noun} was closed until {time} ended.",
    "Every {time} the {person} carried the {adjective} {thing} across town.",
    "Please describe how a {person} repairs the {thing} before the {time}.",
    "We walked from the {noun} to the {second_noun} after the {time}.",
    "My {person} keeps the {adjective} {thing} beside the window all year.",
    "What would the {adjective} {noun} cost during the {time} season there?",
    "Tell me about the {noun} where the {person} spent the {time}.",
    "The {person} and the {second_person} painted the {adjective} {noun} this {time}.",
    "Nobody noticed the {thing} that the {person} left at the {noun}.",
    "Compare the {adjective} {thing} with the one from the old {noun}.",
)
_TURNS = 6
_RESULT_WORDS = 400


def words(random: Random, count: int) -> list[str]:
    """Returns so many words of whole sentences; the last one is cut where need be. No check of the shipped policies looks for
    what is in them. They are sentences, as the models need several times as long for words in no order."""
    found: list[str] = []
    while len(found) < count:
        template = random.choice(_TEMPLATES)
        seconds = {f"second_{kind}": random.choice(_KINDS[kind]) for kind in ("noun", "person")}
        found += template.format(**seconds, **{kind: random.choice(chosen) for kind, chosen in _KINDS.items()}).split()
    return found[:count]


def prompt(random: Random, count: int, *, stream: bool = False) -> bytes:
    """Returns a request with a prompt of so many words."""
    text = " ".join(words(random, count))
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
            self._messages = [{"role": "user", "content": " ".join(words(self._random, 60))}]
        else:
            number = f"call_{self._random.randrange(10**9)}"
            call = {
                "id": number,
                "type": "function",
                "function": {"name": "search", "arguments": '{"about": "parcels"}'},
            }
            result = " ".join(words(self._random, _RESULT_WORDS))
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
