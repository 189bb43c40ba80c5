"""agentgateway's MCP policy service: `agentgateway.dev.ext_mcp.ExtMcp`, by gRPC.

In: the method and the parameters of a message of MCP, or the result of its server. Out: pass, other parameters or another
result, or an error. The message is judged in the format of MCP, at the path `/mcp/NAME` of the server that it goes to; of a
message for several servers, such as a list of all their tools, the name is `several`.

The calls have no name. `metadata` of agentgateway's configuration gives them one: its key `call` names the message, `caller`
the client, and `conversation` the session, without which nothing that a result brought is known in a later call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from guardproxy.adapters import chat
from guardproxy.adapters.agentgateway_mcp import messages
from guardproxy.adapters.contract import AdapterCall, AdapterVerdict, GrpcAdapter

SERVICE = "agentgateway.dev.ext_mcp.ExtMcp"
REQUEST = f"POST /{SERVICE}/CheckRequest"
RESPONSE = f"POST /{SERVICE}/CheckResponse"
ROUTE = "POST /mcp/{server}"
SEVERAL = "several"
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_MESSAGE = {"jsonrpc": "2.0", "id": 1}


class AgentgatewayMcp(GrpcAdapter):
    """agentgateway's MCP policy service. A tree has `service_names`, `method`, `metadata` and `json`: the parameters or the
    result."""

    name = "agentgateway-mcp"
    routes = (REQUEST, RESPONSE)
    service = SERVICE
    methods: Mapping[str, str] = {"CheckRequest": REQUEST, "CheckResponse": RESPONSE}

    def decode(self, data: bytes) -> dict[str, Any]:
        tree = messages.read(data)
        tree["json"] = None if tree["json"] is None else chat.tree_of(tree["json"])
        return tree

    def encode(self, answer: Mapping[str, Any]) -> bytes:
        if "error" in answer:
            return messages.write_error(answer["error"]["reason"])
        return messages.write_mutated(chat.body_of(answer["mutated"])) if "mutated" in answer else messages.write_pass()

    def read(self, route: str, tree: Any, headers: Mapping[str, str]) -> AdapterCall:
        tree = chat.object_of(tree, "the body")
        names = chat.list_of(tree.get("service_names"), "service_names", str, "texts")
        metadata = chat.object_of(tree.get("metadata") or {}, "metadata")
        about = {key: chat.text_of(metadata.get(key), f"metadata.{key}") for key in ("call", "caller", "conversation")}
        method = chat.text_of(tree.get("method", 0), "method")
        body = None if tree.get("json") is None else chat.object_of(tree["json"], "json")
        call = AdapterCall(
            route=ROUTE,
            path=f"/mcp/{_ODD.sub('-', names[0]) if len(names) == 1 else SEVERAL}",
            empty={**_MESSAGE, "result": {}},
            call_id=about["call"],
            caller=about["caller"],
            conversation=about["conversation"],
        )
        asked = {**_MESSAGE, "method": method}
        if route == REQUEST:
            return call.having(request=asked if body is None else {**asked, "params": body})
        return call.having(asked=asked, answer={**_MESSAGE, "result": body or {}})

    def write(self, call: AdapterCall, verdict: AdapterVerdict) -> dict[str, Any]:
        if verdict.is_blocked:
            return {"error": {"code": messages.PERMISSION_DENIED, "reason": verdict.message}}
        before, after, key = call.request, verdict.request, "params"
        if call.answer is not None:
            before, after, key = call.answer, verdict.answer, "result"
        return {"pass": {}} if before == after else {"mutated": after[key]}

    def error(self, code: str, message: str) -> dict[str, Any]:
        return {"error": {"code": code, "message": message, "reason": message}}

    def asking(self, text: str, call_id: str) -> tuple[str, dict[str, Any]]:
        params = {"name": "echo", "arguments": {"text": text}}
        return REQUEST, {**_about("tools/call", call_id), "json": params}

    def answering(self, text: str, call_id: str) -> tuple[str, dict[str, Any]] | None:
        return RESPONSE, {**_about("tools/call", call_id), "json": {"content": [{"type": "text", "text": text}]}}

    def told(self, answer: Any, text: str) -> str | None:
        if "error" in answer:
            return None
        if "pass" in answer:
            return text
        mutated = answer["mutated"]
        return str(mutated["content"][0]["text"] if "content" in mutated else mutated["arguments"]["text"])


def _about(method: str, call_id: str) -> dict[str, Any]:
    return {"service_names": ["tools"], "method": method, "metadata": {"call": call_id}}
