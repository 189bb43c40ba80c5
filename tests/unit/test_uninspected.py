"""What no check can read: named by its kind in the record, or refused where a policy says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.wire.formats.openai_completions.writer import author as completions
from tests.kit.media import IMAGE_URL, SIGNATURE, WAV
from tests.kit.play import CHAT, MESSAGES, Play, policy_set
from tests.kit.records import members
from tests.kit.responses import RESPONSES

RULES = "checks: {bad: {use: pattern, words: [forbidden]}}\nrules: [{id: bads, when: bad, action: block}]\n"


def play(more: str = "", route: str = CHAT, **body: Any) -> Play:
    plain = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    return Play(policy_set(f"policy: p\n{more}\n{RULES}"), route).ask({**plain, **body})


def parts(*content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}]}


IMAGE = {"type": "image_url", "image_url": {"url": IMAGE_URL}}
SOUND = {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}


def refused(done: Play) -> str:
    """The code of a refusal; empty where the request went on."""
    if any(line.startswith("<< SendUpstream") for line in done.lines):
        return ""
    return str(done.record["error"]["code"])


def test_the_record_names_the_kinds() -> None:
    request = play(**parts(IMAGE, SOUND)).exchange.record("").request
    assert request.uninspected_kinds == ("image", "audio")


@pytest.mark.parametrize(
    ("more", "codes"),
    [
        ("", ("", "")),
        ("opaque: pass", ("", "")),
        ("opaque: refuse", ("opaque_content", "opaque_content")),
        ("opaque: {image: pass, audio: refuse}", ("", "opaque_content")),
    ],
)
def test_a_policy_refuses_kinds(more: str, codes: tuple[str, str]) -> None:
    assert (refused(play(more, **parts(IMAGE))), refused(play(more, **parts(SOUND)))) == codes


@pytest.mark.parametrize(
    "body",
    [
        {"prompt_token_ids": [1]},
        {"input_ids": [[1, 2]]},
        {"context": [1, 2, 3]},
        {"prompt": [[1, 2]]},
        {"new": {"deep": list(range(9))}},
        {"new": {"deep": {"input_ids": [1, 2]}}},
        {"messages": [{"role": "user", "content": [1, 2, 3]}]},
        {"messages": [{"role": "user", "content": "hi", "prompt_token_ids": [1]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "input_ids": [1]}]}]},
    ],
)
def test_integers_that_stand_for_a_text_are_refused(body: dict[str, Any]) -> None:
    done = play(**body)
    assert refused(done) == "token_ids"
    assert done.record["error"]["field"]
    passed = play("token_ids: pass", **body)
    assert refused(passed) == ""
    assert members(passed.exchange.record(""))["request"]["uninspected_kinds"] == ["token_ids"]


@pytest.mark.parametrize(
    "value",
    [
        [1, "forbidden"],
        [[1, 2], ["x"]],
        [[[1], [[2, "x"]]]],
        [1.0],
        [True, 1],
        [1, None],
        [-1],
        [10**8],
        [1, 10**40],
        [{"a": 1}, 2],
        {"text": [1]},
        "AAAA",
        [104.0] * 9,
    ],
)
@pytest.mark.parametrize("more", ["", "token_ids: pass"])
def test_only_whole_numbers_pass_as_token_ids(more: str, value: Any) -> None:
    assert refused(play(more, completions.ROUTE, prompt="hi", prompt_token_ids=value)) == "token_ids"
    if isinstance(value, list) and any(isinstance(item, (int, float)) for item in value):
        assert refused(play(more, prompt_ids_of_a_new_server=[*range(9), *value])) == "token_ids"


def test_integers_of_tools_are_no_text() -> None:
    numbers = list(range(100))
    tool = {"type": "function", "function": {"name": "f", "parameters": {"enum": numbers}}}
    assert refused(play(tools=[tool], logit_bias={str(number): 1 for number in numbers}, stop=["x"])) == ""
    used = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"prompt": numbers}}
    assert refused(play(route=MESSAGES, messages=[{"role": "assistant", "content": [used]}])) == ""


def test_an_answer_with_refused_content_ends() -> None:
    block = {"type": "thinking", "thinking": "so", "signature": SIGNATURE}
    answer = {"type": "message", "content": [block], "stop_reason": "end_turn"}
    for more, outcome in (("", "answered"), ("opaque: {signature: refuse}", "opaque_content")):
        done = play(more, MESSAGES).stream([json.dumps(answer).encode()], media="application/json")
        assert done.finish.outcome == outcome


def test_an_identifier_that_holds_a_value_is_refused_and_said_so() -> None:
    policy = policy_set("policy: p\nchecks: {card: {use: pii}}\nrules: [{id: cards, when: card, action: redact}]\n")
    call = {"id": "4111111111111111", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}
    done = Play(policy, CHAT).ask(body)
    assert done.finish.outcome == "blocked_request"
    assert b"`id`, which cannot be edited" in done.client
    assert "4111111111111111" not in str(done.finish.record)
    assert b"4111111111111111" not in done.client


@pytest.mark.parametrize("more", ["", "opaque: refuse", "unmapped: refuse"])
def test_log_probabilities_that_a_client_sends_back_do_not_go_upstream(more: str) -> None:
    entry = {"token": "so", "logprob": -1e-05, "bytes": [115, 111], "top_logprobs": [{"token": "no", "logprob": -9.0}]}
    part = {"type": "output_text", "text": "so", "annotations": [], "logprobs": [entry]}
    said = {"type": "message", "role": "assistant", "content": [part]}
    done = Play(policy_set(f"policy: p\n{more}\n{RULES}"), RESPONSES).ask(
        {"model": "m", "input": [said, {"role": "user", "content": "hi"}], "instructions": [said]}
    )
    assert refused(done) == ""
    gone = {**said, "content": [{**part, "logprobs": []}]}
    assert done.upstream["input"][0] == done.upstream["instructions"][0] == gone
