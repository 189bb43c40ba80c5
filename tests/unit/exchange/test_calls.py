"""Rules about calls of tools, in an exchange: every format, plain and streamed, however the answer is cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.wire import Call, Codec, Prompt, Reply, installed
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, cut, message_frames, pieces, policy_set, sse
from tests.kit.records import replay
from tests.kit.responses import RESPONSES

FORMATS = [
    codec
    for codec in installed().codecs
    if codec.contract.calls.made == "response" and "tool_arguments" in codec.contract.carries["response"]
]
HEAD = """
policy: test
checks:
  large: {use: tool_call, tools: [refund], when: call.arguments.amount > 100}
  evil: {use: tool_call, tools: [send], when: 'call.arguments.to.endsWith("@evil.io")'}
  wipe: {use: tool_call, tools: [wipe]}
rules:
"""
BLOCK = "  - {id: r, on: tool_arguments, when: large or evil or wipe, action: block}\n"
REDACT = "  - {id: r, on: tool_arguments, when: large or evil, action: redact}\n"


@cache
def rules(rule: str = BLOCK) -> PolicySet:
    return policy_set(HEAD + rule)


def answered(codec: Codec, calls: Sequence[Call], *, streamed: bool, rule: str = BLOCK) -> Play:
    author = codec.author
    tools = {name: {"type": "object"} for name in ("refund", "send", "wipe")}
    prompt, reply = Prompt("m", "hi", stream=streamed, tools=tools), Reply(calls=tuple(calls))
    play = Play(rules(rule), author.ROUTE).ask(author.request(prompt))
    if streamed:
        return play.stream([*author.frames(prompt, reply, "id", list)])
    body = json.dumps(author.answer(prompt, reply, "id")).encode()
    return play.stream([body], media=codec.contract.media.whole)


def named(codec: Codec) -> str:
    return codec.name


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("codec", FORMATS, ids=named)
def test_each_of_several_calls_is_judged_by_its_own_tool_and_arguments(codec: Codec, streamed: bool) -> None:
    harmless = [Call("refund", '{"amount": 5}'), Call("send", '{"to": "a@good.io", "amount": 500}'), Call("now", "{}")]
    assert answered(codec, harmless, streamed=streamed).finish.outcome == "answered"
    for call in (
        Call("refund", '{"amount": 500}'),
        Call("refund", '{"note": "x", "amount": 500}'),
        Call("send", '{"to": "a@evil.io"}'),
        Call("wipe", "{}"),
        Call("shop__refund", '{"amount": 500}'),
    ):
        for calls in ([call, *harmless], [*harmless, call]):
            play = answered(codec, calls, streamed=streamed)
            assert play.finish.outcome == "blocked_response", call
            assert b"@evil.io" not in play.client


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("codec", FORMATS, ids=named)
def test_a_text_at_fault_can_be_redacted_and_a_number_cannot(codec: Codec, streamed: bool) -> None:
    mails = [Call("send", '{"to": "a@evil.io", "cc": "b@good.io"}'), Call("send", '{"to": "c@good.io"}')]
    play = answered(codec, mails, streamed=streamed, rule=REDACT)
    assert play.finish.outcome == "answered"
    assert b"@evil.io" not in play.client
    assert play.client.count(b"[CONDITION_") >= 1


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("codec", FORMATS, ids=named)
def test_a_number_that_is_to_be_redacted_ends_the_answer(codec: Codec, streamed: bool) -> None:
    for arguments in ('{"amount": 500}', '{"note": "n", "amount": 500}', "{}"):
        play = answered(codec, [Call("refund", arguments)], streamed=streamed, rule=REDACT)
        assert play.finish.outcome == "blocked_response", "nothing can take its place"


@pytest.mark.parametrize("route", [CHAT, MESSAGES, RESPONSES])
def test_calls_in_the_history_are_over(route: str) -> None:
    arguments = {"amount": 500}
    function = {"name": "refund", "arguments": json.dumps(arguments)}
    history: dict[str, list[dict[str, Any]]] = {
        CHAT: [{"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": function}]}],
        MESSAGES: [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "refund", "input": arguments}]}
        ],
        RESPONSES: [{"type": "function_call", "call_id": "1", **function}],
    }
    body: dict[str, Any] = {"model": "m", "max_tokens": 9}
    body["input" if route == RESPONSES else "messages"] = history[route]
    play = Play(rules(), route).ask(body)
    assert play.upstream["model"] == "m"


def chat_call(parts: Sequence[str], name: Sequence[str] = ("refund",)) -> list[bytes]:
    first: dict[str, Any] = {"index": 0, "id": "t", "type": "function"}
    names = [
        {"tool_calls": [{**(first if number == 0 else {"index": 0}), "function": {"name": piece}}]}
        for number, piece in enumerate(name)
    ]
    rest = [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in parts]
    return chat_frames([{"content": "So."}, *names, *rest], finish="tool_calls")


def message_call(parts: Sequence[str], name: Sequence[str] = ("refund",)) -> list[bytes]:
    return [
        frame.replace(b'"NAME"', json.dumps("".join(name)).encode())
        for frame in message_frames([("text", ["So."]), ("tool", parts)], "tool_use")
    ]


ARGUMENTS = '{"note": "\\u0041 {b}", "amount": 500}'


@given(
    cuts=st.lists(st.integers(1, len(ARGUMENTS) - 1), max_size=4),
    names=st.lists(st.integers(1, 5), max_size=2),
    chunks=st.lists(st.integers(0, 600), max_size=6),
    waits=st.lists(st.booleans(), max_size=8),
    amount=st.sampled_from(["500", "5"]),
)
def test_cuts_change_nothing(
    cuts: list[int], names: list[int], chunks: list[int], waits: list[bool], amount: str
) -> None:
    arguments = ARGUMENTS.replace("500", amount)
    frames = chat_call(pieces(arguments, cuts), pieces("refund", names))
    data = b"".join(frames)
    play = Play(rules()).ask({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    play.stream(cut(data, chunks), waits)
    whole = Play(rules()).ask({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    whole.stream([data])
    assert play.finish.outcome == ("blocked_response" if amount == "500" else "answered")
    assert play.client == whole.client
    assert play.record["rules"] == whole.record["rules"]
    assert b"500" not in play.client


def test_the_record_says_which_call() -> None:
    play = Play(rules()).ask({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    play.stream(chat_call(['{"amount": 500}']))
    shown = json.dumps(play.record)
    assert "tool_calls[0].function.arguments" in shown
    assert "large" in shown


def test_a_name_waits_for_its_arguments_and_no_longer() -> None:
    play = Play(rules()).ask({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    frames = chat_call(['{"amount": 5}'])
    from guardproxy.exchange.inputs.transcript import DataReceived, ResponseStarted

    play.tell(ResponseStarted(200, "text/event-stream"))
    for frame in frames[:-2]:
        play.tell(DataReceived(frame))
        play.scan()
        if b'"refund"' in frame:
            assert b"refund" not in play.client
        if b'"arguments"' in frame:
            assert b"refund" in play.client


def test_a_tool_that_the_provider_runs_is_judged() -> None:
    item = {
        "type": "web_search_call",
        "id": "w",
        "status": "completed",
        "action": {"type": "search", "query": "secret"},
    }
    policies = policy_set("""
