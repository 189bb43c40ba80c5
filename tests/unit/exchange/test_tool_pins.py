"""Rules about pinned tools, in an exchange: what a request offers to a model, and what a server lists."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.checks import Resources
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse
from guardproxy.tool_pins import ToolDefinition, ToolPins, pin_of
from guardproxy.wire import Prompt, installed
from guardproxy.wire.contract.codec import Codec
from tests.kit.play import CHAT, Play, cut, sse
from tests.kit.records import replay

MCP = "POST /mcp/{server}"
SCHEMA = {"type": "object", "properties": {"to": {"type": "string", "description": "the address of who gets it"}}}
SAID = "Sends a mail to one person, when the user has asked for that in this turn."
FORMATS = [
    codec
    for codec in installed().codecs
    if codec.contract.demand(codec.author.request(Prompt("m", "hi", tools={"a": {}}))).tools
]


def tool(name: str = "send_mail", said: str = SAID) -> dict[str, Any]:
    return {"name": name, "description": said, "inputSchema": SCHEMA}


PINS = ToolPins(
    (
        pin_of(ToolDefinition("send_mail", "shop", tool())),
        pin_of(ToolDefinition("search", "other", tool("search", "Searches the web for words and gives ten pages."))),
    )
)


def policies(
    action: str = "block", pins: ToolPins = PINS, find: str = "[CHANGED, NEAR_COPY, SHADOWED, NEW]"
) -> PolicySet:
    text = f"""
policy: test
checks: {{pinned: {{use: tool_pins, pins: pins.json, find: {find}}}}}
rules: [{{id: pinned, on: tool_definition, when: pinned, action: {action}}}]
"""
    parsed = (parse(text, "p.yaml"),)
    return PolicySet(parsed, build_checks(parsed, Resources(read=lambda path: pins.written())), "sha256:test")


def listed(tools: list[Any], rules: PolicySet, *, streamed: bool = False) -> Play:
    play = Play(rules, MCP, path="/mcp/shop").ask({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    answer = {"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}}
    data = sse(answer, "message") if streamed else json.dumps(answer).encode()
    return play.stream(cut(data, [30, 90]), media="text/event-stream" if streamed else "application/json")


def shown(play: Play) -> Any:
    text = play.client.decode()
    return json.loads(text[text.index("{") :])["result"]


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("entry", "is_blocked"),
    [
        (tool(), False),
        (tool(said=SAID + "\u200b"), True),
        (tool("sendMail"), True),
        (tool("deliver"), True),
        (tool("search"), True),
        ({**tool(), "annotations": {"readOnlyHint": True}}, True),
        (5, True),
    ],
)
def test_the_list_of_a_server_is_held_to_its_pins(entry: Any, is_blocked: bool, streamed: bool) -> None:
    rules = policies()
    play = listed([tool(), entry], rules, streamed=streamed)
    assert shown(play)["tools"] == ([tool()] if is_blocked else [tool(), entry]), "a blocked entry is left out"
    assert replay(play.record, rules).verdict == "identical"
    flagged = listed([tool(), entry], policies("flag"), streamed=streamed)
    assert flagged.finish.outcome == "answered"
    assert ("pinned" in json.dumps(flagged.record["decisions"])) is is_blocked


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_a_definition_is_taken_out_of_the_list_of_a_server(streamed: bool) -> None:
    rules = policies("redact")
    play = listed([tool("deliver"), tool(), tool("search")], rules, streamed=streamed)
    assert play.finish.outcome == "answered"
    assert shown(play)["tools"] == [tool()]
    assert replay(play.record, rules).verdict == "identical"
    assert shown(listed([tool("deliver")], rules, streamed=streamed)) == {"tools": []}


def test_entries_that_are_blocked_and_entries_that_are_redacted() -> None:
    parsed = (
        parse(
            """
policy: test
checks:
  copied: {use: tool_pins, pins: pins.json, find: [NEAR_COPY]}
  new: {use: tool_pins, pins: pins.json, find: [NEW]}
rules:
  - {id: copied, on: tool_definition, when: copied, action: redact}
  - {id: new, on: tool_definition, when: new, action: block}
