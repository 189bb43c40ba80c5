"""Whether limits refuse the request of a test: what was taken before counts, and nothing is given back between requests."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from guardproxy.policy.values import RawExchange, RequestFacts, Texts
from guardproxy.policytest.refusing import LimitVerdict, limit_verdict, refusal_mismatches
from guardproxy.policytest.running import run_tests
from guardproxy.wire import codecs
from tests.kit.play import policy_set

CALLS = "{name: calls, unit: requests, rate: 3/1m, per: [client]}"
TOKENS = "{name: tokens, unit: tokens, budget: 1000/day, per: [tenant, model], answer_tokens: 100}"
TOGETHER = "{name: together, unit: parallel, most: 2}"
QUIET = "{name: quiet, unit: requests, budget: 1/day, mode: shadow}"
MONEY = "{name: money, unit: cost, budget: 5.00/day}"
LONG = "{name: long, unit: requests, budget: 5/day, when: request.max_tokens > 4000}"
PRICES = "prices: {gpt-5: {input: 1000, output: 1000}}\n"
HELLO = RawExchange({"model": "gpt-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]})


def verdict(
    limits: str,
    *,
    times: int = 1,
    used: Mapping[str, int | None] | None = None,
    more: str = "",
    scene: Texts | RawExchange = HELLO,
    facts: RequestFacts | None = None,
) -> LimitVerdict:
    return limit_verdict(
        policy_set(f"policy: p\nlimits: [{limits}]\n{more}"), scene, facts or RequestFacts(), times, used or {}
    )


@pytest.mark.parametrize(("times", "refusing"), [(1, ()), (3, ()), (4, ("calls",)), (9, ("calls",))])
def test_equal_requests_count_at_one_moment(times: int, refusing: tuple[str, ...]) -> None:
    assert verdict(CALLS, times=times).refusing == refusing


@pytest.mark.parametrize(
    ("limit", "amount", "is_refused"),
    [
        (CALLS, 2, False),
        (CALLS, 3, True),
        (CALLS, 3000, True),
        (CALLS, None, True),
        (CALLS, 0, False),
        (TOKENS, 900, False),
        (TOKENS, 990, True),
        (TOKENS, None, True),
        (TOGETHER, 1, False),
        (TOGETHER, 2, True),
        (MONEY, 4_900_000, False),
        (MONEY, 4_999_999, True),
        (MONEY, None, True),
    ],
)
def test_what_was_taken_before_counts(limit: str, amount: int | None, is_refused: bool) -> None:
    name = limit.split(",", maxsplit=1)[0].removeprefix("{name: ")
    found = verdict(limit, used={name: amount}, more=PRICES)
    assert found.refusing == ((name,) if is_refused else ())
    assert len(found.counted) == 1


def test_several_limits_refuse_and_only_those_that_count_the_request() -> None:
    found = verdict(f"{CALLS}, {TOGETHER}, {QUIET}, {LONG}", times=4, used={"together": None, "long": None})
    assert found.refusing == ("together",)  # with its first request, so the rate has room
    assert found.shadow == ()
    assert verdict(f"{CALLS}, {QUIET}", times=4).shadow == ("quiet",)
    assert verdict(LONG).counted == ()
    assert verdict(CALLS, more="mode: shadow\n", times=4) == LimitVerdict(
        (), ("calls",), ("p/calls: 3 requests at once, then 3 in 60 s, per client, in shadow mode",)
    )


@pytest.mark.parametrize("route", [codec.author.ROUTE for codec in codecs() if codec.contract.serves_models])
def test_every_format_is_counted(route: str) -> None:
    found = verdict(TOKENS, used={"tokens": None}, scene=Texts("hello"), facts=RequestFacts(route, "gpt-5", "acme"))
    assert found.refusing == ("tokens",)


def test_what_refuses_a_request_before_a_limit_is_told() -> None:
    assert "the model has no price" in verdict(MONEY).trouble
    assert verdict(CALLS, scene=RawExchange({"messages": 3})).trouble


@pytest.mark.parametrize(
    ("wanted", "found", "times", "message"),
    [
        ("", LimitVerdict(), 1, ""),
        ("*", LimitVerdict(("a",)), 1, ""),
        ("a", LimitVerdict(("b", "a")), 1, ""),
        ("", LimitVerdict(("a", "b")), 1, "expected no limit to refuse the request; it is refused by `a`, `b`"),
        ("*", LimitVerdict(), 4, "expected a limit to refuse request 4; it is not refused"),
        ("b", LimitVerdict(("a",)), 1, "expected the limit `b` to refuse the request; it is refused by `a`"),
        (
            "*",
            LimitVerdict(shadow=("a",)),
            1,
            "expected a limit to refuse the request; it is not refused; in shadow mode, `a` would refuse it",
        ),
        ("", LimitVerdict(trouble="no price"), 1, "the request is refused before a limit counts it: no price"),
    ],
)
def test_a_mismatch_says_what_refuses_the_request(wanted: str, found: LimitVerdict, times: int, message: str) -> None:
    assert [mismatch.message for mismatch in refusal_mismatches(wanted, found, times)] == ([message] if message else [])


FILE = f"""\
policy: p
match: {{tenants: [acme]}}
limits: [{CALLS}]
tests:
  - {{name: passes, request: hello, tenant: acme, expect: {{refused: none, decision: pass}}}}
  - {{name: both, request: hello, tenant: acme, expect: {{refused: none, decision: block}}}}
  - {{name: refused, request: hello, tenant: acme, times: 4, expect: {{refused: {{limit: calls}}}}}}
  - {{name: used, request: hello, tenant: acme, used: [calls], expect: {{refused: limit}}}}
  - {{name: another tenant, request: hello, tenant: other, used: {{calls: all}}, expect: {{refused: limit}}}}
  - {{name: one tenant of all, request: hello, used: {{calls: 3}}, expect: {{refused: limit}}}}
"""


def test_tests_of_a_policy_run_its_limits() -> None:
    results = {result.test.name: result for result in run_tests(policy_set(FILE), lambda path: b"")}
    assert {name for name, result in results.items() if result.mismatches} == {"both", "another tenant"}
    assert results["both"].mismatches[0].message == "expected the decision block, got pass"
    assert results["another tenant"].mismatches[0].got == "no limit counts the request"


def test_what_was_taken_of_a_limit_is_taken_of_each_model_that_a_request_names() -> None:
    per_model = "{name: each, unit: requests, budget: 3/day, per: [model]}"
    scene = RawExchange({"model": "a", "fallbacks": ["b"], "messages": [{"role": "user", "content": "hello"}]})
    calls = "{name: calls, unit: requests, budget: 9/day}"
    cases: list[tuple[str, int | None, tuple[str, ...]]] = [("each", 3, ("each",)), ("each", 2, ())]
    for name, taken, refusing in (*cases, ("calls", None, ("calls",))):
        found = verdict(f"{per_model}, {calls}", used={name: taken}, scene=scene)
        assert found.refusing == refusing
