"""Writers of a format: they write requests, plain answers, streams and errors for the demo, for tests of policies and for test
suites.

Guarded traffic uses them only to give a cached answer in another form (plain or streamed). `Author` is a part of every format.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from guardproxy.events import Path
from guardproxy.findings import Kind
from guardproxy.wire.contract.turns import Call
from guardproxy.wire.framing import Framing
from guardproxy.wire.json import write, write_line
from guardproxy.wire.request import prompts

CutText = Callable[[str], Sequence[str]]
"""Cuts a text into the pieces of its deltas; joined they are the text."""

Item = TypeVar("Item")
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


class JsonAuthor(ABC):
    """Writes a format whose bodies are JSON. A format derives from it and writes only what differs. What is written follows the
    documents of the API; identifiers are functions of the arguments.

    `framing`: of streams; `is_typed`: whether an event has the `type` of its object as its name; `END`: the item that ends a
    stream whose items do not. `PROMPT_TYPES`: the types of the field that holds the prompt; `MAY_BE_EMPTY`: whether that field
    may be empty. `NO_PROMPT`, `NO_MODEL`: why a request cannot be read; `NO_MODEL` is empty if a request needs no model.
    """

    ROUTE: str
    PROMPT_PATH: Path
    ID_HEADER = "x-request-id"
    PROMPT_TYPES: tuple[type, ...] = (str, list)
    MAY_BE_EMPTY = False
    NO_PROMPT = "messages must be a list with at least one message"
    NO_MODEL = "model must be a string"
    END: Any
    framing: Framing
    is_typed = False

    # Requests.

    def prompt_of(self, tree: Mapping[str, Any]) -> Any:
        """Returns the field of a request that holds the prompt."""
        return tree.get(str(self.PROMPT_PATH[0]))

    def is_request(self, tree: Any) -> bool:
        return isinstance(tree, dict) and isinstance(self.prompt_of(tree), self.PROMPT_TYPES)

    def read(self, tree: Any) -> Prompt:
        if not self.is_request(tree) or not (self.MAY_BE_EMPTY or self.prompt_of(tree)):
            raise ValueError(self.NO_PROMPT)
        model = tree.get("model")
        if not isinstance(model, str):
            if self.NO_MODEL:
                raise ValueError(self.NO_MODEL)
            model = str(model or "")
        texts = list(self.texts(tree))
        kind, text = next((known for known in reversed(texts) if known[0] in ("user", "tool_result")), ("user", ""))
        return Prompt(
            model=model,
            text=text,
            tool_result=kind == "tool_result",
            system=" ".join(text for kind, text in texts if kind == "system" and text),
            prompt_words=sum(len(text.split()) for _, text in texts),
            **self.options(tree),
        )

    def texts(self, tree: Any) -> Iterator[tuple[Kind, str]]:
        """Yields the texts of a request that a model reads, each with its kind."""
        return (("user", text) for text in prompts.texts(self.prompt_of(tree)))

    def options(self, tree: Any) -> dict[str, Any]:
        """Returns the further fields of the prompt of a request."""
        return {}

    @abstractmethod
    def request(self, prompt: Prompt) -> dict[str, Any]: ...

    @abstractmethod
    def request_with(self, kind: Kind, text: str) -> dict[str, Any]: ...

    # Answers.

    @abstractmethod
    def answer(self, prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]: ...

    @abstractmethod
    def whole_with(self, kind: Kind, text: str) -> dict[str, Any] | None:
        """Like `answer_with`, for every kind but `error`."""

    def answer_with(self, kind: Kind, text: str) -> dict[str, Any] | None:
        return self.error(500, text) if kind == "error" else self.whole_with(kind, text)

    def unanswered(self, route: str, tree: Any, ident: str) -> dict[str, Any]:
        """Writes nothing: a model answers on every route."""
        return {}

    @abstractmethod
    def models(self, names: Sequence[str]) -> dict[str, Any]: ...

    # Streams.

    @abstractmethod
    def items(self, prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[Any]:
        """Yields the items of a stream: objects, and texts that are not JSON."""

    @abstractmethod
    def items_with(self, kind: Kind, pieces: Sequence[str]) -> Iterable[Any] | None:
        """Returns the items of `frames_with`, for every kind but `error`."""

    def frames(self, prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
        return map(self.event, self.items(prompt, reply, ident, cut))

    def frames_with(self, kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
        if kind == "error":
            return [self.error_event("".join(pieces))]
        items = self.items_with(kind, pieces)
        return None if items is None else [self.event(item) for item in items]

    def event(self, item: Any) -> bytes:
        if isinstance(item, str):
            return self.framing.frame(item.replace("\n", " ").encode())
        name = item.get("type") if self.is_typed and isinstance(item, dict) else None
        return self.framing.frame(write_line(item), name if isinstance(name, str) else None)

    def is_end(self, item: Any) -> bool:
        """Whether an item ends a stream."""
        return bool(item == self.END)

    def ending(self, items: Sequence[Any]) -> list[Any]:
        return [] if any(map(self.is_end, items)) else [self.END]

    # Errors.

    @abstractmethod
    def error(self, status: int, message: str) -> dict[str, Any]: ...

    def error_event(self, message: str) -> bytes:
        return self.event(self.error(500, message))


class VectorsAuthor(JsonAuthor):
    """Writes a format whose answers are vectors of texts. It has no streams."""

    PROMPT_PATH = ("input", 0)
    NO_MODEL = ""

    def options(self, tree: Any) -> dict[str, Any]:
        return {}

    def request(self, prompt: Prompt) -> dict[str, Any]:
        return {"model": prompt.model, "input": [prompt.text]}

    def items(self, prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[Any]:
        return iter(())

    def items_with(self, kind: Kind, pieces: Sequence[str]) -> Iterable[Any] | None:
        return None

    def frames_with(self, kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
        return None if kind == "error" else super().frames_with(kind, pieces)


def in_turns(streams: Iterable[Iterator[Item]]) -> Iterator[Item]:
    """Yields the items of several streams: one of each in turn, as a server that batches its answers writes them."""
    waiting = list(streams)
    while waiting:
        still = []
        for stream in waiting:
            for item in stream:
                yield item
                still.append(stream)
                break
        waiting = still


def variant(text: str, number: int) -> str:
    """Returns the text of an alternative answer: the first is the text itself, the others differ from it."""
    return f"{text} (answer {number + 1})" if number and text else text


def chat_fields(prompt: Prompt) -> dict[str, Any]:
    """Returns the model, the messages and the tools of a request, as the APIs of OpenAI and Ollama have them."""
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    functions = [{"name": name, "parameters": schema} for name, schema in prompt.tools.items()]
    tools = {"tools": [{"type": "function", "function": function} for function in functions]} if functions else {}
    return {"model": prompt.model, "messages": [*system, {"role": "user", "content": prompt.text}], **tools}


def logprobs_of(tokens: Sequence[str]) -> list[dict[str, Any]]:
    """Returns log probabilities of tokens, as the APIs of OpenAI have them."""
    return [
        {"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": []}
        for token in tokens
        if token
    ]


DIMENSIONS = 8
_MOST_DIMENSIONS = 4096


def noise(item: Any, count: int) -> bytes:
    """Returns bytes that depend on an item alone."""
    return hashlib.shake_256(write(item)).digest(count)


def vector(item: Any, dimensions: Any) -> list[float]:
    """Returns the vector of an item. `dimensions`: as a request asks for them, if at all."""
    return [level / 128 - 1 for level in noise(item, min(int(dimensions or DIMENSIONS), _MOST_DIMENSIONS))]


def text_of(content: Any) -> str:
    """The text of a message's content: a text, or a list of parts with `text`."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def word_parts(text: str) -> list[str]:
    """Splits a text into parts of words, about the size of tokens."""
    return _WORD_PART.findall(text)
