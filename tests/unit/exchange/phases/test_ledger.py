"""What an exchange writes down: first times, bytes to the client, sizes, the intent."""

from __future__ import annotations

from guardproxy.exchange.inputs.transcript import RequestReceived
from guardproxy.exchange.phases.ledger import Size
from tests.kit.parts import parts
from tests.kit.play import policy_set

POLICY = """\
policy: p
checks:
  word: {use: pattern, words: [falcon]}
rules:
  - {id: words, when: word, action: block}
"""


def test_the_first_time_counts() -> None:
    ledger = parts(policy_set()).ledger
    ledger.begin(RequestReceived(b"{}", at_s=3.0, unix_s=100.0))
    ledger.time("received", 4.0)
    ledger.time("finished", 5.0)
    assert ledger.notes.measures.times == {"received": 3.0, "finished": 5.0}
    assert ledger.notes.measures.unix_s == 100.0
    assert ledger.spent_s(7.5) == 4.5


def test_no_time_is_spent_before_a_request() -> None:
    assert parts(policy_set()).ledger.spent_s(7.0) == 0.0


def test_all_bytes_to_the_client_are_counted() -> None:
    ledger = parts(policy_set()).ledger
    ledger.sent(b"one")
    ledger.sent(b"two", sealed=False)
    assert ledger.notes.measures.sizes["client"] == 6


def test_the_size_of_an_exchange() -> None:
    made = parts(policy_set(POLICY))
    made.ledger.notes.measures.sizes["request"] = 10
    made.guard.editor.tokens["falcon"] = "[MATCH_x]"
    made.guard.editor.values["[MATCH_x]"] = "falcon"
    made.answer.size_bytes, made.answer.held.chars = 20, 5
    assert made.ledger.size(begun=False) == Size(0, 0, 1, 10, 20, 5, begun=False, restorable=1)


def test_the_intent_names_no_text_and_is_kept_unless_the_policies_say_otherwise() -> None:
    made = parts(policy_set(POLICY))
    made.ledger.notes.measures.seals |= {"request": "r", "client": "c"}
    intent = made.ledger.intent
    assert intent is not None
    assert intent.seals == {"request": "r"}
    assert parts(policy_set(POLICY + "audit: {intent: off}\n")).ledger.intent is None


def test_only_answers_are_judged() -> None:
    section = "judge: {upstream: grader, model: m, rubric: good, sample: 100 %}\n"
    ledger = parts(policy_set(POLICY + section)).ledger
    judges = {outcome: len(ledger.record(outcome).judges) for outcome in ("answered", "blocked_response")}
    assert judges == {"answered": 1, "blocked_response": 0}


def test_the_sides_and_answers_are_those_under_way() -> None:
    made = parts(policy_set(POLICY))
    assert made.ledger.sides == {"request": made.ledger.request, "response": made.answer.side}
    assert made.ledger.answers == (made.answer.side,)
