"""The record of an exchange in every format is replayed exactly, also where it lists what was not inspected."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from guardproxy.audit.record.document import Record
from guardproxy.exchange.inputs.transcript import DataReceived, DownstreamGone, ResponseStarted
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.replay.recorded import RecordedUpstream
from guardproxy.wire.contract.codec import Codec
from guardproxy.wire.contract.writing import Prompt, Reply
from guardproxy.wire.formats.openai_completions.codec import CODEC as COMPLETIONS
from guardproxy.wire.formats.openai_inputs.contract import EMBEDDINGS, MODERATIONS
from guardproxy.wire.formats.openai_inputs.writer import author as inputs
from guardproxy.wire.registry import codecs
from tests.kit.gemini import GEMINI, gemini_frames
from tests.kit.media import PNG
from tests.kit.play import Play, mint, policy_set
from tests.kit.records import plain_answer, replay, through_log

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


STOPPING = """
policy: test
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.io"]}
  bad: {use: pattern, label: BAD, words: [forbidden]}
rules:
  - {id: mail, on: request, when: mail, action: redact, restore: true}
  - {id: bad, on: response, when: bad, action: block}
"""
SHAPED = """
policy: shaped
checks: {shape: {use: json_schema, schema: from_request}}
rules: [{id: again, on: response, when: shape, action: retry, attempts: 1, then: block}]
"""


def without_border(record: Record) -> Record:
    """The record as earlier releases wrote it, which do not say where the first frame ended."""
    runs: dict[int, int] = {}
    for index, chars in record.response.runs:
        runs[index] = runs.get(index, 0) + chars
    return replace(record, response=replace(record.response, runs=tuple(runs.items()), opening=0))


@pytest.mark.parametrize("parts", [["fine so ", "far forbidden", " more"], ["fine so far forbidden more"]])
@pytest.mark.parametrize("codec", policy_set(STOPPING).formats.codecs, ids=lambda codec: codec.name)
def test_a_stream_that_a_rule_stops(codec: Codec, parts: list[str]) -> None:
    """A stream that is stopped in its first frame was not begun, so the client gets an error instead."""
    policies, author = policy_set(STOPPING), codec.author
    prompt = Prompt("m", f"I am {MAIL}", stream=True)
    frames = list(author.frames(prompt, Reply("".join(parts)), "1", lambda text: parts))
    play = Play(policies, author.ROUTE).ask(author.request(prompt)).stream(frames)
    replayed(play, policies)
    record = through_log(play.finish.record)
    assert record.response.opening == (1 if frames else 0)
    assert replay(without_border(record), policies).differences == ()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("query", ["alt=sse", "alt=json"])
@pytest.mark.parametrize("codec", policy_set(STOPPING).formats.codecs, ids=lambda codec: codec.name)
def test_an_answer_in_every_framing_that_a_rule_stops(codec: Codec, query: str, streamed: bool) -> None:
    """The record has no query, by which a request of some formats chooses the framing and the type of a stream. An upstream may
    answer with a whole body where a stream was asked for."""
    policies, said = policy_set(STOPPING, SHAPED), "fine so far forbidden"
    play = Play(policies, codec.author.ROUTE, query=query)
    author, media = play.exchange.setting.codec.author, play.exchange.setting.codec.contract.media
    prompt = Prompt("m", "hi", stream=True)
    frames = list(author.frames(prompt, Reply(said), "1", lambda text: [text])) if streamed else []
    answer = json.dumps(author.answer(prompt, Reply(said), "1")).encode()
    if media.streamed == media.whole:
        answer = b"[%b]" % answer
    play.ask(author.request(prompt)).stream(frames or [answer], media=media.streamed if frames else media.whole)
    assert (play.finish.outcome == "blocked_response") is codec.contract.is_answered(author.ROUTE)
    replayed(play, policies)


def test_a_first_frame_with_several_texts() -> None:
    """The stop is in the second text of the first frame, so nothing of the answer has left."""
    policies = policy_set(STOPPING)
    (ollama,) = [codec for codec in codecs() if codec.name == "ollama_chat"]
    message = {"role": "assistant", "thinking": "fine", "content": "forbidden"}
    lines = [{"message": message, "done": False}, {"message": {"content": ""}, "done": True}]
    frames = [json.dumps({"model": "m", **line}).encode() + b"\n" for line in lines]
    prompt = Prompt("m", "hi", stream=True)
    play = Play(policies, ollama.author.ROUTE).ask(ollama.author.request(prompt)).stream(frames)
    record = through_log(play.finish.record)
    assert (record.outcome, record.status, record.response.opening) == ("blocked_response", 400, 2)
    assert replay(record, policies).differences == ()
    assert replay(without_border(record), policies).differences == ()


def test_a_first_frame_with_an_empty_text() -> None:
    policies, author = policy_set(STOPPING), COMPLETIONS.author
    prompt = Prompt("m", "hi", stream=True)
    frames = list(author.frames(prompt, Reply("a forbidden"), "1", lambda text: ["", "a forbidden"]))
    play = Play(policies, author.ROUTE).ask(author.request(prompt)).stream(frames)
    assert play.head.status == 200
    replayed(play, policies)


def test_an_answer_that_is_cut_off_in_a_restored_value() -> None:
    """The client got the whole value with the first part of its placeholder."""
    policies, author = policy_set(STOPPING), COMPLETIONS.author
    prompt, token = Prompt("m", f"I am {MAIL}", stream=True), mint("MAIL", MAIL)
    parts = ["to ", token[:9], f"{token[9:]} now forb"]  # the last frame is held, as `forb` may become a stop
    frames = list(author.frames(prompt, Reply("".join(parts)), "1", lambda text: parts))[: len(parts)]
    play = Play(policies, author.ROUTE).ask(author.request(prompt))
    play.tell(ResponseStarted(200, COMPLETIONS.contract.media.streamed))
    for frame in frames:
        play.tell(DataReceived(frame))
        play.scan()
    play.tell(DownstreamGone())
    record = through_log(play.finish.record)
    assert record.outcome == "client_closed"
    (text,) = record.response.texts
    assert text.edits == ((3, 3 + len(token)),)
    assert text.released == 3 + len(token)
    assert replay(record, policies).differences == ()


@pytest.mark.parametrize("codec", codecs(), ids=lambda codec: str(codec.name))
def test_an_answer_of_the_proxy_is_that_of_the_format(codec: Codec) -> None:
    given = (403, "content_filter", "no", None)
    recorded = RecordedUpstream(codec, plain_answer(), False)
    assert recorded.own_answer(*given) == codec.own_answer(*given)
    assert recorded.error(*given) == codec.error(*given)
