"""What differs between the versions of records and the versions here is said before a replay."""

from __future__ import annotations

from typing import Any

from guardproxy.audit.record.entries import AnyEntry
from guardproxy.replay.digests import LIMIT_RULES, Digests
from tests.kit.play import policy_set
from tests.kit.records import plain_decision, plain_intent, plain_record

POLICIES = policy_set(
    """
policy: p
checks: {word: {use: pattern, label: WORD, words: [plain]}}
rules: [{id: word, when: word, action: flag}]
"""
)
(CHECK,) = POLICIES.checks.values()


def said(*entries: AnyEntry) -> list[str]:
    digests = Digests(POLICIES, "test")
    for entry in entries:
        digests.see(entry)
    return list(digests.counts.sentences("test"))


def test_nothing_is_said_where_nothing_differs() -> None:
    same = plain_record(checks={CHECK.name: CHECK.digest}, policies=POLICIES.digest)
    gone = plain_record(checks={"gone": "sha256:1"}, policies=POLICIES.digest)
    assert said(same, plain_record(engine="older"), plain_intent(), gone) == []


def test_programs_and_checks_that_differ_are_named() -> None:
    changed = {CHECK.name: "sha256:before"}
    assert said(
        plain_record(checks=changed, policies=POLICIES.digest, engine="older"),
        plain_record(checks=changed),
        plain_record(checks=changed, decisions=(plain_decision(),)),
    ) == [
        "1 exchange was recorded by older; this is test",
        "the check `word` differs from the check of 2 exchanges: its options, its library or its model changed",
        "the check `word` differs from the check of 1 exchanges: its library or its model changed",
        "2 exchanges were recorded under other policies (sha256:p), of which these rules held: p: r",
    ]


def test_policies_without_a_name_are_named_by_their_rules_but_not_by_all() -> None:
    many = tuple(plain_decision(rule=f"r{number:02}") for number in range(LIMIT_RULES + 2))
    other: dict[str, Any] = {"checks": {"gone": "sha256:1"}}
    (silent,) = said(plain_record(**other))
    assert silent.endswith("of which no rule held")
    (cut,) = said(plain_record(decisions=many, **other))
    assert cut.endswith("p: r10, p: r11 and 2 more")


def test_counts_of_parts_add_up_to_those_of_the_whole() -> None:
    changed = {CHECK.name: "sha256:before"}
    entries = [plain_record(checks=changed, engine=f"older {number % 2}") for number in range(5)]
    parts = [Digests(POLICIES, "test") for _ in range(2)]
    for number, entry in enumerate(entries):
        parts[number // 3].see(entry)
    parts[0].counts.add(parts[1].counts)
    assert list(parts[0].counts.sentences("test")) == said(*entries) != []
