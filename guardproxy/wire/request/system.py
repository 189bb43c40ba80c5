"""Changes of a request's system prompt: texts before and after it, or another text in its place.

In: the part of a request's tree that holds the system prompt, and a `SystemChange`. Out: a new part. What the client wrote
stays as it is, part by part; nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ROLES = ("system", "developer")
"""The roles of the messages that hold the system prompt."""


@dataclass(frozen=True, slots=True)
class SystemChange:
    """A change of a system prompt. `before`, `after`: texts to add. `instead`: a text instead of the client's, or `None`."""

    before: str = ""
    after: str = ""
    instead: str | None = None

    def text(self, own: str) -> str:
        """Returns the system prompt as one text. `own`: that of the client."""
        return joined(self.before, own if self.instead is None else self.instead, self.after)


def joined(*texts: str) -> str:
    """Joins texts by empty lines; empty texts are left out."""
    return "\n\n".join(filter(None, texts))


def text_in(content: Any) -> str:
    """Returns the text of a content: a text, or a list of parts of which some have a `text`."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return joined(*(text for text in texts if isinstance(text, str)))


def changed_content(content: Any, change: SystemChange, part: Mapping[str, Any]) -> Any:
    """Returns a content with the change: a text stays a text, and a list of parts keeps its parts. `part`: a part of the
    format, without its `text`."""
    if content is None or isinstance(content, str) or change.instead is not None:
        return change.text(text_in(content))
    before, after = ([{**part, "text": text}] if text else [] for text in (change.before, change.after))
    return [*before, *(content if isinstance(content, list) else [content]), *after]


def leading(messages: Any, role: str = "role") -> list[dict[str, Any]]:
    """Returns the messages that hold the system prompt: those at the beginning of the conversation."""
    return list(_leading(messages, role))


def _leading(messages: Any, role: str) -> Iterator[dict[str, Any]]:
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict) or message.get(role) not in ROLES:
            return
        yield message


def text_of_messages(messages: Any, role: str = "role", content: str = "content") -> str:
    """Returns the system prompt of a conversation. `role`, `content`: the names of the fields of a message."""
    return joined(*(text_in(message.get(content)) for message in leading(messages, role)))


def changed_messages(
    messages: Sequence[Any], change: SystemChange, part: Mapping[str, Any], role: str = "role", content: str = "content"
) -> list[Any]:
    """Returns the messages of a conversation with the change. Texts are added to messages that are there, as some models take
    a single message of the role `system`; a conversation without such a message gets one."""
    own = leading(messages, role)
    rest = messages[len(own) :]
    if not own or change.instead is not None:
        first = own[0] if own else {role: ROLES[0]}
        return [{**first, content: change.text(text_of_messages(own, role, content))}, *rest]
    own[0] = {**own[0], content: changed_content(own[0].get(content), SystemChange(change.before), part)}
    own[-1] = {**own[-1], content: changed_content(own[-1].get(content), SystemChange(after=change.after), part)}
    return [*own, *rest]


def no_system(tree: Any) -> str | None:
    """`Turns.system_of` of a format without a system prompt."""
    return None


def unchanged(tree: Mapping[str, Any], change: SystemChange) -> dict[str, Any]:
    """`Turns.with_system` of a format without a system prompt: the request as it is."""
    return dict(tree)


_TEXT_PART = {"type": "text"}


def system_of_messages(tree: Any) -> str | None:
    """`Turns.system_of` of a format whose body holds the conversation as `messages`; `None` if there is no list of them."""
    messages = tree.get("messages") if isinstance(tree, dict) else None
    return text_of_messages(messages) if isinstance(messages, list) else None


def with_system_in_messages(tree: Mapping[str, Any], change: SystemChange) -> dict[str, Any]:
    """`Turns.with_system` of a format whose body holds the conversation as `messages`."""
    return {**tree, "messages": changed_messages(tree["messages"], change, _TEXT_PART)}
