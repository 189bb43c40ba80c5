"""Which form a text must have, and which checks have a form to look for."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.checks import Check, Resources, build
from guardproxy.events import End, Frame, Text
from guardproxy.exchange.gate.calls import CallText, NotedCall
from guardproxy.exchange.gate.expected_schema import Forms, needs_form
from guardproxy.exchange.gate.gate import Gate, Lane
from guardproxy.findings import Channel, Detail, Facts, Finding, Form, Scan
from guardproxy.wire.contract.contract import Demand
from guardproxy.wire.formats.openai_chat.contract import CONTRACT as CHAT

SCHEMA: Any = {"type": "null"}
ANSWER = Channel("response", "assistant", "choices[0].message.content")
NAME = Channel("response", "tool_arguments", "choices[0].message.tool_calls[0].function.name")
ARGUMENTS = Channel("response", "tool_arguments", "choices[0].message.tool_calls[0].function.arguments")
TOOLS = {"send": Form(SCHEMA), "free": None}


def shape(**options: Any) -> Check:
    return build("json_schema", "shape", {"schema": "from_request", **options}, Resources())


OWN = shape(schema={"inline": {"type": "string"}})
WORD = build("pattern", "word", {"words": ["a"]}, Resources())


@pytest.mark.parametrize(
    ("demand", "check", "channel", "wanted"),
    [
        (Demand(), WORD, ANSWER, True),
        (Demand(), shape(), ANSWER, False),
        (Demand(Form(SCHEMA)), shape(), ANSWER, True),
        (Demand(Form(SCHEMA)), shape(), NAME, False),
        (Demand(tools=TOOLS), shape(), NAME, True),
        (Demand(tools=TOOLS), shape(), ARGUMENTS, True),
        (Demand(tools=TOOLS), shape(), Channel("response", "reasoning", "x"), False),
        (Demand(), OWN, ANSWER, True),
        (Demand(tools=TOOLS), OWN, NAME, False),
    ],
)
def test_a_check_is_asked_only_where_it_has_something_to_say(
    demand: Demand, check: Check, channel: Channel, wanted: bool
) -> None:
    assert Forms(CHAT, demand=demand).wants(check, channel) == wanted


def test_whether_anything_has_a_form() -> None:
    assert not Forms(CHAT).judges(shape())
    assert Forms(CHAT).judges(OWN)
    assert Forms(CHAT, demand=Demand(tools=TOOLS)).judges(shape())
    assert needs_form(shape())
    assert not needs_form(WORD)


def gate_of(*lanes: Lane) -> Gate:
    gate = Gate(lambda channel: ())
    for lane in lanes:
        gate.lanes.add(lane)
    return gate


def lane(channel: Channel, *parts: str, ended: bool = False) -> Lane:
    made = Lane(channel, (), encoded=False)
    for part in parts:
        made.text.append(part)
    made.text.ended = ended
    return made


@pytest.mark.parametrize(
    ("name", "ended", "schema"),
    [("send", False, SCHEMA), ("free", False, None), ("se", False, None), ("", False, "later"), ("", True, None)],
)
def test_arguments_must_fit_the_tool_that_is_called(name: str, ended: bool, schema: Any) -> None:
    forms = Forms(CHAT, Facts("r"), Demand(tools=TOOLS))
    arguments = lane(ARGUMENTS, "{", ended=ended)
    arguments.text.call = CallText(NotedCall(name), "arguments") if name else None
    facts = forms.facts_for(gate_of(), arguments, shape())
    if schema == "later":
        assert facts is None
    else:
        assert facts is not None
        assert facts.route == "r"
        assert (facts.form and facts.form.schema) == schema


def test_the_facts_of_other_texts() -> None:
    forms = Forms(CHAT, Facts("r"), Demand(Form(SCHEMA), TOOLS))
    gate = gate_of()
    assert forms.facts_for(gate, lane(ANSWER), WORD) is forms.facts
    own, asked, name = (
        forms.facts_for(gate, lane(channel), check)
        for channel, check in ((ANSWER, OWN), (ANSWER, shape()), (NAME, shape()))
    )
    assert own is not None
    assert own.form is not None
    assert own.form.schema == {"type": "string"}
    assert asked is not None
    assert asked.form is not None
    assert asked.form.schema == SCHEMA
    assert name is not None
    assert name.form is not None
    assert name.form.words == ("free", "send")
    assert Forms(CHAT).facts_for(gate, lane(ARGUMENTS, "{", ended=True), shape()) is not None


def test_a_check_that_compares_the_texts_of_a_request_gets_them_in_order() -> None:
    bloat = build("repetition", "bloat", {"conversation": True}, Resources())
    question, result = Channel("request", "user", "messages[0]"), Channel("request", "tool_result", "messages[1]")
    definition = lane(Channel("request", "tool_definition", "tools[0]"), "{}", ended=True)
    definition.judged = True
    first, second = lane(question, "one ", "two", ended=True), lane(result, "three", ended=True)
    gate, forms = gate_of(first, definition, second), Forms(CHAT)
    facts = forms.facts_for(gate, first, bloat)
    assert facts is not None
    assert facts.request is not None
    assert [(passage.path, passage.text) for passage in facts.request.passages] == [
        ("messages[0]", "one two"),
        ("messages[1]", "three"),
    ]
    later = forms.facts_for(gate, second, bloat)
    assert later is not None
    assert later.request is facts.request, "the texts are gathered once"
    answer = forms.facts_for(gate_of(), lane(ANSWER, "a"), bloat)
    assert answer is not None
    assert answer.request is None


def test_schemas_are_tried_before_anything_is_sent() -> None:
    forms = Forms(CHAT, demand=Demand(Form(SCHEMA), TOOLS))
    jobs = forms.proofs([shape(), OWN, WORD])
    assert [job.window.facts.form for job in jobs] == [Form(SCHEMA), TOOLS["send"]]
    forms.learn([Scan((), 0, 0), Scan((), 0, 0)])
    assert forms.refused == ""
    forms.learn([Scan((), 0, 0), Scan((Finding(0, 0, "shape", "x", 1.0, (Detail("", "", "", "why"),)),), 0, 0)])
    assert forms.refused == "the schema of the tool `send`: why"
    forms.learn([Scan((), 0, 0, "ValueError"), Scan((), 0, 0)])
    assert forms.refused == "the schema of the answer: it could not be read"


def test_what_is_missing_is_a_blank() -> None:
    forms, frame = Forms(CHAT), Frame(b"")
    text, end = forms.missing([], [], frame)
    assert isinstance(text, Text)
    assert (text.text, text.judged, text.channel) == (" ", True, ANSWER)
    assert end == End(ANSWER)
    assert forms.missing([lane(ANSWER, "a")], [], frame) == []
    assert forms.missing([], [Text(ANSWER, "a", frame, ())], frame) == []
