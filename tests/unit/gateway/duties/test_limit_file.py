"""The file of limits: what it may say, and the rules that follow."""

from __future__ import annotations

import pytest

from guardproxy.errors import ConfigError
from guardproxy.gateway import limit_schema, read_limits
from guardproxy.policy import About
from guardproxy.policy.usage import LimitRule, limit_words

PRICE = '[price."*"]\ninput = 1\noutput = 2\n'


def file(*lines: str, unit: str = "requests", more: str = "") -> bytes:
    return "\n".join(["[[limit]]", 'name = "a"', f'unit = "{unit}"', *lines, more]).encode()


def rule(*lines: str, unit: str = "requests", more: str = "") -> LimitRule:
    limits = read_limits(file(*lines, unit=unit, more=more), "l")
    (found,) = (*limits.early, *limits.late)
    return found


@pytest.mark.parametrize(
    ("unit", "lines", "words"),
    [
        ("requests", ['rate = "600/1m"'], "a: 600 requests at once, then 600 in 60 s, all together"),
        ("requests", ['rate = "600/m"', "burst = 10"], "a: 10 requests at once, then 600 in 60 s, all together"),
        (
            "tokens",
            ['rate = "7/2h"', 'per = ["client", "model"]'],
            "a: 7 tokens at once, then 7 in 7,200 s, per client and model",
        ),
        ("tokens", ['budget = "1000000/month"'], "a: 1,000,000 tokens a month, all together"),
        ("cost", ['budget = "12.50/day"', 'mode = "shadow"'], "a: 12.5 cost a day, all together, in shadow mode"),
        ("cost", ['rate = "0.5/1d"'], "a: 0.5 cost at once, then 0.5 in 86,400 s, all together"),
        ("parallel", ["most = 3"], "a: 3 parallel at the same time, all together"),
    ],
)
def test_a_limit_says_what_it_counts(unit: str, lines: list[str], words: str) -> None:
    assert limit_words(rule(*lines, unit=unit, more=PRICE)) == words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff", "l: 'utf-8' codec"),
        (b"a = " + b"[" * 5000, "l: "),
        (b"[[limit]", "l: "),
        (b"x = 1", r"l: Object contains unknown field `x`"),
        (b'[[limit]]\nname = "a"', r"missing required field `unit` - at `\$.limit\[0\]`"),
        (file('rate = "1/1m"', unit="words"), "Invalid enum value 'words'"),
        (file('rate = "1/1m"', "typo = 1"), "unknown field `typo`"),
        (file('rate = "1/1m"').replace(b'"a"', b'"a b"'), "l: the limit `a b`: a name has 1 to 64"),
        (file('rate = "1/1m"') + b"\n" + file('rate = "1/1m"'), "l: the limit `a` is listed twice"),
        (file(), "counts requests, so it needs one of rate or budget, and nothing else"),
        (file('rate = "1/1m"', 'budget = "1/day"'), "needs one of rate or budget"),
        (file("most = 1"), "needs one of rate or budget"),
        (file('rate = "1/1m"', unit="parallel"), "counts parallel, so it needs one of most, and nothing else"),
        (file('budget = "1/day"', "burst = 1"), "`burst` belongs to a rate"),
        (file('rate = "1/1m"', "burst = 0"), "`burst` must be at least 1"),
        (file("most = -1", unit="parallel"), "`most` must be at least 0"),
        (file('rate = "1/1m"', "answer_tokens = -1"), "`answer_tokens` must be at least 0"),
        (file('rate = "1/1m"', 'per = ["client", "client"]'), "`per` names something twice"),
        (file('rate = "1/1m"', "models = []"), "an empty `models` matches nothing"),
        (file('rate = "1/1m"', 'tenants = [""]'), "an empty `tenants` matches nothing"),
        (file('rate = "1/0m"'), "`rate` must be an amount and a period, like 600/1m"),
        (file('rate = "many"'), "`rate` must be an amount and a period, like 600/1m"),
        (file('rate = "-1/1m"'), "`rate` must be an amount and a period, like 600/1m"),
        (file('rate = "1.5/1m"'), "requests are counted in whole numbers"),
        (file('rate = "1/1d"', "burst = 999999999"), "is too large to be counted exactly"),
        (file('rate = "1/99999d"'), "is too large to be counted exactly"),
        (file('budget = "999999999999/day"', unit="cost", more=PRICE), "is too large to be counted exactly"),
        (file('budget = "1/week"'), "`budget` must be an amount and a window, like 50.00/day"),
        (file('budget = "1.5/day"', unit="tokens"), "tokens are counted in whole numbers"),
        (file('rate = "1/1m"', "when = 'tenant.nam == \"a\"'"), "`when`: "),
        (file('budget = "1/day"', unit="cost"), "a limit counts costs, and no model has a price"),
        (file('budget = "1/day"', unit="cost", more=PRICE.replace("1", "-1")), r"the price of `\*` must be at least 0"),
        (file('budget = "1/day"', unit="cost", more=PRICE.replace("2", "nan")), r"the price of `\*` must be at least 0"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_limits(text, "l")


def test_what_needs_only_the_head_is_decided_before_the_body() -> None:
    early: list[tuple[str, list[str]]] = [
        ("requests", ['rate = "1/1m"', 'per = ["client", "tenant"]', 'routes = ["POST /*"]']),
        ("parallel", ["most = 1", 'tenants = ["a"]']),
    ]
    late: list[tuple[str, list[str]]] = [
        ("requests", ['rate = "1/1m"', 'per = ["model"]']),
        ("requests", ['rate = "1/1m"', 'models = ["a"]']),
        ("requests", ['rate = "1/1m"', "when = 'request.stream'"]),
        ("tokens", ['rate = "1/1m"']),
    ]
    assert all(rule(*lines, unit=unit).is_early for unit, lines in early)
    assert not any(rule(*lines, unit=unit).is_early for unit, lines in late)


def test_a_limit_counts_the_requests_that_it_matches() -> None:
    found = rule('rate = "1/1m"', 'models = ["gpt-*"]', "when = 'tenant.name == \"acme\"'")
    assert found.match.holds(About("POST /a", "openai/GPT-5", "acme"))
    assert not found.match.holds(About("POST /a", "claude", "acme"))
    assert not found.match.holds(About("POST /a", "gpt-5", "beta"))
    assert found.match.holds(About("POST /a", "", "acme")), "what cannot be read counts"


def test_a_limit_of_zero_takes_more_than_it_has() -> None:
    for lines, unit in ((['rate = "0/1m"'], "tokens"), (['budget = "0/day"'], "tokens"), (["most = 0"], "parallel")):
        found = rule(*lines, unit=unit)
        assert found.taken(0) > found.most


def test_editors_get_a_schema() -> None:
    assert "limit" in str(limit_schema())