policy: test
checks: {search: {use: tool_call, tools: [web_search], when: 'call.arguments.query.contains("secret")'}}
rules: [{id: r, on: tool_arguments, when: search, action: block}]
""")
    play = Play(policies, RESPONSES).ask({"model": "m", "input": "hi"})
    answer = {"id": "r", "object": "response", "model": "m", "status": "completed", "output": [item]}
    play.stream([json.dumps(answer).encode()], media="application/json")
    assert play.finish.outcome == "blocked_response"
    frames = [
        sse(
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "action": None}},
            "response.output_item.added",
        ),
        sse({"type": "response.output_item.done", "output_index": 0, "item": item}, "response.output_item.done"),
        sse({"type": "response.completed", "response": answer}, "response.completed"),
    ]
    play = Play(policies, RESPONSES).ask({"model": "m", "stream": True, "input": "hi"}).stream(frames)
    assert play.finish.outcome == "blocked_response"


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("codec", FORMATS, ids=named)
def test_a_record_replays_without_the_arguments_that_it_does_not_keep(codec: Codec, streamed: bool) -> None:
    for calls in ([Call("refund", '{"amount": 500}')], [Call("wipe", "{}")], [Call("send", '{"to": "a@evil.io"}')], []):
        for rule in (BLOCK, REDACT):
            play = answered(codec, [Call("refund", '{"amount": 5}'), *calls], streamed=streamed, rule=rule)
            assert replay(play.record, rules(rule)).verdict == "identical", (calls, rule)


@pytest.mark.parametrize("kind", ["future_call", "web_search_call", "function_call", "custom_tool_call", "mcp_call"])
@pytest.mark.parametrize("more", [{}, {"name": "wipe"}])
def test_a_call_of_any_kind_needs_a_tool_that_is_allowed(kind: str, more: dict[str, str]) -> None:
    play = Play(policy_set("policy: test\ntools: {allow: [search]}"), RESPONSES).ask({"model": "m", "input": "hi"})
    item = {"type": kind, "id": "f", "status": "completed", "arguments": "{}", **more}
    play.stream([json.dumps({"id": "r", "object": "response", "output": [item]}).encode()], media="application/json")
    assert play.finish.outcome == "blocked_response"


def numbered(its_id: str, name: str, **more: Any) -> dict[str, Any]:
    return {"index": 0, "id": its_id, "type": "function", "function": {"name": name, **more}}


@pytest.mark.parametrize(
    ("deltas", "is_blocked"),
    [
        ([[numbered("a", "now", arguments="{}"), numbered("b", "wipe", arguments="{}")]], True),
        ([[numbered("a", "now")], [numbered("b", "wipe", arguments="{}")]], True),
        ([[numbered("a", "wi")], [numbered("a", "pe", arguments="{}")]], True),
        ([[numbered("a", "wi")], [numbered("", "pe", arguments="{}")]], True),
        ([[numbered("a", "now")], [numbered("b", "", arguments="{}")]], False),
        ([[numbered("a", "no")], [numbered("a", "w", arguments="{}")]], False),
    ],
)
def test_two_calls_with_one_number_are_not_one_call(deltas: list[list[Any]], is_blocked: bool) -> None:
    play = Play(rules(), CHAT).ask({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    play.stream(chat_frames([{"tool_calls": calls} for calls in deltas], "tool_calls"))
    assert play.finish.outcome == ("blocked_response" if is_blocked else "answered")
    assert replay(play.record, rules()).verdict == "identical"


@pytest.mark.parametrize(
    ("names", "is_blocked"),
    [
        (["pay", "pay"], True),
        (["pay", "", "pay"], True),
        (["pay", "pay", "pay"], True),
        (["pa", "y", "pay"], True),
        (["pa", "pay"], True),
        (["pay", "ment", "pay"], True),
        (["pay", "", ""], True),
        (["pay", "ment"], False),
        (["sea", "", "rch"], False),
    ],
)
@pytest.mark.parametrize("its_id", ["a", ""])
def test_a_name_that_a_stream_repeats_is_unclear(names: list[str], is_blocked: bool, its_id: str) -> None:
    policies = policy_set("policy: test\ntools: {deny: [pay]}\n")
    play = Play(policies, CHAT).ask({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    deltas = [[numbered(its_id, name)] for name in names]
    play.stream(chat_frames([{"tool_calls": calls} for calls in [*deltas, [numbered("", "", arguments="{}")]]]))
    assert play.finish.outcome == ("blocked_response" if is_blocked else "answered")
    assert replay(play.record, policies).verdict == "identical"


PAY = {"name": "pay", "arguments": "{}"}
ODD: list[dict[str, Any]] = [
    {"tool_calls": {"index": 0, "id": "a", "type": "function", "function": PAY}},
    {"tool_calls": [{"index": 0, "id": "a", "type": "function", "Function": PAY}]},
    {"tool_calls": [{"index": 0, "id": "a", "type": "custom", "CUSTOM": {"name": "pay", "input": ""}}]},
    {"tool_calls": [numbered("a", "search", Name="pay")]},
    {"tool_call\u017f": [numbered("a", "pay")]},
    {"Tool_Calls": [numbered("a", "pay")]},
    {"Function_call": PAY},
    {"function_call": {"NAME": "pay"}},
]


@pytest.mark.parametrize("message", ODD)
@pytest.mark.parametrize("section", ["{allow: [search]}", "{deny: [pay]}"])
def test_a_call_in_chat_that_only_some_clients_read_is_not_allowed(message: dict[str, Any], section: str) -> None:
    policies = policy_set(f"policy: test\ntools: {section}\n")
    for streamed in (False, True):
        play = Play(policies, CHAT).ask(
            {"model": "m", "stream": streamed, "messages": [{"role": "user", "content": "x"}]}
        )
        if streamed:
            play.stream(chat_frames([message], finish="tool_calls"))
        else:
            choice = {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", **message}}
            body = {"id": "c", "object": "chat.completion", "choices": [choice]}
            play.stream([json.dumps(body).encode()], media="application/json")
        assert play.finish.outcome == "blocked_response", streamed
        assert replay(play.record, policies).verdict == "identical"


@pytest.mark.parametrize("kind", ["future_tool_use", "Tool_Use", "", None, ["tool_use"], "text"])
@pytest.mark.parametrize("keys", [("name", "input"), ("Name", "Input")])
@pytest.mark.parametrize("section", ["{allow: [search]}", "{deny: [pay]}"])
def test_a_block_of_another_type_that_calls_a_tool_is_not_allowed(kind: Any, keys: Any, section: str) -> None:
    policies = policy_set(f"policy: test\ntools: {section}\n")
    block = {"type": kind, "id": "t", keys[0]: "pay", keys[1]: {}}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [block]}
    started = [
        sse({"type": "message_start", "message": {**message, "content": []}}, "message_start"),
        sse({"type": "content_block_start", "index": 0, "content_block": block}, "content_block_start"),
        sse({"type": "content_block_stop", "index": 0}, "content_block_stop"),
        sse({"type": "message_stop"}, "message_stop"),
    ]
    at_once = [sse({"type": "message_start", "message": message}, "message_start"), started[-1]]
    for frames in ([json.dumps(message).encode()], started, at_once):
        streamed = len(frames) > 1
        body = {"model": "m", "max_tokens": 9, "stream": streamed, "messages": [{"role": "user", "content": "x"}]}
        play = Play(policies, MESSAGES).ask(body)
        play.stream(frames, media="" if streamed else "application/json")
        assert play.finish.outcome == "blocked_response", frames
        assert replay(play.record, policies).verdict == "identical"


TOOLS = [
    "tools: {allow: [search]}",
    "tools: {deny: [search]}",
    "tools: {arguments: {search: {when: call.arguments.amount <= 5}}}",
]
NAMELESS = ['"name": ""', '"name": null', '"nom": 7']


def unnamed(data: bytes, nameless: str) -> bytes:
    """Bytes without the name `ZZZ`."""
    for blank in (b" ", b""):
        data = data.replace(b'"name":' + blank + b'"ZZZ"', nameless.encode())
    assert b"ZZZ" not in data
    return data


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("codec", FORMATS, ids=named)
@pytest.mark.parametrize("arguments", ["{}", '{"amount": 1}', '{"is": true}', '{"to": "x"}'])
def test_a_call_without_a_name_is_not_allowed(codec: Codec, streamed: bool, arguments: str) -> None:
    author, prompt = codec.author, Prompt("m", "hi", stream=streamed)
    reply, media = Reply(calls=(Call("ZZZ", arguments),)), codec.contract.media
    whole = [json.dumps(author.answer(prompt, reply, "id")).encode()]
    frames = [*author.frames(prompt, reply, "id", list)] if streamed else whole
    for section in TOOLS:
        for mode, outcome in (("enforce", "blocked_response"), ("shadow", "answered")):
            policies = policy_set(f"policy: test\nmode: {mode}\n{section}\n")
            for nameless in NAMELESS:
                play = Play(policies, author.ROUTE).ask(author.request(prompt))
                play.stream([unnamed(frame, nameless) for frame in frames], media="" if streamed else media.whole)
                assert play.finish.outcome == outcome, (section, nameless)
                assert play.record["decisions"]
                assert replay(play.record, policies).verdict == "identical"


@pytest.mark.parametrize("params", [{}, {"name": ""}, {"name": None}, {"name": ["search"]}, {"name": {"a": 1}}])
@pytest.mark.parametrize("arguments", [{}, {"arguments": {}}, {"arguments": {"amount": 1}}, {"arguments": []}])
def test_a_message_that_calls_no_tool_by_name_is_not_allowed(params: Any, arguments: Any) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**params, **arguments}}
    redact = "checks: {c: {use: tool_call, tools: [x]}}\nrules: [{id: r, on: tool_arguments, when: c, action: redact}]"
    for section in (*TOOLS, redact):
        policies = policy_set(f"policy: test\n{section}\n")
        play = Play(policies, MCP, path="/mcp/shop").ask(body)
        assert play.finish.outcome == "blocked_request", section
        assert replay(play.record, policies).verdict == "identical"


@pytest.mark.parametrize("content", [{}, []])
def test_a_call_without_a_name_in_what_a_client_says_to_a_server(content: Any) -> None:
    call = {"type": "tool_use", "id": "t", "name": "", "input": {}}
    result = {"role": "assistant", "model": "m", "content": call if content == {} else [{"type": "text"}, call]}
    play = Play(policy_set("policy: test\ntools: {deny: [search]}\n"), MCP, path="/mcp/shop")
    assert play.ask({"jsonrpc": "2.0", "id": 1, "result": result}).finish.outcome == "blocked_request"


MCP = "POST /mcp/{server}"


def mcp(method: str, params: Any, policies: PolicySet) -> Play:
    play = Play(policies, MCP, path="/mcp/shop")
    return play.ask({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


@pytest.mark.parametrize(
    ("method", "params", "is_blocked"),
    [
        ("tools/call", {"name": "refund", "arguments": {"amount": 500}}, True),
        ("tools/call", {"name": "refund", "arguments": {"amount": 5}}, False),
        ("tools/call", {"name": "refund"}, True),
        ("tools/call", {"name": "wipe"}, True),
        ("tools/call", {"name": "send", "arguments": {"to": "a@evil.io"}}, True),
        ("tools/call", {"name": "other", "arguments": {"amount": 500}}, False),
        ("prompts/get", {"name": "wipe", "arguments": {"to": "a@evil.io"}}, False),
        ("resources/read", {"uri": "file:///wipe"}, False),
    ],
)
def test_a_call_to_a_server_is_made_in_the_request(method: str, params: Any, is_blocked: bool) -> None:
    play = mcp(method, params, rules())
    assert (play.upstream is None) is is_blocked
    if is_blocked:
        assert play.finish.outcome == "blocked_request"
        assert play.record["request"]["body"]["params"] == params
        assert play.record["status"] == 200, "the refusal is a result of the message"
        assert replay(play.record, rules()).verdict == "identical"


def used(name: str, **given: Any) -> dict[str, Any]:
    """An answer of the client's model that calls a tool."""
    block = {"type": "tool_use", "id": "c", "name": name, **given}
    return {"role": "assistant", "model": "m", "content": [block]}


