"""agentgateway's MCP policy service: what is judged, and the results."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.adapters import AdapterVerdict
from guardproxy.adapters.agentgateway_mcp import AgentgatewayMcp, messages
from guardproxy.adapters.agentgateway_mcp.adapter import REQUEST, RESPONSE
from guardproxy.errors import DownstreamError

MCP = AgentgatewayMcp()
PARAMS = {"name": "send", "arguments": {"to": "a"}}
RESULT = {"content": [{"type": "text", "text": "b"}]}


def tree(json: Any = PARAMS, *, names: Any = ("mail",), **more: Any) -> Any:
    return {"service_names": list(names), "method": "tools/call", "metadata": {}, "json": json, **more}


def test_a_request_is_a_message_to_its_server() -> None:
    call = MCP.read(REQUEST, tree(metadata={"call": "id", "caller": "ada", "conversation": "s"}), {})
    assert call.conversation == "s"
    assert call.request == {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": PARAMS}
    assert (call.route, call.path, call.call_id, call.caller) == ("POST /mcp/{server}", "/mcp/mail", "id", "ada")


@pytest.mark.parametrize(
    ("names", "path"),
    [(("ns/mail box",), "/mcp/ns-mail-box"), (("a", "b"), "/mcp/several"), ((), "/mcp/several"), (("..",), "/mcp/..")],
)
def test_the_path_names_the_server(names: tuple[str, ...], path: str) -> None:
    assert MCP.read(REQUEST, tree(names=names), {}).path == path


def test_a_message_without_parameters_has_none() -> None:
    call = MCP.read(REQUEST, tree(None, method="tools/list"), {})
    assert call.request == {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert MCP.write(call, AdapterVerdict(request=call.request)) == {"pass": {}}


def test_a_result_is_the_answer_to_its_message() -> None:
    call = MCP.read(RESPONSE, tree(RESULT), {})
    assert call.answer == {"jsonrpc": "2.0", "id": 1, "result": RESULT}
    assert call.asked == {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    assert MCP.read(RESPONSE, tree(None), {}).answer == {"jsonrpc": "2.0", "id": 1, "result": {}}


def test_results() -> None:
    call = MCP.read(REQUEST, tree(), {})
    assert MCP.write(call, AdapterVerdict(request=call.request)) == {"pass": {}}
    edited = {**(call.request or {}), "params": {"name": "send", "arguments": {"to": "X"}}}
    assert MCP.write(call, AdapterVerdict(request=edited)) == {"mutated": edited["params"]}
    blocked = MCP.write(call, AdapterVerdict(is_blocked=True, message="no"))
    assert blocked == {"error": {"code": 1, "reason": "no"}}
    answer = MCP.read(RESPONSE, tree(RESULT), {})
    shown = {**(answer.answer or {}), "result": {"content": []}}
    assert MCP.write(answer, AdapterVerdict(request={}, answer=shown)) == {"mutated": {"content": []}}


def test_bytes_in_and_out() -> None:
    assert MCP.decode(b"\x0a\x04mail\x12\x0atools/call")["json"] is None
    assert MCP.decode(b'\x22\x07{"a":1}')["json"] == {"a": 1}
    assert MCP.encode({"pass": {}}) == messages.write_pass()
    assert MCP.encode({"mutated": {"a": 1}}) == messages.write_mutated(b'{"a":1}')
    assert MCP.encode({"error": {"code": 1, "reason": "no"}}) == messages.write_error("no")


@pytest.mark.parametrize(
    "wrong",
    [tree([]), tree(names=(1,)), tree(method=1), tree(metadata=[1]), tree(metadata={"call": 1}), {"json": {}}],
)
def test_other_calls_are_refused(wrong: Any) -> None:
    with pytest.raises(DownstreamError) as raised:
        MCP.read(REQUEST, wrong, {})
    assert raised.value.status == 400


def test_what_its_caller_gets() -> None:
    assert MCP.told({"error": {}}, "a") is None
    assert MCP.told({"pass": {}}, "a") == "a"
    assert MCP.told({"mutated": {"content": [{"text": "b"}]}}, "a") == "b"
    assert MCP.told({"mutated": {"arguments": {"text": "b"}}}, "a") == "b"
