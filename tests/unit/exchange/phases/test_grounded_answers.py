"""Answers that are compared with documents by meaning: flagged, edited, asked for again, recorded and replayed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from guardproxy.audit import Record
from guardproxy.checks import Resources
from guardproxy.cli.audit.view import lines_of
from guardproxy.exchange import SendUpstream
from guardproxy.policy import PolicySet
from guardproxy.policy.file import build_checks
from guardproxy.policy.file.load import parse
from tests.kit.grounding import Reading, by_words
from tests.kit.play import MESSAGES, Play, cut, message_frames, message_texts
from tests.kit.records import replay, through_log

SOURCE = "The ferry to Lindholm leaves from pier 4. Mail goes to anna@example.org. Dogs need a ticket for 3 euros."
POLICY = """\
policy: g
checks: {facts: {use: grounded, by: meaning}, mail: {use: pii, entities: [EMAIL_ADDRESS]}}
rules:
  - {id: mail, on: request, when: mail, action: redact, restore: true}
  - {id: grounded, on: response.assistant, when: facts, action: ACTION}
"""
TEXT = "Dogs want a ticket. The ferry does not leave.\nNight ferries to Lindholm leave. Dogs have a ticket."


def policies(action: str) -> PolicySet:
    parsed = (parse(POLICY.replace("ACTION", action), "p.yaml"),)
    return PolicySet(parsed, build_checks(parsed, Resources(pairs=lambda name: Reading(by_words))), "sha256:test")


def asked(action: str) -> Play:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": SOURCE}}
    content = [document, {"type": "text", "text": "When does it leave?"}]
    return Play(policies(action), MESSAGES).ask(
        {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": content}]}
    )


def answered(action: str, *texts: str) -> Play:
    answer = {"id": "m", "type": "message", "role": "assistant", "model": "c", "stop_reason": "end_turn",
              "content": [{"type": "text", "text": text} for text in texts],
              "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
    return asked(action).stream([json.dumps(answer).encode()], media="application/json")


def streamed(action: str, texts: Sequence[str], cuts: Sequence[int]) -> Play:
    frames = b"".join(message_frames([("text", list(text)) for text in texts]))
    return asked(action).stream(cut(frames, cuts))


def shown(done: Play) -> list[str]:
    return [block["text"] for block in json.loads(done.client)["content"]]


def record_of(done: Play) -> Record:
    record = done.finish.record
    assert isinstance(record, Record)
    return record


def test_sentences_are_flagged_with_their_places() -> None:
    done = answered("flag", TEXT)
    record = record_of(done)
    (text,) = [text for text in record.response.texts if text.kind == "assistant"]
    assert text.text is not None
    assert [(text.text[each.start : each.end], each.label) for each in text.findings] == [
        ("The ferry does not leave.\n", "CONTRADICTED"),
        ("Night ferries to Lindholm leave. ", "UNSUPPORTED"),
    ]
    assert [(each.label, text.text[each.start : each.end].strip()) for each in text.grounds] == [
        ("SUPPORTED", "Dogs want a ticket."),
        ("CONTRADICTED", "The ferry does not leave."),
        ("SUPPORTED", "Dogs have a ticket."),
    ]
    (source,) = [text for text in record.request.texts if text.kind == "document"]
    assert source.text is not None
    assert "anna@" not in source.text
    (passage,) = text.grounds[0].origins
    assert (passage.path, source.text[passage.start : passage.end]) == (source.path, source.text)
    lines = "\n".join(line.plain for line in lines_of(record))
    assert f"facts: SUPPORTED at 0-20 by {source.path} 0..{len(source.text)}" in lines
    assert replay(through_log(done.finish.record), done.policies).verdict == "identical"
    read = through_log(done.finish.record)
    assert isinstance(read, Record)
    assert read.response == record.response


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (TEXT, "Dogs want a ticket. Dogs have a ticket."),
        ("The ferry does not leave. Dogs want a ticket.", "Dogs want a ticket."),
        (
            "- Dogs want a ticket.\n- Ferries do not leave.\n- Dogs have a ticket.",
            "- Dogs want a ticket.\n- Dogs have a ticket.",
        ),
        ("Dogs want a ticket. Ferries do not leave.", "Dogs want a ticket. "),
        ("Ferries do not leave.", ""),
    ],
)
def test_a_sentence_is_taken_out_with_the_space_after_it(text: str, left: str) -> None:
    done = answered("redact", text)
    assert shown(done) == [left]
    assert replay(through_log(done.finish.record), done.policies).verdict == "identical"
    for cuts in ((), range(0, 9000, 7)):
        assert message_texts(streamed("redact", [text], cuts).client).get("block0", "") == left


def test_another_operator_is_possible() -> None:
    done = answered("redact, operators: {DEFAULT: {type: replace, new_value: '(no source) '}}", TEXT)
    assert shown(done) == ["Dogs want a ticket. (no source) (no source) Dogs have a ticket."]


def test_a_sentence_in_several_parts_is_read_as_one() -> None:
    parts = ("According to it, ", "dogs want a ticket", ". The ferry", " does not leave. ", "Dogs have a ticket", ".")
    done = answered("redact", *parts)
    assert "".join(shown(done)) == "According to it, dogs want a ticket. Dogs have a ticket."
    record = record_of(done)
    grounds = [each for text in record.response.texts for each in text.grounds]
    assert {each.label for each in grounds} == {"SUPPORTED", "CONTRADICTED"}
    assert replay(through_log(done.finish.record), done.policies).verdict == "identical"
    for cuts in ((), range(0, 9000, 11)):
        its = streamed("redact", parts, cuts)
        assert "".join(text for key, text in sorted(message_texts(its.client).items()) if key.startswith("block")) == (
            "According to it, dogs want a ticket. Dogs have a ticket."
        )
        assert [each for text in record_of(its).response.texts for each in text.grounds] == grounds


def test_the_model_is_told_which_sentence_and_why() -> None:
    done = answered("retry, attempts: 1", TEXT)
    _, again = [command for command in done.done if isinstance(command, SendUpstream)]
    said = json.loads(again.body)["messages"][-1]["content"]
    told = said if isinstance(said, str) else said[0]["text"]
    assert (
        "at `sentence 2`: expected a statement that the documents support, found a sentence that they contradict"
        in told
    )


def test_a_value_that_a_rule_puts_back_is_compared_as_the_model_wrote_it() -> None:
    done = answered("flag", "Mail goes to anna@example.org and dogs want a ticket.")
    found: Any = record_of(done).response.texts
    assert [each.label for text in found for each in text.findings if each.check == "facts"] == []
