"""The record of an exchange in every format is replayed exactly, also where it lists what was not inspected."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardproxy.policy.evaluate import PolicySet
from guardproxy.replay.recorded import RecordedUpstream
from guardproxy.wire.authoring import Prompt, Reply
from guardproxy.wire.codec import Codec
from guardproxy.wire.formats.openai_completions.codec import CODEC as COMPLETIONS
from guardproxy.wire.formats.openai_inputs import author as inputs
from guardproxy.wire.formats.openai_inputs.contract import EMBEDDINGS, MODERATIONS
from guardproxy.wire.registry import codecs
from tests.kit.gemini import GEMINI, gemini_frames
from tests.kit.media import PNG
from tests.kit.play import Play, policy_set
from tests.kit.records import replay, through_log

MAIL = "jo@ab.io"
POLICY = """
policy: test
token_ids: pass
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.io"]}
rules: [{id: mail, when: mail, action: redact, restore: true}]
"""


def replayed(play: Play, policies: PolicySet) -> None:
    record = through_log(play.finish.record)
    assert MAIL not in record.to_json().decode()
    again = replay(record, policies)
    assert again.differences == ()
    assert again.verdict == "identical"


DECLARED = """
formats:
  acme:
    routes: [POST /acme/talk]
    request: {texts: {/turns/*/text: by_role}, role: from, model: /engine, stream: /live}
    answer: {texts: {/output: assistant}}
    stream: {framing: ndjson, texts: {/part: assistant}, end: {pointer: /last, equals: true}}
    error: /fault
"""
FORMATS = policy_set(POLICY + DECLARED).formats.codecs


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("codec", FORMATS, ids=lambda codec: codec.name.partition("@")[0])
def test_an_exchange_of_every_format(codec: Codec, streamed: bool) -> None:
    policies, author, media = policy_set(POLICY + DECLARED), codec.author, codec.contract.media
    prompt = Prompt("m", f"I am {MAIL}", stream=streamed)
    play = Play(policies, author.ROUTE).ask(author.request(prompt))
    reply = Reply(f"you are {MAIL}, and I am {MAIL}")
    frames = list(author.frames(prompt, reply, "1", lambda text: [text[:9], text[9:]])) if streamed else []
    if frames:
        play.stream(frames)
    else:
        play.stream([json.dumps(author.answer(prompt, reply, "1")).encode()], media=media.whole)
    assert play.finish.outcome == "answered"
    replayed(play, policies)


def test_a_record_is_not_replayed_in_a_format_that_is_declared_in_another_way() -> None:
    policies, author = policy_set(POLICY + DECLARED), FORMATS[-1].author
    play = Play(policies, author.ROUTE).ask(author.request(Prompt("m", f"I am {MAIL}")))
    play.stream([json.dumps(author.answer(Prompt("m", "a"), Reply("fine"), "1")).encode()], media="application/json")
    record = through_log(play.finish.record)
    assert record.codec.startswith("acme@")
    changed = replay(record, policy_set(POLICY + DECLARED.replace("/output", "/text")))
    assert (changed.verdict, changed.differences) == (
        "not replayable",
        ("its wire format is declared in another way now",),
    )
    assert replay(record, policy_set(POLICY)).differences == ("its wire format is not installed",)


@pytest.mark.parametrize(
    ("route", "tree"),
    [
        (EMBEDDINGS, {"model": "m", "input": [MAIL, "b"], "encoding_format": "base64", "dimensions": 64}),
        (EMBEDDINGS, {"model": "m", "input": [1, 2, 3]}),
        (EMBEDDINGS, {"model": "m", "input": [[1, 2], [3]]}),
        (MODERATIONS, {"input": [{"type": "text", "text": MAIL}]}),
    ],
)
def test_content_that_was_not_inspected(route: str, tree: Any) -> None:
    policies = policy_set(POLICY)
    play = Play(policies, route).ask(tree)
    play.stream([json.dumps(inputs.unanswered(route, tree, "1")).encode()], media="application/json")
    replayed(play, policies)


def test_content_and_arguments_of_gemini() -> None:
    policies = policy_set(POLICY)
    key = "AIza" + "SyD-0123456789"
    play = Play(policies, GEMINI).ask(
        {
            "contents": [{"parts": [{"text": f"I am {MAIL}"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]}],
            "cachedContent": "cachedContents/4l1x0ubbk3h2",
            "tools": [{"exaAiSearch": {"apiKey": key}}],
        }
    )
    play.stream(gemini_frames([f"to {MAIL[:3]}", f"{MAIL[3:]} now"], "argument"))
    assert play.record["request"]["uninspected_kinds"] == ["image", "file", "secret"]
    assert key not in json.dumps(play.record)
    replayed(play, policies)


def test_a_replay_reads_every_framing_of_a_format() -> None:
    """The record has texts and not the bytes that framed them."""
    policies, (gemini,) = policy_set(POLICY), [codec for codec in codecs() if codec.name == "gemini_generate"]
    play = Play(policies, GEMINI).ask({"contents": [{"parts": [{"text": "hi"}]}]}).stream(gemini_frames(["so"]))
    recorded = RecordedUpstream(gemini, through_log(play.finish.record).response, stopped=False)
    assert recorded.for_request("/v1beta/models/m:streamGenerateContent", "") is recorded


@pytest.mark.parametrize("ids", [[1, 2, 3], [[1, 2], [3]]])
def test_token_ids_that_a_policy_lets_pass(ids: Any) -> None:
    policies, author = policy_set(POLICY), COMPLETIONS.author
    play = Play(policies, author.ROUTE).ask({"model": "m", "prompt": ids})
    assert play.upstream["prompt"] == ids
    answer = author.answer(Prompt("m", "", with_logprobs=True), Reply(f"so {MAIL}"), "1")
    play.stream([json.dumps(answer).encode()], media="application/json")
    assert play.record["request"]["uninspected"] == ["prompt"]
    replayed(play, policies)
