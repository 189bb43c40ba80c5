"""What differs between the versions of records and the versions here is said before a replay."""

from __future__ import annotations

from guardproxy.audit.entries import AnyEntry
from guardproxy.replay.digests import Digests
from tests.kit.play import policy_set
from tests.kit.records import plain_intent, plain_record

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
    assert said(same, plain_record(engine="older"), plain_intent(), plain_record(checks={"gone": "sha256:1"})) == []


def test_programs_and_checks_that_differ_are_named() -> None:
    changed = {CHECK.name: "sha256:before"}
    assert said(
        plain_record(checks=changed, policies=POLICIES.digest, engine="older"),
        plain_record(checks=changed),
        plain_record(checks=changed),
    ) == [
        "1 exchanges were recorded by older; this is test",
        "the check `word` differs from the check of 2 exchanges: its options, its library or its model changed",
        "the check `word` differs from the check of 1 exchanges: its library or its model changed",
    ]
