"""A tally says what findings lead to, in their order, and what was noted."""

from __future__ import annotations

from itertools import permutations

import pytest

from guardproxy.decisions import Pass, Retry, Stop
from guardproxy.exchange.gate.gate import CHECK_ERROR
from guardproxy.findings import Finding
from guardproxy.policy.deciding.tally import Tally
from guardproxy.policy.values.actions import verdict_of
from tests.kit.play import policy_set
from tests.kit.rules import ROUTE, bound, channel, finding, policies


def test_of_all_findings_of_a_request_the_most_severe_rule_speaks() -> None:
    rules = (
        "  - {id: mild, when: one, action: block, severity: low}\n"
        "  - {id: grave, when: two, action: block, severity: critical}\n"
    )
    for order in permutations(["one", "two", CHECK_ERROR]):
        tally = Tally(bound(policies(rules)))
        found = [finding("one", label=CHECK_ERROR) if one == CHECK_ERROR else finding(one) for one in order]
        stops = [stop for one in found if (stop := tally.see(channel(), one))]
        assert len(stops) == 3
        spoken = tally.most_severe(stops)
        assert spoken
        assert spoken.rule == "on_error", "that a check failed comes before all rules"
        without = tally.most_severe(stop for stop in stops if stop.rule != "on_error")
        assert without
        assert without.rule == "grave"
    assert Tally(bound(policies(rules))).most_severe([]) is None


def test_a_check_that_failed_blocks_unless_the_policy_only_notes_it() -> None:
    rule = "  - {id: r, when: one, action: flag}\n"
    failed = finding("one", label=CHECK_ERROR)
    tally = Tally(bound(policies(rule)))
    assert tally.see(channel(), failed) == Stop("on_error", "a check could not be completed")
    assert [(one.rule, verdict_of(one.decision)) for one in tally.outcomes] == [("on_error", "block")]
    tally = Tally(bound(policies(rule, "on_error: flag\n")))
    assert tally.see(channel(), failed) is None
    assert [one.decision for one in tally.outcomes] == [Pass("on_error")]
    tally = Tally(bound(policies(rule)))
    assert tally.see(channel(), finding("two", label=CHECK_ERROR)) is None, "no rule here counts on it"
    tally = Tally(bound(policies(rule.replace("flag}", "flag, mode: shadow}"))))
    assert tally.see(channel(), failed) is None, "a rule that only watches stops nothing when it cannot see"


def test_the_same_outcome_is_noted_once() -> None:
    it = bound(policies("  - {id: r, when: one, action: flag}\n"))
    tally = Tally(it)
    for _ in range(3):
        tally.see(channel(), finding("one"))
    tally.see(channel(), finding("one", 5))
    assert [one.finding.start for one in tally.outcomes] == [0, 5]


def test_a_stop_wins_over_a_retry_and_a_retry_over_nothing() -> None:
    retry = "  - {id: a, on: response, when: one, action: retry}\n"
    stop = "  - {id: b, on: response, when: one, action: block}\n"
    for rules, wins in ((retry, Retry), (retry + stop, Stop), (stop + retry, Stop)):
        tally = Tally(bound(policies(rules)))
        assert isinstance(tally.see(channel("assistant", "response"), finding("one")), wins)


def test_each_answer_is_counted_by_itself_after_the_request() -> None:
    it = bound(policies("  - {id: r, when: one and two, action: block}\n"))
    tally = Tally(it)
    assert tally.see(channel(), finding("one")) is None
    tally.begin_answers()
    assert tally.see(channel("assistant", "response"), finding("two")) == Stop("r")
    tally.next_attempt()
    assert tally.see(channel("assistant", "response"), finding("one")) is None
    assert tally.attempt == 1


FAILING = """\
policy: p
on_error: {whole}
checks:
  one: {{use: pattern, words: [falcon]{one}}}
  two: {{use: pattern, words: [heron]}}
rules:
  - {{id: r, on: request, when: one or two, action: flag}}
"""


@pytest.mark.parametrize(
    ("whole", "one", "of", "blocks"),
    [
        ("block", "", "one", True),
        ("block", ", on_error: flag", "one", False),
        ("block", ", on_error: flag", "two", True),
        ("flag", ", on_error: block", "one", True),
        ("flag", ", on_error: block", "two", False),
    ],
)
def test_a_check_may_say_itself_what_its_failure_leads_to(whole: str, one: str, of: str, blocks: bool) -> None:
    it = policy_set(FAILING.format(whole=whole, one=one)).bind(ROUTE, "m", "t")
    tally = Tally(it)
    stop = tally.see(channel(), Finding(0, 1, of, "check_error", 1.0))
    assert (stop is not None) == blocks
    assert [(outcome.rule, outcome.action) for outcome in tally.outcomes] == [
        ("on_error", "block" if blocks else "flag")
    ]
