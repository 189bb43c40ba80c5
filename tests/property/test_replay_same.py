"""The record of an answer that ends anywhere replays identically, in every format and under every shipped policy.

The answers are the cases of the conformance suite (`Author.frames_with`, `answer_with`), and answers with several texts, with
and without the frame that opens them. A second policy stops, retries or redacts at a word, which stands at every place of the
text. The same holds for records of earlier releases, which do not say where the first frame ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from guardproxy.audit.record.document import Record
from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.errors import ErrorCode
from guardproxy.exchange.inputs.transcript import (
    DataReceived,
    DownstreamGone,
    Finish,
    Input,
    ResponseEnded,
    ResponseStarted,
    UpstreamFailed,
)
from guardproxy.exchange.player import play as drive
from guardproxy.library import JUDGES, SilentCheck, all_but, read_policies, shipped_names
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse
from guardproxy.replay.replays import Rerun, rerun
from guardproxy.wire.contract.codec import Codec
from guardproxy.wire.contract.turns import Call
from guardproxy.wire.contract.writing import Prompt, Reply
from tests.kit.pii import People
from tests.kit.play import Play, mint
from tests.kit.records import replay, through_log

MAIL = "jo@ab.io"
STOP = "quokka"
STOPS = {
    "block": "action: block",
    "retry": "action: retry, attempts: 1, then: block",
    "pass": "action: retry, attempts: 1, then: pass_flagged",
    "redact": "action: redact",
    "shadow": "action: block, mode: shadow",
}
STOPPING = """
policy: stopping
checks: {stop: {use: pattern, label: STOP, words: [quokka]}}
rules: [{id: stop, on: response, when: stop, ACTION}]
formats:
  acme:
    routes: [POST /acme/talk]
    request: {texts: {/turns/*/text: by_role}, role: from, model: /engine, stream: /live}
    answer: {texts: {/output: assistant}}
    stream: {framing: ndjson, texts: {/part: assistant}, end: {pointer: /last, equals: true}}
    error: /fault
"""
ENDS: dict[str, Input] = {
    "whole": ResponseEnded(),
    "truncated": ResponseEnded(),
    "gone": DownstreamGone(),
    "failed": UpstreamFailed(ErrorCode.UPSTREAM_FAILED, "no answer"),
}


@cache
def policies(name: str, stop: str) -> PolicySet:
    """A shipped policy, whose models find nothing, and a policy that does something at the word `quokka`."""
    shipped, _, _ = read_policies(Path(name))
    every = (*shipped, parse(STOPPING.replace("ACTION", STOPS[stop]), "stopping.yaml"))
    resources = Resources(tagger=lambda name: People({}))
    checks = dict(build_checks(tuple(map(all_but(JUDGES), every)), resources))
    for policy in every:
        for check in policy.checks:
            checks.setdefault((policy.name, check), SilentCheck(check))
    return PolicySet(every, checks, "sha256:test")


class Said(NamedTuple):
    """An answer of an upstream, in frames."""

    frames: Sequence[bytes]
    streamed: bool = True


def cases(codec: Codec) -> Iterator[Said]:
    """The conformance cases of a format. The word stands at every place of a text."""
    for kind in sorted(codec.contract.carries["response"]):
        for at in range(3):
            pieces = ["so ", "it was", " here"]
            pieces.insert(at, f" {STOP} ")
            frames = codec.author.frames_with(kind, pieces)
            yield from [Said(frames)] if frames else []
        frames, tree = codec.author.frames_with(kind, [f"so {STOP}"]), codec.author.answer_with(kind, f"so {STOP}")
        yield from [Said(frames)] if frames else []
        yield from [Said([json.dumps(tree).encode()], streamed=False)] if tree is not None else []


@st.composite
def answers(draw: st.DrawFn, codec: Codec) -> Said:
    """An answer with several texts that repeats what was redacted."""
    token = mint("EMAIL_ADDRESS", MAIL)
    texts = st.lists(st.sampled_from(["so ", token, STOP, "it was ", "é", " "]), max_size=4).map("".join)
    calls = tuple(Call("go", json.dumps({"a": draw(texts)})) for _ in range(draw(st.integers(0, 1))))
    reply = Reply(draw(texts), draw(texts), draw(st.just("") | texts), calls)
    size = draw(st.sampled_from([1, 5, 60]))
    prompt = Prompt("m", "hi", stream=True, count=draw(st.sampled_from([1, 1, 2])))
    start = draw(st.sampled_from([[], [""]]))

    def cut(text: str) -> list[str]:
        return [*start, *(text[at : at + size] for at in range(0, len(text), size))]

    frames = list(codec.author.frames(prompt, reply, "1", cut))
    if not frames or draw(st.sampled_from([False, False, True])):
        return Said([json.dumps(codec.author.answer(prompt, reply, "1")).encode()], streamed=False)
    return Said(frames[draw(st.sampled_from([0, 0, 1])) :])


def record_of(policies: PolicySet, codec: Codec, said: Said, end: str, upto: int, late: Sequence[bool] = ()) -> Record:
    """The record of an exchange whose every answer is `said`, up to `upto` frames, and ends as `end` says."""
    play = Play(policies, codec.author.ROUTE)
    play.ask(codec.author.request(Prompt("m", f"I am {MAIL}", stream=said.streamed)))
    media = codec.contract.media
    started = ResponseStarted(200, media.streamed if said.streamed else media.whole)
    while not any(isinstance(command, Finish) for command in play.done):
        inputs = [started, *map(DataReceived, said.frames[:upto]), ENDS[end]]
        drive(play.exchange, inputs, play.perform, late=(False, *late[: max(0, upto - 1)]), watch=play.note)
    return through_log(play.finish.record)


def older(record: Record) -> Record:
    """The record as earlier releases wrote it: without the border of the first frame."""
    runs: list[tuple[int, int]] = []
    for index, chars in record.response.runs:
        before = runs.pop()[1] if runs and runs[-1][0] == index else 0
        runs.append((index, before + chars))
    return replace(record, response=replace(record.response, runs=tuple(runs), opening=0))


def written_before(record: Record, policies: PolicySet) -> bool:
    """Whether an earlier release can have written the record. Those that wrote no border had no format with lists in answers
    whose entries are left out one by one, with all texts of a frame."""
    codec = policies.formats.codec_for(record.route)
    assert codec
    lists = codec.contract.lists
    return lists is None or not any(lists.entry_of(text.path) for text in record.response.texts)


def assert_same(record: Record, policies: PolicySet) -> None:
    for written in (record, *([older(record)] if written_before(record, policies) else [])):
        result = replay(written, policies)
        assert (result.verdict, result.differences, result.rescanned) == ("identical", (), ())
    again = rerun(record, policies)
    assert isinstance(again, Rerun)
    assert again.record.decisions == record.decisions
    assert [attempt.decision for attempt in again.record.attempts] == [attempt.decision for attempt in record.attempts]


def answered(codec: Codec) -> bool:
    return codec.contract.is_answered(codec.author.ROUTE)


CODECS = {
    codec.name.partition("@")[0]: codec for codec in filter(answered, policies("default", "block").formats.codecs)
}


@pytest.mark.parametrize("name", shipped_names())
@pytest.mark.parametrize("codec", CODECS)
def test_the_conformance_cases_replay_identically_wherever_a_rule_stops_them(codec: str, name: str) -> None:
    stopping = policies(name, "block")
    outcomes = set()
    for said in cases(CODECS[codec]):
        record = record_of(stopping, CODECS[codec], said, "whole", len(said.frames))
        outcomes.add(record.outcome)
        assert_same(record, stopping)
    assert "blocked_response" in outcomes


@pytest.mark.parametrize("codec", CODECS)
@given(st.data())
def test_an_answer_replays_identically_wherever_it_ends(codec: str, data: st.DataObject) -> None:
    every = policies(data.draw(st.sampled_from(shipped_names())), data.draw(st.sampled_from(sorted(STOPS))))
    said = data.draw(st.one_of(answers(CODECS[codec]), st.sampled_from(list(cases(CODECS[codec])))))
    end = data.draw(st.sampled_from(sorted(ENDS)))
    upto = len(said.frames) if end == "whole" else data.draw(st.integers(0, max(0, len(said.frames) - 1)))
    late = data.draw(st.lists(st.booleans(), max_size=8))
    assert_same(record_of(every, CODECS[codec], said, end, upto, late), every)