USED = [
    (used("refund", input={"amount": 500}), True),
    (used("refund", input={"amount": 5}), False),
    (used("refund", input={"amount": 5, "content": {"name": "wipe"}}), False),
    (used("wipe", input={"content": {"name": "x", "input": {"amount": 5}}}), True),
    (used("wipe"), True),
    (used("refund", input={"amount": 500}, arguments={"amount": 5}), True),
    (used("refund", input={"amount": 500}, arguments=""), True),
    ({**used("wipe"), "role": None}, True),
    ({**used("wipe"), "content": used("wipe")["content"][0]}, True),
    ({**used("x"), "content": [{"type": "tool_result", "toolUseId": "x", "content": used("wipe")["content"]}]}, True),
]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "other", "arguments": {"to": "a"}}),
        ("prompts/get", {"name": "other", "arguments": {"to": "a"}}),
        ("resources/read", {"uri": "file:///x"}),
        ("tasks/update", {"taskId": "t"}),
        ("", {}),
    ],
)
@pytest.mark.parametrize("key", ["r", "a.b", "content", "x\ny", "[0]"])
@pytest.mark.parametrize(("answer", "is_blocked"), USED)
def test_a_call_of_the_clients_model_is_judged_wherever_it_stands(
    method: str, params: dict[str, Any], key: str, answer: dict[str, Any], is_blocked: bool
) -> None:
    if method:
        play = mcp(method, {**params, "inputResponses": {key: answer}}, rules())
    else:
        play = Play(rules(), MCP, path="/mcp/shop").ask({"jsonrpc": "2.0", "id": 1, "result": answer})
    assert (play.upstream is None) is is_blocked
    if is_blocked:
        assert play.finish.outcome == "blocked_request"


