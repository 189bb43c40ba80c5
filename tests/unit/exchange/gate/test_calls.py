"""Which call each text belongs to, whatever the format and however the answer is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from guardproxy.events import End, Event, Frame, Opaque, Text
from guardproxy.exchange.gate.calls import Calls, CallText, call_of
from guardproxy.exchange.gate.lanes import Lane
from guardproxy.findings import Channel, Spot, ToolCall
from guardproxy.wire.contract import NO_CALLS
from guardproxy.wire.formats.anthropic_messages.contract import CONTRACT as MESSAGES
from guardproxy.wire.formats.gemini_generate.contract import CONTRACT as GEMINI
from guardproxy.wire.formats.ollama_chat.contract import CONTRACT as OLLAMA
from guardproxy.wire.formats.openai_chat.contract import CONTRACT as CHAT
from guardproxy.wire.formats.openai_responses.contract import CONTRACT as RESPONSES

CALL = "choices[0].message.tool_calls[0].function"


def channel(path: str) -> Channel:
    return Channel("response", "tool_arguments", path)


def text(path: str, said: str, frame: Frame | None = None, place: Any = (), **more: Any) -> Text:
    return Text(channel(path), said, frame or Frame(b"", {}, streamed=True), place, **more)


def shown(events: Sequence[Event]) -> list[str]:
    """Texts as `path=text`, ends as `path.`."""
    return [
        f"{event.channel.path}={event.text}" if isinstance(event, Text) else f"{event.channel.path}."
        for event in events
        if isinstance(event, (Text, End))
    ]


def lane_of(event: Text, *, json: bool = False) -> Lane:
    lane = Lane(event.channel, (), encoded=False, json=json)
    lane.text.call = event.call
    lane.text.append(event.text)
    lane.text.ended = True
    return lane


def test_a_name_ends_when_its_arguments_begin() -> None:
    calls = Calls(CHAT.calls, "response")
    first = calls.read([text(f"{CALL}.name", "re")])
    assert shown(first) == [f"{CALL}.name=re"]
    assert shown(calls.read([text(f"{CALL}.name", "fund")])) == [f"{CALL}.name=fund"]
    out = calls.read([text(f"{CALL}.arguments", "{}", encoded=True)])
    assert shown(out) == [f"{CALL}.name.", f"{CALL}.arguments={{}}"]
    event = out[-1]
    assert isinstance(event, Text)
    found = call_of(lane_of(event, json=True), CHAT.calls, "")
    assert (found.name, found.role, found.arguments, found.is_clear, found.is_made) == (
        *("refund", "arguments", "{}"),
        *(True, True),
    )
    name = first[0]
    assert isinstance(name, Text)
    assert call_of(lane_of(name), CHAT.calls, "").arguments is None, "another text holds them"


def test_a_name_that_goes_on_after_its_arguments_is_unclear() -> None:
    calls = Calls(CHAT.calls, "response")
    first = calls.read([text(f"{CALL}.name", "look")])
    arguments = calls.read([text(f"{CALL}.arguments", "{")])
    (tail,) = calls.read([text(f"{CALL}.name", "_up")])
    assert isinstance(tail, Text)
    tail_call = call_of(lane_of(tail), CHAT.calls, "")
    assert (tail_call.name, tail_call.is_clear) == ("_up", False)
    name = first[0]
    assert isinstance(name, Text)
    event = arguments[-1]
    assert isinstance(event, Text)
    assert call_of(lane_of(name), CHAT.calls, "").is_clear, "it left before"
    assert not call_of(lane_of(event), CHAT.calls, "").is_clear


def test_a_call_without_arguments_ends_with_its_choice_or_with_the_answer() -> None:
    frame = Frame(b"", {}, streamed=True)
    calls = Calls(CHAT.calls, "response")
    (name,) = calls.read([text(f"{CALL}.name", "now", frame)])
    assert shown(calls.read([Opaque(Frame(b"", {}, streamed=True)), End(channel(f"{CALL}.name"))])) == [f"{CALL}.name."]
    assert isinstance(name, Text)
    assert call_of(lane_of(name), CHAT.calls, "").arguments == ""
    calls = Calls(MESSAGES.calls, "response")
    start = Frame(b"", {"content_block": {"type": "tool_use", "name": "now", "input": {}}}, streamed=True)
    event = text("content[0].name", "now", start, ("content_block", "name"))
    assert shown(calls.read([event, End(event.channel)])) == ["content[0].name=now"], "deltas may follow"
    assert shown(calls.read([], is_over=True)) == ["content[0].name."]
    assert shown(calls.read([], is_over=True)) == []


def test_another_call_may_follow_at_the_same_path() -> None:
    calls = Calls(CHAT.calls, "response")
    for name in ("one", "two"):
        out = calls.read(
            [text(f"{CALL}.name", name), text(f"{CALL}.arguments", "{}"), End(channel(f"{CALL}.arguments"))]
        )
        (event,) = [each for each in out if isinstance(each, Text) and each.text == "{}"]
        found = call_of(lane_of(event), CHAT.calls, "")
        assert (found.name, found.is_clear) == (name, True)


def test_arguments_that_are_an_object_become_a_text() -> None:
    tree = {"content": [{"type": "tool_use", "name": "send", "input": {"to": "x", "n": 1}}]}
    frame = Frame(b"", tree)
    events = [
        text("content[0].name", "send", frame, ("content", 0, "name")),
        text("content[0].input.to", "x", frame, ("content", 0, "input", "to")),
        text("content[0].input.n", "n", frame, ("content", 0, "input", "n"), key=True),
    ]
    out = Calls(MESSAGES.calls, "response").read(events)
    assert [event.text for event in out if isinstance(event, Text) and event.judged] == ['{"to": "x", "n": 1}']
    found = {event.text: call_of(lane_of(event), MESSAGES.calls, "") for event in out if isinstance(event, Text)}
    assert (found["x"].role, found["x"].place, found["n"].role) == ("member", ("to",), "piece")
    whole = found['{"to": "x", "n": 1}']
    assert (whole.role, whole.apart, whole.made is found["x"].made) == ("arguments", frozenset({("to",)}), True)
    assert whole.arguments == found["x"].arguments
    collected = Frame(b"", tree, streamed=True, calls=())
    streamed = text("content[0].name", "send", collected, ("content", 0, "name"))
    assert shown(Calls(MESSAGES.calls, "response").read([streamed])) == ["content[0].name=send"]


def test_arguments_that_a_stream_completes_become_a_text() -> None:
    frame = Frame(b"", {}, streamed=True, calls=(("content[3].input", '{"a": 1}'), ("elsewhere", "{}")))
    out = Calls(MESSAGES.calls, "response").read([Opaque(frame)])
    assert shown(out) == ['content[3].input={"a": 1}', "content[3].input."]


def test_arguments_that_come_whole_in_a_stream_become_a_text_beside_their_own_name() -> None:
    """Lines count their calls anew, so the place of the name in the answer tells the calls apart."""
    events: list[Event] = []
    for number in range(2):
        call = {"function": {"name": "send", "arguments": {"a": number}}}
        frame = Frame(b"", {"message": {"tool_calls": [call]}}, streamed=True)
        path = f"message.tool_calls[{number}].function.name"
        events.append(text(path, "send", frame, ("message", "tool_calls", 0, "function", "name")))
    out = [event for event in Calls(OLLAMA.calls, "response").read(events) if isinstance(event, Text)]
    assert [(event.channel.path, event.text, event.judged) for event in out] == [
        ("message.tool_calls[0].function.name", "send", False),
        ("message.tool_calls[0].function.arguments", '{"a":0}', True),
        ("message.tool_calls[1].function.name", "send", False),
        ("message.tool_calls[1].function.arguments", '{"a":1}', True),
    ]
    calls = Calls(OLLAMA.calls, "response")
    one_by_one = [each for event in events for each in calls.read([event]) if isinstance(each, Text)]
    assert [(event.channel, event.text) for event in one_by_one] == [(event.channel, event.text) for event in out]


def test_a_tool_that_the_provider_runs_is_named_by_its_type() -> None:
    item = {"type": "web_search_call", "action": {"type": "search", "query": "q"}}
    begun = Frame(b"", {"type": "e", "output_index": 1, "item": {"type": "web_search_call"}}, streamed=True)
    done = Frame(b"", {"type": "e", "output_index": 1, "item": item}, streamed=True)
    calls = Calls(RESPONSES.calls, "response")
    assert shown(calls.read([Opaque(begun)])) == ["output[1].type=web_search"]
    out = calls.read([text("output[1].action.query", "q", done, ("item", "action", "query"))])
    assert shown(out)[:2] == ["output[1].type.", "output[1].action.query=q"]
    (query,) = [event for event in out if isinstance(event, Text) and not event.judged]
    found = call_of(lane_of(query), RESPONSES.calls, "")
    assert (found.name, found.place, found.arguments) == ("web_search", ("query",), '{"type": "search", "query": "q"}')


def test_code_that_google_runs() -> None:
    part = {"executableCode": {"language": "PYTHON", "code": "1"}}
    frame = Frame(b"", {"candidates": [{"content": {"parts": [part]}}]})
    path = "candidates[0].content.parts[0].executableCode.code"
    event = text(path, "1", frame, ("candidates", 0, "content", "parts", 0, "executableCode", "code"))
    out = Calls(GEMINI.calls, "response").read([event])
    found = [call_of(lane_of(each), GEMINI.calls, "") for each in out if isinstance(each, Text)]
    assert [(each.name, each.role, each.is_json) for each in found] == [
        ("code_execution", "name", True),
        ("code_execution", "arguments", False),
    ]
    assert isinstance(out[1], End), "its arguments have begun"


def test_the_server_is_that_of_the_call_or_of_the_route() -> None:
    block = {"type": "mcp_tool_use", "name": "send", "server_name": "mail", "input": {}}
    frame = Frame(b"", {"content": [block]})
    events = [
        text("content[0].name", "send", frame, ("content", 0, "name")),
        text("content[0].server_name", "mail", frame, ("content", 0, "server_name")),
    ]
    out = [event for event in Calls(MESSAGES.calls, "response").read(events) if isinstance(event, Text)]
    found = [call_of(lane_of(event), MESSAGES.calls, "route") for event in out]
    assert [(each.role, each.server) for each in found] == [("name", "mail"), ("server", "mail"), ("arguments", "mail")]
    bare = Lane(channel("x"), (), encoded=False)
    assert call_of(bare, MESSAGES.calls, "route").server == "route"


def test_a_text_outside_of_every_call_is_unclear() -> None:
    frame = Frame(b"", {"a": "x"})
    out = Calls(NO_CALLS, "response").read([text("a", "x", frame), Opaque(Frame(b"", None))])
    event = out[0]
    assert isinstance(event, Text)
    assert event.call is None
    found = call_of(lane_of(event), NO_CALLS, "")
    assert found == ToolCall("", is_clear=False, arguments="x", is_json=False)


def test_the_places_of_members_in_decoded_arguments() -> None:
    raw = '{"a": {"b": ["x", "yy"]}, "n": 12, "k": 4111111111111111}'
    event = text(f"{CALL}.arguments", raw)
    lane = Lane(event.channel, (), encoded=True, json=True)
    lane.text.append(raw)
    lane.text.ended = True
    lane.progress.checks = (object(),)  # type: ignore[assignment]  # it is read by some check
    calls = Calls(CHAT.calls, "response")
    noted = [each for each in calls.read([event]) if isinstance(each, Text)]
    lane.text.call = noted[0].call
    assert isinstance(lane.text.call, CallText)
    from guardproxy.wire.json import view

    lane.text.view = view(raw)
    spots = call_of(lane, CHAT.calls, "").spots
    assert [(lane.text.view.text[spot.start : spot.end], spot.path) for spot in spots] == [
        ("x", ("a", "b", 0)),
        ("yy", ("a", "b", 1)),
        ("4111111111111111", ("k",)),
    ]
    assert isinstance(spots[0], Spot)


@pytest.mark.parametrize("count", [200])
def test_many_calls_without_arguments_are_noted_in_linear_time(count: int) -> None:
    calls = Calls(CHAT.calls, "response")
    for number in range(count):
        calls.read([text(f"choices[0].message.tool_calls[{number}].function.name", "now")])
    ends = calls.read([], is_over=True)
    assert len(ends) == count


def test_arguments_after_the_end_of_a_name_and_ends_that_belong_to_no_call() -> None:
    calls = Calls(CHAT.calls, "response")
    calls.read([text(f"{CALL}.name", "now")])
    assert shown(calls.read([Opaque(Frame(b"", {}, streamed=True)), End(channel(f"{CALL}.name"))])) == [f"{CALL}.name."]
    out = calls.read([text(f"{CALL}.arguments", "{}")])
    assert shown(out) == [f"{CALL}.arguments={{}}"], "the name has ended before"
    for path in ("elsewhere", "choices[3].message.function_call.arguments"):
        assert shown(calls.read([Opaque(Frame(b"", {}, streamed=True)), End(channel(path))])) == [f"{path}."]


def test_a_tool_that_google_runs_without_a_text_is_no_call_yet() -> None:
    parts: list[Any] = [{"toolCall": {"toolType": "GOOGLE_SEARCH"}}, {"toolCall": {}}, 5]
    for part in parts:
        frame = Frame(b"", {"candidates": [{"content": {"parts": [part]}, "groundingMetadata": {}}]})
        assert shown(Calls(GEMINI.calls, "response").read([Opaque(frame)])) == []
    call = {"toolType": "GOOGLE_SEARCH", "args": {"q": "x"}}
    frame = Frame(b"", {"candidates": [{"content": {"parts": [{"toolCall": call}]}}]})
    path = "candidates[0].content.parts[0].toolCall.args.q"
    event = text(path, "x", frame, ("candidates", 0, "content", "parts", 0, "toolCall", "args", "q"))
    out = [each for each in Calls(GEMINI.calls, "response").read([event]) if isinstance(each, Text)]
    assert {call_of(lane_of(each), GEMINI.calls, "").name for each in out} == {"google_search"}
    assert list(RESPONSES.calls.runs([])) == []
    assert list(RESPONSES.calls.runs({"output": [5, {"type": "message"}]})) == []
