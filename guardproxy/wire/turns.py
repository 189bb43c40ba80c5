"""Turns of a conversation: what the model answered, and the trees of requests that carry a conversation on.

`Turns` is a part of every format. In: the tree of a request. Out: a new tree, or what the conversation began with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

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
        """The call as a sentence, for formats and cases in which it cannot be repeated as a call."""
        return f"I called the tool `{self.name}` with these arguments: {self.arguments}"


@dataclass(frozen=True, slots=True)
class ModelTurn:
    """What the model answered."""

    text: str = ""
    calls: tuple[Call, ...] = ()

    def in_words(self) -> str:
        """The answer as text."""
        return "\n".join([*([self.text] if self.text else []), *(call.in_words() for call in self.calls)]) or _SILENT

    @property
    def can_be_called(self) -> bool:
        """Whether the calls can be repeated as calls."""
        return bool(self.calls) and all(call.input() is not None for call in self.calls)


class Turns(Protocol):
    """How a format's requests carry a conversation on. A module may stand for it."""

    def further(self, tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
        """The request once more, with the model's answer and `feedback` as its last turns."""
        ...

    def first_words(self, tree: Any) -> str:
        """The texts of the first message of the user that has any: the same in every turn, however later turns write it down.
        What the operator says (`system`) is left out, for it may tell the time."""
        ...

    def with_model(self, tree: Mapping[str, Any], model: str) -> dict[str, Any]:
        """The request for another model."""
        ...


def first_text(messages: Any) -> str:
    """The texts of the first message with the role `user` that has any, where `content` is a text or a list of parts."""
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict) or message.get("role") != "user":
            continue
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        texts = (part.get("text") for part in parts if isinstance(part, dict))
        if words := "".join(text for text in texts if isinstance(text, str)):
            return words
    return ""
