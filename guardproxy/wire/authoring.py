"""Writers of a format: they write requests, plain answers, streams and errors for the demo, for tests of policies and for test
suites.

Guarded traffic uses them only to give a cached answer in another form (plain or streamed). `Author` is a part of every format.
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
    """A request in terms that do not depend on the format.

    `text`: the last user message, or the tool result that ends the conversation. `prompt_words`: the number of words in all
    messages. `limit_words`: where the answer is cut (the format's limit of tokens; a word counts as a token). `count`: the
    number of answers. `schema`: the JSON Schema of the answer. `tools`: the schema of the arguments of each tool. `with_...`:
    what the answer contains beside its text.
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
    with_echo: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a model. `cut`: the answer reached its limit of tokens. `counted`: its output tokens, if they are known."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[Call, ...] = ()
    cut: bool = False
    counted: int | None = None

    @property
    def words(self) -> int:
        """The words that the usage counts as output tokens."""
        if self.counted is not None:
            return self.counted
        parts = [self.text, self.reasoning, self.refusal, *(call.arguments for call in self.calls)]
        return sum(len(part.split()) for part in parts)


class Author(Protocol):
    """Writes a format. A module can implement it. Equal arguments give equal bytes."""

    @property
    def ROUTE(self) -> str:  # noqa: N802 - a constant of a module
        """The route of the requests."""
        ...

    @property
    def PROMPT_PATH(self) -> Path:  # noqa: N802
        """The path in a request of the prompt's text."""
        ...

    @property
    def ID_HEADER(self) -> str:  # noqa: N802
        """The header in which servers send the id of a request."""
        ...

    def read(self, tree: Any) -> Prompt:
        """Reads the prompt of a request. Raises `ValueError`, whose message may be shown."""
        ...

    def is_request(self, tree: Any) -> bool:
        """Whether a tree looks like a request of the format, complete or incomplete."""
        ...

    def request(self, prompt: Prompt) -> dict[str, Any]:
        """Writes a request."""
        ...

    def request_with(self, kind: Kind, text: str) -> dict[str, Any]:
        """Writes a minimal request with a text of any kind that the contract's `carries` names."""
        ...

    def answer(self, prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
        """Writes a plain answer. `ident`: letters and digits that make identifiers."""
        ...

    def answer_with(self, kind: Kind, text: str) -> dict[str, Any] | None:
        """Writes a plain answer with a text of any kind that the contract's `carries` names; returns `None` for a kind that
        exists in streams only. The kind `error` gives an error's answer."""
        ...

    def frames(self, prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
        """Writes a stream, event by event, the terminal event last."""
        ...

    def frames_with(self, kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
        """Writes a stream with a text, in these pieces, of any kind that the contract's `carries` names; returns `None` for a
        kind that exists in plain answers only."""
        ...

    def unanswered(self, route: str, tree: Any, ident: str) -> dict[str, Any]:
        """Writes the answer of a route that the contract calls `unanswered`, such as a count of tokens. `tree`: a request that
        `read` accepts; `ident`: as in `answer`."""
        ...

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        """Writes a list of models."""
        ...

    def event(self, item: Any) -> bytes:
        """Writes one event of a stream: an object as JSON, a string as it is."""
        ...

    def ending(self, items: Sequence[Any]) -> list[Any]:
        """Writes the end of a stream of these items; empty if the items end the stream."""
        ...

    def error(self, status: int, message: str) -> dict[str, Any]:
        """Writes the body of an error."""
        ...

    def error_event(self, message: str) -> bytes:
        """Writes an error in the middle of a stream, and the end of the stream."""
        ...


def text_of(content: Any) -> str:
    """The text of a message's content: a text, or a list of parts with `text`."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def word_parts(text: str) -> list[str]:
    """Splits a text into parts of words, about the size of tokens."""
    return _WORD_PART.findall(text)
