"""Which rule decided, and why the others did not: from recorded values alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from guardproxy.audit import Record
from guardproxy.audit.record import RecordedError, RecordedFinding
from guardproxy.audit.record.tasks import RecordedCache, RecordedRefusal
from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.console.pages.exchanges.reasons import deciding, headline, reasons
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import build_checks, parse_all
from guardproxy.redaction import RESTORE
from tests.kit.play import CHAT, Play, policy_set
from tests.kit.records import plain_answer, plain_decision, plain_record, plain_text, record_of

POLICIES = policy_set(
    """
policy: guard
checks:
  pii: {use: pii, entities: [EMAIL_ADDRESS]}
  words: {use: words, words: [secret]}
  both: {use: words, words: [together]}
rules:
  - {id: hide, on: request, when: pii, action: redact}
  - {id: stop, on: request, when: words, action: block}
  - {id: pair, on: request, when: words and both, action: flag}
  - {id: quiet, on: request, when: pii, action: block, mode: shadow}
  - {id: answers, on: response, when: words, action: block}
""",
    """
policy: elsewhere
match: {routes: ["POST /v1/embeddings"]}
checks: {w: {use: words, words: [never]}}
rules: [{id: never, on: request, when: w, action: block}]
""",
    """
policy: sometimes
match: {when: "request.model == 'm'"}
checks: {w: {use: words, words: [never]}}
rules: [{id: maybe, on: request, when: w, action: block}]
""",
)


def played(text: str, policies: PolicySet = POLICIES) -> Record:
    play = Play(policies, CHAT)
    play.ask({"model": "m", "messages": [{"role": "user", "content": text}]})
    if not play.exchange.is_over:
        message = {"role": "assistant", "content": "ok"}
        body = {"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        play.stream([json.dumps(body).encode()], media="application/json")
    return record_of(play.record)


def states(record: Record, policies: PolicySet | None = POLICIES) -> dict[str, str]:
    return {rule.rule: rule.state for rule in reasons(record, policies).rules}


def test_every_rule_has_an_outcome_and_a_reason() -> None:
    record = played("my mail is anna@example.com and it is secret")
    told = reasons(record, POLICIES)
    assert told.known
    why = {rule.rule: rule.why for rule in told.rules}
    assert states(record) == {
        "stop": "decided",
        "hide": "held",
        "quiet": "shadow",
        "pair": "no",
        "answers": "no",
        "maybe": "no",
    }
    assert "`stop` (block) is stronger" in why["hide"]
    assert "in shadow mode" in why["quiet"]
    assert why["pair"] == "found `words`, but not `both`"
    assert "does not inspect these texts" in why["answers"]
    assert "found nothing" in why["maybe"]
    applied = {policy.policy: (policy.applies, policy.why) for policy in told.policies}
    assert applied["guard"] == (True, "it applies to every request")
    assert applied["elsewhere"] == (False, "its `match` does not hold")
    assert applied["sometimes"] == (True, "its `match` holds")


def test_other_policies_tell_nothing_but_what_the_record_names() -> None:
    record = played("my mail is anna@example.com and it is secret")
    for other in (None, structs.replace(record, policies="sha256:old")):
        told = reasons(record if other is None else other, None if other is None else POLICIES)
        assert not told.known
        assert {rule.rule: rule.state for rule in told.rules} == {"stop": "decided", "hide": "held", "quiet": "shadow"}
        assert told.policies == ()


def test_only_shadow_rules_held() -> None:
    record = plain_record(decisions=(plain_decision(mode="shadow"),))
    assert states(record, None) == {"r": "shadow"}
    assert deciding(record) is None
    assert headline(record).why == ""


def test_a_policy_that_was_demanded_or_could_not_be_evaluated_says_so() -> None:
    record = played("hello")
    digest = POLICIES.policies[2].match.digest
    demanded = structs.replace(record, matched={digest: "no"}, demanded=("sometimes",))
    words = {each.policy: each.why for each in reasons(demanded, POLICIES).policies}
    assert "demands it" in words["sometimes"]
    unknown = structs.replace(record, matched={digest: "unknown"})
    words = {each.policy: each.why for each in reasons(unknown, POLICIES).policies}
    assert "could not be evaluated" in words["sometimes"]
    no = structs.replace(record, matched={digest: "no"})
    assert {each.policy: each.applies for each in reasons(no, POLICIES).policies}["sometimes"] is False


def test_a_policy_that_another_extends_is_replaced() -> None:
    base = (
        "policy: base\nchecks: {w: {use: words, words: [x]}}\nrules: [{id: r, on: request, when: w, action: block}]\n"
    )
    parsed = tuple(parse_all([("base.yaml", base), ("more.yaml", "policy: more\nextends: base\n")]))
    policies = PolicySet(parsed, build_checks(parsed, Resources()), "sha256:extended")
    record = plain_record(route=CHAT, policies=policies.digest)
    words = {each.policy: each.why for each in reasons(record, policies).policies}
    assert words["base"] == "`more` extends it and stands for it"


def test_a_failed_check_is_decided_by_on_error() -> None:
    failed = RecordedFinding(check="pii", label="check_error", start=0, end=0, score=1.0)
    restored = RecordedFinding(check=RESTORE, label="PLACEHOLDER", start=0, end=1, score=1.0)
    decision = plain_decision(policy="guard", rule="on_error", action="block", check="pii", label="check_error")
    record = plain_record(
        None, plain_text(findings=(failed, restored)), decisions=(decision,), policies=POLICIES.digest, route=CHAT
    )
    assert states(record)["on_error"] == "decided"


@pytest.mark.parametrize(
    ("changes", "words", "tone"),
    [
        ({}, "The model answered, and the client got the answer", "good"),
        ({"outcome": "passed"}, "passed through", "good"),
        ({"outcome": "upstream_5xx"}, "error of its own", "failed"),
        ({"outcome": "client_closed"}, "left before the end", "failed"),
        ({"outcome": "upstream_timeout"}, "The exchange failed", "failed"),
        ({"outcome": "something new"}, "The exchange ended: something new", "failed"),
        ({"outcome": "blocked_request"}, "did not get it", "blocked"),
        ({"outcome": "blocked_response"}, "blocked the answer", "blocked"),
        ({"outcome": "refused"}, "refused the request", "failed"),
        (
            {"outcome": "refused", "error": RecordedError(code="invalid_query", field="q")},
            "does not accept this query (field q)",
            "failed",
        ),
        ({"outcome": "refused", "error": RecordedError(code="of a plug-in")}, ": of a plug-in", "failed"),
        (
            {
                "outcome": "refused",
                "refusals": (RecordedRefusal(duty="limits", name="a day", code="rate_limit_exceeded", mode="enforce"),),
            },
            "by limits a day",
            "failed",
        ),
        ({"cache": RecordedCache(result="hit", match="exact", mode="enforce", policies=())}, "The cache had", "good"),
    ],
)
def test_what_happened_in_words(changes: dict[str, Any], words: str, tone: str) -> None:
    told = headline(plain_record(**changes))
    assert words in told.words
    assert told.tone == tone


def test_an_edited_exchange_says_so_and_names_the_finding() -> None:
    text = plain_text(text="I am [N].", edits=((5, 8),))
    decision = plain_decision(path=text.path, start=5, end=8)
    told = headline(plain_record(None, text, decisions=(decision,)))
    assert told.tone == "edited"
    assert told.why == f"pii found NAME at 5 to 8 of {text.path} in the request"
    answered = plain_decision(direction="response", attempt=1, action="of a plug-in")
    assert "in answer 2" in headline(plain_record(decisions=(answered,))).why


def test_the_rule_that_ended_the_exchange_comes_first_of_equals() -> None:
    both = (
        plain_decision(rule="first", action="block", direction="request"),
        plain_decision(rule="second", action="block", direction="response"),
    )
    decided = deciding(plain_record(plain_answer(), outcome="blocked_response", decisions=both))
    assert decided is not None
    assert decided.rule == "second"
