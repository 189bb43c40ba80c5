"""What rules say of retries: their budgets, what comes in the end."""

from __future__ import annotations

from typing import Any

import pytest

from guardproxy.decisions import Retry
from guardproxy.policy.file.load import PolicyErrors, parse
from guardproxy.policy.values.retrying import LIMIT_TEMPLATE_CHARS

HEAD = "policy: p\nchecks: {shape: {use: json_schema, schema: from_request}}\nrules:\n"


def rule(text: str, on: str = "response") -> Any:
    (found,) = parse(f"{HEAD}  - {{id: r, on: {on}, when: shape, action: retry{text}}}\n", "p.yaml").rules
    return found


def test_a_plain_retry() -> None:
    found = rule("")
    assert found.retry == Retry("r", attempts=2, total_s=120.0, then="block")
    assert not found.early
    assert {direction for direction, _ in found.on} == {"response"}


def test_every_option() -> None:
    text = ", attempts: 3, total_s: 9.5, total_tokens: 1000, then: fallback, fallback: {model: m, upstream: u}"
    found = rule(text + ", template: again, price: 2, message: sorry, early: true", "[user, response]")
    assert found.retry == Retry("r", 3, 9.5, 1000, "fallback", "again", "m", "u", 2.0, "sorry")
    assert found.early
    assert {direction for direction, _ in found.on} == {"response"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (", attempts: -1", "expected a number from 0 to 10"),
        (", attempts: 0", "`attempts: 0` asks the model no more: it needs `then: fallback`"),
        (", attempts: 0, then: pass_flagged", "`attempts: 0` asks the model no more"),
        (", attempts: 1.5", "expected a whole number, found a number"),
        (", attempts: true", "expected a whole number, found `true`"),
        (", total_s: soon", "expected a number, found a word"),
        (", total_tokens: 0", "expected a number from 1 to"),
        (", then: give_up", "unknown word `give_up`"),
        (", then: fallback", "`fallback` is missing"),
        (", fallback: {model: m}", "needs `then: fallback`"),
        (", then: fallback, fallback: {}", "name a model, an upstream or both"),
        (", then: fallback, fallback: {url: x}", "unknown key `url`"),
        (f", template: {'x' * (LIMIT_TEMPLATE_CHARS + 1)}", "a template has at most"),
        (", restore: true", "`restore` belongs to the action redact"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(PolicyErrors, match=message):
        rule(text)


@pytest.mark.parametrize(
    ("action", "text", "message"),
    [
        ("block", "attempts: 2", "`attempts` belongs to the action retry, not to block"),
        ("flag", "then: block", "`then` belongs to the action retry"),
        ("flag", "early: true", "`early` belongs to the actions block and retry"),
        ("flag", "message: m", "`message` belongs to the actions block and confirm and retry"),
        ("retry", "on: request", "a retry requests another answer"),
    ],
)
def test_keys_belong_to_their_action(action: str, text: str, message: str) -> None:
    with pytest.raises(PolicyErrors, match=message):
        parse(f"{HEAD}  - {{id: r, when: shape, action: {action}, {text}}}\n", "p.yaml")
