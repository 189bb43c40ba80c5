"""Calls that a person must approve: in every format, plain and streamed, once, and only the same call of the same client."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardproxy.decisions import Confirm
from guardproxy.errors import ErrorCode
from guardproxy.exchange import (
    Aborted,
    DataReceived,
    DownstreamGone,
    Exchange,
    Finish,
    Input,
    RequestReceived,
    ResponseEnded,
    ResponseStarted,
    RunScans,
    SendUpstream,
    Waited,
    approvals,
    recollection,
)
from guardproxy.exchange.memory.approvals import (
    APPROVED_S,
    SHOWN_CHARS,
    UNCLEAR,
    Confirmations,
    canonical,
    shown_arguments,
    tag_of,
)
from guardproxy.exchange.phases.states import State
from guardproxy.findings import ToolCall
from guardproxy.replay import replay
from guardproxy.wire import Call, Codec, Prompt, Reply, installed
from tests.kit.confirming import MCP, POLICY, Ended, Notebook, begun, run, scanned, seal
from tests.kit.play import mint

FORMATS = [
    codec
    for codec in installed().codecs
    if codec.contract.calls.made == "response" and "tool_arguments" in codec.contract.carries["response"]
]
CHAT = next(codec for codec in FORMATS if codec.name == "openai_chat")
PAY = Call("pay", '{"to": "x", "amount": 5}')
TOOLS = {name: {"type": "object"} for name in ("pay", "Pay", "look")}


def named(codec: Codec) -> str:
    return codec.name


def answer(codec: Codec, calls: Sequence[Call], *, streamed: bool) -> list[Input]:
    author = codec.author
    prompt, reply = Prompt("m", "hi", stream=streamed, tools=TOOLS), Reply(calls=tuple(calls))
    media = codec.contract.media
    if streamed:
        frames = list(author.frames(prompt, reply, "id", list))
        return [ResponseStarted(200, media.streamed), *map(DataReceived, frames), ResponseEnded()]
    body = json.dumps(author.answer(prompt, reply, "id")).encode()
    return [ResponseStarted(200, media.whole), DataReceived(body), ResponseEnded()]


def asked(
    notebook: Notebook,
    *calls: Call,
    codec: Codec = CHAT,
    streamed: bool = False,
    policy: str = POLICY,
    unix_s: float = 0.0,
    **more: Any,
) -> Ended:
    prompt = Prompt("m", "hi", stream=streamed, tools=TOOLS)
    exchange = begun(policy, codec.author.ROUTE, **more)
    ended = run(exchange, notebook, codec.author.request(prompt), answer(codec, calls, streamed=streamed), unix_s)
    again = replay(ended.record, exchange.setting.policies)
    assert (again.verdict, again.differences) == ("identical", ())
    return ended


def mcp(notebook: Notebook, arguments: Any, name: str = "pay", server: str = "bank", **more: Any) -> Ended:
    params = {"name": name, "arguments": arguments, **more.pop("beside", {})}
    call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    result = {"jsonrpc": "2.0", "id": 7, "result": {"content": [{"type": "text", "text": "paid"}]}}
    data = json.dumps(result).encode()
    inputs: list[Input] = [ResponseStarted(200, "application/json"), DataReceived(data), ResponseEnded()]
    exchange = begun(more.pop("policy", POLICY), MCP, f"/mcp/{server}", **more)
    ended = run(exchange, notebook, call, inputs)
    again = replay(ended.record, exchange.setting.policies)
    assert (again.verdict, again.differences) == ("identical", ())
    return ended


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("codec", FORMATS, ids=named)
def test_an_approved_call_passes_once(codec: Codec, streamed: bool) -> None:
    notebook = Notebook()
    first = asked(notebook, PAY, codec=codec, streamed=streamed)
    (pending,) = notebook.pending
    assert (first.record.outcome, pending.tool, json.loads(pending.shown)) == (
        "blocked_response",
        "pay",
        {"to": "x", "amount": 5},
    )
    assert pending.id in first.data
    assert '"amount' not in first.data
    assert first.exchange.is_asking
    (decision,) = first.record.decisions
    assert (decision.action, decision.confirmation, decision.approved_by) == ("confirm", pending.id, "")
    notebook.approve(pending)
    second = asked(notebook, PAY, codec=codec, streamed=streamed)
    assert second.record.outcome == "answered"
    assert {decision.approved_by for decision in second.record.decisions} == {"ann"}
    assert notebook.approved == 0
    assert asked(notebook, PAY, codec=codec, streamed=streamed).record.outcome == "blocked_response"
    assert [call.id for call in notebook.pending] == [pending.id]


def test_a_call_that_the_request_makes_is_stopped_before_the_upstream() -> None:
    notebook = Notebook()
    first = mcp(notebook, {"to": "x"})
    (pending,) = notebook.pending
    told = json.loads(first.data)
    assert (first.sent, told["id"], told["result"]["isError"]) == (False, 7, True)
    assert pending.id in told["result"]["content"][0]["text"]
    assert (pending.server, pending.tool, pending.shown) == ("bank", "pay", '{"to":"x"}')
    notebook.approve(pending)
    second = mcp(notebook, {"to": "x"})
    assert (second.sent, "paid" in second.data, notebook.approved) == (True, True, 0)
    assert [decision.approved_by for decision in second.record.decisions] == ["ann"]
    assert not mcp(notebook, {"to": "x"}).sent


BESIDE = {
    "inputResponses": {"k": {"action": "accept", "content": {"n": 1.50}}},
    "requestState": "s",
    "task": {"ttl": 1},
}
_CONTENT = {"n": 1.50, "more": "y"}


@pytest.mark.parametrize(
    ("first", "then", "passes"),
    [
        (BESIDE, dict(reversed(BESIDE.items())), True),
        (BESIDE, {**BESIDE, "_meta": {"progressToken": 2}}, True),
        ({"_meta": {"progressToken": 1}}, {}, True),
        ({}, BESIDE, False),
        (BESIDE, {}, False),
        *((BESIDE, {key: value for key, value in BESIDE.items() if key != gone}, False) for gone in BESIDE),
        (BESIDE, {**BESIDE, "inputResponses": {"k": {"action": "accept", "content": _CONTENT}}}, False),
        (BESIDE, {**BESIDE, "requestState": "t"}, False),
        (BESIDE, {**BESIDE, "x_unknown": None}, False),
    ],
)
def test_what_a_call_says_beside_its_arguments_is_a_part_of_it(
    first: dict[str, Any], then: dict[str, Any], passes: bool
) -> None:
    notebook = Notebook()
    mcp(notebook, {"to": "x"}, beside=first)
    (pending,) = notebook.pending
    plain = {key: value for key, value in first.items() if key != "_meta"}
    assert json.loads(pending.shown) == ({"arguments": {"to": "x"}, **plain} if plain else {"to": "x"})
    notebook.approve(pending)
    assert mcp(notebook, {"to": "x"}, beside=then).sent == passes
    assert notebook.approved == (not passes)


@pytest.mark.parametrize(
    ("more", "passes"),
    [
        ({"arguments": {"amount": 5, "to": "x"}}, True),
        ({"arguments": {"to": "x", "amount": 5.0}}, False),
        ({"arguments": {"to": "x", "amount": "5"}}, False),
        ({"arguments": {"to": "x"}}, False),
        ({"arguments": {"to": "x", "amount": 5, "note": ""}}, False),
        ({"arguments": {"to": "X", "amount": 5}}, False),
        ({"name": "pay2"}, False),
        ({"server": "other"}, False),
        ({"tenant": "eve"}, False),
        ({"tenant": ""}, False),
    ],
)
def test_only_the_same_call_passes(more: dict[str, Any], passes: bool) -> None:
    notebook, policy = Notebook(), POLICY.replace("[pay]", "[pay, pay2]")
    mcp(notebook, {"to": "x", "amount": 5}, policy=policy)
    notebook.approve(notebook.pending[0])
    given = {"arguments": {"to": "x", "amount": 5}, **more}
    assert mcp(notebook, given.pop("arguments"), policy=policy, **given).sent == passes
    assert notebook.approved == (not passes)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a":1,"b":[1,{"c":2,"d":3}]}', ' {"b" : [1, {"d":3, "c":2}], "a":1}\n', True),
        ('{"a":"\\u0041"}', '{"a":"A"}', True),
        ('{"a":[1,2]}', '{"a":[2,1]}', False),
        ('{"a":1}', '{"a":1.0}', False),
        ('{"a":1,"a":2}', '{"a":2}', False),
        ('{"a":1,"a":2}', '{"a":1,"a":2}', True),
        ("plain text", "plain  text", False),
        ("", "{}", False),
        ("\ud800", "\ud801", False),
    ],
)
def test_arguments_are_the_same_if_every_reader_reads_the_same(one: str, other: str, same: bool) -> None:
    assert (canonical(one) == canonical(other)) is same


def test_what_a_reviewer_sees_is_redacted_and_short() -> None:
    shown = shown_arguments(
        '{"ann": ["ann", 42, true, null, 1.5]}', lambda text: "*" if text in ("ann", "42") else text
    )
    assert shown == '{"*":["*","*",true,null,1.5]}'
    assert shown_arguments("ann", lambda text: f"[{text}]") == "[ann]"
    beside = {"task": {"note": "ann"}}
    assert json.loads(shown_arguments("ann", lambda text: f"[{text}]", beside)) == {
        "[arguments]": "[ann]",
        "[task]": {"[note]": "[ann]"},
    }
    assert len(shown_arguments(json.dumps({"a": "b" * 9999}), str)) == SHOWN_CHARS
    assert shown_arguments("\ud800", str) == "\ud800"


PII = """\
policy: asks
checks:
  pay: {use: tool_call, tools: [pay]}
  mail: {use: pii, entities: [EMAIL_ADDRESS]}
