"""Turns of a conversation: the model's answer, and the trees of requests that continue a conversation.

`Turns` is a part of every format. In: the tree of a request. Out: a new tree, or the beginning of the conversation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from guardproxy.wire.request.system import SystemChange

_SILENT = "(nothing)"


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of the model. `arguments` is the text that the model wrote; it may be invalid JSON."""

    name: str
    arguments: str

    def input(self) -> dict[str, Any] | None:
        """The arguments as an object, if they are an object."""
        try:
            tree = json.loads(self.arguments)
        except ValueError:
            return None
        return tree if isinstance(tree, dict) else None

    def in_words(self) -> str:
        """Describes the call in a sentence, for formats and cases that cannot repeat it as a call."""
        return f"I called the tool `{self.name}` with these arguments: {self.arguments}"


@dataclass(frozen=True, slots=True)
class ModelTurn:
    """The answer of the model."""

    text: str = ""
    calls: tuple[Call, ...] = ()

    def in_words(self) -> str:
        """Returns the answer as text."""
        return "\n".join([*([self.text] if self.text else []), *(call.in_words() for call in self.calls)]) or _SILENT

    @property
    def can_be_called(self) -> bool:
        """Whether the calls can be repeated as calls."""
        return bool(self.calls) and all(call.input() is not None for call in self.calls)


class Turns(Protocol):
    """Continues a conversation in a format's requests. A module can implement it."""

    def further(self, tree: Mapping[str, Any], turn: ModelTurn, feedback: str) -> dict[str, Any]:
        """Returns the request with the model's answer and `feedback` as its last turns."""
        ...

    def first_words(self, tree: Any) -> str:
        """Returns the texts of the user's first message that has text. They are the same in every turn, in whichever form
        later turns repeat the message. The operator's text (`system`) is left out, as it may contain the time."""
        ...

    def with_model(self, path: str, tree: Mapping[str, Any], model: str) -> tuple[str, dict[str, Any]]:
        """Returns the path and the body of the request for another model. `path`: the path that the client sent."""
        ...

    def system_of(self, tree: Any) -> str | None:
        """Returns the system prompt of a request, empty if it has none; `None` if such a request cannot have one."""
        ...

    def with_system(self, tree: Mapping[str, Any], change: SystemChange) -> dict[str, Any]:
        """Returns the request with a changed system prompt. Is called only if `system_of` is not `None`."""
        ...


def with_model(path: str, tree: Mapping[str, Any], model: str) -> tuple[str, dict[str, Any]]:
    """`Turns.with_model` of a format whose body names the model as `model`."""
    return path, {**tree, "model": model}


def first_words(tree: Any) -> str:
    """`Turns.first_words` of a format whose body holds the conversation as `messages`."""
    return first_text(tree.get("messages")) if isinstance(tree, dict) else ""


def first_text(messages: Any) -> str:
    """Returns the texts of the first message with the role `user` that has text; `content` is a text or a list of parts."""
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict) or message.get("role") != "user":
            continue
        content = message.get("content")
        if isinstance(content, str) and content:
            return content
        parts = content if isinstance(content, list) else [{"text": content}]
        texts = (part.get("text") for part in parts if isinstance(part, dict))
        if words := "".join(text for text in texts if isinstance(text, str)):
            return words
    return ""
