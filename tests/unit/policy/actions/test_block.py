"""`action: block`."""

from __future__ import annotations

from guardproxy.decisions import Stop
from guardproxy.policy.actions.block import decide
from guardproxy.policy.document import Rule
from guardproxy.policy.expression import Name


def test_it_stops_with_the_rules_words() -> None:
    rule = Rule("r", frozenset(), Name("x"), "block", message="not here")
    assert decide(rule) == Stop("r", "not here")
