"""What the authors of Ollama's formats share: lines, counts and calls, as the server writes them.

https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.turns import Call
from guardproxy.wire.contract.writing import CutText, JsonAuthor, Prompt, Reply, logprobs_of, word_parts
from guardproxy.wire.families import ollama
from guardproxy.wire.framing import Framing, ndjson

DONE: Mapping[str, Any] = {"done": True, "done_reason": "stop"}


class OllamaAuthor(JsonAuthor):
    """Writes a format of Ollama's API."""

    NO_MODEL = "model is required"
    END = DONE
    framing: Framing = ndjson

    def options(self, tree: Any) -> dict[str, Any]:
        wanted = tree.get("format")
        return {
            "stream": tree.get("stream") is not False,
            "limit_words": _limit_of(tree),
            "schema": wanted if isinstance(wanted, dict) else None,
            "with_logprobs": bool(tree.get("logprobs")),
        }

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        return ollama.models(names)

    def is_end(self, item: Any) -> bool:
        return isinstance(item, dict) and ollama.is_last(item)

    def error(self, status: int, message: str) -> dict[str, Any]:
        return ollama.upstream_error(status, message)


class TextsAuthor(OllamaAuthor):
    """Writes a format whose answers hold texts. `TEXT`: the field of the text."""

    TEXT: str

    @abstractmethod
    def line(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the part of a line or an answer with these fields of the model."""

    @abstractmethod
    def said_with(self, kind: Kind, text: str) -> dict[str, Any]:
        """Returns the fields of the model with one text of a kind."""

    def end(self, prompt: Prompt, reply: Reply) -> dict[str, Any]:
        """Returns the last fields of an answer."""
        return {
            "done": True,
            "done_reason": "length" if reply.cut else "stop",
            "total_duration": 5_043_500_667,
            "load_duration": 5_025_959,
            "prompt_eval_count": prompt.prompt_words,
            "prompt_eval_duration": 325_953_000,
            "eval_count": reply.words,
            "eval_duration": 4_709_213_000,
        }

    def answer(self, prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
        text = reply.text or reply.refusal
        fields: dict[str, Any] = {self.TEXT: text}
        if reply.reasoning:
            fields["thinking"] = reply.reasoning
        if reply.calls:
            fields["tool_calls"] = [_call(call, index) for index, call in enumerate(reply.calls)]
        tree = {**_head(prompt), **self.line(fields), **self.end(prompt, reply)}
        return {**tree, "logprobs": _logprobs(word_parts(text))} if prompt.with_logprobs else tree

    def whole_with(self, kind: Kind, text: str) -> dict[str, Any] | None:
        if kind == "metadata":
            return {"model": text, **self.line({self.TEXT: ""}), **DONE}
        return {**self.line(self.said_with(kind, text)), **DONE}

    def items(self, prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[Any]:
        for piece in cut(reply.reasoning):
            yield {**_head(prompt), **self.line({self.TEXT: "", "thinking": piece}), "done": False}
        for piece in cut(reply.text or reply.refusal):
            logprobs = {"logprobs": _logprobs([piece])} if prompt.with_logprobs else {}
            yield {**_head(prompt), **self.line({self.TEXT: piece}), "done": False, **logprobs}
        for index, call in enumerate(reply.calls):
            yield {**_head(prompt), **self.line({self.TEXT: "", "tool_calls": [_call(call, index)]}), "done": False}
        yield {**_head(prompt), **self.line({self.TEXT: ""}), **self.end(prompt, reply)}

    def items_with(self, kind: Kind, pieces: Sequence[str]) -> Iterable[Any]:
        """Calls of tools come whole."""
        if kind == "metadata":
            return [self.whole_with(kind, "".join(pieces))]
        parts = ["".join(pieces)] if kind == "tool_arguments" else pieces
        lines = ({**self.line(self.said_with(kind, part)), "done": False} for part in parts)
        return [*lines, {**self.line({self.TEXT: ""}), **DONE}]


def asked(prompt: Prompt) -> dict[str, Any]:
    """Returns the fields of a request beside its texts."""
    body: dict[str, Any] = {} if prompt.schema is None else {"format": prompt.schema}
    return {**body, "stream": prompt.stream}


def _head(prompt: Prompt) -> dict[str, Any]:
    return {"model": prompt.model, "created_at": ollama.CREATED_AT}


def _call(call: Call, index: int) -> dict[str, Any]:
    """A call of a tool. Arguments that are not an object become an object with them."""
    arguments = call.input()
    given = {"arguments": call.arguments} if arguments is None else arguments
    return {"function": {"index": index, "name": call.name, "arguments": given}}


def _logprobs(tokens: Sequence[str]) -> list[dict[str, Any]]:
    """Returns log probabilities, with each token as its own most probable one."""
    own = logprobs_of(tokens)
    return [{**token, "top_logprobs": [{key: token[key] for key in ("token", "logprob", "bytes")}]} for token in own]


def _limit_of(tree: Mapping[str, Any]) -> int | None:
    options = tree.get("options")
    limit = options.get("num_predict") if isinstance(options, dict) else None
    return limit if isinstance(limit, int) and limit > 0 else None
