"""Writes Ollama Generate: requests, answers, streams and errors.

Field names and the order of lines follow the server; every value is a function of the arguments.
https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire import ollama, ollama_author
from guardproxy.wire.authoring import CutText, Prompt, Reply, word_parts

ROUTE = "POST /api/generate"
ID_HEADER = ollama_author.ID_HEADER
PROMPT_PATH = ("prompt",)
_FIELDS: dict[str, str] = {"assistant": "response", "reasoning": "thinking", "unmapped": "x_unknown"}
_CONTEXT = (128006, 882, 128007, 271, 15339)  # the token ids of a conversation

models = ollama.models
error = ollama.upstream_error
error_event = ollama_author.error_event
event = ollama_author.event
ending = ollama_author.ending


# Requests.


def read(tree: Any) -> Prompt:
    """The prompt of a request. Raises `ValueError` when it is no request."""
    if not is_request(tree):
        raise ValueError("prompt must be a string")
    if not ollama.is_asked(tree):
        raise ValueError("model is required")
    system = str(tree.get("system") or "")
    return Prompt(
        model=tree["model"],
        text=tree["prompt"],
        system=system,
        prompt_words=len(tree["prompt"].split()) + len(system.split()),
        stream=ollama_author.is_streamed(tree),
        limit_words=ollama_author.limit_of(tree),
        schema=ollama_author.schema_of(tree),
        with_logprobs=bool(tree.get("logprobs")),
    )


def is_request(tree: Any) -> bool:
    """Whether a tree looks like a request."""
    return isinstance(tree, dict) and isinstance(tree.get("prompt"), str)


def request(prompt: Prompt) -> dict[str, Any]:
    """A request."""
    system = {"system": prompt.system} if prompt.system else {}
    return {"model": prompt.model, "prompt": prompt.text, **system, **ollama_author.asked(prompt)}


def request_with(kind: Kind, text: str) -> dict[str, Any]:
    """A request with one text of a kind."""
    match kind:
        case "system":
            return {"prompt": "", "system": text}
        case "tool_definition":
            return {"prompt": "", "format": {"type": "object", "description": text}}
        case "metadata":
            return {"prompt": "", "options": {"stop": [text]}}
        case "unmapped":
            return {"prompt": "", "x_unknown": text}
    return {"prompt": text}


# Answers.


def answer(prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
    """A plain answer."""
    text = reply.text or reply.refusal
    tree: dict[str, Any] = {**ollama_author.head(prompt), "response": text}
    if reply.reasoning:
        tree["thinking"] = reply.reasoning
    if reply.calls:
        tree["tool_calls"] = [ollama_author.call(call, index) for index, call in enumerate(reply.calls)]
    tree |= {**ollama_author.end(prompt, reply), "context": list(_CONTEXT)}
    return {**tree, "logprobs": ollama_author.logprobs(word_parts(text))} if prompt.with_logprobs else tree


def answer_with(kind: Kind, text: str) -> dict[str, Any] | None:
    """A plain answer with one text of a kind."""
    match kind:
        case "error":
            return error(500, text)
        case "metadata":
            return {"model": text, "response": "", **ollama_author.DONE}
    return {"response": "", **_fields(kind, text), **ollama_author.DONE}


def _fields(kind: Kind, text: str) -> dict[str, Any]:
    if kind == "tool_arguments":
        return {"tool_calls": [{"function": {"name": "tool", "arguments": {"note": text}}}]}
    return {_FIELDS[kind]: text}


def unanswered(route: str, tree: Any, ident: str) -> dict[str, Any]:
    """Writes nothing: a model answers on every route."""
    return {}


# Streams.


def frames(prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
    """A stream, the line with `done` last."""
    head = ollama_author.head(prompt)
    for fields in ollama_author.pieces(reply, cut, "response", prompt.with_logprobs):
        yield event({**head, **fields, "done": False})
    yield event({**head, "response": "", **ollama_author.end(prompt, reply), "context": list(_CONTEXT)})


def frames_with(kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
    """A stream with one text of a kind. Calls of tools come whole."""
    match kind:
        case "error":
            return [error_event("".join(pieces))]
        case "metadata":
            return [event({"model": "".join(pieces), "response": "", **ollama_author.DONE})]
        case "tool_arguments":
            pieces = ["".join(pieces)]
    last = event({"response": "", **ollama_author.DONE})
    return [*(event({"response": "", **_fields(kind, piece), "done": False}) for piece in pieces), last]
