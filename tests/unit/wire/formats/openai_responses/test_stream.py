"""Streams of responses: which texts are one text, what repeats it, and what ends it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.errors import ErrorCode
from guardproxy.events import End, Event, Fault, Opaque, Text
from guardproxy.wire.formats.openai_responses import replies
from guardproxy.wire.formats.openai_responses.codec import CODEC
from guardproxy.wire.formats.openai_responses.writer import author
from tests.kit.responses import GROWING, growing, response_frames, stream


def decode(frames: list[bytes], *, guarded: bool = False, request: Any = None) -> list[Event]:
    shapes = CODEC.read_request("", "", json.dumps(request or {}).encode()).shapes
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=99_999, guarded=guarded, shapes=shapes)
    return [*(event for frame in frames for event in decoder.feed(frame)), *decoder.end()]


def shape(found: list[Event], path: str) -> list[str]:
    """What becomes of a text: its parts, `=` where it is repeated, `|` where it ends."""
    out = []
    for event in found:
        if isinstance(event, Text) and event.channel.path == path:
            out.append("=" if event.again else event.text)
        elif isinstance(event, End) and event.channel.path == path:
            out.append("|")
    return out


def faults(found: list[Event]) -> list[str]:
    return [event.code for event in found if isinstance(event, Fault)]


PATHS = {
    "response.output_text": "output[0].content[0].text",
    "response.refusal": "output[0].content[0].refusal",
    "response.reasoning_text": "output[0].content[0].text",
    "response.reasoning_summary_text": "output[0].summary[0].text",
    "response.function_call_arguments": "output[0].arguments",
    "response.mcp_call_arguments": "output[0].arguments",
    "response.custom_tool_call_input": "output[0].input",
    "response.code_interpreter_call_code": "output[0].code",
    "response.shell_call_command": "output[0].action.commands[0]",
}


@pytest.mark.parametrize("base", GROWING)
def test_a_text_is_one_text_and_all_that_follows_repeats_it(base: str) -> None:
    found = decode(response_frames(base, ['{"a"', ": 1}"]))
    repeats = ["="] * (4 if "content" in PATHS[base] or "summary" in PATHS[base] else 3)
    assert shape(found, PATHS[base]) == ['{"a"', ": 1}", "|", *repeats]
    assert faults(found) == []
    kinds = {event.channel.kind for event in found if isinstance(event, Text) and event.channel.path == PATHS[base]}
    assert len(kinds) == 1


@pytest.mark.parametrize("base", GROWING)
def test_a_repeated_text_that_differs_is_a_text_of_its_own(base: str) -> None:
    frames = response_frames(base, ["one"])
    changed = [frame if b".delta" in frame else frame.replace(b'"one"', b'"two"') for frame in frames]
    found = decode(changed)
    assert shape(found, PATHS[base])[:4] == ["one", "|", "two", "|"]
    assert faults(found) == []


def test_two_items_and_two_parts_are_different_texts() -> None:
    found = decode(stream(growing("response.output_text", ["a"]), growing("response.output_text", ["b"], 1)))
    assert [shape(found, f"output[{at}].content[0].text")[:2] for at in (0, 1)] == [["a", "|"], ["b", "|"]]


def test_an_item_that_comes_whole() -> None:
    item = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"a": 1}'}
    found = decode(
        stream(
            [
                {"type": "response.output_item.added", "output_index": 0, "item": item},
                {"type": "response.output_item.done", "output_index": 0, "item": item},
            ]
        )
    )
    assert shape(found, "output[0].arguments") == ['{"a": 1}', "|", "=", "="]
    assert shape(found, "output[0].name") == ["f", "|", "=", "="]


def test_a_text_that_has_ended_is_not_continued() -> None:
    frames = response_frames("response.output_text", ["4111 1111"])
    delta = next(frame for frame in frames if b"output_text.delta" in frame)
    for at, frame in enumerate(frames):
        if b"output_text.done" in frame or b"part.done" in frame or b"item.done" in frame:
            assert faults(decode([*frames[: at + 1], delta])) == [ErrorCode.UPSTREAM_INVALID_JSON]


@pytest.mark.parametrize("base", GROWING)
def test_an_empty_repeat_ends_the_text(base: str) -> None:
    field = GROWING[base][0]
    frames = response_frames(base, ["abc"])
    at = next(number for number, frame in enumerate(frames) if b".done" in frame)
    frames[at] = frames[at].replace(f'"{field}":"abc"'.encode(), f'"{field}":""'.encode())
    assert shape(decode(frames[: at + 1]), PATHS[base]) == ["abc", "|"]


def test_parts_of_a_summary_take_turns() -> None:
    name, where = "response.reasoning_summary_text", {"output_index": 0, "item_id": "rs_1"}
    frames = [
        author.event({"type": f"{name}.{last}", **where, "summary_index": at, field: text})
        for last, at, field, text in (
            ("delta", 0, "delta", "4111 1111"),
            ("delta", 1, "delta", "x"),
            ("delta", 0, "delta", " 1111 1111"),
            ("done", 0, "text", "4111 1111 1111 1111"),
            ("done", 1, "text", "x"),
        )
    ]
    found = decode([*frames, author.event({"type": "response.completed", "response": {}})])
    assert shape(found, "output[0].summary[0].text") == ["4111 1111", " 1111 1111", "|", "="]
    assert shape(found, "output[0].summary[1].text") == ["x", "|", "="]


def test_an_unknown_field_that_goes_on_after_another_is_another_text() -> None:
    events = [
        {"type": "response.output_text.delta", "output_index": 0, name: text}
        for name, text in (("new", "a"), ("other", "b"), ("new", "c"))
    ]
    found = decode([*map(author.event, events), author.event({"type": "response.completed", "response": {}})])
    assert shape(found, "output[0].content[0].new") == ["a", "|", "c", "|"]


def test_shell_output_comes_in_two_streams_of_each_command() -> None:
    where = {"output_index": 0, "item_id": "call_1", "command_index": 1}
    name = "response.shell_call_output_content"
    output = {"stdout": "ab", "stderr": "c", "outcome": {"type": "exit", "exit_code": 0}}
    item = {"type": "shell_call_output", "call_id": "call_1", "output": [{"stdout": "x", "stderr": ""}, output]}
    found = decode(
        stream(
            [
                {"type": "response.output_item.added", "output_index": 0, "item": {**item, "output": []}},
                {"type": f"{name}.delta", **where, "delta": {"stdout": "a"}},
                {"type": f"{name}.delta", **where, "delta": {"stdout": "b", "stderr": "c"}},
                {"type": f"{name}.done", **where, "output": [output]},
                {"type": "response.output_item.done", "output_index": 0, "item": item},
            ]
        )
    )
    assert shape(found, "output[0].output[1].stdout") == ["a", "b", "|", "=", "=", "="]
    assert shape(found, "output[0].output[1].stderr") == ["c", "|", "=", "=", "="]
    assert shape(found, "output[0].output[0].stdout") == ["x", "|", "="]


def test_a_transcript_has_no_final_copy() -> None:
    frames = stream(
        [
            {"type": "response.audio.transcript.delta", "delta": "a"},
            {"type": "response.audio.transcript.delta", "delta": "b"},
            {"type": "response.audio.transcript.done"},
        ]
    )
    assert shape(decode(frames), "audio.transcript") == ["a", "b", "|"]


def test_fields_of_the_response_are_repeated_by_every_event_that_holds_it() -> None:
    events = replies.around([], {"output": [], "instructions": "be kind", "metadata": {"a": "b"}})
    found = decode([author.event(event) for event in events])
    assert shape(found, "instructions") == ["be kind", "|", "=", "="]
    assert shape(found, "metadata.a") == ["b", "|", "=", "="]


def test_an_identifier_does_not_continue_in_the_next_event() -> None:
    frames = response_frames("response.output_text", ["a", "b"])
    found = decode([frame.replace(b'"item_id":"msg_0"', b'"item_id":["no id","x"]') for frame in frames])
    assert shape(found, "output[0].id[0]") == ["no id", "|", *"=" * 4]
    assert shape(found, "output[0].id[1]") == ["x", "|", *"=" * 4]


def test_the_words_of_other_servers_do_not_end_a_stream() -> None:
    frames = response_frames("response.output_text", ["a"])
    assert faults(decode([*frames[:-1], b"data: [DONE]\n\n"])) == [ErrorCode.UPSTREAM_TRUNCATED]
    whole = decode([*frames, b"data: [DONE]\n\n"])
    assert faults(whole) == []
    assert not any(b"DONE" in event.frame.data for event in whole if isinstance(event, (Text, Opaque)))


@pytest.mark.parametrize("end", ["response.completed", "response.incomplete", "response.failed", "error"])
def test_every_end_ends_the_stream(end: str) -> None:
    frames = response_frames("response.output_text", ["a"])[:5]
    found = decode([*frames, author.event({"type": end, "message": "m", "response": {"error": {"message": "n"}}})])
    assert faults(found) == []
    assert shape(found, "output[0].content[0].text")[-1] == "|"


def test_facts_come_from_the_last_event() -> None:
    decoder = CODEC.decoder(streamed=True, failed=False, limit_bytes=99_999)
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    response = {"model": "m", "usage": usage, "incomplete_details": {"reason": "max_output_tokens"}}
    decoder.feed(author.event({"type": "response.created", "response": {"model": "m", "status": "in_progress"}}))
    decoder.feed(author.event({"type": "response.incomplete", "response": {**response, "status": "incomplete"}}))
    assert (decoder.seen.model, decoder.seen.usage, decoder.seen.finish) == ("m", usage, ["max_output_tokens"])


def test_schemas_apply_to_calls_and_answers() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "format": "email"}}}
    request = {
        "input": "hi",
        "tools": [{"type": "function", "name": "send", "parameters": schema}],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": schema}},
    }
    for base, where in (
        ("response.function_call_arguments", "tools[0]"),
        ("response.output_text", "text.format"),
        ("response.mcp_call_arguments", None),
    ):
        found = decode(response_frames(base, ["{", "}"]), request=request)
        shapes = [event.shape for event in found if isinstance(event, Text) and event.channel.path == PATHS[base]]
        assert {shape and shape.where for shape in shapes} == {where}


def entry(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": []}


def test_log_probabilities_stay_only_if_they_say_the_text() -> None:
    events = list(growing("response.output_text", ["a", "b"]))
    for event in events:
        if "delta" in event:
            event["logprobs"] = [entry(event["delta"] if event["delta"] == "a" else "other")]
    frames = stream(events)
    trees = [
        event.frame.tree
        for event in decode(frames, guarded=True)
        if isinstance(event, Text) and event.frame.event == "response.output_text.delta"
    ]
    assert [tree["logprobs"] for tree in trees if tree.get("delta")] == [[entry("a")], []]
    kept = [event for event in decode(frames) if isinstance(event, Text) and "logprobs" in event.frame.tree]
    assert any(event.frame.tree["logprobs"] == [entry("other")] for event in kept)


def test_the_number_of_alternatives_is_no_token_data() -> None:
    events = list(replies.around([], {"output": [], "top_logprobs": 5, "tools": [{"enum": [1, 2, 3, 4, 5]}]}))
    for frame in (
        event.frame for event in decode([*map(author.event, events)], guarded=True) if isinstance(event, (Text, Opaque))
    ):
        assert frame.tree["response"]["top_logprobs"] == 5
        assert frame.tree["response"]["tools"][0]["enum"] == [1, 2, 3, 4, 5]
