"""Limits of costs that no price serves are refused with their place."""

from __future__ import annotations

import pytest

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import PolicyErrors, build_checks, parse_all
from guardproxy.policy.tools.costs import refuse_unpriced
from tests.kit.play import policy_set

MONEY = "limits: [{name: a, unit: requests, rate: 1/1m}, {name: money, unit: cost, budget: 5/day%s}]\n"
PRICES = 'prices: {"*": {input: 1, output: 2}}\n'
COSTLY = "policy: p\n" + MONEY % ""


@pytest.mark.parametrize(
    "texts",
    [
        ("policy: p\nlimits: [{name: a, unit: tokens, rate: 1/1m}]\n",),
        (COSTLY + PRICES,),
        (COSTLY + "mode: shadow\n" + PRICES,),
        (COSTLY, "policy: q\n" + PRICES),
        (COSTLY + "match: {tenants: [a]}\n", "policy: q\nmatch: {models: [m]}\n" + PRICES),
    ],
)
def test_a_limit_that_a_price_can_serve_is_fine(texts: tuple[str, ...]) -> None:
    refuse_unpriced(policy_set(*texts))


@pytest.mark.parametrize(
    "texts",
    [
        (COSTLY,),
        ("policy: p\n" + MONEY % ", mode: shadow",),
        (COSTLY, "policy: q\nmode: shadow\n" + PRICES),
        (COSTLY + "match: {tenants: [a]}\n", "policy: q\nmatch: {tenants: [b]}\n" + PRICES),
        (
            COSTLY + 'match: {routes: ["POST /v1/messages"]}\n',
            'policy: q\nmatch: {routes: ["POST /api/chat"]}\n' + PRICES,
        ),
    ],
)
def test_a_limit_that_no_price_serves_is_an_error_at_its_place(texts: tuple[str, ...]) -> None:
    with pytest.raises(PolicyErrors) as refused:
        refuse_unpriced(policy_set(*texts))
    (error,) = refused.value.errors
    assert (error.line, error.message.partition(":")[0]) == (
        2,
        "the limit `money` counts costs, and no model has a price",
    )
    assert "`prices`" in error.message
    assert "--prices genai-prices" in error.message


def test_the_forms_of_a_policy_for_its_tenants_are_one_error() -> None:
    text = (
        COSTLY
        + "rules: [{id: r, when: check_error, action: flag}]\ntenants: {a: {unmapped: refuse}, b: {unmapped: refuse}}\n"
    )
    read = parse_all([("p.yaml", text)])
    assert len(read) == 3
    with pytest.raises(PolicyErrors) as refused:
        refuse_unpriced(PolicySet(read, build_checks(read, Resources()), ""))
    assert len(refused.value.errors) == 1
