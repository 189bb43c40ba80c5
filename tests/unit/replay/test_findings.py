"""Records without texts: their findings are judged again, and what would need a text is said to be unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardproxy.audit.record.document import Record
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.replay.findings import replay_findings
from guardproxy.replay.replays import replay
from tests.kit.play import Play, chat_frames, policy_set
from tests.kit.records import through_log

POLICY = """
policy: simple
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\\\.io"]}
  word: {use: pattern, label: WORD, words: [plain]}
rules:
  - {id: mail, on: request, when: mail, action: redact}
  - {id: word, when: word, action: flag}
audit: {keep: none}
"""
WORDS = ("plain", "jo@ab.io", "other")


def recorded(asked: str = "I am jo@ab.io, plain", answer: str = "a plain word", policy: str = POLICY) -> Record:
    play = Play(policy_set(policy)).ask({"model": "m", "messages": [{"role": "user", "content": asked}]})
    play.stream(chat_frames([{"content": answer}]))
    return through_log(play.finish.record)


def other(policy: str) -> PolicySet:
    return replace(policy_set(policy), digest="sha256:other")


def changed(old: str, new: str, record: Record | None = None) -> tuple[str, list[str]]:
    assert old in POLICY
    again = replay(record or recorded(), other(POLICY.replace(old, new)))
    assert again.on_findings == "the record keeps no text of the request"
    return again.verdict, list(again.differences)


def test_no_text_is_kept_and_the_same_rules_hold() -> None:
    record = recorded()
    assert record.request.body is None
    assert {text.text for side in (record.request, record.response) for text in side.texts} == {None}
    for policies in (policy_set(POLICY), other(POLICY)):
        assert replay(record, policies).verdict == "identical"
        assert replay(record, policies).differences == ()


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (
            "when: word, action: flag",
            "when: word, on: request, action: flag",
            ["rule `word` (flag, WORD in response choices[0].message.content) no longer holds"],
        ),
        (
            "when: mail, action: redact}",
            "when: mail, action: redact}\n  - {id: both, on: request, when: mail and word, action: block, mode: shadow}",
            ["shadow rule `both` (block, WORD in request messages[0].content) now holds"],
        ),
        (
            "when: mail, action: redact",
            "when: mail, action: block",
            [
                "rule `mail` (redact, MAIL in request messages[0].content) no longer holds",
                "rule `mail` (block, MAIL in request messages[0].content) now holds",
            ],
        ),
    ],
)
def test_other_rules_about_the_same_findings(old: str, new: str, wanted: list[str]) -> None:
    assert changed(old, new) == ("different", wanted)


def test_a_changed_check_cannot_be_told_and_its_findings_never_vanish() -> None:
    verdict, differences = changed("words: [plain]", "words: [other]")
    assert verdict == "cannot be told"
    assert differences == ["rule `word`: whether it holds cannot be told; `word` would have to read a text"]


def test_a_check_that_would_read_further_texts_cannot_be_told() -> None:
    verdict, differences = changed("on: request, when: mail", "when: mail")
    assert verdict == "cannot be told"
    assert differences == ["rule `mail`: whether it holds cannot be told; `mail` would have to read a text"]


def test_a_condition_that_the_record_does_not_hold_is_assumed() -> None:
    policy = POLICY.replace("policy: simple", "policy: simple\nmatch: {when: size(request.tools) > 0}")
    again = replay(recorded(), other(policy))
    assert (again.verdict, again.assumed) == ("identical", ("simple",))


def test_answers_are_judged_one_by_one() -> None:
    record = recorded()
    again = msgspec.structs.replace(record.response, model="second")
    held = [found for found in record.decisions if found.direction == "response"]
    later = [msgspec.structs.replace(found, attempt=1) for found in held]
    from tests.kit.records import plain_attempt

    two = msgspec.structs.replace(
        record,
        response=again,
        attempts=(plain_attempt(record.response), plain_attempt()),
        decisions=(*record.decisions, *later),
    )
    result = replay_findings(two, other(POLICY), "why")
    assert (result.verdict, result.on_findings) == ("identical", "why")
    result = replay_findings(two, other(POLICY.replace("when: word,", "when: word, on: request,")), "why")
    assert result.differences[-1].startswith(
        "rule `word` (flag, WORD in response choices[0].message.content of answer 1)"
    )


TEXTS = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)


@settings(max_examples=25)
@given(TEXTS, TEXTS)
def test_under_the_recorded_policies_nothing_differs(asked: str, answer: str) -> None:
    record = recorded(asked or "x", answer or "x")
    for policies in (policy_set(POLICY), other(POLICY)):
        result: Any = replay(record, policies)
        assert (result.verdict, result.differences) == ("identical", ())
        assert result.on_findings
