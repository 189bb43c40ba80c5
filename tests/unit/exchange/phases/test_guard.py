"""The rules at work: which checks read a text, and which missing verdict matters."""

from __future__ import annotations

from guardproxy.errors import Shortage
from guardproxy.exchange.gate.gate import Job
from guardproxy.findings import Channel, Scan, Window
from tests.kit.parts import parts
from tests.kit.play import policy_set

POLICY = """\
policy: p
checks:
  word: {use: pattern, words: [falcon]}
  bird: {use: pattern, words: [owl]}
rules:
  - {id: words, on: user, when: word, action: block}
  - {id: birds, on: user, when: bird, action: block, mode: shadow}
"""
POLICIES = policy_set(POLICY)
USER = Channel("request", "user", "messages[0].content")
NO_VERDICT = Scan((), 0, 0, no_capacity=Shortage.FULL)


def jobs(*names: str) -> list[Job]:
    checks = {check.name: check for check in POLICIES.checks.values()}
    return [Job(checks[name], Window(USER, "x")) for name in names]


def test_before_the_request_was_read_nothing_is_known() -> None:
    guard = parts(POLICIES, is_bound=False).guard
    assert (guard.bound, guard.attempt, guard.outcomes) == (None, 0, [])
    assert guard.side().gate.checks_for(USER) == ()


def test_the_checks_of_a_text_are_those_that_rules_ask_for() -> None:
    guard = parts(POLICIES).guard
    assert {check.name for check in guard.side().gate.checks_for(USER)} == {"word", "bird"}
    assert guard.side().gate.checks_for(Channel("response", "assistant", "x")) == ()


def test_an_answer_is_searched_for_placeholders_once_there_are_values() -> None:
    guard = parts(POLICIES).guard
    guard.editor.values["[MATCH_aaaaaaaaaaaa]"] = "falcon"
    assert guard.side().gate.checks_for(Channel("response", "assistant", "x")) == (guard.editor.restoring,)


def test_a_missing_verdict_matters_where_an_enforced_rule_counts_on_it() -> None:
    guard = parts(POLICIES).guard
    assert guard.shortage(jobs("word"), [NO_VERDICT]) == ("word", Shortage.FULL)
    assert guard.shortage(jobs("bird"), [NO_VERDICT]) is None
    assert guard.shortage(jobs("bird", "word"), [NO_VERDICT, NO_VERDICT]) == ("word", Shortage.FULL)
    assert guard.shortage(jobs("word"), [Scan((), 1, 1)]) is None


def test_before_the_request_was_read_every_missing_verdict_matters() -> None:
    assert parts(POLICIES, is_bound=False).guard.shortage(jobs("bird"), [NO_VERDICT]) == ("bird", Shortage.FULL)
