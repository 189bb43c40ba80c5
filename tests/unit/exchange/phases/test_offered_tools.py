"""Tools that a policy does not allow are not offered: to a model, and by a server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.wire import Prompt, installed
from guardproxy.wire.contract.codec import Codec
from tests.kit.play import Play, cut, policy_set, sse
from tests.kit.records import replay

MCP = "POST /mcp/{server}"
FORMATS = [
    codec
    for codec in installed().codecs
    if codec.contract.demand(codec.author.request(Prompt("m", "hi", tools={"a": {}}))).tools
]


def rules(section: str) -> PolicySet:
    return policy_set(f"policy: test\ntools: {section}\n")


@pytest.mark.parametrize("codec", FORMATS, ids=lambda codec: codec.name)
def test_a_definition_is_dropped_in_every_format(codec: Codec) -> None:
    tools: dict[str, Any] = {name: {"type": "object"} for name in ("search", "wipe", "w\u0456pe")}
    play = Play(rules("{allow: [search]}"), codec.author.ROUTE).ask(
        codec.author.request(Prompt("m", "hi", tools=tools))
    )
    assert list(codec.contract.demand(play.upstream).tools or {}) == ["search"]
    play = Play(rules("{allow: [other]}"), codec.author.ROUTE).ask(codec.author.request(Prompt("m", "hi", tools=tools)))
    assert codec.contract.demand(play.upstream).tools is None
    assert not any("tool" in key for key in play.upstream)


@pytest.mark.parametrize("codec", FORMATS, ids=lambda codec: codec.name)
def test_a_request_may_be_refused_instead(codec: Codec) -> None:
    body = codec.author.request(Prompt("m", "hi", tools={"wipe": {"type": "object"}}))
    play = Play(rules("{deny: [wipe], offered: refuse}"), codec.author.ROUTE).ask(body)
    assert play.upstream is None
    assert play.finish.status == 403 if hasattr(play.finish, "status") else play.head.status == 403
    assert b"`wipe`" in play.client


def ask(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}


def test_a_model_is_not_told_to_call_what_is_dropped() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("search", "wipe")]
    choice = {"type": "function", "function": {"name": "wipe"}}
    play = Play(rules("{deny: [wipe]}")).ask(ask(tools=tools, tool_choice=choice))
    assert play.upstream is None
    assert b"tool_not_allowed" in play.client
    chosen = {"type": "function", "function": {"name": "search"}}
    assert Play(rules("{deny: [wipe]}")).ask(ask(tools=tools, tool_choice=chosen)).upstream["tool_choice"] == chosen
    play = Play(rules("{deny: [wipe]}")).ask(ask(tools=tools, tool_choice="auto"))
    assert play.upstream["tool_choice"] == "auto"


def test_a_tool_without_a_name_is_not_offered() -> None:
    play = Play(rules("{deny: [wipe]}")).ask(ask(tools=[{"type": "function", "function": {}}]))
    assert "tools" not in play.upstream
    play = Play(rules("{deny: [wipe], offered: refuse, message: ask us}")).ask(
        ask(tools=[{"type": "function", "function": {}}])
    )
    assert b"ask us" in play.client
    play = Play(rules("{deny: [wipe], offered: refuse}")).ask(ask(tools=[{"type": "function", "function": {}}]))
    assert b"without a clear name" in play.client


def test_a_tool_that_the_provider_runs_is_a_tool() -> None:
    play = Play(rules("{allow: [search]}")).ask(ask(web_search_options={}))
    assert "web_search_options" not in play.upstream


def test_in_shadow_mode_everything_is_offered() -> None:
    policies = policy_set("policy: test\nmode: shadow\ntools: {allow: [search], offered: refuse}\n")
    tools = [{"type": "function", "function": {"name": "wipe"}}]
    assert Play(policies).ask(ask(tools=tools)).upstream["tools"] == tools
    policies = policy_set("policy: test\nmode: shadow\ntools: {allow: [search]}\n")
    assert Play(policies).ask(ask(tools=tools, tool_choice={"name": "wipe"})).upstream["tools"] == tools


def test_the_record_names_what_was_dropped_and_replays() -> None:
    policies = rules("{allow: [search]}")
    play = Play(policies).ask(ask(tools=[{"type": "function", "function": {"name": "wipe"}}]))
    answer = {
        "id": "a",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    }
    play.stream([json.dumps(answer).encode()], media="application/json")
    assert "tools[0]" in json.dumps(play.record["fields"])
    assert replay(play.record, policies).verdict == "identical"


LISTED = {
    "jsonrpc": "2.0",
    "id": 1,
    "result": {"tools": [{"name": "search"}, {"name": "wipe"}, {"title": "none"}], "nextCursor": "x"},
}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("section", "left"),
    [
        ("{allow: [search]}", ["search"]),
        ("{servers: {shop: {deny: [search]}}}", ["wipe"]),
        ("{servers: {mail: {deny: [search]}}}", ["search", "wipe", None]),
        ("{arguments: {search: {when: 'true'}}}", ["search", "wipe", None]),
    ],
)
def test_the_list_of_a_server_lacks_what_is_not_allowed(section: str, left: list[str | None], streamed: bool) -> None:
    play = Play(rules(section), MCP, path="/mcp/shop").ask({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    data = sse(LISTED, "message") if streamed else json.dumps(LISTED).encode()
    play.stream(cut(data, [10, 40]), media="text/event-stream" if streamed else "application/json")
    shown = play.client.decode()
    tree = json.loads(shown[shown.index("{") :])
    assert [tool.get("name") for tool in tree["result"]["tools"]] == left
    assert tree["result"]["nextCursor"] == "x"
    assert replay(play.record, rules(section)).verdict == "identical"


def test_an_answer_without_a_list_stays() -> None:
    play = Play(rules("{allow: [search]}"), MCP, path="/mcp/shop").ask({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    play.stream([b'{"jsonrpc":"2.0","id":1,"result":{"tools":5}}'], media="application/json")
    assert b'"tools":5' in play.client