""",
            "p.yaml",
        ),
    )
    rules = PolicySet(parsed, build_checks(parsed, Resources(read=lambda path: PINS.written())), "sha256:test")
    new = {"name": "weather", "description": "Says how the weather of a town will be."}
    entries = [tool("deliver"), new, tool(), new, tool("deliver_2"), tool()]
    assert shown(listed(entries, rules))["tools"] == [tool(), tool()]


@pytest.mark.parametrize("codec", FORMATS, ids=lambda codec: codec.name)
def test_the_tools_of_a_request_are_held_to_pins(codec: Codec) -> None:
    body = codec.author.request(Prompt("m", "hi", tools={"send_mail": SCHEMA, "wipe": SCHEMA}))
    own = ToolPins(
        tuple(
            pin_of(ToolDefinition(each.names[0], "", _at(body, each.path)))
            for each in codec.contract.offered(body).every[:1]
        )
    )
    assert Play(policies(pins=own), codec.author.ROUTE).ask(body).upstream is None
    rules = policies("redact", own)
    play = Play(rules, codec.author.ROUTE).ask(body)
    assert list(codec.contract.demand(play.upstream).tools or {}) == ["send_mail"]
    play = Play(policies("redact", ToolPins()), codec.author.ROUTE).ask(body)
    assert codec.contract.demand(play.upstream).tools is None
    only = Play(policies(pins=own, find="[CHANGED]"), codec.author.ROUTE).ask(body)
    assert only.upstream is not None


def _at(tree: Any, path: Any) -> Any:
    for step in path:
        tree = tree[step]
    return tree


PLACES: dict[str, Any] = {
    "of the tool": {"description": "falcon"},
    "of a parameter": {"schema": {"properties": {"a": {"type": "string", "description": "falcon"}}}},
    "of a nested parameter": {
        "schema": {"properties": {"a": {"type": "array", "items": {"properties": {"b": {"description": "falcon"}}}}}}
    },
    "a title": {"schema": {"properties": {"a": {"title": "falcon"}}}},
    "an enum": {"schema": {"properties": {"a": {"enum": ["falcon"]}}}},
    "a default": {"schema": {"properties": {"a": {"default": "falcon"}}}},
    "an example": {"schema": {"properties": {"a": {"examples": ["falcon"]}}}},
    "a shared definition": {"schema": {"$defs": {"x": {"description": "falcon"}}}},
    "the name of a parameter": {"schema": {"properties": {"falcon": {"type": "string"}}}},
    "a pattern": {"schema": {"properties": {"a": {"pattern": "falcon"}}}},
}


def _words() -> PolicySet:
    text = """
policy: test
checks: {word: {use: pattern, words: [falcon]}}
rules: [{id: word, on: tool_definition, when: word, action: block}]
"""
    parsed = (parse(text, "p.yaml"),)
    return PolicySet(parsed, build_checks(parsed, Resources()), "sha256:test")


@pytest.mark.parametrize("place", list(PLACES), ids=str)
@pytest.mark.parametrize("codec", FORMATS, ids=lambda codec: codec.name)
def test_every_text_of_a_definition_is_read_in_every_format(codec: Codec, place: str) -> None:
    said = PLACES[place]
    body = codec.author.request(Prompt("m", "hi", tools={"a": {"type": "object", **said.get("schema", {})}}))
    (offered,) = codec.contract.offered(body).every
    entry = _at(body, offered.path)
    inner = entry.get("function", entry)
    inner["description"] = said.get("description", "")
    assert Play(_words(), codec.author.ROUTE).ask(body).upstream is None


@pytest.mark.parametrize("place", list(PLACES), ids=str)
def test_every_text_of_a_definition_is_read_in_the_list_of_a_server(place: str) -> None:
    said = PLACES[place]
    schema = {"type": "object", **said.get("schema", {})}
    entry = {"name": "a", "description": said.get("description", ""), "inputSchema": schema, "outputSchema": schema}
    assert shown(listed([tool(), entry], _words()))["tools"] == [tool()]


def test_a_request_without_a_pinned_tool_replays() -> None:
    rules = policies("redact", ToolPins())
    tools = [{"type": "function", "function": {"name": "wipe", "parameters": SCHEMA}}]
    play = Play(rules).ask({"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": tools})
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    answer = {"id": "a", "object": "chat.completion", "model": "m", "choices": [choice]}
    play.stream([json.dumps(answer).encode()], media="application/json")
    assert "tools" not in play.upstream
    assert replay(play.record, rules).verdict == "identical"
    assert play.route == CHAT


def test_the_tools_that_a_provider_lists_have_its_label() -> None:
    listing = {"type": "mcp_list_tools", "id": "l", "server_label": "shop", "tools": [tool("send_mail")]}
    answer = {"id": "r", "object": "response", "model": "m", "status": "completed", "output": [listing]}
    for said, outcome in ((SAID, "answered"), ("Sends everything.", "blocked_response")):
        listing["tools"] = [{**tool(said=said)}]
        play = Play(policies(), "POST /v1/responses").ask({"model": "m", "input": "hi"})
        play.stream([json.dumps(answer).encode()], media="application/json")
        assert play.finish.outcome == outcome