def test_the_arguments_of_a_call_stand_in_one_member() -> None:
    params = {"name": "refund", "type": "tool_use", "arguments": {"amount": 500}, "input": {"amount": 5}}
    for more in ({}, {"arguments": {"amount": 5}}, {"arguments": "", "input": {"amount": 500}}):
        assert mcp("tools/call", {**params, **more}, rules()).upstream is None, more


@pytest.mark.parametrize(
    ("arguments", "is_blocked"),
    [
        ({"amount": 5}, False),
        ({"amount": 500}, True),
        ({"amount": "500"}, True),
        ({"amount": [500]}, True),
        ({"amount": None}, True),
        ([{"amount": 500}], True),
        ('{"amount": 500}', True),
        ({"amount": 5, "order": ["A-1"]}, True),
    ],
)
def test_a_limit_of_a_schema_is_not_passed_by_a_value_that_a_server_converts(arguments: Any, is_blocked: bool) -> None:
    schema = "{properties: {amount: {maximum: 100}, order: {pattern: '^A-[0-9]$'}}}"
    policies = policy_set(f"policy: test\ntools: {{arguments: {{refund: {{schema: {{inline: {schema}}}}}}}}}")
    play = mcp("tools/call", {"name": "refund", "arguments": arguments}, policies)
    assert (play.upstream is None) is is_blocked


