"""Writes messages of MCP: calls, results, streams and errors.

https://modelcontextprotocol.io/specification
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from guardproxy.findings import Kind
from guardproxy.wire.contract.writing import CutText, JsonAuthor, Prompt, Reply
from guardproxy.wire.formats.mcp import framing
from guardproxy.wire.formats.mcp.bound import number_of
from guardproxy.wire.formats.mcp.contract import POST
from guardproxy.wire.formats.mcp.words import CALL, LISTS
from guardproxy.wire.framing import Framing
from guardproxy.wire.json import members

_ID = 1
_SERVER = {"name": "tools", "version": "1"}


class McpAuthor(JsonAuthor):
    """Writes the format. The prompt of a request is an argument of a call."""

    ROUTE = POST.replace("{server}", "tools")
    PROMPT_PATH = ("params", "arguments", "text")
    PROMPT_TYPES = (str,)
    NO_PROMPT = "params.arguments.text must be a string"
    NO_MODEL = ""
    END: Any = None
    framing: Framing = framing

    # Requests.

    def prompt_of(self, tree: Any) -> Any:
        return members(members(tree.get("params")).get("arguments")).get("text")

    def texts(self, tree: Any) -> Iterator[tuple[Kind, str]]:
        yield "user", self.prompt_of(tree)

    def request(self, prompt: Prompt) -> dict[str, Any]:
        return _request(CALL, {"name": "say", "arguments": {"text": prompt.text}})

    def request_with(self, kind: Kind, text: str) -> dict[str, Any]:
        match kind:
            case "tool_arguments":
                return _request(CALL, {"name": "say", "arguments": {"text": text}})
            case "tool_result":
                block = {"type": "tool_result", "toolUseId": "call_1", "content": [_block(text)]}
                return _answer({"role": "assistant", "model": "", "content": [block]})
            case "user":
                return _answer({"action": "accept", "content": {"text": text}})
            case "assistant":
                return _answer({"role": "assistant", "model": "", "content": _block(text)})
            case "metadata":
                return _notification("notifications/cancelled", {"requestId": _ID, "reason": text})
        return _request(CALL, {"name": "say", "arguments": {}, "x_unknown": text})

    # Answers.

    def answer(self, prompt: Prompt, reply: Reply, ident: str) -> dict[str, Any]:
        return _answer({"content": [_block(reply.text or reply.refusal)], "isError": bool(reply.refusal)})

    def whole_with(self, kind: Kind, text: str) -> dict[str, Any]:
        match kind:
            case "tool_result":
                return _answer({"content": [_block(text)]})
            case "tool_definition":
                tool = {"name": "say", "description": text, "inputSchema": {"type": "object"}}
                return _answer({"tools": [tool]})
            case "tool_arguments":
                call = {"type": "tool_use", "id": "call_1", "name": "say", "input": {"text": text}}
                return _answer({"messages": [{"role": "assistant", "content": call}]})
            case "metadata":
                return _answer({"content": [], "_meta": {"note": text}})
        return _answer({"content": [], "x_unknown": text})

    def unanswered(self, route: str, tree: Any, ident: str) -> dict[str, Any]:
        """The answer of a server with one tool, which says what it is told."""
        method = members(tree).get("method")
        say = {
            "name": "say",
            "description": "Says a text",
            "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        }
        if method in LISTS:
            result: dict[str, Any] = {LISTS[method]: [say] if method == "tools/list" else []}
        elif method == "initialize":
            version = members(tree.get("params")).get("protocolVersion")
            result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": _SERVER}
        elif method == "server/discover":
            result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "serverInfo": _SERVER}
        else:
            said = self.prompt_of(tree)
            result = {"content": [_block(said)]} if isinstance(said, str) else {}
        return {**_answer({"resultType": "complete", **result}), "id": tree.get("id")}

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        return {}

    # Streams.

    def items(self, prompt: Prompt, reply: Reply, ident: str, cut: CutText) -> Iterator[Any]:
        yield _notification("notifications/progress", {"progressToken": _ID, "progress": 1, "message": ""})
        yield self.answer(prompt, reply, ident)

    def items_with(self, kind: Kind, pieces: Sequence[str]) -> Iterable[Any] | None:
        return [self.whole_with(kind, "".join(pieces))]

    def is_end(self, item: Any) -> bool:
        return isinstance(item, dict) and ("result" in item or "error" in item)

    def ending(self, items: Sequence[Any]) -> list[Any]:
        return [] if any(map(self.is_end, items)) else [_answer({})]

    # Errors.

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": _ID, "error": {"code": number_of(status, ""), "message": message}}


def _block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _answer(result: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": _ID, "result": result}


def _request(method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": _ID, "method": method, "params": params}


def _notification(method: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


author = McpAuthor()
