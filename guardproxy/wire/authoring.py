"""What writes a format: requests, plain answers, streams and errors, for the demo, for tests of policies and for test suites.

Nothing here is on the path of guarded traffic. `Author` is a part of every format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from guardproxy.events import Path
from guardproxy.findings import Kind
from guardproxy.wire.turns import Call

CutText = Callable[[str], Sequence[str]]
"""Cuts a text into the pieces of its deltas; joined they are the text."""

_WORD_PART = re.compile(r"\s?\w{1,6}|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a request asks of a model, in whichever format.

    `text`: the last user message, or the tool result that ends the conversation. `prompt_words`: words of all messages.
    `limit_words`: where the answer is cut (the format's limit of tokens; a word counts as a token). `count`: how many answers.
    `schema`: the JSON Schema of the answer. `tools`: of each tool the schema of its arguments. `with_...`: what the answer
    contains beside its text.
    """

    model: str
    text: str
    tool_result: bool = False
    system: str = ""
    prompt_words: int = 0
    stream: bool = False
    count: int = 1
    limit_words: int | None = None
    schema: Mapping[str, Any] | None = None
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    with_usage: bool = True
    with_logprobs: bool = False
    with_obfuscation: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model says. `cut`: the answer reached its limit of tokens."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[Call, ...] = ()
    cut: bool = False

    @property
    def words(self) -> int:
        """What the usage counts as output tokens."""
        parts = [self.text, self.reasoning, self.refusal, *(call.arguments for call in self.calls)]
        return sum(len(part.split()) for part in parts)


class Author(Protocol):
    """Writes a format. A module may stand for it. Equal arguments give equal bytes."""

    @property
    def ROUTE(self) -> str:  # noqa: N802 - a constant of a module
        """The route that takes the requests."""
        ...

    @property
    def PROMPT_PATH(self) -> Path:  # noqa: N802
        """Where `request` puts the prompt's text."""
        ...

    @property
    def ID_HEADER(self) -> str:  # noqa: N802
        """The header in which servers name a request."""
        ...

    def read(self, tree: Any) -> Prompt:
        """The prompt of a request. Raises `ValueError`, whose message may be shown."""
        ...

    def is_request(self, tree: Any) -> bool:
        """Whether a tree looks like a request of the format, complete or not."""
        ...

    def request(self, prompt: Prompt) -> dict[str, Any]:
        """A request."""
        ...

    def request_with(self, kind: Kind, text: str) -> dict[str, Any]:
        """A request with a text of any kind that the contract's `carries` names, and as little else as the format allows."""
        ...

    def answer(self, prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
        """A plain answer. `ident`: letters and digits that make identifiers."""
        ...

    def answer_with(self, kind: Kind, text: str) -> dict[str, Any] | None:
        """A plain answer with a text of any kind that the contract's `carries` names; `None` for a kind that only streams have.
        The answer is an error's for the kind `error`."""
        ...

    def frames(self, prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
        """A stream, event by event, the terminal event last."""
        ...

    def frames_with(self, kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
        """A stream with a text of any kind that the contract's `carries` names, in these pieces; `None` for a kind that only
        plain answers have."""
        ...

    def count(self, prompt: Prompt) -> dict[str, Any]:
        """What the routes that the contract calls `unanswered` answer: a count of the prompt's tokens."""
        ...

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        """A list of models."""
        ...

    def event(self, item: Any) -> bytes:
        """One event of a stream: of an object its JSON, of a string that string."""
        ...

    def ending(self, items: Sequence[Any]) -> list[Any]:
        """What closes a stream of these items; empty where they close it."""
        ...

    def error(self, status: int, message: str) -> dict[str, Any]:
        """The body of an error."""
        ...

    def error_event(self, message: str) -> bytes:
        """An error in the middle of a stream, with what ends the stream."""
        ...


def text_of(content: Any) -> str:
    """The text of a message's content: a text, or a list of parts with `text`."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def word_parts(text: str) -> list[str]:
    """A text as parts of words, about the size of tokens."""
    return _WORD_PART.findall(text)