def test_the_server_of_a_call_is_that_of_the_route() -> None:
    for server, is_blocked in (("shop", True), ("mail", False)):
        policies = policy_set(f"""
policy: test
checks: {{any: {{use: tool_call, servers: [{server}], when: 'call.server == "shop"'}}}}
rules: [{{id: r, on: tool_arguments, when: any, action: block}}]
""")
        play = mcp("tools/call", {"name": "refund", "arguments": {}}, policies)
        assert (play.upstream is None) is is_blocked


CALLS = [
    Call("refund", '{"note": "x\\u0041y", "amount": 500}'),
    Call("refund", '{"amount": 5}'),
    Call("send", '{"to": "a@evil.io", "cc": "b"}'),
    Call("wipe", ""),
    Call("now", "{}"),
]


@pytest.mark.parametrize("codec", FORMATS, ids=named)
@given(
    calls=st.lists(st.sampled_from(CALLS), min_size=1, max_size=4),
    size=st.sampled_from([1, 3, 50]),
    cuts=st.lists(st.integers(0, 3000), max_size=20),
    waits=st.lists(st.booleans(), max_size=20),
    rule=st.sampled_from([BLOCK, REDACT]),
)
def test_cuts_change_nothing_in_any_format(
    codec: Codec, calls: list[Call], size: int, cuts: list[int], waits: list[bool], rule: str
) -> None:
    author, prompt = codec.author, Prompt("m", "hi", stream=True, tools={"refund": {"type": "object"}})
    frames = author.frames(
        prompt, Reply(calls=tuple(calls)), "id", lambda text: [text[at : at + size] for at in range(0, len(text), size)]
    )
    data = b"".join(frames)

    def played(chunks: list[bytes], late: list[bool]) -> Play:
        return Play(rules(rule), author.ROUTE).ask(author.request(prompt)).stream(chunks, late)

    whole, parts = played([data], []), played(cut(data, cuts), waits)
    assert parts.client == whole.client
    assert parts.finish.outcome == whole.finish.outcome
    assert parts.record["decisions"] == whole.record["decisions"]


