"""`action: redact`."""

from __future__ import annotations

import pytest

from guardproxy.decisions import Edit
from guardproxy.policy.actions.redact import decide
from guardproxy.policy.document import Rule
from guardproxy.policy.expression import Name


@pytest.mark.parametrize("restore", [True, False])
def test_it_edits_and_says_whether_the_value_comes_back(restore: bool) -> None:
    assert decide(Rule("r", frozenset(), Name("x"), "redact", restore=restore)) == Edit("r", restore=restore)
