"""Rules on requests and answers of the Responses API: what the model and the client get."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.exchange.inputs.transcript import DataReceived, ResponseEnded, ResponseStarted
from tests.kit.play import Play, events, mint, policy_set
from tests.kit.responses import GROWING, RESPONSES, growing, response_frames, response_texts, stream

MAIL = "jo@ab.io"
TOKEN = mint("MAIL", MAIL)
POLICIES = policy_set(
    """
policy: test
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.(io|com)"]}
  code: {use: pattern, label: CODE, patterns: ["\\\\bK-[0-9]{4,8}\\\\b"]}
  bad:  {use: pattern, label: BAD, words: [forbidden]}
rules:
  - {id: mail, on: request, when: mail, action: redact}
  - {id: code, on: response, when: code, action: redact}
  - {id: bad, on: response, when: bad, action: block}
"""
)
CODE = mint("CODE", "K-12345")


def ask(**more: Any) -> Play:
    return Play(POLICIES, RESPONSES).ask({"model": "m", "stream": True, **more})


@pytest.mark.parametrize("base", GROWING)
def test_every_copy_of_a_text_has_the_same_edits(base: str) -> None:
    """The reader of the stream fails if two copies differ."""
    text = json.dumps({"a": "K-12345"}) if base.endswith("arguments") else "a K-12345 b"
    client = ask(input="hi").stream(response_frames(base, list(text))).client
    assert response_texts(client) == {base: text.replace("K-12345", CODE), "end": "response.completed"}
    assert b"K-12345" not in client


@pytest.mark.parametrize("base", GROWING)
def test_a_stopped_answer_ends_with_what_the_client_received(base: str) -> None:
    text = json.dumps({"a": "K-12345 forbidden"}) if base.endswith("arguments") else "a K-12345 forbidden b"
    answer = stream(growing("response.output_text", ["So."]), growing(base, list(text), 1))
    play = ask(input="hi").stream(answer)
    assert play.finish.outcome == "blocked_response"
    texts = response_texts(play.client)
    said = '{"a": ' if base.endswith("arguments") else f"a {CODE} "
    if base == "response.output_text":
        assert texts == {base: f"So.{said}", "end": "response.incomplete"}
    else:
        assert texts == {"response.output_text": "So.", base: said, "end": "response.incomplete"}


def test_a_text_that_only_the_last_event_has_is_stopped_too() -> None:
    frames = stream(growing("response.output_text", ["So."]))
    frames[-1] = frames[-1].replace(b"So.", b"forbidden")
    play = ask(input="hi").stream(frames)
    assert play.finish.outcome == "blocked_response"
    assert b"forbidden" not in play.client
    assert response_texts(play.client) == {"response.output_text": "So.", "end": "response.incomplete"}


def test_a_text_that_goes_on_after_its_end_is_an_error() -> None:
    """The parts of a value cannot pass on both sides of the end of a text."""
    frames = response_frames("response.output_text", ["K-12"])
    at = next(number for number, frame in enumerate(frames) if b"output_text.done" in frame)
    (delta,) = (frame for frame in frames if b"output_text.delta" in frame)
    play = ask(input="hi").stream([*frames[: at + 1], delta.replace(b"K-12", b"345"), *frames[at + 1 :]])
    assert play.finish.outcome == "upstream_invalid_json"
    assert response_texts(play.client)["end"] == "error"


def test_an_error_event_has_the_next_number() -> None:
    play = ask(input="hi")
    play.tell(ResponseStarted(200, "text/event-stream"))
    for frame in response_frames("response.output_text", ["So."])[:5]:
        play.tell(DataReceived(frame))
        play.scan()
    play.tell(ResponseEnded())
    assert play.finish.outcome == "upstream_truncated"
    *_, (_, before), (_, error) = events(play.client)
    assert (error["type"], error["sequence_number"]) == ("error", before["sequence_number"] + 1)


def test_a_placeholder_is_the_same_in_every_turn() -> None:
    """Values come back in the turn whose request has them: an earlier turn that the provider keeps gives none."""
    answer = response_frames("response.output_text", ["I wrote to ", TOKEN, "."])
    first = ask(input=f"write to {MAIL}")
    assert first.upstream["input"] == f"write to {TOKEN}"
    assert response_texts(first.stream(answer).client)["response.output_text"] == f"I wrote to {MAIL}."
    later = ask(input="to whom?", previous_response_id="resp_1")
    assert response_texts(later.stream(answer).client)["response.output_text"] == f"I wrote to {TOKEN}."
    again = ask(input=f"to {MAIL}?", previous_response_id="resp_1")
    assert again.upstream["input"] == f"to {TOKEN}?"
    assert response_texts(again.stream(answer).client)["response.output_text"] == f"I wrote to {MAIL}."
    items = [{"role": "user", "content": f"write to {MAIL}"}, {"role": "user", "content": "to whom?"}]
    whole = ask(input=items)
    assert response_texts(whole.stream(answer).client)["response.output_text"] == f"I wrote to {MAIL}."


def test_citations_move_with_the_text_they_count_in() -> None:
    text = "a K-12345 source"
    note = {"type": "url_citation", "title": "t", "url": "u", "start_index": 10, "end_index": 16}
    found = list(growing("response.output_text", list(text)))
    at = next(number for number, event in enumerate(found) if event["type"] == "response.output_text.done")
    where = {"output_index": 0, "item_id": "msg_0", "content_index": 0, "annotation_index": 0}
    found.insert(at, {"type": "response.output_text.annotation.added", **where, "annotation": note})
    for event in found[at + 1 :]:
        part = event.get("part") or (event["item"]["content"][0] if "item" in event else None)
        if part:
            part["annotations"] = [dict(note)]
    client = ask(input="hi").stream(stream(found)).client
    shown = response_texts(client)["response.output_text"]
    notes = []
    for _, tree in events(client):
        holders = [tree.get("part"), *tree.get("item", {}).get("content", [])]
        holders += [part for item in tree.get("response", {}).get("output", []) for part in item["content"]]
        notes += [entry for part in holders if part for entry in part.get("annotations", [])]
        notes += [tree["annotation"]] if "annotation" in tree else []
    assert len(notes) == 4
    assert {shown[entry["start_index"] : entry["end_index"]] for entry in notes} == {"source"}


def test_log_probabilities_of_an_edited_text_go_from_every_copy() -> None:
    tokens = ["a", " K-12345", " b"]
    entries = [{"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": []} for token in tokens]
    found = list(growing("response.output_text", tokens))
    deltas = iter(entries)
    for event in found:
        if "delta" in event:
            event["logprobs"] = [next(deltas)]
        elif event["type"] == "response.output_text.done":
            event["logprobs"] = entries
        elif event["type"] == "response.content_part.done":
            event["part"]["logprobs"] = entries
    client = ask(input="hi").stream(stream(found)).client
    assert b"K-12345" not in client
    kept = [[entry["token"] for entry in tree["logprobs"]] for _, tree in events(client) if "logprobs" in tree]
    assert kept == [["a"], [], [" b"], ["a", " b"]]


def test_a_value_in_a_field_of_the_request_that_the_answer_repeats() -> None:
    frames = stream(growing("response.output_text", ["So."]))
    frames = [
        frame.replace(b'"object":"response"', b'"object":"response","instructions":"K-12345"') for frame in frames
    ]
    client = ask(input="hi", instructions="K-12345").stream(frames).client
    assert b"K-12345" not in client
    instructions = [tree["response"]["instructions"] for _, tree in events(client) if "response" in tree]
    assert instructions == [CODE, CODE, CODE]


def test_credentials_of_tools_are_in_no_record() -> None:
    tools = [{"type": "mcp", "server_label": "docs", "authorization": MAIL, "headers": {"X-Key": MAIL}}]
    play = ask(input=f"I am {MAIL}", tools=tools)
    assert play.upstream["tools"] == tools
    play.stream(response_frames("response.output_text", ["So."]))
    record = play.record
    assert record["request"]["uninspected"] == ["tools[0].authorization", "tools[0].headers.X-Key"]
    assert record["request"]["uninspected_kinds"] == ["secret", "secret"]
    assert MAIL not in json.dumps(record)
    rules = "checks: {a: {use: secrets}}\nrules: [{id: a, when: a, action: block}]"
    refusing = policy_set(f"policy: a\n{rules}\nopaque: {{secret: refuse}}")
    refused = Play(refusing, RESPONSES).ask({"model": "m", "input": "hi", "tools": tools})
    assert refused.finish.outcome == "refused"
    assert json.loads(refused.client)["error"]["param"] == "tools[0].authorization"


def test_an_answer_that_no_rule_reads_passes_as_it_came() -> None:
    frames = response_frames("response.output_text", ["a ", "K-12345"])
    policies = policy_set("policy: a\nrules: [{id: watch, when: check_error, action: flag}]")
    play = Play(policies, RESPONSES).ask({"model": "m", "stream": True, "input": "hi"}).stream(frames)
    assert play.client == b"".join(frames)
