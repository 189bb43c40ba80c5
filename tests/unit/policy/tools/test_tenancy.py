"""Tenants that no credential can produce are refused with their place."""

from __future__ import annotations

import pytest

from guardproxy.checks._shared.declared.contract import Resources
from guardproxy.policy.deciding.evaluate import PolicySet
from guardproxy.policy.file.load import PolicyErrors, build_checks, parse_all
from guardproxy.policy.tools.tenancy import refuse_strangers

POLICY = """\
policy: p
match: {match}
checks: {{w: {{use: pattern, words: [a]}}}}
rules: [{{id: r, when: w, action: block}}]
{more}
"""


def policies(match: str, more: str = "") -> PolicySet:
    read = parse_all([("p.yaml", POLICY.format(match=match, more=more))])
    return PolicySet(read, build_checks(read, Resources()), "")


@pytest.mark.parametrize(
    "match",
    [
        "{}",
        "{tenants: [acme]}",
        "{tenants: [ACME, 'b*', '*']}",
        '{when: \'tenant.name == "acme" || "beta" == tenant.name\'}',
        '{when: \'tenant.name in ["acme", ""] && request.model == "nobody"\'}',
        '{when: \'tenant.name.startsWith("ac") || tenant.name.matches("^b.*a$")\'}',
        r"""{when: 'tenant.name.matches(r"^\pL+$")'}""",  # `re` cannot read it, so it may mean anybody
    ],
)
def test_names_that_the_settings_give_are_fine(match: str) -> None:
    refuse_strangers(policies(match), ("acme", "beta"))


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ("{tenants: [acme, akme]}", r"p\.yaml:2:25: .*`akme`; did you mean `acme`"),
        ("{tenants: ['x*']}", r"p\.yaml:2:.*`x\*` \(tenants: acme, beta\)"),
        ("{when: 'tenant.name == \"akme\"'}", r"p\.yaml:2:.*`akme`"),
        ("{when: 'tenant.name != \"akme\"'}", r"p\.yaml:2:.*`akme`"),
        ("{when: '\"akme\" == tenant.name'}", r"p\.yaml:2:.*`akme`"),
        ('{when: \'tenant.name in ["acme", "akme"]\'}', r"p\.yaml:2:.*`akme`"),
        ("{when: 'tenant.name.startsWith(\"x\")'}", r"p\.yaml:2:.*`x`"),
        ("{when: 'tenant.name.matches(\"^x\")'}", r"p\.yaml:2:.*`\^x`"),
    ],
)
def test_a_name_that_no_credential_has_is_refused(match: str, words: str) -> None:
    with pytest.raises(PolicyErrors, match=words):
        refuse_strangers(policies(match), ("acme", "beta"))
    with pytest.raises(PolicyErrors, match="no tenant is configured"):
        refuse_strangers(policies(match), ())


def test_the_overrides_of_a_tenant_that_nobody_is_are_refused() -> None:
    it = policies("{}", "tenants: {akme: {rules: [{id: r, severity: high}]}}")
    with pytest.raises(PolicyErrors, match=r"p\.yaml:5:11: .*`akme`; did you mean `acme`"):
        refuse_strangers(it, ("acme",))
    refuse_strangers(it, ("akme",))
