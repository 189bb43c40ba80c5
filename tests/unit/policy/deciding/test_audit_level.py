"""What records keep: the least of all policies, and whose key seals it."""

from __future__ import annotations

import pytest

from guardproxy.policy.deciding.audit_level import Keeping, keeping_of
from guardproxy.policy.file.load import parse
from guardproxy.policy.values.document import Policy, header_of
from tests.kit.play import policy_set
from tests.kit.sealing import KEPT


def policy(name: str, audit: str) -> Policy:
    return parse(f"{KEPT.replace('kept', name)}audit: {audit}\n", f"{name}.yaml")


@pytest.mark.parametrize(
    ("audits", "expected"),
    [
        ((), Keeping("redacted")),
        (("{}",), Keeping("redacted")),
        (("{keep: none}", "{keep: sealed}", "{}"), Keeping("none")),
        (("{keep: sealed}",), Keeping("sealed", ("user",), True)),
        (("{keep: sealed}", "{}"), Keeping("sealed", ("user",), False)),
        (
            ("{keep: sealed, subject: tenant}", "{keep: sealed, subject: 'header:X-User'}", "{keep: sealed}"),
            Keeping("sealed", ("tenant", "header:x-user", "user"), True),
        ),
    ],
)
def test_the_least_is_kept(audits: tuple[str, ...], expected: Keeping) -> None:
    policies = [policy(f"p{number}", audit) for number, audit in enumerate(audits)]
    assert keeping_of(policies) == keeping_of(policies[::-1]) == expected


def test_a_header_that_names_a_subject_is_read() -> None:
    assert header_of("header:x-user") == "x-user"
    assert header_of("user") == ""
    sealing = f"{KEPT}audit: {{keep: sealed, subject: 'header:X-User'}}\nmatch: {{headers: {{x-team: a}}}}\n"
    assert policy_set(sealing).headers == {"x-user", "x-team"}
    assert policy_set(f"{KEPT}audit: {{keep: sealed}}\n").headers == set()
