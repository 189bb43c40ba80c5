"""The action `retry`."""

from __future__ import annotations

from guardproxy.decisions import Retry, Stop
from guardproxy.policy.actions.retry import decide
from guardproxy.policy.document import Rule
from guardproxy.policy.expression import Name


def test_it_asks_again_as_the_rule_says() -> None:
    rule = Rule("r", frozenset(), Name("c"), "retry", retry=Retry("r", 5))
    assert decide(rule) == Retry("r", 5)


def test_a_rule_without_the_how_stops() -> None:
    assert decide(Rule("r", frozenset(), Name("c"), "retry", message="m")) == Stop("r", "m")
