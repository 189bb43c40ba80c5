"""`action: flag`."""

from __future__ import annotations

from guardproxy.decisions import Pass
from guardproxy.policy.actions.flag import decide
from guardproxy.policy.document import Rule
from guardproxy.policy.expression import Name


def test_it_passes() -> None:
    assert decide(Rule("r", frozenset(), Name("x"), "flag")) == Pass("r")
