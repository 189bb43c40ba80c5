"""What self-hosted servers add to the formats that they imitate."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.events import Text
from guardproxy.wire import installed
from guardproxy.wire.decoding.token_data import TOKENS
from guardproxy.wire.json import TOKEN_IDS
from guardproxy.wire.request.vllm_fields import CHAT_OPTIONS, DENIED, OPTIONS
from tests.kit.play import CHAT, MESSAGES, Play, chat_frames, policy_set

RULES = "checks: {bad: {use: pattern, words: [forbidden]}}\nrules: [{id: bads, when: bad, action: block}]\n"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    MESSAGES: {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]},
    "POST /v1/responses": {"model": "m", "input": "hi"},
    "POST /v1/completions": {"model": "m", "prompt": "hi"},
    "POST /v1/embeddings": {"model": "m", "input": "hi"},
}


def ask(route: str, more: str = "", **body: Any) -> Play:
    return Play(policy_set(f"policy: p\n{more}\n{RULES}"), route).ask({**BODIES[route], **body})


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.parametrize("name", sorted(DENIED))
def test_a_field_that_leads_round_the_checks_is_refused_by_name(route: str, name: str) -> None:
    refused = ask(route, **{name: "x"})
    error = json.loads(refused.client)["error"]
    assert refused.upstream is None
    assert f"`{name}`" in error["message"]
    assert f"allow_fields: [{name}]" in error["message"]
    assert refused.record["error"]["code"] == "field_denied"
    assert refused.record["error"]["field"] == name


@pytest.mark.parametrize("route", BODIES)
def test_a_policy_allows_a_field_and_its_texts_are_read(route: str) -> None:
    allowed = "allow_fields: [chat_template]"
    assert ask(route, allowed, chat_template="fine").upstream["chat_template"] == "fine"
    assert ask(route, allowed, chat_template="forbidden").finish.outcome == "blocked_request"


def test_every_policy_has_to_allow_the_field() -> None:
    one, other = f"policy: a\nallow_fields: [chat_template]\n{RULES}", f"policy: b\n{RULES}"
    for texts, passes in (((one,), True), ((one, other), False), ((other, one), False), ((), False)):
        done = Play(policy_set(*texts)).ask({**BODIES[CHAT], "chat_template": "x"})
        assert (done.upstream is not None) is passes


@pytest.mark.parametrize("name", ["input_ids", "prompt_token_ids", "prompt_embeds", "input_embeds"])
@pytest.mark.parametrize("value", [[1, 2], [[0.5]], "AAAA"])
def test_numbers_in_place_of_a_text_are_refused_in_any_form(name: str, value: Any) -> None:
    assert ask(CHAT, **{name: value}).record["error"]["code"] == "token_ids"
    allowed = ask(CHAT, "token_ids: pass", **{name: value})
    if value == [1, 2]:
        assert allowed.upstream[name] == value
    else:  # tensors are not token ids
        assert allowed.record["error"]["code"] == "token_ids"


@pytest.mark.parametrize("name", sorted({*map(str, CHAT_OPTIONS)} - {*DENIED}))
def test_an_option_is_no_unknown_field(name: str) -> None:
    if CHAT_OPTIONS[name] == TOKEN_IDS:
        return
    assert ask(CHAT, "unmapped: refuse", **{name: True}).upstream[name] is True


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("documents", [{"title": "forbidden", "text": "x"}], "document"),
        ("documents", ["forbidden"], "document"),
        ("structured_outputs", {"choice": ["forbidden"]}, "tool_definition"),
        ("guided_json", {"enum": ["forbidden"]}, "tool_definition"),
        ("ebnf", "forbidden", "tool_definition"),
        ("bad_words", ["forbidden"], "metadata"),
        ("vllm_xargs", {"x": "forbidden"}, "metadata"),
    ],
)
def test_the_texts_of_options_are_read(name: str, value: Any, kind: str) -> None:
    codec = installed().codec_for(CHAT)
    assert codec
    events = codec.read_request("/v1/chat/completions", "", json.dumps({**BODIES[CHAT], name: value}).encode()).events()
    assert [event.channel.kind for event in events if isinstance(event, Text) and event.text == "forbidden"] == [kind]
    assert ask(CHAT, **{name: value}).finish.outcome == "blocked_request"


def test_every_format_reads_the_options() -> None:
    assert OPTIONS.keys() <= CHAT_OPTIONS.keys()


@pytest.mark.parametrize(
    "more",
    [
        {"packed_top_logprobs": "Zm9yYmlkZGVu"},
        {"routed_experts": [[1]]},
        {"hidden_states": [[0.1, 0.2]]},
        {"kv_transfer_params": {"remote_host": "10.0.0.1"}},
        {"prompt_token_ids": [1, 2, 3, 4, 5]},
        {"sglext": {"text": "x"}},
    ],
)
def test_what_repeats_a_text_is_dropped_from_answers(more: dict[str, Any]) -> None:
    (name,) = more
    assert name in TOKENS
    done = ask(CHAT, stream=True)
    done.stream([*chat_frames([{"content": "hello", **more}])])
    assert b"hello" in done.client
    assert name.encode() not in done.client


def test_both_names_of_reasoning_are_read() -> None:
    texts = {"reasoning": "one", "reasoning_content": "two forbidden"}
    done = ask(CHAT, stream=True)
    done.stream([*chat_frames([texts])])
    assert b"forbidden" not in done.client
    assert done.finish.outcome == "blocked_response"


@pytest.mark.parametrize("route", [CHAT, "POST /v1/completions"])
@pytest.mark.parametrize("name", ["stop_reason", "matched_stop", "prompt_text"])
def test_a_text_that_a_choice_repeats_is_read(route: str, name: str) -> None:
    codec = installed().codec_for(route)
    assert codec
    choice = {"index": 0, "finish_reason": "stop", "text": "", "message": {"role": "assistant", "content": ""}}
    decoder = codec.decoder(streamed=False, failed=False, limit_bytes=10_000)
    events = [*decoder.feed(json.dumps({"choices": [{**choice, name: "some words"}]}).encode()), *decoder.end()]
    (text,) = [event for event in events if isinstance(event, Text) and event.text == "some words"]
    assert (text.channel.kind, text.unmapped) == ("metadata", False)
