"""What the authors of Ollama's formats share: lines, counts and calls, as the server writes them.

https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from guardproxy.wire import ollama
from guardproxy.wire.authoring import CutText, Prompt, Reply
from guardproxy.wire.framing import ndjson
from guardproxy.wire.json import write_line
from guardproxy.wire.turns import Call

ID_HEADER = "x-request-id"
DONE: Mapping[str, Any] = {"done": True, "done_reason": "stop"}


def head(prompt: Prompt) -> dict[str, Any]:
    """The first fields of each line."""
    return {"model": prompt.model, "created_at": ollama.CREATED_AT}


def end(prompt: Prompt, reply: Reply) -> dict[str, Any]:
    """The last fields of an answer."""
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


def call(call: Call, index: int = 0) -> dict[str, Any]:
    """A call of a tool. Arguments that are not an object become an object with them."""
    arguments = call.input()
    return {
        "function": {"index": index, "name": call.name, "arguments": _wrapped(call) if arguments is None else arguments}
    }


def _wrapped(call: Call) -> dict[str, Any]:
    return {"arguments": call.arguments}


def logprobs(tokens: Sequence[str]) -> list[dict[str, Any]]:
    """The log probabilities of these tokens."""
    return [
        {
            "token": token,
            "logprob": -0.5,
            "bytes": list(token.encode()),
            "top_logprobs": [{"token": token, "logprob": -0.5, "bytes": list(token.encode())}],
        }
        for token in tokens
        if token
    ]


def pieces(reply: Reply, cut: CutText, answer: str, with_logprobs: bool) -> Iterator[dict[str, Any]]:
    """Yields the fields of each line of a reply. `answer`: the name of the field of the text."""
    for piece in cut(reply.reasoning):
        yield {answer: "", "thinking": piece}
    for piece in cut(reply.text or reply.refusal):
        yield {answer: piece, "logprobs": logprobs([piece])} if with_logprobs else {answer: piece}
    for index, called in enumerate(reply.calls):
        yield {answer: "", "tool_calls": [call(called, index)]}


def schema_of(tree: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of the answer that a request demands."""
    wanted = tree.get("format")
    return wanted if isinstance(wanted, dict) else None


def asked(prompt: Prompt) -> dict[str, Any]:
    """The fields of a request beside its texts."""
    body: dict[str, Any] = {} if prompt.schema is None else {"format": prompt.schema}
    return {**body, "stream": prompt.stream}


def limit_of(tree: Mapping[str, Any]) -> int | None:
    """The limit of tokens of a request."""
    options = tree.get("options")
    limit = options.get("num_predict") if isinstance(options, dict) else None
    return limit if isinstance(limit, int) and limit > 0 else None


def is_streamed(tree: Mapping[str, Any]) -> bool:
    """Whether a request asks for a stream."""
    return tree.get("stream") is not False


def event(item: Any) -> bytes:
    """One line: an object as JSON, a string as it is."""
    return ndjson.frame(item.replace("\n", " ").encode() if isinstance(item, str) else write_line(item))


def ending(items: Sequence[Any]) -> list[Any]:
    """Writes the end of a stream of these items."""
    return [] if any(isinstance(item, dict) and ollama.is_last(item) for item in items) else [dict(DONE)]


def error_event(message: str) -> bytes:
    """An error in the middle of a stream, which ends it."""
    return event(ollama.upstream_error(500, message))
