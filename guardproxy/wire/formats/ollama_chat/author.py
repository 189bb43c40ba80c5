"""Writes Ollama Chat: requests, answers, streams and errors.

Field names and the order of lines follow the server; every value is a function of the arguments.
https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire import ollama, ollama_author
from guardproxy.wire.authoring import CutText, Prompt, Reply, word_parts

ROUTE = "POST /api/chat"
ID_HEADER = ollama_author.ID_HEADER
PROMPT_PATH = ("messages", 0, "content")

models = ollama.models
error = ollama.upstream_error
error_event = ollama_author.error_event
event = ollama_author.event
ending = ollama_author.ending


# Requests.


def read(tree: Any) -> Prompt:
    """The prompt of a request. Raises `ValueError` when it is no chat request."""
    if not is_request(tree) or not tree["messages"]:
        raise ValueError("messages must be a list with at least one message")
    if not ollama.is_asked(tree):
        raise ValueError("model is required")
    messages = [message for message in tree["messages"] if isinstance(message, dict)]
    texts = [(message.get("role"), str(message.get("content") or "")) for message in messages]
    prompts = [(role, text) for role, text in texts if role in ("user", "tool")]
    return Prompt(
        model=tree["model"],
        text=prompts[-1][1] if prompts else "",
        tool_result=bool(prompts) and prompts[-1][0] == "tool",
        system=" ".join(text for role, text in texts if role == "system"),
        prompt_words=sum(len(text.split()) for _, text in texts),
        stream=ollama_author.is_streamed(tree),
        limit_words=ollama_author.limit_of(tree),
        schema=ollama_author.schema_of(tree),
        with_logprobs=bool(tree.get("logprobs")),
    )


def is_request(tree: Any) -> bool:
    """Whether a tree looks like a request."""
    return isinstance(tree, dict) and isinstance(tree.get("messages"), list)


def request(prompt: Prompt) -> dict[str, Any]:
    """A request."""
    system = [{"role": "system", "content": prompt.system}] if prompt.system else []
    body: dict[str, Any] = {
        "model": prompt.model,
        "messages": [*system, {"role": "user", "content": prompt.text}],
        **ollama_author.asked(prompt),
    }
    if prompt.tools:
        body["tools"] = [
            {"type": "function", "function": {"name": name, "parameters": schema}}
            for name, schema in prompt.tools.items()
        ]
    return body


def request_with(kind: Kind, text: str) -> dict[str, Any]:
    """A request with one text of a kind."""
    empty = {"messages": [{"role": "user", "content": ""}]}
    match kind:
        case "tool_result":
            calling = {"role": "assistant", "content": "", "tool_calls": [_call("")]}
            return {"messages": [calling, {"role": "tool", "tool_name": "tool", "content": text}]}
        case "tool_arguments" | "reasoning":
            return {"messages": [_message(kind, text)]}
        case "tool_definition":
            return {**empty, "tools": [{"type": "function", "function": {"name": "tool", "description": text}}]}
        case "metadata":
            return {**empty, "options": {"stop": [text]}}
        case "unmapped":
            return {**empty, "x_unknown": text}
    return {"messages": [{"role": kind, "content": text}]}


def _call(text: str) -> dict[str, Any]:
    return {"function": {"name": "tool", "arguments": {"note": text}}}


def _message(kind: Kind, text: str) -> dict[str, Any]:
    """A message of the model with one text of a kind."""
    message: dict[str, Any] = {"role": "assistant", "content": text if kind == "assistant" else ""}
    match kind:
        case "tool_arguments":
            message["tool_calls"] = [_call(text)]
        case "reasoning":
            message["thinking"] = text
        case "unmapped":
            message["x_unknown"] = text
    return message


# Answers.


def answer(prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
    """A plain answer."""
    text = reply.text or reply.refusal
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if reply.reasoning:
        message["thinking"] = reply.reasoning
    if reply.calls:
        message["tool_calls"] = [ollama_author.call(call, index) for index, call in enumerate(reply.calls)]
    tree = {**ollama_author.head(prompt), "message": message, **ollama_author.end(prompt, reply)}
    return {**tree, "logprobs": ollama_author.logprobs(word_parts(text))} if prompt.with_logprobs else tree


def answer_with(kind: Kind, text: str) -> dict[str, Any] | None:
    """A plain answer with one text of a kind."""
    match kind:
        case "error":
            return error(500, text)
        case "metadata":
            return {"model": text, "message": _message("assistant", ""), **ollama_author.DONE}
    return {"message": _message(kind, text), **ollama_author.DONE}


def unanswered(route: str, tree: Any, ident: str) -> dict[str, Any]:
    """Writes nothing: a model answers on every route."""
    return {}


# Streams.


def frames(prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[bytes]:
    """A stream, the line with `done` last."""
    head = ollama_author.head(prompt)
    for fields in ollama_author.pieces(reply, cut, "content", prompt.with_logprobs):
        logprobs = {"logprobs": fields.pop("logprobs")} if "logprobs" in fields else {}
        yield event({**head, "message": {"role": "assistant", **fields}, "done": False, **logprobs})
    yield event({**head, "message": _message("assistant", ""), **ollama_author.end(prompt, reply)})


def frames_with(kind: Kind, pieces: Sequence[str]) -> list[bytes] | None:
    """A stream with one text of a kind. Calls of tools come whole."""
    last = event({"message": _message("assistant", ""), **ollama_author.DONE})
    match kind:
        case "error":
            return [error_event("".join(pieces))]
        case "metadata":
            return [event({"model": "".join(pieces), "message": _message("assistant", ""), **ollama_author.DONE})]
        case "tool_arguments":
            return [event({"message": _message(kind, "".join(pieces)), "done": False}), last]
    return [*(event({"message": _message(kind, piece), "done": False}) for piece in pieces), last]
