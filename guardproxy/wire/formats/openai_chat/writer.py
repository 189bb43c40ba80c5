"""Writes OpenAI Chat Completions: requests, answers, streams and errors.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.turns import Call
from guardproxy.wire.contract.writing import (
    CutText,
    Prompt,
    Reply,
    chat_fields,
    logprobs_of,
    text_of,
    variant,
    word_parts,
)
from guardproxy.wire.families.openai import CREATED_S, ChoicesAuthor

_FIELDS: dict[str, str] = {"assistant": "content", "reasoning": "reasoning_content", "refusal": "refusal"}
_KINDS: dict[Any, Kind] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "tool": "tool_result",
    "function": "tool_result",
}


class ChatAuthor(ChoicesAuthor):
    """Writes the format."""

    ROUTE = "POST /v1/chat/completions"
    PROMPT_PATH = ("messages", 0, "content")
    PROMPT_TYPES = (list,)
    OBJECT = "chat.completion.chunk"

    # Requests.

    def texts(self, tree: Any) -> Iterator[tuple[Kind, str]]:
        for message in tree["messages"]:
            if isinstance(message, dict):
                yield _KINDS.get(message.get("role"), "assistant"), text_of(message.get("content"))

    def options(self, tree: Any) -> dict[str, Any]:
        form = tree.get("response_format") or {}
        return {
            **super().options(tree),
            "schema": (form.get("json_schema") or {}).get("schema") if form.get("type") == "json_schema" else None,
            "with_logprobs": bool(tree.get("logprobs")),
        }

    def request(self, prompt: Prompt) -> dict[str, Any]:
        body = chat_fields(prompt)
        if prompt.schema is not None:
            schema = {"name": "answer", "schema": prompt.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return {**body, "stream": True} if prompt.stream else body

    def request_with(self, kind: Kind, text: str) -> dict[str, Any]:
        empty = {"messages": [{"role": "user", "content": ""}]}
        calling = _message("tool_arguments", "{}")
        function = {"name": "tool", "description": text}
        bodies: dict[Kind, dict[str, Any]] = {
            "tool_result": {"messages": [calling, {"role": "tool", "tool_call_id": "call_1", "content": text}]},
            "tool_arguments": {"messages": [_message("tool_arguments", text)]},
            "document": {**empty, "documents": [{"text": text}]},
            "tool_definition": {**empty, "tools": [{"type": "function", "function": function}]},
            "reasoning": {"messages": [_message("reasoning", text)]},
            "refusal": {"messages": [_message("refusal", text)]},
            "metadata": {**empty, "metadata": {"note": text}},
            "unmapped": {**empty, "x_unknown": text},
        }
        return bodies.get(kind, {"messages": [{"role": kind, "content": text}]})

    # Answers.

    def head(self, prompt: Prompt, ident: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{ident}",
            "object": "chat.completion",
            "created": CREATED_S,
            "model": prompt.model,
            "service_tier": "default",
            "system_fingerprint": "fp_scripted",
        }

    def answer(self, prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
        choices = []
        for number in range(prompt.count):
            text = variant(reply.text, number)
            message: dict[str, Any] = {
                "role": "assistant",
                "content": text or None,
                "refusal": reply.refusal or None,
                "annotations": [],
            }
            if reply.reasoning:
                message["reasoning_content"] = reply.reasoning
            if reply.calls:
                message["tool_calls"] = [_call(call, ident, number, at) for at, call in enumerate(reply.calls)]
            choices.append(_choice(number, "message", message, _logprobs(prompt, word_parts(text)), _finish(reply)))
        return {**self.head(prompt, ident), "choices": choices, "usage": self.usage(prompt, reply)}

    def whole_with(self, kind: Kind, text: str) -> dict[str, Any] | None:
        is_said = kind not in ("metadata", "unmapped")
        message = _message(kind, text) if is_said else _message("assistant", "")
        tree: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        return tree if is_said else {"model" if kind == "metadata" else "x_unknown": text, **tree}

    def usage(self, prompt: Prompt, reply: Reply) -> dict[str, Any]:
        details = dict.fromkeys(("audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"), 0)
        return {
            **super().usage(prompt, reply),
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": len(reply.reasoning.split()), **details},
        }

    # Streams.

    def choices(self, prompt: Prompt, reply: Reply, ident: str, number: int, cut: CutText) -> Iterator[dict[str, Any]]:
        reply = replace(reply, text=variant(reply.text, number))
        for delta in _deltas(reply, ident, number, cut):
            logprobs = _logprobs(prompt, [delta["content"]]) if delta.get("content") else None
            yield _choice(number, "delta", delta, logprobs, None)
        yield _choice(number, "delta", {}, None, _finish(reply))

    def items_with(self, kind: Kind, pieces: Sequence[str]) -> Iterable[Any]:
        match kind:
            case "tool_arguments":
                deltas: list[dict[str, Any]] = [{"tool_calls": [{"index": 0, **_call(Call("tool", ""), "1", 0, 0)}]}]
                deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
            case "unmapped":
                deltas = [{"x_unknown": piece} for piece in pieces]
            case "tool_result":
                deltas = [_documents(piece) for piece in pieces]
            case "metadata":
                return self._chunks([], {"model": "".join(pieces)})
            case _:
                deltas = [{_FIELDS[kind]: piece} for piece in pieces]
        return self._chunks(deltas, {})

    def _chunks(
        self, deltas: Iterable[Mapping[str, Any]], head: Mapping[str, Any], finish: str = "stop", index: int = 0
    ) -> Iterator[Any]:
        parts = [({"role": "assistant"}, None), *((delta, None) for delta in deltas), ({}, finish)]
        for delta, reason in parts:
            yield {**head, "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}
        yield self.END

    def chunks(
        self, deltas: Iterable[Mapping[str, Any]], head: Mapping[str, Any], finish: str = "stop", index: int = 0
    ) -> list[bytes]:
        """Writes a stream of these deltas of one choice. `head`: the fields before `choices`."""
        return list(map(self.event, self._chunks(deltas, head, finish, index)))


def _message(kind: Kind, text: str) -> dict[str, Any]:
    """A message of the model with one text of a kind."""
    match kind:
        case "tool_arguments":
            call = {"id": "call_1", "type": "function", "function": {"name": "tool", "arguments": text}}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case "reasoning":
            return {"role": "assistant", "content": "", "reasoning_content": text}
        case "refusal":
            return {"role": "assistant", "content": None, "refusal": text}
        case "tool_result":  # a document of Azure's "On Your Data"
            return {"role": "assistant", "content": "", **_documents(text)}
    return {"role": "assistant", "content": text}


def _documents(text: str) -> dict[str, Any]:
    return {"context": {"citations": [{"content": text}]}}


def _choice(number: int, name: str, said: Any, logprobs: Any, finish: str | None) -> dict[str, Any]:
    return {"index": number, name: said, "logprobs": logprobs, "finish_reason": finish}


def _logprobs(prompt: Prompt, tokens: Sequence[str]) -> dict[str, Any] | None:
    return {"content": logprobs_of(tokens), "refusal": None} if prompt.with_logprobs else None


def _deltas(reply: Reply, ident: str, number: int, cut: CutText) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if reply.text else None, "refusal": None}
    for name, text in (("reasoning_content", reply.reasoning), ("content", reply.text), ("refusal", reply.refusal)):
        for piece in cut(text):
            yield {name: piece}
    for at, call in enumerate(reply.calls):
        yield {"tool_calls": [{"index": at, **_call(Call(call.name, ""), ident, number, at)}]}
        for piece in cut(call.arguments):
            yield {"tool_calls": [{"index": at, "function": {"arguments": piece}}]}


def _call(call: Call, ident: str, number: int, at: int) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{ident[:12]}_{number}_{at}", "type": "function", "function": function}


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "length" if reply.cut else "stop"


author = ChatAuthor()