rules:
  - {id: ask, on: tool_arguments, when: pay, action: confirm}
  - {id: mail, when: mail, action: flag}
"""


@pytest.mark.parametrize(
    ("audit", "shown"),
    [
        ("", json.dumps({"to": mint("EMAIL_ADDRESS", "ada@clinic.example")}, separators=(",", ":"))),
        ("audit: {keep: none}\n", ""),
    ],
)
def test_a_reviewer_sees_no_more_than_the_record(audit: str, shown: str) -> None:
    notebook = Notebook()
    prompt = Prompt("m", "hi", tools=TOOLS)
    call = Call("pay", '{"to": "ada@\\u0063linic.example"}')
    exchange = begun(PII + audit)
    run(exchange, notebook, CHAT.author.request(prompt), answer(CHAT, [call], streamed=False))
    (pending,) = notebook.pending
    assert (pending.shown, pending.tool) == (shown, "pay" if shown else "")
    assert "clinic" not in str(notebook.entries)


def test_an_approval_expires_with_the_store_and_is_given_back_for_what_is_left() -> None:
    notebook = Notebook()
    asked(notebook, PAY)
    notebook.approve(notebook.pending[0], at_s=100.0)
    policy = POLICY.replace("rules:", "  look: {use: tool_call, tools: [look]}\nrules:")
    policy += "  - {id: never, on: tool_arguments, when: look, action: block}\n"
    ended = asked(notebook, PAY, Call("look", "{}"), policy=policy, unix_s=400.0)
    assert (ended.record.outcome, notebook.approved) == ("blocked_response", 1)
    (change,) = [change for change in ended.exchange.memory_changes if change.key.use == "approvals"]
    (put,) = change.puts
    assert put.ttl_s == 100.0 + APPROVED_S - 400.0
    assert change.is_once, "a second time could bring back what another exchange has claimed"
    late = asked(notebook, PAY, Call("look", "{}"), policy=policy, unix_s=100.0 + APPROVED_S)
    assert not [change for change in late.exchange.memory_changes if change.key.use == "approvals"]


def test_calls_of_an_answer_pass_together_or_not_at_all() -> None:
    notebook, other = Notebook(), Call("pay", '{"to": "y"}')
    assert asked(notebook, PAY, other).record.outcome == "blocked_response"
    notebook.approve(notebook.pending[0])
    assert asked(notebook, PAY, other).record.outcome == "blocked_response"
    assert notebook.approved == 1, "the first call did not pass either"
    notebook.approve(notebook.pending[0])
    assert asked(notebook, PAY, other).record.outcome == "answered"
    assert notebook.approved == 0


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_an_approval_lets_one_of_two_equal_calls_pass(streamed: bool) -> None:
    notebook = Notebook()
    asked(notebook, PAY)
    notebook.approve(notebook.pending[0])
    ended = asked(notebook, PAY, PAY, streamed=streamed)
    assert ended.record.outcome == "blocked_response"


def test_an_approval_that_another_exchange_claims_is_gone() -> None:
    notebook = Notebook()
    asked(notebook, PAY)
    notebook.approve(notebook.pending[0])
    notebook.is_late = True
    assert asked(notebook, PAY).record.outcome == "blocked_response"
    assert (notebook.claims, notebook.approved) == (1, 0)


def test_an_exchange_without_an_approval_claims_nothing() -> None:
    notebook = Notebook()
    for _ in range(2):
        asked(notebook, PAY)
        asked(notebook, Call("look", "{}"))
    assert (notebook.claims, len(notebook.pending)) == (0, 1)


RETRY = POLICY.replace("rules:", "  word: {use: pattern, words: [falcon]}\nrules:")


def test_a_discarded_answer_uses_no_approval() -> None:
    notebook = Notebook()
    asked(notebook, PAY)
    notebook.approve(notebook.pending[0])
    policy = RETRY + "  - {id: again, on: response.assistant, when: word, action: retry, attempts: 1, then: block}\n"
    exchange = begun(policy, CHAT.author.ROUTE)
    prompt = Prompt("m", "hi", tools=TOOLS)
    bad = {
        "role": "assistant",
        "content": "a falcon",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": PAY.name, "arguments": PAY.arguments}}],
    }
    tree = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    first = {**tree, "choices": [{"index": 0, "finish_reason": "tool_calls", "message": bad}]}
    inputs: list[Input] = [
        ResponseStarted(200, "application/json"),
        DataReceived(json.dumps(first).encode()),
        ResponseEnded(),
    ]
    ended = run(exchange, notebook, CHAT.author.request(prompt), [*inputs, *answer(CHAT, [PAY], streamed=False)])
    assert (ended.record.outcome, len(ended.record.attempts), notebook.approved) == ("answered", 2, 0)
    assert replay(ended.record, exchange.setting.policies).verdict == "identical"


def test_a_rule_that_blocks_is_stronger_and_one_that_retries_is_weaker() -> None:
    block = POLICY + "  - {id: never, on: tool_arguments, when: pay, action: block, message: never}\n"
    notebook = Notebook()
    assert "never" in asked(notebook, PAY, policy=block).data
    assert not mcp(notebook, {"to": "x"}, policy=block).sent
    assert notebook.pending == []
    retry = (
        POLICY + "  - {id: again, on: response.tool_arguments, when: pay, action: retry, attempts: 1, then: block}\n"
    )
    ended = asked(notebook, PAY, policy=retry)
    assert "confirmation_required" in ended.data
    notebook.approve(notebook.pending[0])
    exchange = begun(retry, CHAT.author.ROUTE)
    prompt = CHAT.author.request(Prompt("m", "hi", tools=TOOLS))
    both = [*answer(CHAT, [PAY], streamed=False), *answer(CHAT, [Call("look", "{}")], streamed=False)]
    ended = run(exchange, notebook, prompt, both)
    assert [attempt.rule for attempt in ended.record.attempts] == ["again", ""]
    assert notebook.approved == 1


def test_calls_of_the_history_need_nobody() -> None:
    notebook = Notebook()
    call = {"id": "c", "type": "function", "function": {"name": PAY.name, "arguments": PAY.arguments}}
    body = {
        "model": "m",
        "messages": [{"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "and?"}],
    }
    ended = run(begun(), notebook, body, answer(CHAT, [Call("look", "{}")], streamed=False))
    assert (ended.record.outcome, ended.record.decisions, notebook.pending) == ("answered", (), [])


def test_a_rule_in_shadow_mode_is_only_recorded() -> None:
    notebook = Notebook()
    ended = asked(notebook, PAY, policy=POLICY.replace("action: confirm", "action: confirm, mode: shadow"))
    assert (ended.record.outcome, ended.record.shadow, notebook.entries) == ("answered", ("ask",), {})
    assert [decision.confirmation for decision in ended.record.decisions] == [""]


def test_the_message_of_a_rule_comes_before_the_id() -> None:
    notebook = Notebook()
    ended = asked(notebook, PAY, policy=POLICY.replace("action: confirm", "action: confirm, message: Ask accounting"))
    assert (
        f"Ask accounting (do not try again in another form: ask for the confirmation {notebook.pending[0].id}"
        in ended.data
    )


def plain_input(parts: Sequence[str]) -> list[bytes]:
    """A call with plain text as its input, in these parts."""
    from tests.kit.responses import response_frames

    return list(response_frames("response.custom_tool_call_input", parts))


TEXT = """\
policy: asks
checks:
  word: {use: pattern, words: [falcon]}