@pytest.mark.parametrize(
    ("names", "outcome"),
    [
        (["search"], "answered"),
        (["se", "ar", "ch"], "answered"),
        (["search", "_all"], "blocked_response"),
        (["sea", "rch", "\u200b"], "blocked_response"),
    ],
)
def test_a_name_in_pieces_is_on_the_list_as_a_whole(names: list[str], outcome: str) -> None:
    policies = policy_set("policy: test\ntools: {allow: [search]}\n")
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    play = Play(policies).ask(body).stream(chat_call(["{", "}"], names))
    assert play.finish.outcome == outcome


@pytest.mark.parametrize(
    ("names", "offered", "outcome"),
    [
        (["pay", "ment"], ["payment", "pay"], "blocked_response"),
        (["pay", "ment"], ["payment", "ment"], "blocked_response"),
        (["pa", "y", "ment"], ["payment", "pay"], "answered"),
        (["pay", "ment"], ["payment"], "answered"),
        (["payment"], ["payment", "pay"], "answered"),
    ],
    ids=["first", "last", "middle", "not-offered", "whole"],
)
@pytest.mark.parametrize("lists", ["allow: [payment]", "deny: [pay, ment]"])
def test_a_piece_of_a_name_is_no_tool_that_the_client_may_run(
    names: list[str], offered: list[str], outcome: str, lists: str
) -> None:
    policies = policy_set(f"policy: test\ntools: {{{lists}}}\n")
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in offered]
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}], "tools": tools}
    play = Play(policies).ask(body).stream(chat_call(["{", "}"], names))
    assert play.finish.outcome == outcome
    assert replay(play.record, policies).verdict == "identical"


def test_a_name_that_goes_on_after_its_arguments_is_not_allowed() -> None:
    policies = policy_set("policy: test\ntools: {allow: [search]}\n")
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    frames = chat_call(["{}"], ["search"])
    more = chat_frames([{"tool_calls": [{"index": 0, "function": {"name": "_all"}}]}])[1:2]
    assert Play(policies).ask(body).stream([*frames[:-2], *more, *frames[-2:]]).finish.outcome == "blocked_response"
