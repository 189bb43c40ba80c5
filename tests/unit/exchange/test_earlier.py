"""The values of earlier turns: how they are grouped and bounded, and which rules let them come back."""

from __future__ import annotations

import pytest

from guardproxy.exchange.earlier import (
    KEPT_CHARS,
    GivenValue,
    GivenValues,
    allowed,
    grouped,
    recorded_values,
    values_of,
)
from guardproxy.redaction import EVERYWHERE, Restoration
from tests.kit.play import mint, policy_set

RULE = "policy: test\nchecks: {{mail: {{use: pattern, patterns: [x]}}}}\nrules: [{}]\n"
CAUSE = ("user", "mail", "MAIL")
TOKEN = mint("MAIL", "jo@ab.io")


def group(**more: object) -> GivenValues:
    about: dict[str, object] = {"kinds": None, "hosts": (), "causes": (CAUSE,), "values": {TOKEN: "jo@ab.io"}}
    return GivenValues(**(about | more))  # type: ignore[arg-type]  # the members of a group


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{id: a, when: mail, action: redact, restore: true}", EVERYWHERE),
        ("{id: a, when: mail, action: redact, restore: {in: [assistant]}}", Restoration(frozenset(("assistant",)))),
        ("{id: a, when: mail, action: redact, restore: false}", None),
        (
            "{id: a, when: mail, action: redact, restore: true}, {id: b, when: mail, action: redact, restore: false}",
            None,
        ),
        ("{id: a, when: mail, action: flag}", None),
        ("{id: a, on: response, when: mail, action: redact}", None),
    ],
)
def test_the_rules_of_the_later_request_decide_again(rule: str, expected: Restoration | None) -> None:
    bound = policy_set(RULE.format(rule)).bind("POST /v1/responses", "m", "t")
    assert allowed(group(), bound) == expected


def test_every_cause_must_be_allowed_and_both_turns_limit_the_places() -> None:
    bound = policy_set(RULE.format("{id: a, when: mail, action: redact, restore: {urls: [a.example]}}")).bind(
        "POST /v1/x", "m", "t"
    )
    assert allowed(group(hosts=("a.example", "b.example")), bound) == Restoration(None, frozenset(("a.example",)))
    assert allowed(group(kinds=("assistant",)), bound) == Restoration(frozenset(("assistant",)))
    assert allowed(group(causes=(CAUSE, ("user", "other", "MAIL"))), bound) is None


def test_values_are_grouped_by_what_is_true_of_them_and_the_newest_are_kept() -> None:
    here = Restoration(frozenset(("assistant", "refusal")), frozenset(("b.example", "a.example")))
    given = [
        GivenValue("[A_1]", "1", EVERYWHERE, (CAUSE,)),
        GivenValue("[A_2]", "2", here, (CAUSE,)),
        GivenValue("[A_3]", "3", EVERYWHERE, (CAUSE,)),
    ]
    first, second = grouped(given)
    assert (first.values, first.restoration) == ({"[A_1]": "1", "[A_3]": "3"}, EVERYWHERE)
    assert (second.kinds, second.hosts, second.restoration) == (
        ("assistant", "refusal"),
        ("a.example", "b.example"),
        here,
    )
    long = GivenValue("[A_4]", "x" * KEPT_CHARS, EVERYWHERE, (CAUSE,))
    assert [kept.values for kept in grouped([given[0], long, given[1]])] == [{"[A_1]": "1"}]
    assert grouped([]) == ()


def test_a_record_names_placeholders_and_no_value() -> None:
    recorded = recorded_values(group(), [TOKEN])
    assert "jo@ab.io" not in str(recorded)
    assert values_of(recorded) == group(values={TOKEN: TOKEN})
