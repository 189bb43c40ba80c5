"""The section `prices` of a policy: what it may say."""

from __future__ import annotations

import jsonschema_rs
import pytest

from guardproxy.policy.file import schema
from guardproxy.policy.file.load import PolicyErrors, parse, parse_all
from guardproxy.policy.usage import Price

MINI = '"gpt-5-mini*": {input: 0.25, output: 2, cached: 0.025}'


def test_prices_are_read_in_their_order() -> None:
    found = parse(f'policy: p\nprices: {{{MINI}, "*": {{input: 15, output: 75}}}}\n', "p.yaml").sections["prices"]
    assert found.rates("openai/gpt-5-mini") == Price(0.25, 2, 0.025).rates
    assert found.rates("other") == Price(15, 75).rates


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ("{}", "an empty mapping prices nothing"),
        ("[]", "expected a mapping from models to prices"),
        ("{m: 5}", "expected prices like"),
        ("{m: {input: 1}}", "`output` is missing"),
        ("{m: {input: 1, output: -1}}", "expected a number from 0 to 999999"),
        ("{m: {input: 1, output: two}}", "expected a number, found"),
        ("{m: {input: 1, outptu: 1}}", "unknown key `outptu`; did you mean `output`?"),
        ('{"": {input: 1, output: 1}}', "the glob of a model is empty"),
    ],
)
def test_a_wrong_price_is_refused_at_its_place(prices: str, message: str) -> None:
    with pytest.raises(PolicyErrors) as refused:
        parse(f"policy: p\nprices: {prices}\n", "p.yaml")
    assert any(message in str(error) for error in refused.value.errors)


def test_a_policy_that_extends_another_keeps_its_prices() -> None:
    base = ("base.yaml", f"policy: base\nprices: {{{MINI}}}\n")
    same = parse_all([base, ("more.yaml", "policy: more\nextends: base\n")])[-1]
    assert same.sections["prices"].rates("gpt-5-mini")
    with pytest.raises(PolicyErrors, match="`prices` may not change"):
        parse_all([base, ("more.yaml", f"policy: more\nextends: base\nprices: {{{MINI.replace('2', '1')}}}\n")])


def test_the_schema_has_every_key() -> None:
    check = jsonschema_rs.Draft202012Validator(schema())
    whole = {"input": 1, "output": 2.5, "cached": 0, "written": 3}
    assert check.is_valid({"policy": "p", "prices": {"m": whole}})
    for wrong in ({}, {"m": {"input": 1}}, {"m": {**whole, "typo": 1}}, {"m": {**whole, "input": -1}}):
        assert not check.is_valid({"policy": "p", "prices": wrong})
