"""Writes Anthropic Messages: requests, answers, streams and errors.

A stream has the whole sequence of events, `message_start` to `message_stop`, with a `ping`.
https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.writing import CutText, JsonAuthor, Prompt, Reply, text_of
from guardproxy.wire.framing import Framing, sse
from guardproxy.wire.json import members

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
LIMIT_TOKENS = 1024
_HEAD = {"id": "msg_test", "type": "message", "role": "assistant", "model": ""}
_UNSTOPPED = {"stop_reason": None, "stop_sequence": None}
_STOP = {"type": "message_stop"}


class MessagesAuthor(JsonAuthor):
    """Writes the format. The name of an event is its `type`."""

    ROUTE = "POST /v1/messages"
    PROMPT_PATH = ("messages", 0, "content")
    ID_HEADER = "request-id"
    PROMPT_TYPES = (list,)
    NO_PROMPT = "messages: a list with at least one message is required"
    NO_MODEL = "model: a string is required"
    END = _STOP
    framing: Framing = sse
    is_typed = True

    # Requests.

    def read(self, tree: Any) -> Prompt:
        given = super().read(tree)
        messages = [message for message in tree["messages"] if isinstance(message, dict)]
        prompts = [message.get("content") for message in messages if message.get("role") == "user"]
        last = prompts[-1] if prompts else ""
        results = [block for block in last if _is(block, "tool_result")] if isinstance(last, list) else []
        system = _text(tree.get("system"))
        return replace(
            given,
            text="\n".join(_text(block.get("content")) for block in results) if results else _text(last),
            tool_result=bool(results),
            system=system,
            prompt_words=len(system.split()) + sum(len(_text(message.get("content")).split()) for message in messages),
            stream=bool(tree.get("stream")),
            limit_words=tree.get("max_tokens"),
            schema=members(members(tree.get("output_config")).get("format")).get("schema"),
        )

    def request(self, prompt: Prompt) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": prompt.model,
            "messages": [{"role": "user", "content": prompt.text}],
            "max_tokens": LIMIT_TOKENS,
        }
        if prompt.system:
            body["system"] = prompt.system
        if prompt.schema is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": prompt.schema}}
        if prompt.tools:
            body["tools"] = [{"name": name, "input_schema": schema} for name, schema in prompt.tools.items()]
        return {**body, "stream": True} if prompt.stream else body

    def request_with(self, kind: Kind, text: str) -> dict[str, Any]:
        empty: dict[str, Any] = {"messages": [{"role": "user", "content": ""}], "max_tokens": LIMIT_TOKENS}
        match kind:
            case "system":
                return {**empty, "system": text}
            case "tool_definition":
                return {**empty, "tools": [{"name": "tool", "description": text, "input_schema": {}}]}
            case "metadata":
                return {**empty, "metadata": {"user_id": text}}
            case "unmapped":
                return {**empty, "x_unknown": text}
            case "document":
                source = {"type": "text", "media_type": "text/plain", "data": text}
                return {**empty, "messages": [{"role": "user", "content": [{"type": "document", "source": source}]}]}
            case "tool_result":
                results = [{"type": "tool_result", "tool_use_id": "toolu_1", "content": text}]
                turns = [{"role": "assistant", "content": [_block("tool_arguments", "{}")]}]
                return {**empty, "messages": [*turns, {"role": "user", "content": results}]}
            case "tool_arguments" | "reasoning":
                return {**empty, "messages": [{"role": "assistant", "content": [_block(kind, text)]}]}
        return {**empty, "messages": [{"role": kind, "content": text}]}

    # Answers.

    def answer(self, prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
        return {
            **_message(prompt, ident),
            "content": [block for block, _ in _blocks(reply, ident, lambda text: [text])],
            **_stop(reply),
            "usage": _usage(prompt, reply.words),
        }

    def whole_with(self, kind: Kind, text: str) -> dict[str, Any] | None:
        stop: dict[str, Any] = {"stop_reason": "end_turn"}
        match kind:
            case "metadata":
                return None
            case "refusal":
                details = {"type": "refusal", "category": None, "explanation": text}
                return {**_HEAD, "content": [], "stop_reason": "refusal", "stop_details": details}
            case "unmapped":
                return {**_HEAD, "content": [], **stop, "x_unknown": text}
        return {**_HEAD, "content": [_block(kind, text)], **stop}

    def unanswered(self, route: str, tree: Any, ident: str) -> dict[str, Any]:
        """The answer of `POST /v1/messages/count_tokens`."""
        return {"input_tokens": self.read(tree).prompt_words}

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        data = [
            {"type": "model", "id": name, "display_name": name, "created_at": "2023-11-14T22:13:20Z"} for name in names
        ]
        return {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}

    # Streams.

    def items(self, prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[Any]:
        opening = {**_message(prompt, ident), "content": [], **_UNSTOPPED}
        yield {"type": "message_start", "message": {**opening, "usage": _usage(prompt, 1)}}
        for index, (block, deltas) in enumerate(_blocks(reply, ident, cut)):
            yield {"type": "content_block_start", "index": index, "content_block": _emptied(block)}
            if not index:
                yield {"type": "ping"}
            for delta in deltas:
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        yield {"type": "message_delta", "delta": _stop(reply), "usage": {"output_tokens": reply.words}}
        yield _STOP

    def items_with(self, kind: Kind, pieces: Sequence[str]) -> Iterable[Any]:
        text = "".join(pieces)
        last: dict[str, Any] = {"stop_reason": "end_turn", "stop_sequence": None}
        match kind:
            case "assistant":
                return _items([(_block(kind, ""), [{"type": "text_delta", "text": piece} for piece in pieces])])
            case "reasoning":
                return _items([(_block(kind, ""), [{"type": "thinking_delta", "thinking": piece} for piece in pieces])])
            case "tool_arguments":
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
                return _items([({**_block(kind, ""), "input": {}}, deltas)])
            case "unmapped":
                return _items(
                    [(_block("assistant", ""), [{"type": "x_delta", "x_unknown": piece} for piece in pieces])]
                )
            case "tool_result" | "tool_definition":
                return _items([(_block(kind, text), [])])
            case "metadata":
                return _items([], {**last, "container": {"id": text}})
        details = {"type": "refusal", "category": None, "explanation": text}
        return _items([], {**last, "stop_reason": "refusal", "stop_details": details})

    def blocks(
        self,
        content: Sequence[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]],
        stop: Mapping[str, Any] | None = None,
        head: Mapping[str, Any] | None = None,
        usage: Mapping[str, Any] | None = None,
    ) -> list[bytes]:
        """Writes a stream of these content blocks: the beginning and the deltas of each. `head`: fields of the message;
        `usage`: the counts at the end."""
        return list(map(self.event, _items(content, stop, head, usage)))

    def is_end(self, item: Any) -> bool:
        return item == _STOP or _is(item, "error")

    # Errors.

    def error(self, status: int, message: str) -> dict[str, Any]:
        kind = ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": None}

    def error_event(self, message: str) -> bytes:
        return self.event(self.error(529, message))


def _is(block: Any, kind: str) -> bool:
    return isinstance(block, dict) and block.get("type") == kind


def _text(content: Any) -> str:
    """The text of a content: a text, or its blocks of text."""
    blocks = [block for block in content if _is(block, "text")] if isinstance(content, list) else content
    return text_of(blocks)


def _block(kind: Kind, text: str) -> dict[str, Any]:
    """A content block with one text of a kind."""
    match kind:
        case "reasoning":
            return {"type": "thinking", "thinking": text, "signature": ""}
        case "tool_arguments":
            return {"type": "tool_use", "id": "toolu_1", "name": "tool", "input": {"value": text}}
        case "tool_result":
            result = {"type": "web_search_result", "title": text}
            return {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [result]}
        case "tool_definition":
            tools = [{"name": "tool", "description": text, "input_schema": {"type": "object"}}]
            return {"type": "mcp_tool_listing", "mcp_server_name": "server", "tools": tools}
    return {"type": "text", "text": text}


def _items(
    content: Sequence[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]],
    stop: Mapping[str, Any] | None = None,
    head: Mapping[str, Any] | None = None,
    usage: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    last = {"stop_reason": "end_turn", "stop_sequence": None} if stop is None else stop
    message = {**_HEAD, "content": [], **_UNSTOPPED, **(head or {})}
    items: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    for index, (block, deltas) in enumerate(content):
        items.append({"type": "content_block_start", "index": index, "content_block": block})
        items += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        items.append({"type": "content_block_stop", "index": index})
    return [*items, {"type": "message_delta", "delta": last, "usage": usage or {}}, _STOP]


def _blocks(reply: Reply, ident: str, cut: CutText) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Yields each content block whole, with the deltas that build it."""
    if reply.reasoning:
        signature = base64.b64encode(hashlib.sha256(reply.reasoning.encode()).digest()).decode()
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in cut(reply.reasoning)]
        deltas.append({"type": "signature_delta", "signature": signature})
        yield {"type": "thinking", "thinking": reply.reasoning, "signature": signature}, deltas
    if text := reply.text or reply.refusal:
        yield {"type": "text", "text": text}, [{"type": "text_delta", "text": piece} for piece in cut(text)]
    for at, call in enumerate(reply.calls):
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *cut(call.arguments)]]
        block = {"type": "tool_use", "id": f"toolu_{ident[:12]}_{at}", "name": call.name, "input": call.input() or {}}
        yield block, deltas


def _emptied(block: dict[str, Any]) -> dict[str, Any]:
    """A block as `content_block_start` shows it."""
    empty: dict[str, Any] = {"text": "", "thinking": "", "signature": "", "input": {}}
    return {key: empty.get(key, value) for key, value in block.items()}


def _message(prompt: Prompt, ident: str) -> dict[str, Any]:
    return {"id": f"msg_{ident}", "type": "message", "role": "assistant", "model": prompt.model}


def _stop(reply: Reply) -> dict[str, Any]:
    reason = "refusal" if reply.refusal else "tool_use" if reply.calls else "max_tokens" if reply.cut else "end_turn"
    stop: dict[str, Any] = {"stop_reason": reason, "stop_sequence": None}
    if reply.refusal:
        stop["stop_details"] = {"type": "refusal", "category": None, "explanation": "asked to refuse"}
    return stop


def _usage(prompt: Prompt, output: int) -> dict[str, Any]:
    return {
        "input_tokens": prompt.prompt_words,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
        "service_tier": "standard",
    }


author = MessagesAuthor()
