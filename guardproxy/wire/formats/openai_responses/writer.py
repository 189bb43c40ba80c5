"""Writes OpenAI Responses: requests, answers, streams and errors.

https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.turns import Call
from guardproxy.wire.contract.writing import CutText, Prompt, Reply, text_of
from guardproxy.wire.families.openai import OpenAIAuthor
from guardproxy.wire.formats.openai_responses import replies
from guardproxy.wire.formats.openai_responses.replies import ENDS
from guardproxy.wire.json import objects

_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_KINDS: dict[Any, Kind] = {"user": "user", "system": "system", "developer": "system"}


_COMPLETED = {"type": "response.completed", "response": {"status": "completed"}}


class ResponsesAuthor(OpenAIAuthor):
    """Writes the format. The name of an event is its `type`; the last event repeats the whole answer."""

    ROUTE = "POST /v1/responses"
    PROMPT_PATH = ("input", 0, "content")
    NO_PROMPT = "input must be a text or a list with at least one item"
    END: Any = _COMPLETED
    is_typed = True

    # Requests.

    def is_request(self, tree: Any) -> bool:
        return super().is_request(tree) and "messages" not in tree

    def texts(self, tree: Any) -> Iterator[tuple[Kind, str]]:
        yield "system", text_of(tree.get("instructions"))
        given = tree["input"]
        for item in [{"role": "user", "content": given}] if isinstance(given, str) else objects(given):
            kind = "tool_result" if item.get("type") in _OUTPUTS else _KINDS.get(item.get("role"), "assistant")
            yield kind, text_of(item.get("content") or item.get("output"))

    def options(self, tree: Any) -> dict[str, Any]:
        asked, form = tree.get("stream_options") or {}, (tree.get("text") or {}).get("format") or {}
        return {
            "stream": bool(tree.get("stream")),
            "limit_words": tree.get("max_output_tokens"),
            "schema": form.get("schema") if form.get("type") == "json_schema" else None,
            "with_logprobs": "message.output_text.logprobs" in (tree.get("include") or ()),
            "with_obfuscation": bool(asked.get("include_obfuscation")),
        }

    def request(self, prompt: Prompt) -> dict[str, Any]:
        body: dict[str, Any] = {"model": prompt.model, "input": [{"role": "user", "content": prompt.text}]}
        if prompt.system:
            body["instructions"] = prompt.system
        if prompt.schema is not None:
            body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": prompt.schema}}
        if prompt.tools:
            body["tools"] = [
                {"type": "function", "name": name, "parameters": schema} for name, schema in prompt.tools.items()
            ]
        return {**body, "stream": True} if prompt.stream else body

    def request_with(self, kind: Kind, text: str) -> dict[str, Any]:
        empty: dict[str, Any] = {"input": [{"role": "user", "content": ""}]}
        match kind:
            case "system":
                return {**empty, "instructions": text}
            case "tool_definition" | "metadata":
                return {**empty, **_echo(kind, text)}
            case "unmapped":
                return {**empty, "x_unknown": text}
            case "document":
                return {**empty, "documents": [{"text": text}]}
            case "user":
                return {"input": [{"role": "user", "content": text}]}
            case "tool_result":
                return {"input": [_call("{}"), {"type": "function_call_output", "call_id": "call_1", "output": text}]}
        return {"input": [_item(kind, text)]}

    # Answers.

    def answer(self, prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
        return replies.whole(prompt, reply, ident)

    def whole_with(self, kind: Kind, text: str) -> dict[str, Any] | None:
        tree: dict[str, Any] = {"object": "response", "status": "completed"}
        if kind in _ECHO_KINDS:
            return {**tree, **_echo(kind, text), "output": [_item("assistant", "")]}
        if kind == "unmapped":
            return {**tree, "output": [_item("assistant", "")], "x_unknown": text}
        return {**tree, "output": [_item(kind, text)]}

    def unanswered(self, route: str, tree: Any, ident: str) -> dict[str, Any]:
        """The answer of `POST /v1/responses/input_tokens` or of `POST /v1/responses/compact`."""
        prompt = self.read(tree)
        if route.endswith("compact"):
            return replies.compacted(prompt, ident)
        return {"object": "response.input_tokens", "input_tokens": prompt.prompt_words}

    # Streams.

    def items(self, prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[Any]:
        return replies.events(prompt, reply, ident, cut)

    def items_with(self, kind: Kind, pieces: Sequence[str]) -> Iterable[Any]:
        text = "".join(pieces)
        if kind in _ECHO_KINDS:
            return replies.around([], {"output": [], **_echo(kind, text)})
        if kind == "tool_result":  # comes in one piece
            item = _item(kind, text)
            steps = ("response.output_item.added", "response.output_item.done")
            return replies.around(
                [{"type": step, "output_index": 0, "item": item} for step in steps], {"output": [item]}
            )
        if kind == "unmapped":
            where = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": ""}
            return replies.around([{**where, "x_unknown": piece} for piece in pieces], {"output": []})
        reply = {
            "assistant": Reply(text),
            "reasoning": Reply(reasoning=text),
            "refusal": Reply(refusal=text),
            "tool_arguments": Reply(calls=(Call("tool", text),)),
        }[str(kind)]
        inner = list(replies.events_of_items(Prompt("m", ""), reply, "1", lambda text: pieces if text else []))
        output = [entry["item"] for entry in inner if entry["type"] == "response.output_item.done"]
        return replies.around(inner, {"output": output})

    def is_end(self, item: Any) -> bool:
        return isinstance(item, dict) and item.get("type") in ENDS

    def error_event(self, message: str) -> bytes:
        error = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 0}
        return self.event(error)


def _call(arguments: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": "call_1", "name": "tool", "arguments": arguments}


def _item(kind: Kind, text: str) -> dict[str, Any]:
    """An item of the model with one text of a kind."""
    match kind:
        case "tool_arguments":
            return _call(text)
        case "tool_result":
            call = {"type": "mcp_call", "id": "mcp_1", "name": "tool", "server_label": "tools", "arguments": "{}"}
            return {**call, "output": text}
        case "reasoning":
            return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text}]}
        case "refusal":
            part: dict[str, Any] = {"type": "refusal", "refusal": text}
        case _:
            part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": [part]}


def _echo(kind: Kind, text: str) -> dict[str, Any]:
    """The fields of a request that an answer repeats, with one text of a kind."""
    match kind:
        case "system":
            return {"instructions": text}
        case "user":
            return {"instructions": [{"type": "message", "role": "user", "content": text}]}
        case "tool_definition":
            return {"tools": [{"type": "function", "name": "tool", "description": text}]}
    return {"metadata": {"note": text}}


_ECHO_KINDS: tuple[Kind, ...] = ("system", "user", "tool_definition", "metadata")


author = ResponsesAuthor()