rules:
  - {id: ask, on: tool_arguments, when: word, action: confirm}
"""


@pytest.mark.parametrize("parts", [["a falcon flies"], ["a fal", "con", " flies"], list("a falcon flies")])
def test_arguments_in_plain_text_are_held_until_they_are_complete(parts: list[str]) -> None:
    notebook = Notebook()
    frames = plain_input(parts)
    inputs: list[Input] = [ResponseStarted(200, "text/event-stream"), *map(DataReceived, frames), ResponseEnded()]
    body = {"model": "m", "input": "hi", "stream": True}
    ended = run(begun(TEXT, "POST /v1/responses"), notebook, body, inputs)
    assert "falcon" not in ended.data
    (pending,) = notebook.pending
    assert (pending.tool, pending.shown) == ("send", f"a {mint('MATCH', 'falcon')} flies")
    notebook.approve(pending)
    ended = run(begun(TEXT, "POST /v1/responses"), notebook, body, inputs)
    assert (ended.record.outcome, "falcon" in ended.data) == ("answered", True)


def test_a_finding_in_the_name_of_a_tool_cannot_be_confirmed() -> None:
    notebook = Notebook()
    ended = asked(notebook, Call("falcon", '{"a": 1}'), policy=TEXT)
    assert UNCLEAR in ended.data
    assert notebook.pending == []


@given(
    sizes=st.lists(st.integers(1, 90), max_size=8),
    is_approved=st.booleans(),
    calls=st.lists(st.sampled_from([PAY, Call("look", '{"a": "b"}')]), min_size=1, max_size=3, unique=True),
)
def test_cuts_change_nothing(sizes: list[int], is_approved: bool, calls: list[Call]) -> None:
    """The client gets the same, the same waits, and the same is left, however the stream is cut."""
    seen = []
    for lengths in ([], sizes):
        notebook = Notebook()
        if is_approved:
            asked(notebook, PAY)
            notebook.approve(notebook.pending[0])
        prompt = Prompt("m", "hi", stream=True, tools=TOOLS)
        data = b"".join(CHAT.author.frames(prompt, Reply("so", calls=tuple(calls)), "id", list))
        pieces, at = [], 0
        for length in lengths:
            pieces.append(data[at : at + length])
            at += length
        inputs: list[Input] = [
            ResponseStarted(200, "text/event-stream"),
            *map(DataReceived, [*pieces, data[at:]]),
            ResponseEnded(),
        ]
        ended = run(begun(), notebook, CHAT.author.request(prompt), inputs)
        seen.append((ended.data, ended.record.outcome, ended.record.decisions, notebook.pending, notebook.approved))
    assert seen[0] == seen[1]


# Claims under way.


def claiming(streamed: bool = True) -> tuple[Exchange, recollection.ClaimMemory, Notebook]:
    """An exchange that claims an approval."""
    notebook = Notebook()
    asked(notebook, PAY)
    notebook.approve(notebook.pending[0])
    exchange = begun(POLICY, CHAT.author.ROUTE)
    prompt = Prompt("m", "hi", stream=streamed, tools=TOOLS)
    waiting: list[Input] = [
        RequestReceived(json.dumps(CHAT.author.request(prompt)).encode()),
        *answer(CHAT, [PAY], streamed=streamed),
    ]
    for event in waiting:
        todo = [*exchange.receive(event)]
        for command in todo:
            if isinstance(command, recollection.ClaimMemory):
                return exchange, command, notebook
            if isinstance(command, recollection.RecallMemory):
                todo += exchange.receive(notebook(command))
            elif isinstance(command, RunScans):
                todo += exchange.receive(scanned(command))
    raise AssertionError("no claim")


def test_nothing_leaves_while_an_approval_is_claimed() -> None:
    exchange, claim, notebook = claiming()
    assert exchange.receive(DataReceived(b"")) == []
    commands = exchange.receive(notebook(claim))
    assert commands
    assert exchange.receive(recollection.MemoryClaimed((None,))) == []


@pytest.mark.parametrize("event", [Aborted(ErrorCode.STORE_UNAVAILABLE, "away", 503), DownstreamGone()])
def test_an_exchange_may_end_while_it_claims(event: Input) -> None:
    exchange, _, notebook = claiming()
    (*_, finish) = exchange.receive(event)
    assert isinstance(finish, Finish)
    assert exchange.memory_changes == (), "whether the claim was carried out is not known: nothing is given back"
    assert notebook.approved == 1


def test_an_exchange_that_ends_before_it_knows_its_approvals_leaves_nothing() -> None:
    exchange = begun(POLICY, CHAT.author.ROUTE)
    exchange.receive(RequestReceived(json.dumps(CHAT.author.request(Prompt("m", "hi"))).encode()))
    exchange.receive(DownstreamGone())
    assert (exchange.is_over, exchange.is_asking, exchange.memory_changes) == (True, False, ())


def test_claims_for_a_discarded_answer_get_no_answer() -> None:
    exchange, _, _ = claiming()
    confirmations = exchange._guard.confirmations
    assert confirmations is not None
    assert confirmations.is_claiming
    exchange._guard.discard_answer()
    assert (confirmations.is_claiming, confirmations.may_claim) == (False, False)


def test_a_request_waits_for_its_claim() -> None:
    notebook = Notebook()
    mcp(notebook, {"to": "x"})
    notebook.approve(notebook.pending[0])
    exchange = begun(POLICY, MCP, "/mcp/bank")
    call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "pay", "arguments": {"to": "x"}}}
    (recall,) = exchange.receive(RequestReceived(json.dumps(call).encode()))
    assert isinstance(recall, recollection.RecallMemory)
    assert exchange.receive(recollection.MemoryClaimed(())) == []
    (scan,) = exchange.receive(notebook(recall))
    (claim,) = exchange.receive(scanned(scan))  # type: ignore[arg-type]  # a rule reads the call
    assert (type(claim), exchange.state) == (recollection.ClaimMemory, State.RECALLING)
    assert exchange.receive(Waited(1.0)) == []
    (sent,) = exchange.receive(recollection.MemoryClaimed(('{"id":"i","by":"ann","at":0}',)))
    assert isinstance(sent, SendUpstream)


def test_an_id_needs_the_key_of_the_proxy() -> None:
    assert tag_of(seal, "ann") != tag_of(seal, "bob")
    assert tag_of(lambda data: "", "ann") == "0" * 12
    confirmations = Confirmations(begun().setting, 0.0)
    call = ToolCall("pay", arguments="{}")
    stop = confirmations.ask((0, "response", "p"), call, Confirm("r"), "p")
    assert stop.confirmation == f"{confirmations.tag}-{confirmations.digest(call)[:16]}"
    assert set(approvals.TAG_STARTS) >= {confirmations.tag[0]}
