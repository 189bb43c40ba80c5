"""Records under two sets of policies: which exchanges change, by which rule, and what cannot be told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from guardproxy.audit.record.document import Record
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import parse
from guardproxy.policydiff.excerpts import ExcerptPart
from guardproxy.policydiff.traffic import OTHERWISE, Traffic
from guardproxy.replay import rerun
from tests.kit.play import Play, chat_frames, mint, policy_set
from tests.kit.records import through_log

POLICY = r"""
policy: simple
checks:
  mail: {use: pattern, label: MAIL, patterns: ["[a-z]+@[a-z]+\\.io"]}
  word: {use: pattern, label: WORD, words: [plain]}
rules:
  - {id: mail, on: request, when: mail, action: redact, restore: true}
  - {id: word, on: response, when: word, action: flag}
"""


def kept(answer: str = "a plain word, so plain", number: int = 1) -> Record:
    play = Play(policy_set(POLICY)).ask(
        {"model": "m", "messages": [{"role": "user", "content": "I am jo@ab.io, plain"}]}
    )
    play.stream(chat_frames([{"content": answer}]))
    return msgspec.structs.replace(through_log(play.finish.record), id=f"id{number}")


def with_text(record: Record, **changes: Any) -> Record:
    """The record with another text in its answer."""
    text = msgspec.structs.replace(record.response.texts[0], **changes)
    return msgspec.structs.replace(record, response=msgspec.structs.replace(record.response, texts=(text,)))


def compared(old: str, new: str, *records: Record) -> Traffic:
    traffic = Traffic(policy_set(old), replace(policy_set(new), digest="sha256:new"))
    for record in records or (kept(),):
        traffic.see(record)
    return traffic


def groups(traffic: Traffic) -> list[tuple[str, str, str, int]]:
    return [(one.rule, one.action, one.way, one.count) for one in traffic.groups]


def test_the_same_policies_change_nothing() -> None:
    traffic = compared(POLICY, POLICY)
    assert (dict(traffic.counts), traffic.groups) == ({"the same": 1}, [])


def test_a_renamed_policy_changes_nothing() -> None:
    assert compared(POLICY, POLICY.replace("policy: simple", "policy: other")).groups == []


def test_a_rule_that_holds_now_is_shown_where() -> None:
    traffic = compared(POLICY, POLICY.replace("on: response, when: word", "when: word"), kept(), kept(number=2))
    assert groups(traffic) == [("word", "flag", "holds now", 2)]
    (group,) = traffic.groups
    assert group.ids == ["id1", "id2"]
    example = group.examples[0]
    assert (example.where, example.before, example.after) == (
        "request messages[0].content",
        "answered",
        "by other rules",
    )
    assert example.pieces[-1].text.startswith("[WORD_")
    assert example.pieces[-1].mark == "WORD"
    assert "jo@ab.io" not in "".join(piece.text for piece in example.pieces)


def test_a_stronger_action_is_one_rule_less_and_one_more() -> None:
    traffic = compared(POLICY, POLICY.replace("action: flag", "action: block"))
    assert groups(traffic) == [("word", "flag", "holds no longer", 1), ("word", "block", "holds now", 1)]
    assert dict(traffic.outcomes) == {("answered", "blocked_response"): 1}
    word = mint("WORD", "plain")
    assert traffic.groups[0].examples[0].pieces == (
        *(ExcerptPart("a "), ExcerptPart(word, "WORD"), ExcerptPart(" word, so "), ExcerptPart(word, "WORD")),
    )


def test_a_rule_in_shadow_mode_is_another_action() -> None:
    traffic = compared(POLICY, POLICY.replace("action: flag", "action: flag, mode: shadow"))
    assert [one.action for one in traffic.groups] == ["flag", "flag in shadow mode"]


def test_what_no_rule_explains_has_a_group_of_its_own() -> None:
    record = kept(answer=f"dear {mint('MAIL', 'jo@ab.io')}")
    traffic = compared(POLICY, POLICY.replace("restore: true", "restore: false"), record)
    assert groups(traffic) == [(OTHERWISE, "", "does something else", 1)]
    (example,) = traffic.groups[0].examples
    assert (example.where, example.pieces) == ("", ())
    assert any("edits" in one for one in example.differences)


def test_a_changed_check_cannot_see_what_is_masked() -> None:
    traffic = compared(POLICY, POLICY.replace("[a-z]+@[a-z]+", "[a-z]{1,9}@[a-z]+"))
    assert groups(traffic) == [("mail", "redact", "cannot be told", 1)]
    assert dict(traffic.counts) == {"cannot be told": 1}
    assert dict(traffic.outcomes) == {}
    assert traffic.rescanned["mail"] == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"outcome": "passed"}, "the exchange was passed: no check inspected it"),
        ({"route": "POST /v9/none"}, "its wire format is not installed"),
    ],
)
def test_what_cannot_be_replayed_is_counted_with_its_reason(change: dict[str, Any], reason: str) -> None:
    traffic = compared(
        POLICY, POLICY.replace("flag", "block"), msgspec.structs.replace(kept(), **change, policies="sha256:other")
    )
    assert (dict(traffic.counts), dict(traffic.reasons)) == ({"not replayable": 1}, {reason: 1})


def test_a_record_of_the_first_policies_stands_for_itself() -> None:
    record = kept()
    assert record.policies == "sha256:test"
    old, new = policy_set(POLICY), PolicySet((parse(POLICY, "p"),), policy_set(POLICY).checks, "sha256:new")
    traffic = Traffic(old, new)
    traffic.see(with_text(record, text=None))
    assert dict(traffic.reasons) == {"the record keeps no text of the answer": 1}


def test_there_are_few_examples_and_all_ids() -> None:
    traffic = Traffic(policy_set(POLICY), PolicySet((), {}, "sha256:none"), examples=2)
    for number in range(4):
        traffic.see(kept(number=number))
    assert [(one.count, len(one.ids), len(one.examples)) for one in traffic.groups] == [(4, 4, 2)] * 2


def test_a_text_that_is_not_kept_is_not_shown() -> None:
    record = kept()
    hidden = with_text(record, text=None, judged=True)
    traffic = Traffic(policy_set(POLICY), PolicySet((), {}, "sha256:none"))
    traffic.see(hidden)
    assert [one.examples[0].pieces for one in traffic.groups if one.rule == "word"] == [()]


def test_a_replay_that_ran_before_counts_like_one_that_it_runs_itself() -> None:
    old, new = POLICY, POLICY.replace("when: word, action: flag", "when: word, action: block")
    rules = replace(policy_set(new), digest="sha256:new")
    record = kept()
    again = rerun(record, rules)
    assert not isinstance(again, str)
    taken = Traffic()
    taken.take(record, again)
    groups = [(group.rule, group.action, group.way, group.count) for group in taken.groups]
    wanted = [(group.rule, group.action, group.way, group.count) for group in compared(old, new, record).groups]
    assert groups == wanted != []


def test_of_sealed_texts_only_the_place_is_shown_as_the_sealed_record_shows_it() -> None:
    record = kept()
    rules = replace(policy_set(POLICY.replace("action: flag", "action: block")), digest="sha256:new")
    again = rerun(record, rules)
    assert not isinstance(again, str)
    traffic = Traffic()
    traffic.take(record, again, lambda path: path.replace("content", "*"))
    (example,) = traffic.groups[0].examples
    assert example.where.endswith(".*")
    assert example.pieces == ()


@pytest.mark.parametrize("cut", range(7))
def test_the_results_of_parts_add_up_to_those_of_the_whole(cut: int) -> None:
    new = POLICY.replace("on: response, when: word", "when: word")
    records = [kept(number=number) for number in range(4)]
    records += [with_text(kept(number=9), text=None), kept(number=5, answer=f"dear {mint('MAIL', 'jo@ab.io')}")]
    whole, first, rest = compared(POLICY, new, *records), Traffic(examples=3), compared(POLICY, new, *records[cut:])
    if cut:
        first.add(compared(POLICY, new, *records[:cut]))
    if cut < len(records):
        first.add(rest)
    assert (first.counts, first.outcomes, first.reasons) == (whole.counts, whole.outcomes, whole.reasons)
    assert first.rescanned == whole.rescanned
    assert [(group.rule, group.count, group.ids) for group in first.groups] == [
        (group.rule, group.count, group.ids) for group in whole.groups
    ]
    assert [group.examples for group in first.groups] == [group.examples[:3] for group in whole.groups]


@pytest.mark.parametrize(
    ("old", "new", "headline", "ending"),
    [
        (
            "when: mail, action: redact",
            "when: mail, action: flag",
            "1 redaction would be lost",
            "without a redaction",
        ),
        (
            "when: mail, action: redact",
            "when: mail, action: block",
            "1 answered request would be blocked",
            "blocked_request",
        ),
        (
            "on: response, when: word, action: flag",
            "on: response, when: word, action: redact",
            "2 redactions would be new",
            "with more redactions",
        ),
        (
            "id: word, on: response",
            "id: other, on: response",
            "nothing that clients or models get would change",
            "by other rules",
        ),
    ],
)
def test_what_matters_is_said_in_words(old: str, new: str, headline: str, ending: str) -> None:
    assert old in POLICY
    changed = POLICY.replace(old, new).replace(
        ", restore: true", "" if "mail" in new and "redact" not in new else ", restore: true"
    )
    traffic = compared(POLICY, changed)
    assert traffic.headline == headline
    assert list(traffic.outcomes) == [("answered", ending)]


def test_a_blocked_exchange_that_would_pass_comes_before_what_is_new() -> None:
    blocking = POLICY.replace("on: response, when: word, action: flag", "on: request, when: word, action: block")
    play = Play(policy_set(blocking)).ask({"model": "m", "messages": [{"role": "user", "content": "plain"}]})
    traffic = compared(blocking, POLICY, through_log(play.finish.record))
    traffic.effects["redacted"] += 2
    assert traffic.headline == "1 blocked exchange would pass, 2 redactions would be new"
