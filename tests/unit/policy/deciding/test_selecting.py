"""Which policies apply: those whose `match` holds, and those that the client's key demands."""

from __future__ import annotations

import pytest

from guardproxy.checks._contract import Resources
from guardproxy.policy.conditions.request_context import About
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.deciding.selecting import NOT_APPLYING, select
from guardproxy.policy.file.load import build_checks, parse_all

BASE = """\
policy: {name}
match: {{models: [{model}]}}
checks: {{word: {{use: pattern, words: [one]}}}}
rules: [{{id: r, when: word, action: flag}}]
"""
OWN = "tenants: {acme: {rules: [{id: r, action: block}]}, beta: {rules: [{id: r, action: block}]}}\n"
ROUTE = "POST /a"


def policies() -> PolicySet:
    texts = (BASE.format(name="a", model="a*"), BASE.format(name="b", model="b*") + OWN)
    read = parse_all([(f"{number}.yaml", text) for number, text in enumerate(texts)])
    return PolicySet(read, build_checks(read, Resources()), "")


def applying(policies: PolicySet, model: str, tenant: str | None, *demanded: str) -> list[str]:
    """The names of the policies that apply, as they are combined."""
    return sorted(policy.name for policy in policies.bind(ROUTE, model, tenant, demanded=demanded).policies)


@pytest.mark.parametrize(
    ("model", "tenant", "demanded", "names"),
    [
        ("a1", "", (), ["a"]),
        ("a1", "", ("b",), ["a", "b"]),
        ("a1", "acme", ("b",), ["a", "b@acme"]),
        ("a1", "ACME", ("b",), ["a", "b@acme"]),
        ("a1", None, ("b",), ["a", "b"]),
        ("b1", "beta", (), ["b@beta"]),
        ("c", "", ("a", "b"), ["a", "b"]),
        ("c", "", ("b@acme", "c"), []),
    ],
)
def test_a_demanded_policy_applies_whatever_its_match(
    model: str, tenant: str | None, demanded: tuple[str, ...], names: list[str]
) -> None:
    assert applying(policies(), model, tenant, *demanded) == names


def test_what_is_demanded_does_not_change_what_is_recorded_of_conditions() -> None:
    both = policies()
    plain, demanding = both.bind(ROUTE, "a1", ""), both.bind(ROUTE, "a1", "", demanded=("b",))
    assert plain.matched == demanding.matched
    assert plain is both.bind(ROUTE, "a1", ""), "the demanding rules are not mixed up with the plain ones"


def test_names_are_those_of_the_files() -> None:
    assert policies().names == {"a", "b"}


def test_recorded_verdicts_count() -> None:
    policy = policies().policies[0]
    about = About(ROUTE, "c")
    assert select([policy], [()], about, "", {}, ()) == (("no", NOT_APPLYING),)
    assert select([policy], [()], about, "", {policy.match.digest: "unknown"}, ()) == (("unknown", -1),)
    assert select([policy], [()], about, "", {}, ("a",)) == (("no", -1),)
