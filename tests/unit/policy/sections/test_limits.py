"""The section `limits` of a policy: what it may say, what follows, and what another policy may change of it."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.gateway import read_limits
from guardproxy.gateway.duties.limits import limits_of
from guardproxy.policy import BoundRules, PolicySet
from guardproxy.policy.file import schema
from guardproxy.policy.file.load import PolicyErrors, build_checks, parse, parse_all
from guardproxy.policy.sections.limits import _FORMS, _KEYS
from guardproxy.policy.usage import limit_words
from tests.kit.play import policy_set

TOKENS = "{name: tokens, unit: tokens, rate: 100000/1m, per: [client]}"


def policies(*texts: str) -> PolicySet:
    """Policies that may extend each other."""
    found = parse_all([(f"policy{number}.yaml", text) for number, text in enumerate(texts)])
    return PolicySet(found, build_checks(found, Resources()), "sha256:test")


def bound(*texts: str, tenant: str = "", model: str = "m", conversation: str = "c") -> BoundRules:
    return policies(*texts).bind("POST /v1/messages", model, tenant, conversation)


def words(*texts: str, **asked: Any) -> list[str]:
    return [limit_words(rule) for rule in limits_of(bound(*texts, **asked))]


def errors(text: str) -> list[str]:
    with pytest.raises(PolicyErrors) as refused:
        parse(text, "p.yaml")
    return [str(error).partition(": ")[2] for error in refused.value.errors]


def test_a_policy_may_have_only_limits() -> None:
    assert words(f"policy: p\nlimits: [{TOKENS}]\n") == [
        "p/tokens: 100,000 tokens at once, then 100,000 in 60 s, per client"
    ]


def test_a_limit_means_what_it_means_in_the_file_of_limits() -> None:
    lines = {
        "name": "a",
        "unit": "tokens",
        "rate": "100/1m",
        "burst": 7,
        "per": ["client", "model"],
        "routes": ["POST /v1/*"],
        "models": ["gpt-*"],
        "tenants": ["acme"],
        "when": "request.stream",
        "mode": "shadow",
        "answer_tokens": 9,
    }
    file = "[[limit]]\n" + "\n".join(f"{key} = {value!r}" for key, value in lines.items())
    policy = policy_set("policy: p\nlimits:\n  - " + "\n    ".join(f"{key}: {value}" for key, value in lines.items()))
    assert policy.policies[0].sections["limits"] == read_limits(file.encode(), "l").late


def test_the_schema_has_every_key_and_accepts_what_the_reader_accepts() -> None:
    assert tuple(_FORMS) == _KEYS
    check = jsonschema_rs.Draft202012Validator(schema())
    right: dict[str, Any] = {"policy": "p", "limits": [{"name": "a", "unit": "parallel", "most": 3}]}
    assert check.is_valid(right)
    for wrong in ([], [{"name": "a"}], [{**right["limits"][0], "typo": 1}], [{**right["limits"][0], "most": -1}]):
        assert not check.is_valid({**right, "limits": wrong})


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ("[]", "an empty list limits nothing"),
        ("tokens", "expected a list of limits, found"),
        ("[tokens]", "expected a limit, like"),
        ("[{unit: tokens, rate: 1/1m}]", "`name` is missing"),
        ("[{name: a, unit: words, rate: 1/1m}]", "unknown word `words`"),
        ("[{name: a, unit: tokens, rate: 1/1m, per: [user]}]", "unknown word `user`"),
        ("[{name: a, unit: tokens, rate: 5}]", "expected a rate in words, like 600/1m, found"),
        ("[{name: a b, unit: tokens, rate: 1/1m}]", "a name has 1 to 64"),
        ("[{name: a, unit: tokens}]", "it counts tokens, so it needs one of rate or budget"),
        ("[{name: a, unit: tokens, rate: many}]", "`rate` must be an amount and a period"),
        ("[{name: a, unit: tokens, rate: 1/1m, brust: 3}]", "unknown key `brust`; did you mean `burst`?"),
        ("[{name: a, unit: tokens, rate: 1/1m, when: reqest.stream}]", "reqest"),
        ("[{name: a, unit: tokens, rate: 1/1m, models: []}]", "an empty list matches nothing"),
        ("[{name: a, unit: tokens, rate: 1/1m, per: client}]", "expected a list of client, tenant and model"),
        (f"[{TOKENS}, {TOKENS}]", "the policy has another limit `tokens`"),
    ],
)
def test_a_wrong_limit_is_refused_at_its_place(limits: str, message: str) -> None:
    (told,) = errors(f"policy: p\nlimits: {limits}\n")
    assert message in told


def test_limits_of_several_policies_count_side_by_side() -> None:
    both = words(f"policy: b\nlimits: [{TOKENS}]\n", f"policy: a\nlimits: [{TOKENS}]\n")
    assert [line.partition(":")[0] for line in both] == ["a/tokens", "b/tokens"]


def test_a_policy_counts_the_requests_that_it_matches() -> None:
    text = f"policy: p\nmatch: {{models: [big]}}\nlimits: [{TOKENS}]\n"
    assert words(text, model="big")
    assert not words(text, model="small")


@pytest.mark.parametrize("more", ["mode: shadow\n", "enforce: 0 %\n"])
def test_limits_of_a_policy_that_is_not_enforced_refuse_nothing(more: str) -> None:
    assert words(f"policy: p\n{more}limits: [{TOKENS}]\n")[0].endswith(", in shadow mode")
    assert not words(f"policy: p\nlimits: [{TOKENS}]\n")[0].endswith("mode")


def test_a_policy_that_extends_another_keeps_its_limits() -> None:
    base = f"policy: base\nlimits: [{TOKENS}]\n"
    assert words(base, "policy: more\nextends: base\n") == ["more/tokens" + words(base)[0].removeprefix("base/tokens")]
    with pytest.raises(PolicyErrors, match="`limits` may not change"):
        policies(base, "policy: more\nextends: base\nlimits: [{name: a, unit: tokens, rate: 9/1m}]\n")


def test_a_tenant_may_not_change_a_limit_by_a_variable() -> None:
    text = (
        "policy: p\nvars: {rate: 5/1m}\nlimits: [{name: a, unit: requests, rate: '${rate}'}]\n"
        "tenants: {acme: {vars: {rate: 9/1m}}}\n"
    )
    assert words(text.partition("tenants")[0])[0].startswith("p/a: 5 requests")
    with pytest.raises(PolicyErrors, match="`limits` may not change"):
        policies(text)


def test_a_set_knows_which_sections_its_policies_have() -> None:
    assert policy_set(f"policy: p\nlimits: [{TOKENS}]\n").section_names == {"limits"}
    assert PolicySet((), {}, "").section_names == set()
